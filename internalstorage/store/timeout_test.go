package store_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// TestQueryTimeout has databases end a query that takes too long.
func TestQueryTimeout(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		fresh func(testing.TB) map[string]any
		sleep string
	}{
		"PostgreSQL": {postgres, "pg_sleep(0.02) IS NOT NULL"},
		"MariaDB":    {mysqlOn("TEST_MYSQL_DSN"), "SLEEP(0.02) = 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := x.fresh(t)
			config["queryTimeout"] = "300ms"
			var log bytes.Buffer
			st, err := store.Open(t.Context(), storage.Settings{
				ConfigPath: "test.yaml", Config: mustJSON(t, config), Gates: map[string]bool{"AllowRawSQLQuery": true}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
			changes := make([]storage.Change, 100)
			for i := range changes {
				o := planPod(i)
				o.Cluster = "c"
				changes[i].Put = o
			}
			require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "c"}, changes))
			for _, count := range []query.Count{query.CountNone, query.CountExact} {
				_, err = st.List(t.Context(), &query.Query{Params: map[string][]string{"whereSQL": {x.sleep}}, Count: count}, func(*storage.Object) error { return nil })
				require.ErrorIs(t, err, context.DeadlineExceeded, fmt.Sprint(count))
				require.Contains(t, log.String(), "queryTimeout")
			}
			_, err = st.List(t.Context(), &query.Query{}, func(*storage.Object) error { return nil })
			require.NoError(t, err)
		})
	}
}
