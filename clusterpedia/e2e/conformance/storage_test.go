package conformance

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/mattn/go-sqlite3"
)

// The storages, by the names that cases and tests give them.
const (
	sqlite     = "SQLite"
	postgresql = "PostgreSQL"
	mariadb    = "MariaDB"
	memory     = "memory"
)

func storages() []string { return []string{sqlite, postgresql, mariadb, memory} }

// variables are where the DSNs of database servers stand; "make test-e2e" starts them.
func variables() map[string]string {
	return map[string]string{postgresql: "TEST_POSTGRES_DSN", mariadb: "TEST_MYSQL_DSN"}
}

// database is an empty database, and a look into it beside the servers.
type database struct {
	// config is the configuration file of the internal storage layer.
	config string
	db     *sql.DB
	// drop removes it.
	drop func() error
}

func newDatabase(storage, dir string) (*database, error) {
	if storage == sqlite {
		file := filepath.Join(dir, "clusterpedia.db")
		db, err := sql.Open("sqlite3", "file:"+file+"?_busy_timeout=10000")
		return &database{configOf("sqlite", file), db, func() error { return nil }}, err
	}
	driver, kind := "pgx", "postgres"
	if storage == mariadb {
		driver, kind = "mysql", "mysql"
	}
	dsn := os.Getenv(variables()[storage])
	server, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	name := "conformance_" + strings.ToLower(rand.Text())
	if _, err := server.Exec("CREATE DATABASE " + name); err != nil { //nolint:noctx // at the start of the tests
		return nil, err
	}
	if storage == mariadb {
		dsn = regexp.MustCompile(`\)/[^?]*`).ReplaceAllString(dsn, ")/"+name)
	} else {
		dsn = regexp.MustCompile(`dbname=\S+`).ReplaceAllString(dsn, "dbname="+name)
	}
	db, err := sql.Open(driver, dsn)
	drop := func() error {
		_ = db.Close() // else it cannot be dropped
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(stopLimit); ; <-tick.C {
			_, err := server.Exec("DROP DATABASE " + name) //nolint:noctx // at the end of the tests
			if err == nil || time.Now().After(deadline) {
				return err // the server may still count connections that ended
			}
		}
	}
	return &database{configOf(kind, dsn), db, drop}, err
}

func configOf(kind, dsn string) string { return fmt.Sprintf("type: %s\ndsn: %q\n", kind, dsn) }

// fingerprint tells all tables, and all rows of objects: it is the same as long as
// nobody changed any.
func (d *database) fingerprint(storage string) (string, error) {
	tables := map[string]string{
		sqlite:     "SELECT name FROM sqlite_master WHERE type = 'table'",
		postgresql: "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
		mariadb:    "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
	}[storage]
	var all []string
	for _, text := range []string{tables, "SELECT cluster, resource, namespace, name, resource_version, synced_at, object FROM resources"} {
		lines, err := d.read(text)
		if err != nil {
			return "", err
		}
		slices.Sort(lines)
		all = append(all, lines...)
	}
	return strings.Join(all, "\n"), nil
}

// read returns the rows of a statement, each as one text.
func (d *database) read(statement string) ([]string, error) {
	rows, err := d.db.Query(statement) //nolint:noctx // a statement of the test's own
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var lines []string
	for rows.Next() {
		cells, targets := make([]any, len(columns)), make([]any, len(columns))
		for i := range cells {
			targets[i] = &cells[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		lines = append(lines, fmt.Sprintf("%s", cells))
	}
	return lines, rows.Err()
}
