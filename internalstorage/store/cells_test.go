package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/packed"
	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// cellColumns is a name with all that could be taken for something else.
const cellColumns = `configmaps? of $1 'v1' "\ %_ é @name`

// keepingCells are the databases that keep cells.
func keepingCells() map[string]func(testing.TB) oldDatabase {
	databases := storedDatabases()
	databases["SQLite"] = oldDatabases()["SQLite"]
	databases["SQLite, adopted"] = func(t testing.TB) oldDatabase {
		d := oldDatabases()["SQLite"](t)
		adopted(t, d)
		return d
	}
	return databases
}

// withCells is an object that has cells, if there are values for them.
func withCells(name, version, values string) *storage.Object {
	o := &storage.Object{Key: configMap(name), Kind: "ConfigMap", UID: "uid-" + name, ResourceVersion: version, JSON: []byte(headOf(name) + `,"data":{"version":"` + version + `"}}`)}
	if values != "" {
		o.Cells = &storage.Cells{Columns: cellColumns, Values: []byte(values)}
	}
	return o
}

func putAll(t *testing.T, st storage.Storage, objects ...*storage.Object) {
	t.Helper()
	changes := make([]storage.Change, len(objects))
	for i, o := range objects {
		changes[i].Put = o
	}
	require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "c1", Epoch: 1}, changes))
}

// listCells returns what a list for a table gives, by name: the metadata and the values of
// objects that have cells, and else the document.
func listCells(t *testing.T, st storage.Storage, q query.Query) (map[string]string, error) {
	t.Helper()
	if q.Projection = query.Cells; q.Columns == "" {
		q.Columns = cellColumns
	}
	found := map[string]string{}
	_, err := st.List(t.Context(), &q, func(o *storage.Object) error {
		if found[o.Name] = string(o.JSON); o.Cells != nil {
			require.Equal(t, q.Columns, o.Cells.Columns)
			found[o.Name] += string(o.Cells.Values)
		}
		return nil
	})
	return found, err
}

// fitting is what listCells has of an object with cells, unfitting of one without.
func fitting(name, values string) string { return headOf(name) + "}" + values }

func unfitting(name, version string) string { return string(withCells(name, version, "").JSON) }

