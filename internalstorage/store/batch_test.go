package store_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// TestStatementModes writes in each way in which PostgreSQL's driver can be told to send
// statements, for poolers that know no prepared ones.
func TestStatementModes(t *testing.T) {
	t.Parallel()
	dsn(t, "TEST_POSTGRES_DSN")
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			config := postgres(t)
			config["dsn"] = fmt.Sprint(config["dsn"], " default_query_exec_mode=", mode)
			st := open(t, config)
			t.Cleanup(func() { require.NoError(t, st.Close(t.Context())) })
			w := storage.Writer{Cluster: "c", Epoch: 2}
			changes := putPods(20)
			changes[3].Put.Owners = append(changes[3].Put.Owners, "another")
			changes[4].Put.DeletedAt = planTime(9)
			changes[5].Put.Cells = &storage.Cells{Columns: "some", Values: []byte(`["cells"]`)}
			for range 2 {
				require.NoError(t, st.Apply(t.Context(), w, changes))
			}
			gone := changes[7].Put.Key
			require.NoError(t, st.Apply(t.Context(), w, []storage.Change{{Delete: &gone}, changes[8]}))
			require.ErrorIs(t, st.Apply(t.Context(), storage.Writer{Cluster: "c", Epoch: 1}, changes), storage.ErrFenced)

			var found []*storage.Object
			list := func(q query.Query) {
				found = nil
				_, err := st.List(t.Context(), &q, func(o *storage.Object) error { found = append(found, o); return nil })
				require.NoError(t, err)
			}
			list(query.Query{Owner: &query.Owner{UID: "another"}})
			require.Len(t, found, 1)
			list(query.Query{})
			require.Len(t, found, 19)
			var cells []string
			_, err := st.List(t.Context(), &query.Query{Projection: query.Cells, Columns: "some"}, func(o *storage.Object) error {
				if o.Cells != nil {
					cells = append(cells, o.Name+string(o.Cells.Values))
				}
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, []string{changes[5].Put.Name + `["cells"]`}, cells)
			got, err := st.Get(t.Context(), changes[4].Put.Key)
			require.NoError(t, err)
			require.Equal(t, string(changes[4].Put.JSON), string(got.JSON))
			require.Equal(t, planTime(4), got.CreatedAt)
			require.Equal(t, planTime(9), got.DeletedAt)

			changes[3].Put.Owners = changes[3].Put.Owners[:1]
			require.NoError(t, st.Apply(t.Context(), w, changes[3:4]))
			list(query.Query{Owner: &query.Owner{UID: "another"}})
			require.Empty(t, found)
		})
	}
}
