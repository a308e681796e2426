package store_test

import (
	"context"
	"database/sql"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// locations are zones of mysql.loc: one with and one without summer time.
func locations() []string { return []string{"America/New_York", "Asia/Shanghai"} }

// mysqlKeys returns a configuration with a DSN as one with the connection keys, and the keys
// below mysql.
func mysqlKeys(t testing.TB, config, options map[string]any) map[string]any {
	t.Helper()
	parsed, err := mysqldriver.ParseDSN(config["dsn"].(string))
	require.NoError(t, err)
	host, port, err := net.SplitHostPort(parsed.Addr)
	require.NoError(t, err)
	keys := maps.Clone(config)
	delete(keys, "dsn")
	maps.Copy(keys, map[string]any{
		"host": host, "port": port, "user": parsed.User, "password": parsed.Passwd, "database": parsed.DBName, "mysql": options,
		"params": map[string]any{"charset": "utf8mb4"},
	})
	return keys
}

// TestMariaDBLocations runs what the contract's suite has of times with other zones, by the key
// and by the DSN.
func TestMariaDBLocations(t *testing.T) {
	t.Parallel()
	dsn(t, "TEST_MYSQL_DSN")
	skip := map[string]string{}
	for _, concern := range []string{"Apply", "Key", "Text", "Project", "Events", "Churn", "Invalid", "Versions", "Purge", "Fence", "Context", "Concurrent", "Optional", "Watch"} {
		skip[concern] = "it is the same in all zones"
	}
	for i, zone := range locations() {
		t.Run(strings.ReplaceAll(zone, "/", "_"), func(t *testing.T) {
			t.Parallel()
			run(t, func(t testing.TB) map[string]any {
				config := mysqlOn("TEST_MYSQL_DSN")(t)
				config["orderIndexes"] = allOrders()
				if i == 0 {
					config["dsn"] = config["dsn"].(string) + "&loc=" + strings.ReplaceAll(zone, "/", "%2F")
					return config
				}
				return mysqlKeys(t, config, map[string]any{"loc": zone, "interpolateParams": true})
			}, skip)
		})
	}
}

// TestAdoptLocation reads the times that a v0.9 wrote with loc in its DSN, with the DSN and with
// key mysql.loc, and writes what that v0.9 reads.
func TestAdoptLocation(t *testing.T) {
	t.Parallel()
	for _, zone := range locations() {
		t.Run(strings.ReplaceAll(zone, "/", "_"), func(t *testing.T) {
			t.Parallel()
			old := oldDatabases()["MariaDB"](t)
			plain := maps.Clone(old.config)
			old.dsn += "&loc=" + strings.ReplaceAll(zone, "/", "%2F")
			old.config["dsn"] = old.dsn
			db := old.make(t)
			created := map[string]time.Time{
				"winter": time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC),
				"summer": time.Date(2024, 7, 2, 3, 4, 5, 0, time.UTC),
				"repeat": time.Date(2024, 11, 3, 6, 30, 0, 0, time.UTC), // New York has put its clock back
				"newest": time.Date(2024, 11, 3, 7, 30, 0, 0, time.UTC),
			}
			for name, at := range created {
				old.insert(t, db, name, "1", replicaSet(name, "1", "red"))
				old.exec(t, db, "UPDATE resources SET created_at = ?, deleted_at = ? WHERE name = ?", at, at.Add(time.Hour), name)
			}
			if zone == "America/New_York" { // as the driver reads it: the first of two hours with the same name
				created["repeat"] = created["repeat"].Add(-time.Hour)
			}
			checkTimes(t, open(t, old.config), created)
			checkTimes(t, open(t, mysqlKeys(t, plain, map[string]any{"loc": zone})), created)

			st := open(t, mysqlKeys(t, plain, map[string]any{"loc": zone}))
			t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
			at := time.Date(2024, 8, 1, 2, 3, 4, 0, time.UTC)
			require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "c2"}, []storage.Change{{Put: &storage.Object{
				Key:  storage.Key{Cluster: "c2", Resource: storage.Resource{Group: "apps", Version: "v1", Resource: "replicasets"}, Namespace: "default", Name: "ours"},
				Kind: "ReplicaSet", UID: "uid", ResourceVersion: "1", CreatedAt: at, DeletedAt: at.Add(time.Hour), JSON: []byte(replicaSet("ours", "1", "green")),
			}}}))
			var createdAt, syncedAt, deletedAt sql.NullTime
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT created_at, synced_at, deleted_at FROM resources WHERE name = 'ours'").Scan(&createdAt, &syncedAt, &deletedAt))
			require.Equal(t, at, createdAt.Time.UTC())
			require.Equal(t, at.Add(time.Hour), deletedAt.Time.UTC())
			require.WithinDuration(t, time.Now(), syncedAt.Time, 10*time.Minute)
		})
	}
}

// checkTimes checks the times of all objects, which are a second apart at least, conditions on
// them, and pages in their order.
func checkTimes(t *testing.T, st storage.Storage, created map[string]time.Time) {
	t.Helper()
	defer func() { require.NoError(t, st.Close(t.Context())) }()
	times := func(q query.Query) (map[string]time.Time, storage.Page) {
		got := map[string]time.Time{}
		page, err := st.List(t.Context(), &q, func(o *storage.Object) error {
			require.True(t, o.Name == "repeat" || o.DeletedAt.Equal(o.CreatedAt.Add(time.Hour)), o.Name)
			require.WithinDuration(t, time.Now(), o.SyncedAt, 10*time.Minute)
			got[o.Name] = o.CreatedAt
			return nil
		})
		require.NoError(t, err)
		return got, page
	}
	all, _ := times(query.Query{})
	require.Equal(t, created, all)
	for name, at := range created {
		got, _ := times(query.Query{Since: at, Before: at.Add(time.Second)})
		require.Equal(t, map[string]time.Time{name: at}, got)
	}
	for _, by := range []query.OrderField{query.ByCreatedAt, query.ByDeletedAt} {
		for _, desc := range []bool{false, true} {
			q, paged := query.Query{Order: []query.Order{{By: by, Desc: desc}}, Limit: 1}, map[string]time.Time{}
			var last time.Time
			for n := 0; ; n++ {
				require.LessOrEqual(t, n, len(created))
				got, page := times(q)
				for _, at := range got {
					require.True(t, n == 0 || at.Before(last) == desc)
					last = at
				}
				maps.Copy(paged, got)
				if q.Continue = page.Continue; q.Continue == "" {
					break
				}
			}
			require.Equal(t, created, paged)
		}
	}
}
