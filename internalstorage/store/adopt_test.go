package store_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
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

func oldDatabases() map[string]func(testing.TB) oldDatabase {
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
	onPostgres := func(config map[string]any) oldDatabase {
		delete(config, "postgres")
		return oldDatabase{"pgx", config["dsn"].(string), config, ddl(`"group"`,
			"CREATE TABLE resources (id bigserial PRIMARY KEY, "+names+
				"object jsonb NOT NULL, events jsonb, event_resource_versions jsonb, created_at timestamptz NOT NULL, synced_at timestamptz NOT NULL, deleted_at timestamptz)",
			"(GROUP, version, resource, cluster, namespace, name)"), func(n int) string { return fmt.Sprint("$", n) }}
	}
	return map[string]func(testing.TB) oldDatabase{
		"SQLite": func(t testing.TB) oldDatabase {
			file := filepath.Join(t.TempDir(), "old.db")
			return oldDatabase{"sqlite3", file, map[string]any{"type": "sqlite", "dsn": file}, ddl(`"group"`,
				"CREATE TABLE resources (id integer PRIMARY KEY AUTOINCREMENT, "+regexp.MustCompile(`VARCHAR\(\d+\)`).ReplaceAllString(names, "text")+
					"object JSON NOT NULL, events JSON, event_resource_versions JSON, created_at datetime NOT NULL, synced_at datetime NOT NULL, deleted_at datetime)",
				"(GROUP, version, resource, cluster, namespace, name)"), question}
		},
		"PostgreSQL": func(t testing.TB) oldDatabase { return onPostgres(postgres(t)) },
		"PostgreSQL that sorts bytewise": func(t testing.TB) oldDatabase {
			return onPostgres(postgresWith(t, "TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"))
		},
		"MariaDB": func(t testing.TB) oldDatabase {
			config := mysqlOn("TEST_MYSQL_DSN")(t)
			return oldDatabase{"mysql", config["dsn"].(string), config, ddl("`group`",
				"CREATE TABLE resources (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, "+names+
					"object json NOT NULL, events json, event_resource_versions json, created_at datetime(3) NOT NULL, synced_at datetime(3) NOT NULL, deleted_at datetime(3) NULL) DEFAULT CHARSET utf8mb4",
				"(GROUP, version, resource, cluster(100), namespace(50), name(100))"), question}
		},
	}
}

// make makes the tables, and returns a way to look at them.
func (o oldDatabase) make(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open(o.driver, o.dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	for _, statement := range o.tables {
		o.exec(t, db, statement)
	}
	return db
}

// exec runs a statement with a ? for each argument.
func (o oldDatabase) exec(t testing.TB, db *sql.DB, statement string, args ...any) {
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
	db := old.make(t)
	for _, name := range []string{"kept", "replaced", "updated", "deleted"} {
		old.insert(t, db, name, "1", replicaSet(name, "1", "red"))
	}

	require.Equal(t, []string{"add to the tables of an older release what they lack", "add indexes"}, pending(t, old)[:2])
	old.config["autoMigrate"] = false
	_, err := store.Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: mustJSON(t, old.config)})
	require.ErrorContains(t, err, "autoMigrate is false, and the schema is not up to date: add to the tables of an older release what they lack;")

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
	require.NoError(t, again.(storage.Migrator).Migrate(t.Context(), nil)) // what both began behind
	require.Empty(t, pending(t, old))
	require.Equal(t, all, colors(t, again, &query.Query{}))
}

// unchanged opens a database, and leaves its schema alone.
func unchanged(t *testing.T, old oldDatabase) storage.Migrator {
	t.Helper()
	st, err := store.Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: mustJSON(t, old.config), SkipMigrations: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close(t.Context())) })
	return st.(storage.Migrator)
}

