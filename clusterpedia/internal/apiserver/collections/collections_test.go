package collections

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/client-go/tools/cache"

	"clusterpedia.io/api/client/listers/cluster/v1alpha2"
	clusterv1alpha2 "clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/api/clusterpedia/v1beta1"
	"clusterpedia.io/clusterpedia/internal/apiserver/resources"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// shelf is a storage layer that lists what it has, if it matches.
type shelf struct {
	storage.Storage
	objects []storage.Object
}

func (s *shelf) Collections(context.Context) ([]storage.Collection, error) {
	return []storage.Collection{
		{Name: "any"}, {Name: "workloads", Types: []query.Type{{Group: "apps", Version: "v1", Resource: "deployments"}}}, {Name: "core", Types: []query.Type{{}}},
	}, nil
}

func (s *shelf) List(_ context.Context, q *query.Query, yield func(*storage.Object) error) (storage.Page, error) {
	var page storage.Page
	given := int64(0)
	for i := range s.objects {
		if !query.Match(q, &s.objects[i], nil) {
			continue
		}
		if q.Limit > 0 && given == q.Limit {
			page.Continue = q.ContinueAfter(&s.objects[i-1])
			break
		}
		given++
		if err := yield(&s.objects[i]); err != nil {
			return page, err
		}
	}
	return page, nil
}

func thing(t *testing.T, cluster, group, version, resource, kind, name string) storage.Object {
	t.Helper()
	key := storage.Key{Cluster: cluster, Resource: storage.Resource{Group: group, Version: version, Resource: resource}, Namespace: "default", Name: name}
	apiVersion := version
	if group != "" {
		apiVersion = group + "/" + version
	}
	doc, err := json.Marshal(map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{
		"name": name, "namespace": "default", "annotations": map[string]string{v1beta1.ShadowAnnotationClusterName: cluster},
	}})
	require.NoError(t, err)
	return storage.Object{Key: key, Kind: kind, JSON: doc}
}

func fixture(t *testing.T) *Storage {
	t.Helper()
	s, err := New(t.Context(), &shelf{objects: []storage.Object{
		thing(t, "one", "", "v1", "pods", "Pod", "p"), thing(t, "two", "", "v1", "pods", "Pod", "p"),
		thing(t, "one", "apps", "v1", "deployments", "Deployment", "d"), thing(t, "one", "example.io", "v2", "widgets", "Widget", "w"),
	}}, nil, query.CountNone, warner(t), nil, codecs(t))
	require.NoError(t, err)
	return s
}

// codecs encode as those of the server do.
func codecs(t *testing.T) runtime.NegotiatedSerializer {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, v1beta1.AddToScheme(scheme))
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	return serializer.NewCodecFactory(scheme)
}

// warner knows the cluster two, which syncs pods and cannot be reached.
func warner(t *testing.T) resources.Warner {
	t.Helper()
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	require.NoError(t, indexer.Add(&clusterv1alpha2.PediaCluster{ObjectMeta: metav1.ObjectMeta{Name: "two"}, Status: clusterv1alpha2.ClusterStatus{
		Conditions: []metav1.Condition{{Type: clusterv1alpha2.ClusterHealthyCondition, Status: metav1.ConditionFalse, Reason: "NotReachable"}},
		SyncResources: []clusterv1alpha2.ClusterGroupResourcesStatus{{Resources: []clusterv1alpha2.ClusterResourceStatus{
			{Name: "pods", SyncConditions: []clusterv1alpha2.ClusterResourceSyncCondition{{Version: "v1"}}},
		}}},
	}}))
	return resources.Warner{Clusters: v1alpha2.NewPediaClusterLister(indexer)}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	for path, want := range map[string]int{
		"workloads?": 0, "workloads?clusters=two": 1, "core?": 1, "core?clusters=one": 0, "any?groups=*": 1, "any?resources=/pods": 1, "any?resources=/secrets": 0,
	} {
		name, rawQuery, _ := strings.Cut(path, "?")
		w := httptest.NewRecorder()
		filters.WithWarningRecorder(WithRequest(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			_, _ = s.Get(req.Context(), name, nil) // the warnings tell
		}))).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?"+rawQuery, nil))
		require.Len(t, w.Header().Values("Warning"), want, path)
	}
}

