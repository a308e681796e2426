package store_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// TestSQLiteTogether opens a new file as servers do that start at once.
func TestSQLiteTogether(t *testing.T) {
	t.Parallel()
	for range 10 {
		text, err := json.Marshal(sqlite(t))
		require.NoError(t, err)
		opened, errs := make([]storage.Storage, 4), make([]error, 4)
		var group sync.WaitGroup
		for i := range opened {
			group.Go(func() {
				opened[i], errs[i] = store.Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: text})
			})
		}
		group.Wait()
		for i, st := range opened {
			require.NoError(t, errs[i])
			require.NoError(t, st.Close(t.Context()))
		}
	}
}

// migrateTogether makes what is due of a SQLite file by several stores at once, which have all
// seen that it is due.
func migrateTogether(t *testing.T, d oldDatabase) {
	t.Helper()
	require.Len(t, pending(t, d), 1)
	migrators, errs := make([]storage.Migrator, 4), make([]error, 4)
	for i := range migrators {
		migrators[i] = unchanged(t, d)
	}
	db, err := sql.Open(d.driver, d.dsn+"?_txlock=immediate")
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	writer, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	var group sync.WaitGroup
	for i, m := range migrators {
		group.Go(func() { errs[i] = m.Migrate(t.Context(), nil) })
	}
	time.Sleep(500 * time.Millisecond) //nolint:forbidigo // nothing tells that they wait
	require.NoError(t, writer.Rollback())
	group.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Empty(t, pending(t, d))
}

// TestSQLitePages has lists read none of the file's pages that have nothing but documents: they
// are damaged so that whoever comes to one fails.
func TestSQLitePages(t *testing.T) {
	t.Parallel()
	const pageSize, pages = 4096, 20
	config := sqlite(t)
	st := open(t, config)
	fill := strings.Repeat("x", (pages+2)*pageSize)
	names := []string{"a", "b", "c"}
	for _, name := range names {
		o := withCells(name, "1", `["`+name+`"]`)
		o.JSON = []byte(headOf(name) + `,"data":{"text":"` + fill + `"}}`)
		putAll(t, st, o)
	}
	require.NoError(t, st.Close(t.Context()))

	file := config["dsn"].(string)
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	damaged := 0
	for page := range slices.Chunk(content, pageSize) {
		if string(page[4:]) == fill[4:pageSize] {
			copy(page, []byte{0, 0, 0, 0}) // where the next page is
			damaged++
		}
	}
	require.GreaterOrEqual(t, damaged, len(names)*pages)
	require.NoError(t, os.WriteFile(file, content, 0o600))

	st = open(t, config)
	t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
	tables, metadata := map[string]string{}, map[string]string{}
	for _, name := range names {
		tables[name], metadata[name] = fitting(name, `["`+name+`"]`), headOf(name)+"}"
	}
	got, err := listCells(t, st, query.Query{})
	require.NoError(t, err)
	require.Equal(t, tables, got)
	got, err = listCells(t, st, query.Query{Order: []query.Order{{By: query.ByUID, Desc: true}}})
	require.NoError(t, err)
	require.Equal(t, tables, got)
	got, err = documents(t, st, query.Metadata)
	require.NoError(t, err)
	require.Equal(t, metadata, got)
	got, err = documents(t, st, query.KeyOnly)
	require.NoError(t, err)
	require.Len(t, got, len(names))
	_, err = documents(t, st, query.Full)
	require.ErrorContains(t, err, "malformed")
	_, err = listCells(t, st, query.Query{Columns: "others"})
	require.ErrorContains(t, err, "malformed")
}
