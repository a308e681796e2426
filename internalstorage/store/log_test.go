package store_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// logged opens a database, works with it, and returns what it has logged to the host.
func logged(t *testing.T, config map[string]any, work func(storage.Storage)) string {
	t.Helper()
	var log bytes.Buffer
	st, err := store.Open(t.Context(), storage.Settings{
		ConfigPath: "test.yaml", Config: mustJSON(t, config), Gates: map[string]bool{"AllowRawSQLQuery": true, "AllowParameterizedSQLQuery": true},
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.NoError(t, err)
	work(st)
	require.NoError(t, st.Close(context.WithoutCancel(t.Context())))
	return log.String()
}

// TestLogSecrets has neither values nor passwords in the log at its fullest, be they in statements
// that work, that are slow or that fail.
func TestLogSecrets(t *testing.T) {
	t.Parallel()
	for name, fresh := range map[string]func(testing.TB) map[string]any{
		"SQLite":     sqlite,
		"PostgreSQL": func(t testing.TB) map[string]any { return postgresKeys(t, postgres(t)) },
		"MariaDB": func(t testing.TB) map[string]any {
			return mysqlKeys(t, mysqlOn("TEST_MYSQL_DSN")(t), map[string]any{"interpolateParams": true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := fresh(t)
			config["log"] = map[string]any{"level": "Info", "slowThreshold": "1ns"}
			const secret = "s3cr3t"
			o := podOf("c-"+secret, 1)
			o.Namespace, o.Name, o.UID, o.Controller, o.Owners = "ns-"+secret, "name-"+secret, "uid-"+secret, "rs-"+secret, []string{"rs-" + secret}
			o.JSON = []byte(`{"metadata":{"name":"name-` + secret + `","labels":{"l":"` + secret + `"}},"data":{"password":"` + secret + `"}}`)
			text := logged(t, config, func(st storage.Storage) {
				w := storage.Writer{Cluster: o.Cluster, Epoch: 1}
				require.NoError(t, st.Apply(t.Context(), w, []storage.Change{{Put: o}}))
				require.NoError(t, st.Apply(t.Context(), w, []storage.Change{{Put: o}}))
				_, err := st.Get(t.Context(), o.Key)
				require.NoError(t, err)
				for _, q := range []query.Query{
					{Clusters: []string{o.Cluster}, Namespaces: []string{o.Namespace}, Names: []string{o.Name, secret}, Limit: 1, Count: query.CountExact},
					{Labels: []query.LabelRequirement{{Key: "l", Operator: query.In, Values: []string{secret, "x"}}}},
					{Owner: &query.Owner{UID: "rs-" + secret}},
				} {
					_, err = st.List(t.Context(), &q, func(*storage.Object) error { return nil })
					require.NoError(t, err)
				}
				_, err = st.List(t.Context(), &query.Query{Params: map[string][]string{"whereSQLStatement": {"no_such_column = ?"}, "whereSQLParam": {secret}}}, func(*storage.Object) error { return nil })
				require.Error(t, err)
				broken := *o
				broken.JSON = []byte(`{"metadata": ` + secret)
				require.Error(t, st.Apply(t.Context(), w, []storage.Change{{Put: &broken}}))
				canceled, cancel := context.WithCancel(t.Context())
				cancel()
				require.Error(t, st.Apply(canceled, w, []storage.Change{{Put: o}}))
				require.NoError(t, st.Apply(t.Context(), w, []storage.Change{{Delete: &o.Key}}))
			})
			for line := range strings.SplitSeq(text, "\n") {
				require.NotContains(t, line, secret)
			}
			if password, ok := config["password"].(string); ok {
				require.NotContains(t, strings.NewReplacer("clusterpedia_", "", "/* clusterpedia ", "").Replace(text), password)
			}
			require.Contains(t, text, "level=WARN msg=\"SQL executed\" trace.duration=", "slow ones")
			require.Contains(t, text, "trace.sql=\"SELECT ")
			require.Contains(t, text, "?")
			require.Contains(t, text, "level=ERROR")
			require.Contains(t, text, "no_such_column")
		})
	}
}

// TestSlowLog logs statements that take long, and no others unless all are asked for.
func TestSlowLog(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		fresh       func(testing.TB) map[string]any
		short, long string
	}{
		"PostgreSQL": {postgres, "pg_sleep(0.01) IS NOT NULL", "pg_sleep(0.25) IS NOT NULL"},
		"MariaDB":    {mysqlOn("TEST_MYSQL_DSN"), "SLEEP(0.01) = 0", "SLEEP(0.25) = 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, y := range []struct {
				log   any
				slow  bool // whether the one of 250 ms is logged as slow
				short bool // whether the other one is logged
			}{
				{nil, false, false},
				{map[string]any{}, true, false},
				{map[string]any{"level": "warn"}, true, false},
				{map[string]any{"slowThreshold": "1h"}, false, false},
				{map[string]any{"slowThreshold": "5ms"}, true, true},
				{map[string]any{"level": "Error", "slowThreshold": "1ms"}, true, true},
				{map[string]any{"level": "Silent", "slowThreshold": "1ms"}, false, false},
				{map[string]any{"level": "Info"}, true, true},
			} {
				config := x.fresh(t)
				config["log"] = y.log
				text := logged(t, config, func(st storage.Storage) {
					require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "c"}, []storage.Change{{Put: podOf("c", 1)}}))
					for _, where := range []string{x.short, x.long} {
						_, err := st.List(t.Context(), &query.Query{Params: map[string][]string{"whereSQL": {where}}}, func(*storage.Object) error { return nil })
						require.NoError(t, err)
					}
				})
				var slow, short bool
				for line := range strings.SplitSeq(text, "\n") {
					slow = slow || strings.Contains(line, "level=WARN") && strings.Contains(line, "SQL executed") && strings.Contains(line, "0.25)")
					short = short || strings.Contains(line, "0.01)")
				}
				require.Equal(t, []bool{y.slow, y.short}, []bool{slow, short}, "%v", y.log)
			}
		})
	}
}

// TestLogFile logs statements to a file, which is put aside when it is large, instead of to the
// server.
func TestLogFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	file := filepath.Join(dir, "sql.log")
	config := sqlite(t)
	work := func(st storage.Storage) {
		for range 3 {
			_, err := st.List(t.Context(), &query.Query{}, func(*storage.Object) error { return nil })
			require.NoError(t, err)
		}
	}
	options := map[string]any{"level": "Info", "logger": map[string]any{"filename": file, "maxsize": 1, "maxbackups": 1}}
	config["log"] = options
	require.NotContains(t, logged(t, config, work), "SQL executed")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), "msg=\"SQL executed\"")

	// A server that starts on a file that is full begins another.
	require.NoError(t, os.WriteFile(file, bytes.Repeat([]byte("x"), 1<<20), 0o600))
	require.NotContains(t, logged(t, config, work), "SQL executed")
	require.Eventually(t, func() bool {
		files, err := os.ReadDir(dir)
		return err == nil && len(files) == 2
	}, 10*time.Second, 10*time.Millisecond)
	text, err = os.ReadFile(file)
	require.NoError(t, err)
	require.NotContains(t, string(text), "xxx")

	options["stdout"] = true
	require.Contains(t, logged(t, config, work), "SQL executed")
	delete(options, "stdout")
	options["logger"] = map[string]any{"filename": filepath.Join(file, "below")}
	_, err = store.Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: mustJSON(t, config)})
	require.ErrorContains(t, err, "log.logger.filename: mkdir "+file+": not a directory; or leave it out")
}
