package database

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"clusterpedia.io/testbed/process"
)

func (s *Server) startMariaDB(ctx context.Context, dir string, args []string) error {
	bin, err := programs("mariadb-server", []string{"/usr/sbin", "/usr/libexec", "/usr/bin"}, "mariadbd")
	if err != nil {
		return err
	}
	tools, err := programs("mariadb-server", []string{"/usr/bin"}, "mariadb-install-db", "mariadb")
	if err != nil {
		return err
	}
	account, err := account(dir, "mysql", "mariadb-server")
	if err != nil {
		return err
	}
	if err := makeTLS(dir, account); err != nil {
		return err
	}
	data, err := initialize(ctx, dir, account, func(path string) []string {
		return []string{
			filepath.Join(tools, "mariadb-install-db"), "--no-defaults", "--datadir=" + path,
			"--auth-root-authentication-method=normal", "--skip-test-db",
		}
	})
	if err != nil {
		return err
	}
	roles := filepath.Join(dir, "roles.sql")
	statements := fmt.Sprintf("CREATE USER IF NOT EXISTS '%[1]s'@'%%' IDENTIFIED BY '%[2]s';\nGRANT ALL ON *.* TO '%[1]s'@'%%' WITH GRANT OPTION;\n", s.User, s.Password)
	if err := os.WriteFile(roles, []byte(statements), 0o644); err != nil {
		return err
	}
	s.DSN = fmt.Sprintf("%s:%s@tcp(%s:%d)/?parseTime=true", s.User, s.Password, s.Host, s.Port)
	s.client = mysqlClient(filepath.Join(tools, "mariadb"), s)
	s.process, err = process.Start(process.Spec{
		Name: string(s.Kind), Dir: dir, User: account, Env: temporary(dir),
		Command: append([]string{
			filepath.Join(bin, "mariadbd"), "--no-defaults", "--datadir=" + data, "--init-file=" + roles,
			"--bind-address=" + s.Host, "--port=" + strconv.Itoa(s.Port), "--skip-name-resolve",
			// Both are relative to the data: a socket's path must be short.
			"--socket=socket", "--pid-file=pid",
			"--ssl-ca=" + filepath.Join(dir, tlsDir, "ca.crt"), "--ssl-cert=" + filepath.Join(dir, tlsDir, "server.crt"), "--ssl-key=" + filepath.Join(dir, tlsDir, "server.key"),
			"--max-connections=" + connections, "--max-allowed-packet=64M",
			"--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci",
			// What is committed survives the server's death, but not the machine's.
			"--innodb-flush-log-at-trx-commit=2", "--loose-innodb-flush-method=nosync", "--loose-innodb-doublewrite=0",
		}, args...),
	})
	if err != nil {
		return err
	}
	return s.process.Until(ctx, readyLimit, func(ctx context.Context) error {
		_, err := s.Query(ctx, "", "SELECT 1")
		return err
	})
}

func mysqlClient(program string, s *Server) func(ctx context.Context, database, statement string) *exec.Cmd {
	return func(ctx context.Context, database, statement string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program, "--no-defaults", "--batch", "--skip-column-names", "--connect-timeout=10", "--protocol=TCP", "--skip-ssl",
			"--host="+s.Host, "--port="+strconv.Itoa(s.Port), "--user="+s.User, "--database="+database, "--execute="+statement)
		cmd.Env = append(os.Environ(), "MYSQL_PWD="+s.Password)
		return cmd
	}
}
