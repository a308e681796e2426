package visibility

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/tools/cache"

	"clusterpedia.io/api/client/listers/cluster/v1alpha2"
	clusterv1alpha2 "clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/apiserver/discovery"
	"clusterpedia.io/clusterpedia/internal/builtin"
	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// rules allow "verb resource cluster" or "verb resource cluster namespace", as RBAC does: what
// is allowed in all namespaces is in each. The cluster is *any in a rule without names.
type rules struct {
	allow map[string]bool
	asked atomic.Int64
	err   error
}

func (r *rules) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	r.asked.Add(1)
	if r.err != nil {
		return authorizer.DecisionNoOpinion, "", r.err
	}
	resource := a.GetResource()
	if a.GetSubresource() != "" {
		resource += "/" + a.GetSubresource()
	}
	for _, name := range []string{a.GetName(), "*any"} {
		key := a.GetVerb() + " " + resource + " " + name
		allowed := r.allow[key] || a.GetNamespace() != "" && r.allow[key+" "+a.GetNamespace()]
		if a.GetAPIGroup() == Group && a.GetUser().GetName() == "alice" && allowed {
			return authorizer.DecisionAllow, "", nil
		}
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// shelf has namespaces, and other objects.
type shelf struct {
	storage.Storage
	namespaces []string
	objects    []object.Object
	// lists counts calls, and read the objects that they gave out; wait, if not nil, is
	// what they wait for.
	lists, read atomic.Int64
	wait        chan struct{}
}

func (s *shelf) List(_ context.Context, q *query.Query, yield func(*object.Object) error) (query.Page, error) {
	s.lists.Add(1)
	if s.wait != nil {
		<-s.wait
	}
	all := slices.Clone(s.objects)
	for _, name := range s.namespaces {
		all = append(all, object.Object{Key: object.Key{Cluster: q.Clusters[0], Resource: object.Resource{Version: "v1", Resource: "namespaces"}, Name: name}})
	}
	slices.SortFunc(all, func(a, b object.Object) int { return query.Compare(q, &a, &b) })
	var page query.Page
	given := int64(0)
	for i := range all {
		if !query.Match(q, &all[i], nil) {
			continue
		}
		if q.Continue != "" {
			if after, err := q.Position(); err != nil || query.Compare(q, &all[i], after) <= 0 {
				continue
			}
		}
		if q.Limit > 0 && given == q.Limit {
			page.Continue = q.ContinueAfter(&all[i-1])
			break
		}
		given++
		if err := yield(&all[i]); err != nil {
			return query.Page{}, err
		}
	}
	s.read.Add(given)
	return page, nil
}

func checker(t *testing.T, r *rules, namespaces ...string) *Checker {
	t.Helper()
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	catalog := discovery.NewCatalog(builtin.NewScheme())
	synced := func(name, kind string, namespaced bool, versions ...string) clusterv1alpha2.ClusterResourceStatus {
		s := clusterv1alpha2.ClusterResourceStatus{Name: name, Kind: kind, Namespaced: namespaced}
		for _, v := range versions {
			s.SyncConditions = append(s.SyncConditions, clusterv1alpha2.ClusterResourceSyncCondition{Version: v})
		}
		return s
	}
	for _, name := range []string{"one", "two"} {
		c := &clusterv1alpha2.PediaCluster{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: clusterv1alpha2.ClusterStatus{SyncResources: []clusterv1alpha2.ClusterGroupResourcesStatus{
			{Resources: []clusterv1alpha2.ClusterResourceStatus{synced("pods", "Pod", true, "v1"), synced("nodes", "Node", false, "v1"), synced("secrets", "Secret", true, "v1")}},
			{Group: "apps", Resources: []clusterv1alpha2.ClusterResourceStatus{synced("deployments", "Deployment", true, "v1")}},
		}}}
		require.NoError(t, indexer.Add(c))
		catalog.Handler().OnAdd(c, true)
	}
	return New(Config{
		Authorizer: r, AllowedFor: time.Minute, DeniedFor: time.Minute,
		Clusters: v1alpha2.NewPediaClusterLister(indexer), Catalog: catalog, Storage: &shelf{namespaces: namespaces},
	})
}

func resource(t *testing.T, c *Checker, group, name string) discovery.Resource {
	t.Helper()
	view, _ := c.Catalog.View("")
	r, ok := view.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: name})
	require.True(t, ok)
	return r
}

