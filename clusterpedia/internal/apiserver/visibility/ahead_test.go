package visibility

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/tools/cache"

	"clusterpedia.io/api/client/listers/cluster/v1alpha2"
	clusterv1alpha2 "clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

// fleet gives a checker that many clusters.
func fleet(t *testing.T, c *Checker, size int) {
	t.Helper()
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for i := range size {
		require.NoError(t, indexer.Add(&clusterv1alpha2.PediaCluster{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("c-%03d", i)}}))
	}
	c.Clusters = v1alpha2.NewPediaClusterLister(indexer)
}

// watched counts how many reviews are under way.
type watched struct {
	authorizer.UnconditionalAuthorizer
	now, most atomic.Int64
	answer    func(a authorizer.Attributes)
	// together chooses reviews that wait until half as many as there may be are under way.
	together func(a authorizer.Attributes) bool
	met      chan struct{}
	meet     sync.Once
}

// meetLimit bounds the wait for reviews that are not made at once.
const meetLimit = 10 * time.Second

func (w *watched) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	now := w.now.Add(1)
	defer w.now.Add(-1)
	for most := w.most.Load(); now > most && !w.most.CompareAndSwap(most, now); most = w.most.Load() {
	}
	if now > maxAtOnce/2 {
		w.meet.Do(func() { close(w.met) })
	}
	if w.answer != nil {
		w.answer(a)
	}
	if w.together != nil && w.together(a) {
		select {
		case <-w.met:
		case <-time.After(meetLimit):
		}
	}
	return w.UnconditionalAuthorizer.Authorize(ctx, a)
}

// Reviews are made at once, and no more of them than one after the other.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	r := &rules{allow: map[string]bool{"list pods c-007": true, "list pods c-250 b": true}}
	c := checker(t, r, "a", "b")
	fleet(t, c, 300)
	w := &watched{UnconditionalAuthorizer: r, met: make(chan struct{}), together: func(a authorizer.Attributes) bool { return strings.HasPrefix(a.GetName(), "c-") }}
	c.Authorizer = w
	q := &query.Query{}
	require.NoError(t, c.Limit(as(t, "alice"), "list", resource(t, c, "", "pods"), q))
	require.Equal(t, []query.Scope{{Clusters: []string{"c-250"}, Namespaces: []string{"b"}}, {Clusters: []string{"c-007"}}}, q.Visible.Scopes)
	require.EqualValues(t, 2+300+2*299, r.asked.Load())
	require.LessOrEqual(t, w.most.Load(), int64(maxAtOnce))
	require.Greater(t, w.most.Load(), int64(maxAtOnce/2))

	fleet(t, c, 400)
	err := c.Limit(as(t, "alice"), "list", resource(t, c, "", "pods"), &query.Query{})
	require.True(t, TooMany(err), err)
	require.LessOrEqual(t, r.asked.Load(), int64(maxReviews+100))
}

// Whoever may see one namespace of hundreds of clusters asks for it, and not for the
// clusters.
func TestOneNamespace(t *testing.T) {
	t.Parallel()
	r := &rules{allow: map[string]bool{}}
	for i := range 300 {
		r.allow[fmt.Sprintf("list pods c-%03d team", 3*i)] = true
	}
	c := checker(t, r, "a", "b", "team")
	fleet(t, c, 900)
	pods := resource(t, c, "", "pods")
	q := &query.Query{Namespaces: []string{"team"}}
	require.NoError(t, c.Limit(as(t, "alice"), "list", pods, q))
	require.Len(t, q.Visible.Scopes, 1)
	require.Len(t, q.Visible.Scopes[0].Clusters, 300)
	require.EqualValues(t, 3+900, r.asked.Load())
	q = &query.Query{Namespaces: []string{"team"}, Types: []query.Type{{Version: "v1", Resource: "pods"}}}
	require.True(t, TooMany(c.Collection(as(t, "alice"), q)), "* and pods of each")

	// A rule without names of clusters answers for all of them.
	r = &rules{allow: map[string]bool{"list pods *any team": true, "list events *any team": true}}
	c.Authorizer = r
	c.callers.get("alice").answers.RemoveAll(func(any) bool { return true })
	for range 2 {
		q = &query.Query{Namespaces: []string{"team"}, Events: true}
		require.NoError(t, c.Limit(as(t, "alice"), "list", pods, q))
		require.Equal(t, []query.Scope{{Namespaces: []string{"team"}}}, q.Visible.Scopes)
		allowed, err := c.Events(as(t, "alice"), q)
		require.NoError(t, err)
		require.True(t, allowed)
	}
	require.EqualValues(t, 4+3, r.asked.Load())
	q = &query.Query{Namespaces: []string{"team"}, Types: []query.Type{{Version: "v1", Resource: "pods"}}}
	require.NoError(t, c.Collection(as(t, "alice"), q))
	require.Equal(t, []query.Scope{{Namespaces: []string{"team"}, Types: q.Types}}, q.Visible.Scopes)
	r.allow = map[string]bool{"list * *any team": true}
	c.callers.get("alice").answers.RemoveAll(func(any) bool { return true })
	before := r.asked.Load()
	require.NoError(t, c.Collection(as(t, "alice"), q))
	require.Equal(t, []query.Scope{{Namespaces: []string{"team"}}}, q.Visible.Scopes)
	require.LessOrEqual(t, r.asked.Load()-before, int64(6))

	// What belongs to whole clusters is in no namespace, and not asked about.
	q = &query.Query{Namespaces: []string{"team"}, Types: []query.Type{{Version: "v1", Resource: "nodes"}}}
	before = r.asked.Load()
	require.NoError(t, c.Collection(as(t, "alice"), q))
	require.Equal(t, before, r.asked.Load(), "all is remembered")
}

