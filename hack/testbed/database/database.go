// Package database runs private database servers on the loopback address, for the
// tests of the SQL storage layer and of the whole: the storage between synchro and
// apiserver. A server keeps its data, logs and port in its directory, so that it
// can be stopped or killed and started again.
package database

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"clusterpedia.io/testbed/build"
	"clusterpedia.io/testbed/process"
)

// Kind is a database system.
type Kind string

// The database systems. PostgreSQL and MariaDB are those that the machine has
// installed. GoMySQL is go-mysql-server, which accepts MySQL 8's syntax and keeps
// its data in memory alone.
const (
	PostgreSQL Kind = "postgres"
	MariaDB    Kind = "mariadb"
	GoMySQL    Kind = "gomysql"
)

// Kinds are all database systems.
func Kinds() []Kind { return []Kind{PostgreSQL, MariaDB, GoMySQL} }

// Variable is the environment variable by which the tests of the storage layer
// learn the server's DSN.
func (k Kind) Variable() string {
	switch k {
	case PostgreSQL:
		return "TEST_POSTGRES_DSN"
	case MariaDB:
		return "TEST_MYSQL_DSN"
	default:
		return "TEST_GOMYSQL_DSN"
	}
}

// DirVariable is the environment variable by which they learn the server's directory, where its
// socket is, in data, and tls with ca.crt, client.crt and client.key. The server's certificate is
// for localhost alone. Empty for GoMySQL, which has neither.
func (k Kind) DirVariable() string {
	switch k {
	case PostgreSQL:
		return "TEST_POSTGRES_DIR"
	case MariaDB:
		return "TEST_MYSQL_DIR"
	default:
		return ""
	}
}

const (
	host = "127.0.0.1"
	// role is the name and the password of the user that tests are.
	role = "clusterpedia"
	// connections is how many a server accepts: tests run in parallel.
	connections = "400"

	// readyLimit and stopLimit are generous: machines are busy.
	readyLimit = 2 * time.Minute
	stopLimit  = 30 * time.Second
)

// Options say how to run a server.
type Options struct {
	// Dir is the server's own directory. It is made if it is missing; one of an
	// earlier start is used again, with its data and its port.
	Dir string
	// Module is the directory of the test bed's module. GoMySQL is built in it.
	Module string
	// Progress is told about a build, if not nil.
	Progress io.Writer
	// Args are more arguments of PostgreSQL's or MariaDB's server, and win over its own.
	Args []string
}

// Server is a running database server.
type Server struct {
	Kind Kind
	// DSN is what the storage layer's driver takes. It names no database of MariaDB
	// and GoMySQL, and the database postgres of PostgreSQL.
	DSN string
	// Host and Port, User and Password are what DSN has. The user may create
	// databases.
	Host           string
	Port           int
	User, Password string

	dir     string
	process *process.Process
	// client runs one statement, as argument, in a database.
	client func(ctx context.Context, database, statement string) *exec.Cmd
}

// Start starts a server and returns when it accepts connections. A server that
// refuses to run as root runs as the user that its Debian package made, who must be
// able to reach the directory: closed directories on the way are opened to others
// for passage if they are temporary, and are an error otherwise. The server is
// killed when this program dies.
func Start(ctx context.Context, kind Kind, o Options) (*Server, error) {
	s, err := start(ctx, kind, o)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", kind, err)
	}
	return s, nil
}

func start(ctx context.Context, kind Kind, o Options) (*Server, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	port, err := choosePort(dir)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, Kind: kind, Host: host, Port: port, User: role, Password: role}
	switch kind {
	case PostgreSQL:
		err = s.startPostgres(ctx, dir, o.Args)
	case MariaDB:
		err = s.startMariaDB(ctx, dir, o.Args)
	case GoMySQL:
		err = s.startGoMySQL(ctx, dir, o)
	default:
		err = fmt.Errorf("unknown kind of database, want one of %v", Kinds())
	}
	if err != nil && s.process != nil {
		err = errors.Join(err, s.Stop())
	}
	return s, err
}

func (s *Server) startGoMySQL(ctx context.Context, dir string, o Options) error {
	progress := o.Progress
	if progress == nil {
		progress = io.Discard
	}
	bin, err := build.Programs(ctx, o.Module, progress, "mysql")
	if err != nil {
		return err
	}
	s.User, s.Password = "root", ""
	s.DSN = fmt.Sprintf("root@tcp(%s:%d)/?parseTime=true", s.Host, s.Port)
	s.client = mysqlClient("/usr/bin/mariadb", s)
	s.process, err = process.Start(process.Spec{
		Name: string(s.Kind), Dir: dir,
		Command: []string{filepath.Join(bin, "mysql"), "--listen", s.address()},
	})
	if err != nil {
		return err
	}
	return s.process.Until(ctx, readyLimit, func(ctx context.Context) error {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.address())
		if err != nil {
			return err
		}
		return c.Close()
	})
}

func (s *Server) address() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// Process returns the server's process, to provoke faults.
func (s *Server) Process() *process.Process { return s.process }

// Dir returns the server's directory.
func (s *Server) Dir() string { return s.dir }

// Stop stops the server. Its data stays, but for GoMySQL's.
func (s *Server) Stop() error {
	signal := syscall.SIGTERM
	if s.Kind == PostgreSQL {
		signal = syscall.SIGINT // SIGTERM would wait until all clients have left
	}
	if err := s.process.StopWith(signal, stopLimit); err != nil {
		return fmt.Errorf("stop %s: %w", s.Kind, err)
	}
	return nil
}

// Query runs a statement with the command line client, in a database or, if that
// is empty, in the default one. It returns the rows, one a line. GoMySQL is asked
// with MariaDB's client, which must be installed.
func (s *Server) Query(ctx context.Context, database, statement string) (string, error) {
	cmd := s.client(ctx, database, statement)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", s.Kind, err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimRight(string(out), "\n"), nil
}

// choosePort takes the port of an earlier start, or a free one.
func choosePort(dir string) (int, error) {
	file := filepath.Join(dir, "port")
	if text, err := os.ReadFile(file); err == nil {
		return strconv.Atoi(string(text))
	}
	free, err := process.FreePorts(1)
	if err != nil {
		return 0, err
	}
	return free[0], os.WriteFile(file, []byte(strconv.Itoa(free[0])), 0o644)
}
