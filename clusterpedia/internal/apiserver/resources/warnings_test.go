package resources

import (
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/query"
)

// A warning must not tell of clusters that the caller may not see.
func TestMayConcern(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		visible *query.Visibility
		want    bool
	}{
		"sees all": {nil, true}, "sees nothing": {&query.Visibility{}, false},
		"sees another":   {&query.Visibility{Scopes: []query.Scope{{Clusters: []string{"two"}}}}, false},
		"sees a part":    {&query.Visibility{Scopes: []query.Scope{{Clusters: []string{"two"}}, {Clusters: []string{"one"}, Namespaces: []string{"a"}}}}, true},
		"of any cluster": {&query.Visibility{Scopes: []query.Scope{{Namespaces: []string{"a"}}}}, true},
	} {
		require.Equal(t, tc.want, mayConcern(&query.Query{Visible: tc.visible}, "one"), name)
	}
}
