package store_test

import (
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/storage"
	"clusterpedia.io/storage-api/storagetest"
)

func open(t testing.TB, config map[string]any) storage.Storage {
	t.Helper()
	text, err := json.Marshal(config)
	require.NoError(t, err)
	st, err := store.Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: text})
	require.NoError(t, err)
	return st
}

// run runs the contract's suite on databases that fresh makes: each call returns
// the configuration of an empty one.
func run(t *testing.T, fresh func(testing.TB) map[string]any, skip map[string]string) {
	t.Helper()
	var configs sync.Map // of each open storage
	opened := func(t testing.TB, config map[string]any) storage.Storage {
		st := open(t, config)
		configs.Store(st, config)
		return st
	}
	storagetest.Run(t,
		func(t testing.TB) storage.Storage { return opened(t, fresh(t)) },
		storagetest.Options{Reopen: func(t testing.TB, st storage.Storage) storage.Storage {
			config, ok := configs.Load(st)
			require.True(t, ok)
			require.NoError(t, st.Close(t.Context()))
			return opened(t, config.(map[string]any))
		}, Skip: skip, Cells: true})
}

func sqlite(t testing.TB) map[string]any {
	return map[string]any{"type": "sqlite", "dsn": filepath.Join(t.TempDir(), "test.db")}
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	run(t, sqlite, nil)
}

// dsn returns the DSN that the environment gives for a server; the test is skipped
// without.
func dsn(t testing.TB, variable string) string {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		t.Skipf("%s is not set: NOT TESTED on this database; make test-storage starts one", variable)
	}
	return value
}

// creating holds for one CREATE DATABASE at a time: go-mysql-server loses some of
// those that it gets at once.
var creating sync.Mutex

// database makes an empty database for one test on a server, with options if there are
// any, and drops it behind it.
func database(t testing.TB, driver, serverDSN string, options ...string) string {
	t.Helper()
	creating.Lock()
	defer creating.Unlock()
	name := "test_" + strings.ToLower(rand.Text())
	server, err := sql.Open(driver, serverDSN)
	require.NoError(t, err)
	_, err = server.ExecContext(t.Context(), strings.Join(append([]string{"CREATE DATABASE", name}, options...), " "))
	require.NoError(t, err)
	t.Cleanup(func() {
		creating.Lock()
		defer creating.Unlock()
		defer func() { require.NoError(t, server.Close()) }()
		// The name is ours. A server that lost the database's connections a moment
		// ago may still count them.
		for range 50 {
			if _, err = server.Exec("DROP DATABASE " + name); err == nil { //nolint:noctx // the test's context has ended
				return
			}
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // nothing tells when it has noticed
		}
		t.Errorf("drop database %s: %v", name, err)
	})
	return name
}

func postgres(t testing.TB) map[string]any { return postgresWith(t) }

// postgresWith returns the configuration of a database with options.
func postgresWith(t testing.TB, options ...string) map[string]any {
	server := dsn(t, "TEST_POSTGRES_DSN")
	name := database(t, "pgx", server, options...)
	return map[string]any{
		"type": "postgres", "dsn": regexp.MustCompile(`dbname=\S+`).ReplaceAllString(server, "dbname="+name),
		"connPool": map[string]any{"maxOpenConns": 8, "maxIdleConns": 2}, "postgres": map[string]any{"fieldIndex": true},
	}
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	dsn(t, "TEST_POSTGRES_DSN")
	run(t, postgres, nil)
}

func mysqlOn(variable string) func(testing.TB) map[string]any {
	return func(t testing.TB) map[string]any {
		server := dsn(t, variable)
		name := database(t, "mysql", server)
		return map[string]any{
			"type": "mysql", "dsn": regexp.MustCompile(`\)/[^?]*`).ReplaceAllString(server, ")/"+name),
			"connPool": map[string]any{"maxOpenConns": 8, "maxIdleConns": 2},
		}
	}
}

func TestMariaDB(t *testing.T) {
	t.Parallel()
	dsn(t, "TEST_MYSQL_DSN")
	run(t, mysqlOn("TEST_MYSQL_DSN"), nil)
}

// TestPostgreSQLLean runs the contract's suite in mode lean.
func TestPostgreSQLLean(t *testing.T) {
	t.Parallel()
	dsn(t, "TEST_POSTGRES_DSN")
	run(t, lean, nil)
}

func lean(t testing.TB) map[string]any {
	config := postgres(t)
	config["mode"] = "lean"
	return config
}
