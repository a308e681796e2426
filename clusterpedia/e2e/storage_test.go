package e2e

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"
)

// sqlStorage is an empty database.
type sqlStorage struct {
	// config is the configuration file of the internal storage layer.
	config string
	// file is that of SQLite.
	file string
	// db looks into the database beside it.
	db *sql.DB
}

// sqlStorages make an empty database of each system. Servers are those of the
// environment; "make test-e2e" starts them.
func sqlStorages() map[string]func(*testing.T) sqlStorage {
	return map[string]func(*testing.T) sqlStorage{
		"SQLite": func(t *testing.T) sqlStorage {
			return sqliteFile(t, filepath.Join(t.TempDir(), "clusterpedia.db"))
		},
		"PostgreSQL": func(t *testing.T) sqlStorage {
			name := database(t, "pgx", "TEST_POSTGRES_DSN")
			dsn := regexp.MustCompile(`dbname=\S+`).ReplaceAllString(os.Getenv("TEST_POSTGRES_DSN"), "dbname="+name)
			return sqlStorage{config: configOf("postgres", dsn), db: open(t, "pgx", dsn)}
		},
		"MariaDB": func(t *testing.T) sqlStorage {
			name := database(t, "mysql", "TEST_MYSQL_DSN")
			dsn := regexp.MustCompile(`\)/[^?]*`).ReplaceAllString(os.Getenv("TEST_MYSQL_DSN"), ")/"+name)
			return sqlStorage{config: configOf("mysql", dsn), db: open(t, "mysql", dsn)}
		},
	}
}

func sqliteFile(t *testing.T, file string) sqlStorage {
	t.Helper()
	return sqlStorage{configOf("sqlite", file), file, open(t, "sqlite3", "file:"+file+"?_busy_timeout=10000")}
}

func configOf(kind, dsn string) string { return fmt.Sprintf("type: %s\ndsn: %q\n", kind, dsn) }

func open(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// database makes a database on the server of an environment variable, and drops it
// at the end of the test, after everything that was started on it.
func database(t *testing.T, driver, variable string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a database")
	}
	if os.Getenv(variable) == "" {
		t.Skipf("%s is not set: NOT TESTED on this database; make test-e2e starts one", variable)
	}
	server := open(t, driver, os.Getenv(variable))
	name := "e2e_" + strings.ToLower(rand.Text())
	_, err := server.ExecContext(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	t.Cleanup(func() {
		eventually(t, stopLimit, func() error { // the server may still count connections that ended
			_, err := server.Exec("DROP DATABASE " + name) //nolint:noctx // the test's context has ended
			return err
		})
	})
	return name
}

// written says of each row of an object when it was written, and as what.
type written map[string]string

// snapshot reads all rows of the table of objects.
func (s sqlStorage) snapshot(t *testing.T) written {
	t.Helper()
	rows, err := s.db.QueryContext(t.Context(), "SELECT cluster, resource, namespace, name, id, resource_version, synced_at FROM resources")
	require.NoError(t, err)
	defer rows.Close()
	all := written{}
	for rows.Next() {
		var cluster, resource, namespace, name, id, version string
		var at time.Time
		require.NoError(t, rows.Scan(&cluster, &resource, &namespace, &name, &id, &version, &at))
		all[strings.Join([]string{cluster, resource, namespace, name}, "/")] = fmt.Sprintf("row %s, version %s, written %s", id, version, at.UTC().Format(time.RFC3339Nano))
	}
	require.NoError(t, rows.Err())
	return all
}

// changed returns the keys of the rows that are not as they were.
func (w written) changed(now written) []string {
	var keys []string
	for key, row := range now {
		if w[key] != row {
			keys = append(keys, key)
		}
	}
	for key := range w {
		if _, ok := now[key]; !ok {
			keys = append(keys, key)
		}
	}
	return keys
}
