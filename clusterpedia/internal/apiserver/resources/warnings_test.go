package resources

import (
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/query"
)

// A warning must not tell of clusters that the caller may not see, nor of what is synced of
// types that he may not see.
func TestVisibleTypes(t *testing.T) {
	t.Parallel()
	type types = []query.Type
	type scopes = []query.Scope
	pods, secrets := query.Type{Version: "v1", Resource: "pods"}, query.Type{Version: "v1", Resource: "secrets"}
	all, some := types{{Group: query.AnyGroup}}, types{{Resource: "pods"}}
	for name, tc := range map[string]struct {
		of      types
		visible *query.Visibility
		want    types
	}{
		"sees all":             {all, nil, all},
		"sees nothing":         {all, &query.Visibility{}, nil},
		"sees another":         {all, &query.Visibility{Scopes: scopes{{Clusters: []string{"two"}}}}, nil},
		"sees a part":          {some, &query.Visibility{Scopes: scopes{{Clusters: []string{"two"}}, {Clusters: []string{"one"}, Namespaces: []string{"a"}}}}, some},
		"of any cluster":       {some, &query.Visibility{Scopes: scopes{{Namespaces: []string{"a"}}}}, some},
		"a type":               {all, &query.Visibility{Scopes: scopes{{Types: types{pods}}, {Clusters: []string{"two"}, Types: types{secrets}}}}, types{pods}},
		"a type, not searched": {some, &query.Visibility{Scopes: scopes{{Types: types{secrets}}}}, nil},
		"types and a place":    {all, &query.Visibility{Scopes: scopes{{Types: types{pods}}, {Clusters: []string{"one"}, Namespaces: []string{"a"}}}}, all},
	} {
		require.Equal(t, tc.want, visibleTypes(tc.of, &query.Query{Visible: tc.visible}, "one"), name)
	}
}
