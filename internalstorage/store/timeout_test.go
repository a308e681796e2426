package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// slowDatabase is a database, and a condition that takes it a minute or more.
type slowDatabase struct {
	driver string
	fresh  func(testing.TB) map[string]any
	slow   string
	// unlimited has the server forget what limits the next query.
	unlimited string
}

func slowDatabases() map[string]slowDatabase {
	return map[string]slowDatabase{
		"SQLite":     {"sqlite3", sqlite, "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000000) SELECT COUNT(*) FROM n) > 0", ""},
		"PostgreSQL": {"pgx", postgres, "pg_sleep(60) IS NOT NULL", ""},
		// As a pooler does that gives a client another session.
		"PostgreSQL without its limit": {"pgx", postgres, "pg_sleep(60) IS NOT NULL", "SET statement_timeout = 0"},
		"MariaDB":                      {"mysql", mysqlOn("TEST_MYSQL_DSN"), "SLEEP(60) = 0", ""},
	}
}

// slowStore is an open database whose queries take a minute.
type slowStore struct {
	*store.Store
	log bytes.Buffer
}

// open opens it, with two objects.
func (d slowDatabase) open(t *testing.T, timeout string) *slowStore {
	t.Helper()
	config, s := d.fresh(t), &slowStore{}
	config["queryTimeout"] = timeout
	if d.unlimited != "" {
		config["connPool"] = map[string]any{"maxOpenConns": 1, "maxIdleConns": 1}
	}
	st, err := store.Open(t.Context(), storage.Settings{
		ConfigPath: "test.yaml", Config: mustJSON(t, config), Gates: map[string]bool{"AllowRawSQLQuery": true}, Logger: slog.New(slog.NewTextHandler(&s.log, nil)),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
	s.Store = st.(*store.Store)
	require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "c"}, putPods(2)))
	_, err = st.List(t.Context(), &query.Query{Count: query.CountExact}, func(*storage.Object) error { return nil })
	require.NoError(t, err)

	db, err := sql.Open(d.driver, config["dsn"].(string))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	for _, statement := range []string{"ALTER TABLE resources RENAME TO hidden", "CREATE VIEW resources AS SELECT * FROM hidden WHERE " + d.slow} {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	return s
}

// slowQueries are all that clients, and whoever reads for them, may ask for.
func slowQueries(slow string) map[string]func(context.Context, storage.Storage) error {
	list := func(q query.Query) func(context.Context, storage.Storage) error {
		return func(ctx context.Context, st storage.Storage) error {
			_, err := st.List(ctx, &q, func(*storage.Object) error { return nil })
			return err
		}
	}
	own := map[string][]string{"whereSQL": {slow}}
	return map[string]func(context.Context, storage.Storage) error{
		"list":                list(query.Query{}),
		"table":               list(query.Query{Projection: query.Cells, Columns: "x"}),
		"count":               list(query.Query{Count: query.CountExact}),
		"cheap count":         list(query.Query{Count: query.CountCheap, Limit: 1}),
		"own condition":       list(query.Query{Params: own}),
		"own condition count": list(query.Query{Params: own, Count: query.CountExact}),
		"get": func(ctx context.Context, st storage.Storage) error {
			_, err := st.Get(ctx, putPods(1)[0].Put.Key)
			return err
		},
		"versions": func(ctx context.Context, st storage.Storage) error {
			return st.Versions(ctx, "c", func(storage.Version) error { return nil })
		},
	}
}

// TestQueryTimeout has each query of a client end when it takes too long, with an error that
// the client gets as a 504.
func TestQueryTimeout(t *testing.T) {
	t.Parallel()
	for name, d := range slowDatabases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := d.open(t, "300ms")
			for kind, run := range slowQueries(d.slow) {
				st.log.Reset()
				if d.unlimited != "" {
					pool, err := st.Reader()
					require.NoError(t, err)
					_, err = pool.ExecContext(t.Context(), d.unlimited)
					require.NoError(t, err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				err := run(ctx, st)
				require.NoError(t, ctx.Err(), "%s: it has ended with its caller", kind)
				cancel()
				require.ErrorIs(t, err, context.DeadlineExceeded, kind)
				require.True(t, storage.IsRetryable(err), kind)
				require.Contains(t, st.log.String(), "queryTimeout", kind)
				if d.unlimited != "" {
					require.NotContains(t, st.log.String(), "57014", "%s: the server has ended it", kind)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			require.Error(t, st.Clusters(ctx, func(string) error { return nil }))
			require.NoError(t, ctx.Err(), "it has ended with its caller")
			require.NoError(t, st.Probe(t.Context()), "and the connections are as good as before")
		})
	}
}

// TestCallerEnds tells what ends a caller from what ends a query.
func TestCallerEnds(t *testing.T) {
	t.Parallel()
	for name, d := range slowDatabases() {
		if d.unlimited != "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := d.open(t, "30s")
			for kind, run := range slowQueries(d.slow) {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				require.ErrorIs(t, run(ctx, st), context.DeadlineExceeded, kind)
				cancel()
				ctx, cancel = context.WithCancel(t.Context())
				timer := time.AfterFunc(100*time.Millisecond, cancel)
				err := run(ctx, st)
				timer.Stop()
				cancel()
				require.ErrorIs(t, err, context.Canceled, kind)
				require.NotErrorIs(t, err, context.DeadlineExceeded, kind)
			}
			require.NotContains(t, st.log.String(), "queryTimeout")
		})
	}
}

// TestWritersHaveNoLimit writes for longer than a query may take.
func TestWritersHaveNoLimit(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		fresh      func(testing.TB) map[string]any
		driver     string
		lock, free string
	}{
		"PostgreSQL": {postgres, "pgx", "LOCK TABLE resources IN SHARE MODE", ""},
		"MariaDB":    {mysqlOn("TEST_MYSQL_DSN"), "mysql", "LOCK TABLES resources READ", "UNLOCK TABLES"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := x.fresh(t)
			config["queryTimeout"] = "100ms"
			st := open(t, config)
			t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
			db, err := sql.Open(x.driver, config["dsn"].(string))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			_, err = tx.ExecContext(t.Context(), x.lock)
			require.NoError(t, err)
			applied := make(chan error, 1)
			go func() { applied <- st.Apply(t.Context(), storage.Writer{Cluster: "c", Epoch: 1}, putPods(1)) }()
			early := false
			select {
			case err = <-applied:
				early = true
			case <-time.After(2 * time.Second):
			}
			if x.free != "" {
				_, freed := tx.ExecContext(t.Context(), x.free)
				require.NoError(t, freed)
			}
			require.NoError(t, tx.Rollback())
			require.False(t, early, "it has not waited: %v", err)
			require.NoError(t, <-applied)
		})
	}
}

// TestMySQLTimeout ends a query of a server that does not know the hint with its limit.
func TestMySQLTimeout(t *testing.T) {
	t.Parallel()
	config := goMySQL(t)
	config["queryTimeout"] = "300ms"
	st, err := store.Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: mustJSON(t, config), Gates: map[string]bool{"AllowRawSQLQuery": true}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
	require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "c"}, putPods(2)))
	for kind, run := range slowQueries("SLEEP(60) = 0") {
		if !strings.HasPrefix(kind, "own") {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		require.ErrorIs(t, run(ctx, st), context.DeadlineExceeded, kind)
		require.NoError(t, ctx.Err(), "%s: it has ended with its caller", kind)
		cancel()
	}
}
