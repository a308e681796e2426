package database

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"clusterpedia.io/testbed/process"
)

// superuser is PostgreSQL's first role; its password is that of the tests' role.
const superuser = "postgres"

// remainsLimit bounds the wait for what a killed server has left.
const remainsLimit = 15 * time.Second

func (s *Server) startPostgres(ctx context.Context, dir string, args []string) error {
	dirs, err := newest("/usr/lib/postgresql/", "/bin") // Debian's
	if err != nil {
		return err
	}
	others, err := newest("/usr/pgsql-", "/bin")
	if err != nil {
		return err
	}
	bin, err := programs("postgresql", append(append(dirs, others...), "/usr/bin"), "initdb", "postgres", "psql")
	if err != nil {
		return err
	}
	account, err := account(dir, "postgres", "postgresql")
	if err != nil {
		return err
	}
	if err := makeTLS(dir, account); err != nil {
		return err
	}
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(s.Password), 0o644); err != nil {
		return err
	}
	data, err := initialize(ctx, dir, account, func(path string) []string {
		return []string{
			filepath.Join(bin, "initdb"), "--pgdata", path, "--username", superuser, "--pwfile", secret,
			"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync",
		}
	})
	if err != nil {
		return err
	}
	s.DSN = fmt.Sprintf("host=%s port=%d user=%s password=%s dbname=postgres sslmode=disable", s.Host, s.Port, s.User, s.Password)
	s.client = func(ctx context.Context, database, statement string) *exec.Cmd {
		return s.psql(ctx, bin, s.User, database, statement)
	}
	spec := process.Spec{
		Name: string(s.Kind), Dir: dir, User: account, Env: temporary(dir),
		Command: append([]string{
			filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(s.Port),
			"-c", "listen_addresses=" + s.Host, "-c", "max_connections=" + connections,
			// It is relative to the data: a socket's path must be short.
			"-c", "unix_socket_directories=.",
			"-c", "ssl=on", "-c", "ssl_ca_file=" + filepath.Join(dir, tlsDir, "ca.crt"),
			"-c", "ssl_cert_file=" + filepath.Join(dir, tlsDir, "server.crt"), "-c", "ssl_key_file=" + filepath.Join(dir, tlsDir, "server.key"),
			// What is committed survives the server's death, but not the machine's.
			"-c", "fsync=off", "-c", "full_page_writes=off",
		}, args...),
	}
	admin := *s
	admin.client = func(ctx context.Context, database, statement string) *exec.Cmd {
		return s.psql(ctx, bin, superuser, database, statement)
	}
	var exists string
	for deadline := time.Now().Add(remainsLimit); ; {
		if s.process, err = process.Start(spec); err != nil {
			return err
		}
		err = s.process.Until(ctx, readyLimit, func(ctx context.Context) (err error) {
			exists, err = admin.Query(ctx, "", "SELECT 1 FROM pg_roles WHERE rolname = '"+s.User+"'")
			return err
		})
		// Of a server that was killed, those who spoke with its clients may end later.
		if err == nil || s.process.Running() || !strings.Contains(s.process.LogTail(2000), "pre-existing shared memory block") || time.Now().After(deadline) {
			break
		}
	}
	if err != nil || exists != "" {
		return err
	}
	_, err = admin.Query(ctx, "", fmt.Sprintf("CREATE ROLE %s LOGIN CREATEDB PASSWORD '%s'", s.User, s.Password))
	return err
}

func (s *Server) psql(ctx context.Context, bin, role, database, statement string) *exec.Cmd {
	if database == "" {
		database = "postgres"
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "psql"), "--no-psqlrc", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1",
		"--host", s.Host, "--port", strconv.Itoa(s.Port), "--username", role, "--dbname", database, "--command", statement)
	cmd.Env = append(os.Environ(), "PGPASSWORD="+s.Password, "PGCONNECT_TIMEOUT=10", "PGSSLMODE=disable")
	return cmd
}