// What takes too many reviews tells of no cluster that it is there.
func TestTooManyNames(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 2 * maxReviews {
		many = append(many, fmt.Sprint("ns-", i))
	}
	for _, right := range []string{"", "list pods one ns-0", "list pods two"} {
		c := checker(t, &rules{allow: map[string]bool{right: true}}, many...)
		for _, clusters := range [][]string{nil, {"one", "two"}, {"nope", "one"}} {
			err := c.Limit(as(t, "alice"), "list", resource(t, c, "", "pods"), &query.Query{Clusters: clusters})
			require.True(t, TooMany(err), err)
			for _, name := range []string{"one", "two", "nope"} {
				require.NotContains(t, err.Error(), name)
			}
		}
		err := c.Collection(as(t, "alice"), &query.Query{Types: []query.Type{{Group: query.AnyGroup}}, Clusters: []string{"two", "one"}})
		require.ErrorContains(t, err, "…/resources/clusters/CLUSTER/")
	}
}

// A review that panics ends its request, and not the process; one that fails ends the others.
func TestAtOnceFails(t *testing.T) {
	t.Parallel()
	for want, fail := range map[string]func(a authorizer.Attributes){
		"panic: oh": func(a authorizer.Attributes) {
			if a.GetName() == "c-005" {
				panic("oh") //nolint:forbidigo // what is tested
			}
		},
		"": nil,
	} {
		r := &rules{}
		if want == "" {
			r.err, want = errors.New("refused"), "refused"
		}
		c := checker(t, r)
		fleet(t, c, 50)
		c.Authorizer = &watched{UnconditionalAuthorizer: r, answer: fail, met: make(chan struct{})}
		q := &query.Query{}
		require.ErrorContains(t, c.Limit(as(t, "alice"), "list", resource(t, c, "", "pods"), q), want)
		require.Nil(t, q.Visible)
	}
}

// Owners of one name are asked about at once, too.
func TestOwnersAtOnce(t *testing.T) {
	t.Parallel()
	var owners []object.Object
	for i := range 400 {
		owners = append(owners, object.Object{
			Key: object.Key{Cluster: "one", Resource: object.Resource{Group: "apps", Version: "v1", Resource: "deployments"}, Namespace: fmt.Sprintf("ns-%03d", i), Name: "web"}, UID: fmt.Sprint(i),
		})
	}
	r := &rules{allow: map[string]bool{"list deployments.apps one ns-123": true, "list pods one ns-123": true}}
	c := checker(t, r)
	c.Storage = &shelf{namespaces: []string{"ns-123"}, objects: owners}
	w := &watched{UnconditionalAuthorizer: r, met: make(chan struct{}), together: func(a authorizer.Attributes) bool {
		return a.GetResource() == "deployments.apps" && a.GetNamespace() != ""
	}}
	c.Authorizer = w
	q := &query.Query{Clusters: []string{"one"}, Owner: &query.Owner{Name: "web"}}
	require.NoError(t, c.Limit(as(t, "alice"), "list", resource(t, c, "", "pods"), q))
	require.Equal(t, "123", q.Owner.UID)
	require.Greater(t, w.most.Load(), int64(maxAtOnce/2))
}
