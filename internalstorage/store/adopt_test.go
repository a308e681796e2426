package store_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// oldDatabase is a database as Clusterpedia v0.9 made it.
type oldDatabase struct {
	driver, dsn string
	config      map[string]any
	tables      []string
	// mark is how the n-th argument is written.
	mark func(n int) string
}

func question(int) string { return "?" }

func oldDatabases() map[string]func(*testing.T) oldDatabase {
	indexes := []string{
		"CREATE INDEX idx_group_version_resource_namespace_name ON resources (GROUP, version, resource, namespace, name)",
		"CREATE INDEX idx_group_version_resource_name ON resources (GROUP, version, resource, name)",
		"CREATE INDEX idx_cluster ON resources (cluster)",
	}
	const names = "GROUP VARCHAR(63) NOT NULL, version VARCHAR(15) NOT NULL, resource VARCHAR(63) NOT NULL, kind VARCHAR(63) NOT NULL, " +
		"cluster VARCHAR(253) NOT NULL, namespace VARCHAR(253) NOT NULL, name VARCHAR(253) NOT NULL, owner_uid VARCHAR(36) NOT NULL DEFAULT '', " +
		"uid VARCHAR(36) NOT NULL, resource_version VARCHAR(30) NOT NULL, "
	const unique = "CREATE UNIQUE INDEX uni_group_version_resource_cluster_namespace_name ON resources "
	ddl := func(group string, table string, uniqueKey string) []string {
		all := append([]string{table, unique + uniqueKey}, indexes...)
		for i := range all {
			all[i] = strings.ReplaceAll(all[i], "GROUP", group)
		}
		return all
	}
	return map[string]func(*testing.T) oldDatabase{
		"SQLite": func(t *testing.T) oldDatabase {
			file := filepath.Join(t.TempDir(), "old.db")
			return oldDatabase{"sqlite3", file, map[string]any{"type": "sqlite", "dsn": file}, ddl(`"group"`,
				"CREATE TABLE resources (id integer PRIMARY KEY AUTOINCREMENT, "+regexp.MustCompile(`VARCHAR\(\d+\)`).ReplaceAllString(names, "text")+
					"object JSON NOT NULL, events JSON, event_resource_versions JSON, created_at datetime NOT NULL, synced_at datetime NOT NULL, deleted_at datetime)",
				"(GROUP, version, resource, cluster, namespace, name)"), question}
		},
		"PostgreSQL": func(t *testing.T) oldDatabase {
			config := postgres(t)
			return oldDatabase{"pgx", config["dsn"].(string), config, ddl(`"group"`,
				"CREATE TABLE resources (id bigserial PRIMARY KEY, "+names+
					"object jsonb NOT NULL, events jsonb, event_resource_versions jsonb, created_at timestamptz NOT NULL, synced_at timestamptz NOT NULL, deleted_at timestamptz)",
				"(GROUP, version, resource, cluster, namespace, name)"), func(n int) string { return fmt.Sprint("$", n) }}
		},
		"MariaDB": func(t *testing.T) oldDatabase {
			config := mysqlOn("TEST_MYSQL_DSN")(t)
			return oldDatabase{"mysql", config["dsn"].(string), config, ddl("`group`",
				"CREATE TABLE resources (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, "+names+
					"object json NOT NULL, events json, event_resource_versions json, created_at datetime(3) NOT NULL, synced_at datetime(3) NOT NULL, deleted_at datetime(3) NULL) DEFAULT CHARSET utf8mb4",
				"(GROUP, version, resource, cluster(100), namespace(50), name(100))"), question}
		},
	}
}

// exec runs a statement with a ? for each argument.
func (o oldDatabase) exec(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	n := 0
	statement = regexp.MustCompile(`\?`).ReplaceAllStringFunc(statement, func(string) string { n++; return o.mark(n) })
	group := `"group"`
	if o.driver == "mysql" {
		group = "`group`"
	}
	_, err := db.ExecContext(t.Context(), strings.ReplaceAll(statement, "GROUP", group), args...)
	require.NoError(t, err, statement)
}

// insert writes a row as v0.9 does.
func (o oldDatabase) insert(t *testing.T, db *sql.DB, name, version, document string) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	o.exec(t, db, "INSERT INTO resources (GROUP, version, resource, kind, cluster, namespace, name, owner_uid, uid, resource_version, object, created_at, synced_at) "+
		"VALUES ('apps', 'v1', 'replicasets', 'ReplicaSet', 'c1', 'default', ?, 'owner-uid', ?, ?, ?, ?, ?)",
		name, "uid-"+name, version, document, now, now)
}