// get gets a collection as a client does by a query of its URL, and an Accept header if one
// is given.
func get(t *testing.T, s *Storage, name, rawQuery string, accept ...string) (*v1beta1.CollectionResource, error) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?"+rawQuery, nil)
	req.Header["Accept"] = accept
	var found *v1beta1.CollectionResource
	var err error
	WithRequest(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		obj, getErr := s.Get(req.Context(), name, nil)
		found, _ = obj.(*v1beta1.CollectionResource)
		err = getErr
		if s, ok := obj.(*stream); ok {
			found, err = s.whole(false)
		}
	})).ServeHTTP(httptest.NewRecorder(), req)
	return found, err
}

func TestGet(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	for _, tc := range []struct {
		name, query string
		types       []string
		items       int
	}{
		{"workloads", "", []string{"apps/v1 Deployment"}, 1},
		{"core", "", []string{"/v1 Pod"}, 2},
		{"core", "clusters=two", []string{"/v1 Pod"}, 1},
		{"any", "groups=apps,example.io", []string{"apps/v1 Deployment", "example.io/v2 Widget"}, 2},
		{"any", "resources=/pods", []string{"/v1 Pod"}, 2},
		{"any", "groups=*", []string{"/v1 Pod", "apps/v1 Deployment", "example.io/v2 Widget"}, 4},
		{"any", "groups=nobody.io", nil, 0},
	} {
		found, err := get(t, s, tc.name, tc.query)
		require.NoError(t, err, tc.query)
		require.Equal(t, tc.name, found.Name)
		require.Len(t, found.Items, tc.items, tc.query)
		var types []string
		for _, r := range found.ResourceTypes {
			types = append(types, r.Group+"/"+r.Version+" "+r.Kind)
		}
		require.Equal(t, tc.types, types, tc.query)
	}

	page, err := get(t, s, "any", "groups=*&limit=3")
	require.NoError(t, err)
	require.Len(t, page.Items, 3)
	require.NotEmpty(t, page.Continue)
}

func TestGetRefuses(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	for _, tc := range []struct{ name, query, want string }{
		{"none", "", `collectionresources.clusterpedia.io "none" not found`},
		{"any", "", "url query - `groups` or `resources` is required"},
		{"any", "groups=a/b/c", "groups query: unexpected GroupVersion string: a/b/c, expect <group> or <group>/<version>"},
		{"any", "resources=pods", "resources query: unexpected GroupVersionResource string: pods"},
		{"workloads", "limit=many", "many"},
	} {
		_, err := get(t, s, tc.name, tc.query)
		require.ErrorContains(t, err, tc.want)
	}
}

const asTable = "application/json;as=Table;v=v1;g=meta.k8s.io"

func TestTables(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	list, err := s.List(t.Context(), nil)
	require.NoError(t, err)
	table, err := s.ConvertToTable(t.Context(), list, nil)
	require.NoError(t, err)
	var rows [][]any
	for _, row := range table.Rows {
		rows = append(rows, row.Cells)
	}
	require.Equal(t, [][]any{{"any", "*"}, {"workloads", "apps.deployments"}, {"core", ".*"}}, rows)

	found, err := get(t, s, "any", "groups=example.io", asTable)
	require.NoError(t, err)
	table, err = s.ConvertToTable(t.Context(), found, &metav1.TableOptions{})
	require.NoError(t, err)
	require.Len(t, table.ColumnDefinitions, 7)
	require.Equal(t, []any{"one", "example.io", "v2", "Widget", "default", "w", "<unknown>"}, table.Rows[0].Cells)
	found, err = get(t, s, "any", "groups=example.io")
	require.NoError(t, err)
	again, err := s.ConvertToTable(t.Context(), found, nil)
	require.NoError(t, err)
	require.Equal(t, table.Rows[0].Cells, again.Rows[0].Cells, "of what was read for no Table")
}

