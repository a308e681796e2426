package listoptions

import (
	"net/url"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

func TestCollectionTypes(t *testing.T) {
	t.Parallel()
	const (
		groups    = ", expect <group> or <group>/<version>"
		resources = ", expect <group>/<resource> or <group>/<version>/<resource>"
	)
	for q, want := range map[string]struct {
		items int
		err   string
	}{
		"":                                       {err: "url query - `groups` or `resources` is required"},
		"groups=apps":                            {items: 12},
		"groups=apps/v1":                         {items: 12},
		"groups=apps/v2":                         {},
		"groups=":                                {items: 22},
		"groups=/":                               {items: 22},
		"groups=/v1":                             {items: 22},
		"groups=apps,example.io":                 {items: 14},
		"groups=apps, example.io":                {items: 14},
		"groups=*":                               {items: 36},
		"groups=apps,*,a/b/c":                    {items: 36},
		"groups=a/b/c,*":                         {err: "groups query: unexpected GroupVersion string: a/b/c" + groups},
		"groups=*/v1":                            {err: "groups query: unexpected GroupVersion string: */v1" + groups},
		"resources=apps/deployments":             {items: 6},
		"resources=/pods":                        {items: 12},
		"resources=//pods":                       {items: 12},
		"resources=apps//deployments":            {items: 6},
		"resources=/v1/pods,apps/v1/deployments": {items: 18},
		"resources=apps/*":                       {},
		"resources=pods":                         {err: "resources query: unexpected GroupVersionResource string: pods" + resources},
		"resources=":                             {err: "resources query: unexpected GroupVersionResource string: " + resources},
		"resources=*":                            {err: "resources query: unexpected GroupVersionResource string: *" + resources},
		"resources=*/pods":                       {err: "resources query: unexpected GroupVersionResource string: */pods" + resources},
		"resources=apps/":                        {err: "resources query: unexpected GroupVersionResource string: apps/" + resources},
		"resources=a/b/c/d":                      {err: "resources query: unexpected GroupVersionResource string: a/b/c/d" + resources},
		"groups=apps&resources=/configmaps":      {items: 14},
		"groups=apps&resources=apps/deployments": {items: 12},
		"groups=%00":                             {err: `groups: must be UTF-8 text without NUL, not "\x00"`},
	} {
		t.Run(q, func(t *testing.T) {
			t.Parallel()
			values, err := url.ParseQuery(q)
			require.NoError(t, err)
			types, err := CollectionTypes(values)
			if want.err != "" {
				require.EqualError(t, err, want.err)
				require.True(t, apierrors.IsBadRequest(err))
				return
			}
			require.NoError(t, err)
			require.NotEmpty(t, types, "no types would be all")
			found := slices.DeleteFunc(fixture(), func(o *object.Object) bool {
				return !query.Match(&query.Query{Types: types}, o, nil)
			})
			require.Len(t, found, want.items)
		})
	}
}