func replicaSet(name, version, color string) string {
	return fmt.Sprintf(`{"kind": "ReplicaSet", "apiVersion": "apps/v1", "metadata": {"name": %q, "namespace": "default", "resourceVersion": %q, "labels": {"color": %q}}}`, name, version, color)
}

// TestAdopt takes over a database of v0.9, and goes on beside a v0.9 that still
// writes to it.
func TestAdopt(t *testing.T) {
	t.Parallel()
	for name, fresh := range oldDatabases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testAdopt(t, fresh(t))
		})
	}
}

func testAdopt(t *testing.T, old oldDatabase) {
	db, err := sql.Open(old.driver, old.dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	for _, statement := range old.tables {
		old.exec(t, db, statement)
	}
	for _, name := range []string{"kept", "replaced", "updated", "deleted"} {
		old.insert(t, db, name, "1", replicaSet(name, "1", "red"))
	}

	old.config["autoMigrate"] = false
	unchanged := open(t, old.config)
	pending, err := unchanged.(storage.Migrator).Pending(t.Context())
	require.NoError(t, err)
	require.Len(t, pending, 1)
	require.Equal(t, "add to the tables of an older release what they lack", pending[0].Summary)
	require.NoError(t, unchanged.Close(t.Context()))

	delete(old.config, "autoMigrate")
	st := open(t, old.config)
	t.Cleanup(func() { require.NoError(t, st.Close(t.Context())) })
	type color = map[string]string
	require.Equal(t, color{"kept": "red", "replaced": "red", "updated": "red", "deleted": "red"}, colors(t, st, &query.Query{}))

	key := func(name string) storage.Key {
		return storage.Key{Cluster: "c1", Resource: storage.Resource{Group: "apps", Version: "v1", Resource: "replicasets"}, Namespace: "default", Name: name}
	}
	put := func(name string) storage.Change {
		return storage.Change{Put: &storage.Object{Key: key(name), Kind: "ReplicaSet", UID: "uid-" + name, ResourceVersion: "2", JSON: []byte(replicaSet(name, "2", "green"))}}
	}
	gone := key("deleted")
	require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "c1", Epoch: 1}, []storage.Change{put("replaced"), put("updated"), put("new"), {Delete: &gone}}))
	require.Equal(t, color{"kept": "red", "replaced": "green", "updated": "green", "new": "green"}, colors(t, st, &query.Query{}))

	// A v0.9 that was not stopped knows none of the new columns.
	old.exec(t, db, "UPDATE resources SET resource_version = ?, object = ?, synced_at = ? WHERE name = ?", "3", replicaSet("updated", "3", "blue"), time.Now().UTC(), "updated")
	old.insert(t, db, "inserted", "3", replicaSet("inserted", "3", "blue"))
	all := color{"kept": "red", "replaced": "green", "updated": "blue", "new": "green", "inserted": "blue"}
	require.Equal(t, all, colors(t, st, &query.Query{}))
	require.Equal(t, color{"updated": "blue", "inserted": "blue"}, colors(t, st, &query.Query{Labels: []query.LabelRequirement{{Key: "color", Operator: query.In, Values: []string{"blue"}}}}))
	require.Len(t, colors(t, st, &query.Query{Owner: &query.Owner{UID: "owner-uid"}}), 2, "the kept and the inserted: the others have no owner any more")

	again, err := store.Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: mustJSON(t, old.config)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, again.Close(t.Context())) })
	pending, err = again.(storage.Migrator).Pending(t.Context())
	require.NoError(t, err)
	require.Empty(t, pending)
	require.Equal(t, all, colors(t, again, &query.Query{}))
}

// colors returns the label color of the objects that a query finds, by name.
func colors(t *testing.T, st storage.Storage, q *query.Query) map[string]string {
	t.Helper()
	found := map[string]string{}
	_, err := st.List(t.Context(), q, func(o *storage.Object) error {
		var document struct {
			Metadata struct {
				Name, ResourceVersion string
				Labels                map[string]string
			}
		}
		if err := json.Unmarshal(o.JSON, &document); err != nil {
			return err
		}
		require.Equal(t, o.Name, document.Metadata.Name)
		require.Equal(t, o.ResourceVersion, document.Metadata.ResourceVersion)
		found[o.Name] = document.Metadata.Labels["color"]
		return nil
	})
	require.NoError(t, err)
	return found
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return text
}