// A row's object is the document, whatever version of collections a client wants.
func TestRowObject(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	found, err := get(t, s, "any", "groups=example.io", asTable)
	require.NoError(t, err)
	whole, err := get(t, s, "any", "groups=example.io")
	require.NoError(t, err)
	table, err := s.ConvertToTable(t.Context(), found, &metav1.TableOptions{IncludeObject: metav1.IncludeObject})
	require.NoError(t, err)
	scheme := runtime.NewScheme()
	AddToScheme(scheme)
	obj, err := scheme.ConvertToVersion(table.Rows[0].Object.Object, v1beta1.GroupVersion)
	require.NoError(t, err)
	written, err := json.Marshal(runtime.RawExtension{Object: obj})
	require.NoError(t, err)
	require.JSONEq(t, string(whole.Items[0].Raw), string(written))
}

// Objects are read without what a Table does not show only if the answer is one, whatever
// else the client would accept.
func TestNegotiation(t *testing.T) {
	t.Parallel()
	const table = asTable
	for _, tc := range []struct {
		accept, query string
		want          query.Projection
		flows         bool
	}{
		{"", "", query.Full, true},
		{"application/json", "", query.Full, true},
		{"application/json, " + table, "", query.Full, true},
		{table + ", application/json", "", query.Metadata, false},
		{table, "", query.Metadata, false},
		{"application/yaml;as=Table;v=v1;g=meta.k8s.io", "", query.Metadata, false},
		{table, "&includeObject=Metadata", query.Metadata, false},
		{table, "&includeObject=None", query.Metadata, false},
		{table, "&includeObject=Object", query.Full, false},
		{table + ";q=0.5, application/json;q=0.9", "", query.Full, true},
		{"application/json;q=0.5, " + table + ";q=0.9", "", query.Metadata, false},
		{"application/json;as=Table;v=v1beta1;g=meta.k8s.io", "", query.Metadata, false},
		{"application/json;as=Table;v=v2;g=meta.k8s.io, application/json", "", query.Full, true},
		{"application/json;as=Table;v=v1;g=example.io, application/json", "", query.Full, true},
		{"application/json;as=Table, application/json", "", query.Full, true},
		{"application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io, application/json", "", query.Full, true},
		{"text/html", "", query.Full, false},
	} {
		st := &asked{shelf: fixture(t).storage.(*shelf)}
		s, err := New(t.Context(), st, nil, query.CountNone, warner(t), nil, codecs(t))
		require.NoError(t, err)
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?groups=*"+tc.query, nil)
		req.Header.Set("Accept", tc.accept)
		var flows bool
		WithRequest(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			obj, getErr := s.Get(req.Context(), "any", nil)
			err = getErr
			_, flows = obj.(*stream)
		})).ServeHTTP(httptest.NewRecorder(), req)
		require.NoError(t, err)
		require.Equal(t, tc.want, st.projection, tc.accept+tc.query)
		require.Equal(t, tc.flows, flows, tc.accept)
	}
}

// asked keeps what was read last.
type asked struct {
	*shelf
	projection query.Projection
}

func (a *asked) List(ctx context.Context, q *query.Query, yield func(*storage.Object) error) (storage.Page, error) {
	a.projection = q.Projection
	return a.shelf.List(ctx, q, yield)
}

// TestWithoutCollections serves a storage layer that defines none.
func TestWithoutCollections(t *testing.T) {
	t.Parallel()
	s, err := New(t.Context(), struct{ storage.Storage }{}, nil, query.CountNone, warner(t), nil, codecs(t))
	require.NoError(t, err)
	_, err = get(t, s, "any", "groups=apps")
	require.ErrorContains(t, err, "not found")
}