// pending returns the summaries of the migrations that are due.
func pending(t *testing.T, old oldDatabase) (summaries []string) {
	t.Helper()
	due, err := unchanged(t, old).Pending(t.Context())
	require.NoError(t, err)
	for _, m := range due {
		summaries = append(summaries, m.Summary)
	}
	return summaries
}

// TestAdoptInterrupted ends the adoption behind each of its statements, and begins it
// anew.
func TestAdoptInterrupted(t *testing.T) {
	t.Parallel()
	for name, fresh := range oldDatabases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := fresh(t)
			whole.make(t)
			due, err := unchanged(t, whole).Pending(t.Context())
			require.NoError(t, err)
			require.NoError(t, open(t, whole.config).Close(t.Context()))
			want := shape(t, whole)
			for n := range due[0].Statements {
				old := fresh(t)
				db := old.make(t)
				for _, statement := range due[0].Statements[:n] {
					_, err := db.ExecContext(t.Context(), statement)
					require.NoError(t, err)
				}
				require.NoError(t, open(t, old.config).Close(t.Context()))
				require.Equal(t, want, shape(t, old), "interrupted before %s", due[0].Statements[n])
			}
		})
	}
}

// TestOnlineInterrupted ends the changes that are made while servers run, at any moment,
// until they are made: each time the storage layer can be used, and the next one goes on.
func TestOnlineInterrupted(t *testing.T) {
	t.Parallel()
	for name, fresh := range oldDatabases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := fresh(t)
			db := old.make(t)
			for i := range 300 {
				old.insert(t, db, fmt.Sprintf("rs-%d", i), "1", replicaSet(fmt.Sprintf("rs-%d", i), "1", fmt.Sprintf("color-%d", i%100)))
			}
			interrupted := 0
			for limit := time.Millisecond; len(pending(t, old)) > 0; limit += limit/2 + time.Millisecond {
				require.Less(t, limit, time.Minute)
				st, err := store.Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: mustJSON(t, old.config), SkipMigrations: true})
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				if err := st.(storage.Migrator).Migrate(ctx, nil); err != nil {
					interrupted++
				}
				cancel()
				require.NoError(t, st.Close(t.Context()))
			}
			t.Logf("interrupted %d times", interrupted)
			st := open(t, old.config)
			t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
			require.Len(t, colors(t, st, &query.Query{Labels: []query.LabelRequirement{{Key: "color", Operator: query.In, Values: []string{"color-7"}}}}), 3)
			require.Len(t, colors(t, st, &query.Query{NameContains: []string{"rs-29"}}), 11)
		})
	}
}

// TestReplacedIndex has an index of an earlier build go when the one in its place is there.
func TestReplacedIndex(t *testing.T) {
	t.Parallel()
	old := oldDatabases()["PostgreSQL"](t)
	require.NoError(t, open(t, old.config).Close(t.Context())) // a new table
	want := shape(t, old)
	db, err := sql.Open(old.driver, old.dsn)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	old.exec(t, db, "CREATE INDEX idx_cluster_uid ON resources (cluster, uid)")
	old.exec(t, db, "DROP INDEX idx_uid")
	require.Equal(t, []string{"add indexes"}, pending(t, old))
	require.NoError(t, unchanged(t, old).Migrate(t.Context(), nil))
	require.Empty(t, pending(t, old))
	require.Equal(t, want, shape(t, old))
}

// shape returns the columns and the indexes of the table of objects.
func shape(t *testing.T, old oldDatabase) []string {
	t.Helper()
	db, err := sql.Open(old.driver, old.dsn)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	rows, err := db.QueryContext(t.Context(), map[string]string{
		"sqlite3": "SELECT name FROM pragma_table_info('resources') UNION ALL SELECT name FROM pragma_index_list('resources') UNION ALL SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY 1",
		"pgx": "SELECT concat(column_name, ' ', data_type, ' ', character_maximum_length) FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = 'resources' " +
			"UNION ALL SELECT indexdef FROM pg_indexes WHERE tablename = 'resources' ORDER BY 1",
		"mysql": "SELECT CONCAT(column_name, ' ', column_type) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'resources' " +
			"UNION ALL SELECT CONCAT(index_name, ' ', non_unique, ' ', seq_in_index, ' ', column_name) FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'resources' ORDER BY 1",
	}[old.driver])
	require.NoError(t, err)
	defer rows.Close()
	var found []string
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		found = append(found, line)
	}
	require.NoError(t, rows.Err())
	return found
}

