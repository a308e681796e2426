package store_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// TestRaw gives conditions in SQL to each database.
func TestRaw(t *testing.T) {
	t.Parallel()
	for name, fresh := range map[string]func(testing.TB) map[string]any{
		"SQLite": sqlite, "PostgreSQL": postgres, "MariaDB": mysqlOn("TEST_MYSQL_DSN"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := json.Marshal(fresh(t))
			require.NoError(t, err)
			st, err := store.Driver("").Open(t.Context(), storage.Settings{
				ConfigPath: "test.yaml", Config: text, Gates: map[string]bool{"AllowRawSQLQuery": true, "AllowParameterizedSQLQuery": true},
			})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, st.Close(t.Context())) })
			var changes []storage.Change
			for i := range 6 {
				changes = append(changes, storage.Change{Put: &storage.Object{
					Key:  storage.Key{Cluster: "one", Resource: storage.Resource{Group: "apps", Version: "v1", Resource: "deployments"}, Namespace: []string{"default", "kube-system"}[i%2], Name: fmt.Sprintf("d%d", i)},
					Kind: "Deployment", UID: fmt.Sprint("u", i), ResourceVersion: fmt.Sprint(i + 1),
					JSON: fmt.Appendf(nil, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d%d"}}`, i),
				}})
			}
			require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "one"}, changes))

			list := func(params map[string][]string, change func(*query.Query)) (int, error) {
				q := &query.Query{Params: params, Count: query.CountExact}
				if change != nil {
					change(q)
				}
				n := 0
				_, err := st.List(t.Context(), q, func(*storage.Object) error { n++; return nil })
				return n, err
			}
			params := base64.StdEncoding.EncodeToString([]byte(`[["kube-system"], {"n": "d1"}]`))
			for want, one := range map[int]map[string][]string{
				6: {"whereSQL": {""}},
				3: {"whereSQL": {"namespace = 'kube-system'"}},
				2: {"whereSQLStatement": {"name = ? OR name = ?"}, "whereSQLParam": {"d1", "d2"}},
				1: {"whereSQLStatement": {"namespace IN ? AND name = @n"}, "whereSQLJSONParams": {params}},
				0: {"whereSQLStatement": {"group"}, "whereSQLParam": {"nothing"}},
			} {
				n, err := list(one, nil)
				require.NoError(t, err, one)
				require.Equal(t, want, n, one)
			}
			// Over the parts of a long list, and beside the other conditions.
			n, err := list(map[string][]string{"whereSQL": {"name = 'd1' OR name = 'd2'"}}, func(q *query.Query) { q.Namespaces, q.Limit = []string{"default"}, 1 })
			require.NoError(t, err)
			require.Equal(t, 1, n)

			for _, text := range []string{"nosuch = 1", "name LIKE", "1 = 1) OR (1 = 1"} {
				_, err = list(map[string][]string{"whereSQL": {text}}, nil)
				var invalid *query.InvalidQueryError
				require.ErrorAs(t, err, &invalid, text)
				require.Equal(t, "whereSQL", invalid.Field)
				require.NotContains(t, invalid.Reason, "nosuch", "the database's words are not the client's")
			}
			n, err = list(nil, nil)
			require.NoError(t, err, "and the connection is as good as before")
			require.Equal(t, 6, n)
		})
	}
}