// TestCells has tables read what they show alone, and whole documents where that is not what
// the object is now.
func TestCells(t *testing.T) {
	t.Parallel()
	onEach(t, keepingCells(), func(t *testing.T, d oldDatabase, db *sql.DB, st storage.Storage) {
		want := map[string]string{}
		put := func(name, version, values string) {
			t.Helper()
			putAll(t, st, withCells(name, version, values))
			if want[name] = unfitting(name, version); values != "" {
				want[name] = fitting(name, values)
			}
		}
		check := func() {
			t.Helper()
			got, err := listCells(t, st, query.Query{})
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		put("fresh", "1", `["fresh","é",1,null,""]`)
		put("replaced", "1", `["replaced",1]`)
		put("replaced", "2", `["replaced",2]`)
		put("removed", "1", `["removed"]`)
		put("removed", "2", "")
		put("never", "1", "")
		put("no-version", "", `["no version"]`)
		for _, name := range []string{"old", "earlier", "no-head"} {
			put(name, "1", `["stale"]`)
		}
		check()

		// v0.9 knows of no column beyond its own, and an earlier build of none for cells; that may
		// change a document at the same version.
		const update = "UPDATE resources SET resource_version = '2', object = ?, synced_at = ?"
		d.exec(t, db, update+" WHERE name = 'old'", unfitting("old", "2"), time.Now().UTC())
		if d.driver == "sqlite3" {
			d.exec(t, db, "UPDATE resources SET object = ? WHERE name = 'earlier'", unfitting("earlier", "2"))
			d.exec(t, db, "UPDATE resources SET head = NULL WHERE name = 'no-head'")
		} else {
			whole := []byte(unfitting("earlier", "2")[len(headOf("earlier")):])
			d.exec(t, db, update+", raw = ?, raw_rv = '2' WHERE name = 'earlier'", unfitting("earlier", "2"), time.Now().UTC(), whole)
			d.exec(t, db, "UPDATE resources SET head = NULL, raw = ? WHERE name = 'no-head'", []byte(unfitting("no-head", "1")))
		}
		want["earlier"], want["no-head"] = unfitting("earlier", "2"), unfitting("no-head", "1")
		got, err := listCells(t, st, query.Query{})
		require.NoError(t, err)
		require.JSONEq(t, unfitting("old", "2"), got["old"])
		want["old"] = got["old"] // it is spelled as the database does
		require.Equal(t, want, got)

		// Neither a client's condition nor one with arguments of its own gets in their way.
		for _, q := range []query.Query{
			{Params: map[string][]string{"whereSQLStatement": {"name = ?"}, "whereSQLParam": {"fresh"}}, Limit: 2},
			{Names: []string{"fresh"}, Clusters: []string{"c1"}, Limit: 1},
			{NameContains: []string{"res"}, Order: []query.Order{{By: query.ByUID}}},
		} {
			got, err := listCells(t, st, q)
			require.NoError(t, err)
			require.Equal(t, map[string]string{"fresh": want["fresh"]}, got)
		}

		// Nothing else is read: neither of these has any use.
		if d.driver == "sqlite3" {
			return // TestSQLitePages
		}
		d.exec(t, db, "UPDATE resources SET raw = ?, object = '{}' WHERE name = 'fresh'", []byte{1})
		check()
		_, err = listCells(t, st, query.Query{Columns: "others"})
		require.ErrorIs(t, err, packed.ErrDamaged)
		_, err = documents(t, st, query.Full)
		require.ErrorIs(t, err, packed.ErrDamaged)
	})
}

// TestUnfitCells has objects stored whose cells are not kept.
func TestUnfitCells(t *testing.T) {
	t.Parallel()
	onEach(t, keepingCells(), func(t *testing.T, _ oldDatabase, db *sql.DB, st storage.Storage) {
		large := `["` + strings.Repeat("x", 64<<10) + `"]`
		for i, cells := range []storage.Cells{
			{Columns: "", Values: []byte(`["no columns"]`)},
			{Columns: "two\nlines", Values: []byte(`["two lines"]`)},
			{Columns: "a\x00b", Values: []byte(`["control"]`)},
			{Columns: "a\xffb", Values: []byte(`["no text"]`)},
			{Columns: "large", Values: []byte(large)},
		} {
			o := withCells("unfit", fmt.Sprint(i), "")
			o.Cells = &cells
			putAll(t, st, o)
			var kept bool
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT cells IS NOT NULL FROM resources").Scan(&kept))
			require.False(t, kept, "%.20q", cells.Columns)
			q := query.Query{Projection: query.Cells, Columns: cells.Columns}
			_, err := st.List(t.Context(), &q, func(got *storage.Object) error {
				require.Nil(t, got.Cells)
				require.Equal(t, string(o.JSON), string(got.JSON))
				return nil
			})
			require.NoError(t, err)
		}
	})
}

// TestManyCells has each object of several parts keep its own cells.
func TestManyCells(t *testing.T) {
	t.Parallel()
	onEach(t, keepingCells(), func(t *testing.T, _ oldDatabase, _ *sql.DB, st storage.Storage) {
		var objects []*storage.Object
		want := map[string]string{}
		for i := range 1200 {
			name, values := fmt.Sprint("object-", i), fmt.Sprintf("[%d]", i)
			if i%3 == 0 {
				values = ""
			}
			objects = append(objects, withCells(name, fmt.Sprint(i), values))
			if want[name] = unfitting(name, fmt.Sprint(i)); values != "" {
				want[name] = fitting(name, values)
			}
		}
		putAll(t, st, objects...)
		got, err := listCells(t, st, query.Query{})
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// TestTableWithoutCells goes on with a table of an earlier build, which has no column for
// cells; brings it up to date, under a reader if it waits for that, without having others
// wait; and keeps cells then.
func TestTableWithoutCells(t *testing.T) {
	t.Parallel()
	for name, fresh := range keepingCells() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := fresh(t)
			require.NoError(t, open(t, d.config).Close(t.Context()))
			db, err := sql.Open(d.driver, d.dsn)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			made := shape(t, d)
			if d.driver == "sqlite3" {
				d.exec(t, db, "DROP TRIGGER resources_head")
				d.exec(t, db, "ALTER TABLE resources DROP COLUMN head")
				d.exec(t, db, "ALTER TABLE resources DROP COLUMN raw_rv")
			}
			d.exec(t, db, "ALTER TABLE resources DROP COLUMN cells")

			d.config["autoMigrate"] = false
			opened := func() storage.Storage {
				st := open(t, d.config)
				t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
				return st
			}
			before := opened()
			want := map[string]string{"a": unfitting("a", "1"), "b": unfitting("b", "1")}
			check := func(st storage.Storage) {
				t.Helper()
				got, err := listCells(t, st, query.Query{})
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
			putAll(t, before, withCells("a", "1", `["a"]`), withCells("b", "1", `["b"]`))
			check(before)

			if d.driver == "sqlite3" {
				migrateTogether(t, d)
			} else {
				kind := map[string]string{"pgx": "bytea, ALTER COLUMN cells SET STORAGE EXTERNAL", "mysql": "mediumblob, ALGORITHM=INSTANT"}[d.driver]
				migrateUnderReader(t, d, db, "ALTER TABLE resources ADD COLUMN cells "+kind)
			}
			require.Equal(t, made, shape(t, d))
			check(before)
			after := opened()
			check(after)
			putAll(t, after, withCells("a", "2", `["a"]`), withCells("b", "2", `["b"]`))
			want["a"], want["b"] = unfitting("a", "2"), unfitting("b", "2")
			check(before)
			want["a"], want["b"] = fitting("a", `["a"]`), fitting("b", `["b"]`)
			check(after)
			// One that does not know of the column leaves cells behind.
			putAll(t, before, withCells("a", "3", `["a"]`))
			want["a"] = unfitting("a", "3")
			check(after)
			if d.driver == "sqlite3" { // nor when it changes an object at the same version
				b := withCells("b", "2", `["b"]`)
				b.JSON = []byte(headOf("b") + `,"data":{"pruned":"yes"}}`)
				putAll(t, before, b)
				want["b"] = string(b.JSON)
				check(after)
			}
		})
	}
}

// TestCellsRefused does without the column where the database refuses it.
func TestCellsRefused(t *testing.T) {
	t.Parallel()
	d := oldDatabases()["MariaDB"](t)
	require.NoError(t, open(t, d.config).Close(t.Context()))
	db, err := sql.Open(d.driver, d.dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	d.exec(t, db, "ALTER TABLE resources DROP COLUMN cells")
	user := "test_" + strings.ToLower(rand.Text())
	d.exec(t, db, "CREATE USER "+user+" IDENTIFIED BY 'test'")
	t.Cleanup(func() {
		_, err := db.ExecContext(context.WithoutCancel(t.Context()), "DROP USER "+user)
		require.NoError(t, err)
	})
	config, err := mysql.ParseDSN(d.dsn)
	require.NoError(t, err)
	d.exec(t, db, "GRANT SELECT, INSERT, UPDATE, DELETE ON "+config.DBName+".* TO "+user)
	config.User, config.Passwd = user, "test"
	d.config["dsn"] = config.FormatDSN()

	var log bytes.Buffer
	settings := storage.Settings{ConfigPath: "test.yaml", Config: mustJSON(t, d.config), Logger: slog.New(slog.NewTextHandler(&log, nil))}
	st, err := store.Open(t.Context(), settings)
	require.NoError(t, err)
	putAll(t, st, withCells("a", "1", `["a"]`))
	got, err := listCells(t, st, query.Query{})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": unfitting("a", "1")}, got)
	require.NoError(t, st.Close(context.WithoutCancel(t.Context())))
	require.Contains(t, log.String(), "The database refuses a change of the schema")
	require.Contains(t, log.String(), "add a column for what tables show")
}