func as(t *testing.T, name string) context.Context {
	t.Helper()
	return apirequest.WithUser(t.Context(), &user.DefaultInfo{Name: name})
}

func TestList(t *testing.T) {
	t.Parallel()
	type scopes = []query.Scope
	for name, tc := range map[string]struct {
		allow []string
		query query.Query
		want  scopes
		err   string
	}{
		"both":                  {allow: []string{"list pods one", "list pods two"}, want: scopes{{Clusters: []string{"one", "two"}}}},
		"all of the resource":   {allow: []string{"list pods *any"}, want: scopes{{}}},
		"all of another":        {allow: []string{"list secrets *any"}},
		"one by another name":   {allow: []string{"list pods ", "list * "}},
		"all of one cluster":    {allow: []string{"list * one"}}, // only RBAC reads the asterisk
		"the same in both":      {allow: []string{"list pods one dev", "list pods two dev"}, want: scopes{{Clusters: []string{"one", "two"}, Namespaces: []string{"dev"}}}},
		"one cluster":           {allow: []string{"list pods two"}, want: scopes{{Clusters: []string{"two"}}}},
		"one namespace of one":  {allow: []string{"list pods one team"}, want: scopes{{Clusters: []string{"one"}, Namespaces: []string{"team"}}}},
		"a mix":                 {allow: []string{"list pods one team", "list pods one dev", "list pods two"}, want: scopes{{Clusters: []string{"one"}, Namespaces: []string{"dev", "team"}}, {Clusters: []string{"two"}}}},
		"nothing of all":        {},
		"another verb":          {allow: []string{"get pods one"}},
		"another resource":      {allow: []string{"list pods.apps one", "list secrets one"}},
		"what is asked for":     {allow: []string{"list pods one team"}, query: query.Query{Clusters: []string{"one"}, Namespaces: []string{"team"}}, want: scopes{{Clusters: []string{"one"}, Namespaces: []string{"team"}}}},
		"nothing of one":        {query: query.Query{Clusters: []string{"one"}}, err: `user "alice" cannot list resource "pods" in API group "search.clusterpedia.io" of cluster one`},
		"nothing of a place":    {allow: []string{"list pods one team"}, query: query.Query{Clusters: []string{"one"}, Namespaces: []string{"dev"}}, err: `in the namespace "dev" of cluster one`},
		"no namespace is whole": {allow: []string{"list pods one team"}, query: query.Query{Clusters: []string{"one", "two"}, Namespaces: []string{""}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &rules{allow: map[string]bool{}}
			for _, a := range tc.allow {
				r.allow[a] = true
			}
			c := checker(t, r, "default", "dev", "team")
			q := tc.query
			err := c.Limit(as(t, "alice"), "list", resource(t, c, "", "pods"), &q)
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.NotNil(t, q.Visible, "a query without a limit would see everything")
			require.Equal(t, tc.want, q.Visible.Scopes)

			other := tc.query
			if len(other.Clusters) != 1 {
				require.NoError(t, c.Limit(as(t, "bob"), "list", resource(t, c, "", "pods"), &other))
				require.Empty(t, other.Visible.Scopes)
			}
		})
	}
}

func TestClusterScoped(t *testing.T) {
	t.Parallel()
	c := checker(t, &rules{allow: map[string]bool{"list nodes one team": true}}, "team")
	q := &query.Query{}
	require.NoError(t, c.Limit(as(t, "alice"), "list", resource(t, c, "", "nodes"), q))
	require.Empty(t, q.Visible.Scopes, "a right in a namespace is none on the cluster")
}

