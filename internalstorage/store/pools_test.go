package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// metrics returns the values of all metrics.
func metrics(t *testing.T, st storage.Storage, database string) map[string]int {
	t.Helper()
	var text bytes.Buffer
	require.NoError(t, st.(storage.MetricsWriter).WriteMetrics(&text))
	values := map[string]int{}
	for _, line := range regexp.MustCompile(`(?m)^storage_dbstats_(\w+)\{db_name="([^"]*)"\} (\S+)$`).FindAllStringSubmatch(text.String(), -1) {
		value, err := strconv.ParseFloat(line[3], 64)
		require.NoError(t, err)
		require.Equal(t, database, line[2])
		values[line[1]] = int(value)
		require.Contains(t, text.String(), "# TYPE storage_dbstats_"+line[1]+" gauge\n")
	}
	require.Len(t, values, 9)
	return values
}

// TestConnections keeps all that are opened on PostgreSQL within maxOpenConns, whoever asks for
// them, and has metrics count them.
func TestConnections(t *testing.T) {
	t.Parallel()
	config := postgres(t)
	const most = 8
	config["connPool"] = map[string]any{"maxOpenConns": most, "maxIdleConns": 2}
	st := open(t, config)
	t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
	pools := func() [2]int {
		reader, writer := st.(*store.Store).Pools()
		return [2]int{reader.Stats().MaxOpenConnections, writer.Stats().MaxOpenConnections}
	}
	require.Equal(t, [2]int{6, 2}, pools(), "of a program that only reads")
	require.Equal(t, most, metrics(t, st, "")["max_open_connections"])
	require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "c"}, nil))
	require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "c"}, []storage.Change{{Put: podOf("c", 0)}}))
	require.Equal(t, [2]int{2, 6}, pools(), "of a program that writes")

	server, err := sql.Open("pgx", config["dsn"].(string))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	var group sync.WaitGroup
	var done atomic.Bool
	for i := range 30 {
		group.Go(func() {
			for n := 0; !done.Load(); n++ {
				if i%2 == 0 {
					if _, err := st.List(t.Context(), &query.Query{}, func(*storage.Object) error { return nil }); err != nil {
						t.Error(err)
					}
					continue
				}
				cluster := fmt.Sprint("c", i)
				if err := st.Apply(t.Context(), storage.Writer{Cluster: cluster, Epoch: 1}, []storage.Change{{Put: podOf(cluster, n%20)}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	seen := 0
	for range 50 {
		var n int
		require.NoError(t, server.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'").Scan(&n))
		seen = max(seen, n)
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // to see others, not to wait for them
	}
	values := metrics(t, st, "")
	done.Store(true)
	group.Wait()
	require.LessOrEqual(t, seen, most)
	require.Greater(t, seen, most/2)
	require.Equal(t, most, values["max_open_connections"])
	require.Greater(t, values["open_connections"], 6, "those who read and those who write")
	require.Positive(t, values["wait_count"])
	require.Greater(t, values["wait_duration"], int(time.Millisecond), "nanoseconds")
}

// podOf returns a pod of a cluster.
func podOf(cluster string, i int) *storage.Object {
	o := planPod(i)
	o.Cluster = cluster
	return o
}

// TestFewConnections runs what the contract's suite does at once with as few connections as can
// be configured.
func TestFewConnections(t *testing.T) {
	t.Parallel()
	skip := map[string]string{}
	for _, concern := range []string{
		"Get", "Apply", "Key", "Text", "Filter", "Random", "Order", "Project", "Events", "Page", "Churn", "Invalid", "Versions", "Context", "Reopen", "Optional", "Watch",
	} {
		skip[concern] = "it does little at once"
	}
	for _, most := range []int{1, 3} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			t.Parallel()
			dsn(t, "TEST_POSTGRES_DSN")
			run(t, func(t testing.TB) map[string]any {
				config := postgres(t)
				config["connPool"] = map[string]any{"maxOpenConns": most, "maxIdleConns": 1}
				return config
			}, skip)
		})
	}
}

// TestMetrics has values of a pool whose connections are used as the test wants.
func TestMetrics(t *testing.T) {
	t.Parallel()
	config := sqlite(t)
	config["database"], config["connPool"] = "shelf", map[string]any{"maxOpenConns": 4, "maxIdleConns": 1}
	st := open(t, config)
	t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
	reader, _ := st.(*store.Store).Pools()
	var used []*sql.Conn
	for range 3 {
		conn, err := reader.Conn(t.Context())
		require.NoError(t, err)
		used = append(used, conn)
	}
	values := metrics(t, st, "shelf")
	require.Equal(t, []int{4, 3}, []int{values["max_open_connections"], values["in_use"]})
	require.Equal(t, values["open_connections"], values["in_use"]+values["idle"])
	require.Zero(t, values["wait_count"])
	waited := make(chan error, 1)
	go func() { waited <- st.(storage.Prober).Probe(t.Context()) }()
	require.Eventually(t, func() bool { return metrics(t, st, "shelf")["wait_count"] == 1 }, 10*time.Second, time.Millisecond)
	for _, conn := range used {
		require.NoError(t, conn.Close())
	}
	require.NoError(t, <-waited)
	values = metrics(t, st, "shelf")
	require.Positive(t, values["wait_duration"])
	require.Zero(t, values["in_use"])
	require.GreaterOrEqual(t, values["idle"], 3)

	config["metrics"] = map[string]any{"disable": true}
	without := open(t, config)
	t.Cleanup(func() { require.NoError(t, without.Close(context.WithoutCancel(t.Context()))) })
	var text bytes.Buffer
	require.NoError(t, without.(storage.MetricsWriter).WriteMetrics(&text))
	require.Empty(t, text.String())
}
