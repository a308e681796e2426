package fault

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/database"
)

// engine is a database system.
type engine string

const (
	postgreSQL engine = "PostgreSQL"
	mariaDB    engine = "MariaDB"
	sqlite     engine = "SQLite"
)

// servers are those that are servers.
func servers() []engine { return []engine{postgreSQL, mariaDB} }

func (e engine) kind() database.Kind {
	if e == mariaDB {
		return database.MariaDB
	}
	return database.PostgreSQL
}

// text returns a statement as the engine has it.
func (e engine) text(statement string) string {
	if e == mariaDB {
		return strings.NewReplacer("$1", "?", `"`, "`").Replace(statement)
	}
	return statement
}

// prepareDatabase makes an empty database.
func (s *stage) prepareDatabase(o scene) {
	s.t.Helper()
	if s.engine == "" {
		s.engine = postgreSQL
	}
	if s.engine == sqlite {
		file := filepath.Join(s.t.TempDir(), "clusterpedia.db")
		s.open("sqlite3", "file:"+file+"?_busy_timeout=10000")
		s.config = func(string) string { return fmt.Sprintf("type: sqlite\ndsn: %q\n", file) }
		return
	}
	server := o.server
	if server == nil {
		server = shared.servers[s.engine]
	}
	name := "fault_" + strings.ReplaceAll(s.name, "-", "_")
	_, err := server.Query(s.t.Context(), "", "CREATE DATABASE "+name)
	require.NoError(s.t, err)
	dsn, storage, mark := "", "", ""
	if s.engine == mariaDB {
		dsn, storage, mark = strings.Replace(server.DSN, ")/", ")/"+name, 1), "mysql", "&@writer=%%27%s%%27"
		s.open("mysql", dsn)
	} else {
		dsn, storage, mark = regexp.MustCompile(`dbname=\S+`).ReplaceAllString(server.DSN, "dbname="+name), "postgres", " application_name=%s"
		s.open("pgx", dsn)
	}
	if o.through != "" {
		_, port, _ := strings.Cut(o.through, ":")
		dsn = strings.Replace(dsn, fmt.Sprint(server.Port), port, 1)
	}
	s.config = func(writer string) string {
		return fmt.Sprintf("type: %s\ndsn: %q\n", storage, dsn+fmt.Sprintf(mark, writer))
	}
}

func (s *stage) open(driver, dsn string) {
	var err error
	s.db, err = sql.Open(driver, dsn)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, s.db.Close()) })
}
