package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// TestWanted asks for no more large objects at once than a part has room for, once one has
// been read.
func TestWanted(t *testing.T) {
	t.Parallel()
	st := open(t, sqlite(t)).(*store.Store)
	t.Cleanup(func() { require.NoError(t, st.Close(t.Context())) })
	var changes []storage.Change
	for i, resource := range []string{"secrets", "secrets", "pods"} {
		size := map[string]int{"secrets": 1 << 20, "pods": 100}[resource]
		changes = append(changes, storage.Change{Put: &storage.Object{
			Key: storage.Key{Cluster: "one", Resource: storage.Resource{Version: "v1", Resource: resource}, Namespace: "default", Name: fmt.Sprint("n", i)}, Kind: "Any",
			JSON: fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Any","metadata":{"name":"n%d"},"data":%q}`, i, strings.Repeat("x", size)),
		}})
	}
	require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "one"}, changes))
	ask := func(resource string, change func(*query.Query)) int64 {
		q := &query.Query{Types: []query.Type{{Version: "v1", Resource: resource}}, Limit: 500}
		if change != nil {
			change(q)
		}
		wanted, err := st.Wanted(q)
		require.NoError(t, err)
		_, err = st.List(t.Context(), q, func(*storage.Object) error { return nil })
		require.NoError(t, err)
		return wanted
	}
	require.EqualValues(t, 500, ask("pods", nil))
	require.EqualValues(t, 500, ask("pods", nil))
	require.EqualValues(t, 500, ask("secrets", nil), "nothing is known yet")
	require.EqualValues(t, 3, ask("secrets", nil))
	require.EqualValues(t, 3, ask("secrets", func(q *query.Query) { q.Limit = 0 }))
	require.EqualValues(t, 500, ask("secrets", func(q *query.Query) { q.Projection = query.Metadata }))
	cells := func(q *query.Query) { q.Projection, q.Columns = query.Cells, "of secrets" }
	require.EqualValues(t, 500, ask("secrets", cells), "they might have cells")
	require.EqualValues(t, 3, ask("secrets", cells), "they have none")
	require.EqualValues(t, 500, ask("secrets", func(q *query.Query) { q.Types = append(q.Types, query.Type{Version: "v1", Resource: "pods"}) }))
	require.EqualValues(t, 3, ask("secrets", func(q *query.Query) { q.Order = []query.Order{{By: query.ByCreatedAt}} }))
}