func TestGet(t *testing.T) {
	t.Parallel()
	c := checker(t, &rules{allow: map[string]bool{"get deployments.apps one team": true, "get nodes one": true}})
	deployments, nodes := resource(t, c, "apps", "deployments"), resource(t, c, "", "nodes")
	require.NoError(t, c.Get(as(t, "alice"), deployments, "one", "team"))
	require.NoError(t, c.Get(as(t, "alice"), nodes, "one", ""))
	for _, err := range []error{
		c.Get(as(t, "alice"), deployments, "one", "dev"), c.Get(as(t, "alice"), deployments, "two", "team"),
		c.Get(as(t, "alice"), nodes, "two", ""), c.Get(as(t, "bob"), nodes, "one", ""),
	} {
		require.ErrorContains(t, err, "is forbidden")
	}
}

func TestCollection(t *testing.T) {
	t.Parallel()
	c := checker(t, &rules{allow: map[string]bool{"list pods one": true, "list deployments.apps two team": true}}, "team")
	q := &query.Query{Types: []query.Type{{Group: query.AnyGroup}}}
	require.NoError(t, c.Collection(as(t, "alice"), q))
	require.Equal(t, []query.Scope{
		{Clusters: []string{"one"}, Types: []query.Type{{Version: "v1", Resource: "pods"}}},
		{Clusters: []string{"two"}, Namespaces: []string{"team"}, Types: []query.Type{{Group: "apps", Version: "v1", Resource: "deployments"}}},
	}, q.Visible.Scopes)
}

// TestBounds checks that a search asks so many questions and no more, and that a host
// cluster which does not answer allows nothing.
func TestBounds(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 2 * maxReviews {
		many = append(many, fmt.Sprint("ns-", i))
	}
	r := &rules{}
	c := checker(t, r, many...)
	err := c.Limit(as(t, "alice"), "list", resource(t, c, "", "pods"), &query.Query{})
	require.ErrorContains(t, err, "ask for less, as at …/resources/clusters/CLUSTER/api/v1/namespaces/NAMESPACE/pods", "clusters that were not asked for have no name")
	require.EqualValues(t, maxReviews, r.asked.Load())
	// What is remembered counts as well: the same search ends in the same way each time.
	one, asked := &query.Query{Clusters: []string{"one"}}, int64(0)
	for i := range 3 {
		err = c.Limit(as(t, "alice"), "list", resource(t, c, "", "pods"), one)
		require.ErrorContains(t, err, "ask for less, as at …/resources/clusters/one/api/v1/namespaces/NAMESPACE/pods")
		if i > 0 {
			require.Equal(t, asked, r.asked.Load(), "all is remembered")
		}
		asked = r.asked.Load()
	}
	require.False(t, TooMany(err), "who may see nothing learns nothing of the cluster")
	nope := c.Limit(as(t, "alice"), "list", resource(t, c, "", "pods"), &query.Query{Clusters: []string{"nope"}})
	require.EqualError(t, nope, ofNope(err))
	c = checker(t, &rules{allow: map[string]bool{"list pods one ns-0": true}}, many...)
	for range 2 {
		err = c.Limit(as(t, "alice"), "list", resource(t, c, "", "pods"), one)
		require.ErrorContains(t, err, "what you may see takes more than 1000 checks")
		require.True(t, TooMany(err))
		require.True(t, apierrors.IsForbidden(err))
	}

	c = checker(t, &rules{err: errors.New("connection refused")})
	q := &query.Query{}
	require.ErrorContains(t, c.Limit(as(t, "alice"), "list", resource(t, c, "", "pods"), q), "connection refused")
	require.Nil(t, q.Visible)
	require.Error(t, c.Get(as(t, "alice"), resource(t, c, "", "pods"), "one", "team"))
}
