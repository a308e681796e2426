package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/packed"
	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// storedDatabases are those that have packed documents.
func storedDatabases() map[string]func(testing.TB) oldDatabase {
	return map[string]func(testing.TB) oldDatabase{
		"PostgreSQL": oldDatabases()["PostgreSQL"],
		"PostgreSQL in mode lean": func(t testing.TB) oldDatabase {
			d := oldDatabases()["PostgreSQL"](t)
			d.config["mode"] = "lean"
			return d
		},
		"PostgreSQL by the simple protocol": func(t testing.TB) oldDatabase {
			d := oldDatabases()["PostgreSQL"](t)
			d.config["dsn"] = d.dsn + " default_query_exec_mode=simple_protocol"
			return d
		},
		"MariaDB": oldDatabases()["MariaDB"],
		"MariaDB without prepared statements": func(t testing.TB) oldDatabase {
			d := oldDatabases()["MariaDB"](t)
			d.config["dsn"] = d.dsn + "&interpolateParams=true"
			return d
		},
	}
}

// onStored runs a test on each of them.
func onStored(t *testing.T, test func(t *testing.T, d oldDatabase, db *sql.DB, st storage.Storage)) {
	t.Helper()
	onEach(t, storedDatabases(), test)
}

// onEach runs a test on databases, with all kinds of clients' conditions.
func onEach(t *testing.T, databases map[string]func(testing.TB) oldDatabase, test func(t *testing.T, d oldDatabase, db *sql.DB, st storage.Storage)) {
	t.Helper()
	for name, fresh := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := fresh(t)
			st, err := store.Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: mustJSON(t, d.config), Gates: map[string]bool{"AllowParameterizedSQLQuery": true}})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
			db, err := sql.Open(d.driver, d.dsn)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			test(t, d, db, st)
		})
	}
}

func configMap(name string) storage.Key {
	return storage.Key{Cluster: "c1", Resource: storage.Resource{Version: "v1", Resource: "configmaps"}, Namespace: "default", Name: name}
}

func putConfigMap(t *testing.T, st storage.Storage, name, document string) {
	t.Helper()
	o := &storage.Object{Key: configMap(name), Kind: "ConfigMap", UID: "uid-" + name, ResourceVersion: "1", JSON: []byte(document)}
	require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "c1", Epoch: 1}, []storage.Change{{Put: o}}))
}

// documents returns what a list gives, by name.
func documents(t *testing.T, st storage.Storage, p query.Projection) (map[string]string, error) {
	t.Helper()
	found := map[string]string{}
	_, err := st.List(t.Context(), &query.Query{Projection: p}, func(o *storage.Object) error { found[o.Name] = string(o.JSON); return nil })
	return found, err
}

