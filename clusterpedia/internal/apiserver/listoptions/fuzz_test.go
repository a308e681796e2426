package listoptions

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"clusterpedia.io/storage-api/query"
)

// Whatever a client sends is refused with 400, or a query that a storage layer
// can answer.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "names=a,b&clusters=c&namespaces=,", "limit=1&continue=3&withContinue", "limit=-1&continue=eyJ2IjoxfQ",
		"since=2022-03-01&before=1646092800000", "since=2022-03-01T00:00:00%2B08:00", "orderby=name desc,id desc,name",
		"ownerUID=x&ownerSeniority=-1&clusters=a", "ownerName=x&ownerGR=.apps&clusters=a", "whereSQL=1&whereSQL=2",
		"labelSelector=search.clusterpedia.io/offset=1,a>1,!b", "labelSelector=search.clusterpedia.io/since in (1,2)",
		"labelSelector=internalstorage.clusterpedia.io/fuzzy-name=x,search.clusterpedia.io/forward",
		"fieldSelector=spec.a[].b in (x),c<1", "names=%ff%00", "groups=apps/v1,*&resources=/v1/pods", "injectEvents&onlyMetadata=FALSE",
	} {
		f.Add(seed, "", "")
	}
	f.Add("namespaces=b", "cluster-1", "default")
	objects := fixture()
	f.Fuzz(func(t *testing.T, rawQuery, cluster, namespace string) {
		values, _ := url.ParseQuery(rawQuery)
		if types, err := CollectionTypes(values); err != nil {
			require.True(t, apierrors.IsBadRequest(err), err)
		} else {
			require.NotEmpty(t, types)
		}
		options, err := Parse(Input{
			Values: values, Cluster: cluster, Namespace: namespace, Types: []query.Type{pods}, Params: []string{"whereSQL"},
		})
		if err != nil {
			require.True(t, apierrors.IsBadRequest(err), err)
			require.NotEmpty(t, err.Error())
			return
		}
		q := options.Query
		require.NoError(t, q.Validate())
		require.Equal(t, []query.Type{pods}, q.Types)
		if cluster != "" {
			require.Equal(t, []string{cluster}, q.Clusters)
		}
		if namespace != "" {
			require.Equal(t, []string{namespace}, q.Namespaces)
		}
		require.GreaterOrEqual(t, q.Limit+q.Offset, int64(0))
		for _, o := range objects {
			query.Match(q, o, nil)
		}

		// The token of a page is accepted by the next one.
		q.Offset, q.Continue = 0, ""
		q.Continue = q.ContinueAfter(objects[0])
		require.NoError(t, q.Validate())
	})
}