// TestAdoptedContract runs the contract's suite on tables of v0.9. Their columns stay
// as narrow as they were in MariaDB, which would write the whole table to widen them.
func TestAdoptedContract(t *testing.T) {
	t.Parallel()
	const narrow = "the columns of a v0.9 table are narrow; to widen them is for the administrator"
	for name, skip := range map[string]map[string]string{
		"SQLite": nil, "PostgreSQL": nil,
		"MariaDB": {
			"Key/group/long": narrow, "Key/version/long": narrow, "Key/resource/long": narrow, "Key/cluster/long": narrow,
			"Key/namespace/long": narrow, "Key/name/long": narrow, "Key/long_in_all_parts": narrow,
			"Text/hostile_texts_come_back_and_are_found": narrow,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, func(t testing.TB) map[string]any {
				old := oldDatabases()[name](t)
				old.make(t)
				return old.config
			}, skip)
		})
	}
}

// TestWidened runs the contract's suite on a table of v0.9 that was written anew as the
// docs say.
func TestWidened(t *testing.T) {
	t.Parallel()
	run(t, widened, nil)
}

// widened returns the configuration of a database whose table of v0.9 was written anew as
// the docs say.
func widened(t testing.TB) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "storage", "internal.md"))
	require.NoError(t, err)
	statement := regexp.MustCompile("(?s)```sql\n(.*?)```").FindSubmatch(text)
	require.NotNil(t, statement)
	old := oldDatabases()["MariaDB"](t)
	db := old.make(t)
	require.NoError(t, open(t, old.config).Close(t.Context()))
	_, err = db.ExecContext(t.Context(), string(statement[1]))
	require.NoError(t, err)
	return old.config
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

// TestAdoptBusy takes over a table that somebody reads for long, and adds indexes to it: it
// waits, and lets others through meanwhile.
func TestAdoptBusy(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"PostgreSQL", "MariaDB"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := oldDatabases()[name](t)
			db := old.make(t)
			old.insert(t, db, "a", "1", replicaSet("a", "1", "red"))
			busy(t, old, db, "b", func() error {
				st, err := store.Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: mustJSON(t, old.config)})
				if err == nil {
					err = st.Close(context.WithoutCancel(t.Context()))
				}
				return err
			})
			migrator := unchanged(t, old)
			busy(t, old, db, "c", func() error { return migrator.Migrate(t.Context(), nil) })
			require.Empty(t, pending(t, old))
		})
	}
}

// busy changes the schema while somebody reads, until a row of a name has been written.
func busy(t *testing.T, old oldDatabase, db *sql.DB, name string, change func() error) {
	t.Helper()
	reader, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = reader.ExecContext(t.Context(), "SELECT * FROM resources")
	require.NoError(t, err)
	changed := make(chan error, 1)
	go func() { changed <- change() }()
	for i := range 3 {
		time.Sleep(500 * time.Millisecond) //nolint:forbidigo // nothing tells that it waits
		begin := time.Now()
		old.insert(t, db, fmt.Sprint(name, i), "1", replicaSet(fmt.Sprint(name, i), "1", "red"))
		t.Logf("a write took %s", time.Since(begin))
		require.Less(t, time.Since(begin), 20*time.Second)
	}
	select {
	case err := <-changed:
		t.Fatalf("the table was changed under a reader: %v", err)
	default:
	}
	require.NoError(t, reader.Rollback())
	require.NoError(t, <-changed)
}