// headOf is a document up to behind its metadata.
func headOf(name string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"namespace":"default"}`, name)
}

// TestStored has documents of all sizes come back as they were written, beside those that
// an earlier build has left unpacked.
func TestStored(t *testing.T) {
	t.Parallel()
	onStored(t, func(t *testing.T, d oldDatabase, db *sql.DB, st storage.Storage) {
		want, metadata := map[string]string{}, map[string]string{}
		put := func(name, document string) {
			putConfigMap(t, st, name, document)
			want[name], metadata[name] = document, headOf(name)+"}"
		}
		put("head-alone", headOf("head-alone")+"}")
		put("no-head", fmt.Sprintf(`{"data":{"a":"b"},%s}`, headOf("no-head")[1:]))
		put("text", headOf("text")+`,"data":{"text":"ä\n\u0001 \\ ' \" € 𝄞"}}`)
		for _, size := range []int{1, 1 << 10, 1<<16 - 1, 1 << 16, 1<<16 + 1, 3 << 20} {
			frame := `,"data":{"text":""}}`
			same, noise := fmt.Sprintf("same-%d", size), fmt.Sprintf("noise-%d", size)
			put(same, headOf(same)+strings.Replace(frame, `""`, `"`+strings.Repeat("s", max(size-len(frame), 0))+`"`, 1))
			put(noise, headOf(noise)+strings.Replace(frame, `""`, `"`+noiseOf(max(size-len(frame), 0))+`"`, 1))
		}
		for name, text := range map[string]string{"plain": `,"data":{"a":"plain"}}`, "plain-alone": "}"} {
			put(name, headOf(name)+`,"data":{"a":"packed"}}`)
			d.exec(t, db, "UPDATE resources SET head = ?, raw = ? WHERE name = ?", []byte(headOf(name)), []byte(text), name)
			want[name] = headOf(name) + text
		}
		put("plain-no-head", headOf("plain-no-head")+"}")
		want["plain-no-head"] = fmt.Sprintf(`{"data":{"a":"b"},%s}`, headOf("plain-no-head")[1:])
		d.exec(t, db, "UPDATE resources SET head = NULL, raw = ? WHERE name = 'plain-no-head'", []byte(want["plain-no-head"]))

		got, err := documents(t, st, query.Full)
		require.NoError(t, err)
		requireSame(t, want, got)
		got, err = documents(t, st, query.Metadata)
		require.NoError(t, err)
		requireSame(t, metadata, got)
		for name, document := range want {
			o, err := st.Get(t.Context(), configMap(name))
			require.NoError(t, err)
			requireSame(t, map[string]string{name: document}, map[string]string{o.Name: string(o.JSON)})
		}
	})
}

// requireSame compares texts that are too long to be shown.
func requireSame(t *testing.T, want, got map[string]string) {
	t.Helper()
	require.Len(t, got, len(want))
	for name, text := range want {
		if text != got[name] {
			t.Errorf("%s: %.200s", name, got[name])
		}
	}
}

// noiseOf is text that nothing compresses much.
func noiseOf(n int) string {
	source := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, n)
	for i := range text {
		text[i] = byte('0' + source.IntN('['-'0'))
	}
	return string(text)
}

// TestDamaged has it said which object cannot be restored, and blames no client for it;
// the others are served.
func TestDamaged(t *testing.T) {
	t.Parallel()
	const row = "row of c1 v1/configmaps default/damaged: the packed document is damaged"
	onStored(t, func(t *testing.T, d oldDatabase, db *sql.DB, st storage.Storage) {
		for _, name := range []string{"damaged", "whole"} {
			putConfigMap(t, st, name, headOf(name)+`,"data":{"a":"b"}}`)
		}
		fails := func(p query.Projection) {
			t.Helper()
			_, err := documents(t, st, p)
			require.ErrorIs(t, err, packed.ErrDamaged)
			require.ErrorContains(t, err, row)
			require.False(t, storage.IsRetryable(err))
		}
		for _, raw := range [][]byte{{1, 2, 3}, {2}, {2, 3}, {2, 0xff, 0xff, 0xff, 0x7f, 0}, {2, 0xff, 0xff, 0xff, 0xff, 0xff}} {
			d.exec(t, db, "UPDATE resources SET raw = ? WHERE name = 'damaged'", raw)
			fails(query.Full)
			_, err := st.Get(t.Context(), configMap("damaged"))
			require.ErrorContains(t, err, row)
		}
		q := &query.Query{Params: map[string][]string{"whereSQLStatement": {"name = 'damaged'"}}}
		_, err := st.List(t.Context(), q, func(*storage.Object) error { return nil })
		var invalid *query.InvalidQueryError
		require.NotErrorAs(t, err, &invalid)
		require.ErrorIs(t, err, packed.ErrDamaged)

		found, err := documents(t, st, query.Metadata)
		require.NoError(t, err, "the head is whole")
		require.Len(t, found, 2)
		d.exec(t, db, "UPDATE resources SET head = raw WHERE name = 'damaged'")
		fails(query.Metadata)
		found, err = documents(t, st, query.KeyOnly)
		require.NoError(t, err)
		require.Len(t, found, 2)
		_, err = st.Get(t.Context(), configMap("whole"))
		require.NoError(t, err)

		putConfigMap(t, st, "damaged", headOf("damaged")+"}")
		found, err = documents(t, st, query.Full)
		require.NoError(t, err, "the next change mends it")
		require.Equal(t, headOf("damaged")+"}", found["damaged"])
	})
}

// TestLayout brings a table of an earlier build up to date, under a reader that it waits
// for without having others wait.
func TestLayout(t *testing.T) {
	t.Parallel()
	d := oldDatabases()["PostgreSQL"](t)
	require.NoError(t, open(t, d.config).Close(t.Context()))
	require.Empty(t, pending(t, d))
	db, err := sql.Open(d.driver, d.dsn)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	layout := func() (found string) {
		t.Helper()
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT array_to_string(reloptions, ',') || ' ' || string_agg(attstorage::text, '' ORDER BY attnum) FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid "+
			"WHERE pg_class.oid = 'resources'::regclass AND attname IN ('head', 'raw', 'cells') GROUP BY reloptions").Scan(&found))
		return found
	}
	require.Equal(t, "toast_tuple_target=2712 eee", layout())
	d.exec(t, db, "ALTER TABLE resources SET (toast_tuple_target = 1024), ALTER COLUMN raw SET STORAGE EXTENDED")

	d.config["autoMigrate"] = false
	st := open(t, d.config)
	putConfigMap(t, st, "a", headOf("a")+"}")
	require.NoError(t, st.Close(t.Context()))
	require.Equal(t, "toast_tuple_target=1024 exe", layout(), "without autoMigrate nothing is changed")
	migrateUnderReader(t, d, db, "ALTER TABLE resources SET (toast_tuple_target = 2712), ALTER COLUMN raw SET STORAGE EXTERNAL")
	require.Equal(t, "toast_tuple_target=2712 eee", layout())
}

// migrateUnderReader makes the one change that is due, a statement, while a transaction that
// has read goes on: neither the change nor who waits behind it stops writers.
func migrateUnderReader(t *testing.T, d oldDatabase, db *sql.DB, statement string) {
	t.Helper()
	migrator := unchanged(t, d)
	due, err := migrator.Pending(t.Context())
	require.NoError(t, err)
	require.Len(t, due, 1)
	require.Equal(t, []string{statement}, due[0].Statements)

	reader, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	var count int
	require.NoError(t, reader.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM resources").Scan(&count))
	migrated := make(chan error, 1)
	go func() { migrated <- migrator.Migrate(t.Context(), nil) }()
	time.Sleep(500 * time.Millisecond) //nolint:forbidigo // nothing tells that it waits
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = db.ExecContext(ctx, "UPDATE resources SET synced_at = synced_at")
	require.NoError(t, err, "a write waits only for a moment")
	select {
	case err := <-migrated:
		t.Fatalf("the table was changed under a reader: %v", errors.Join(err, reader.Rollback()))
	default:
	}
	require.NoError(t, reader.Rollback())
	require.NoError(t, <-migrated)
	require.Empty(t, pending(t, d))
}
