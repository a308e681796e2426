package discovery_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	clientdiscovery "k8s.io/client-go/discovery/fake"
	clienttesting "k8s.io/client-go/testing"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/apiserver/discovery"
	"clusterpedia.io/clusterpedia/internal/builtin"
	"clusterpedia.io/storage-api/object"
)

func resource(name, kind string, namespaced bool, versions ...string) v1alpha2.ClusterResourceStatus {
	r := v1alpha2.ClusterResourceStatus{Name: name, Kind: kind, Namespaced: namespaced}
	for _, v := range versions {
		r.SyncConditions = append(r.SyncConditions, v1alpha2.ClusterResourceSyncCondition{Version: v})
	}
	return r
}

func cluster(name string, groups ...v1alpha2.ClusterGroupResourcesStatus) *v1alpha2.PediaCluster {
	return &v1alpha2.PediaCluster{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1alpha2.ClusterStatus{SyncResources: groups}}
}

func fixture() *discovery.Catalog {
	catalog := discovery.NewCatalog(builtin.NewScheme())
	events := catalog.Handler()
	events.OnAdd(cluster("one",
		v1alpha2.ClusterGroupResourcesStatus{Resources: []v1alpha2.ClusterResourceStatus{
			resource("pods", "Pod", true, "v1"), resource("nodes", "Node", false, "v1"), resource("secrets", "Secret", true),
		}},
		v1alpha2.ClusterGroupResourcesStatus{Group: "apps", Resources: []v1alpha2.ClusterResourceStatus{resource("deployments", "Deployment", true, "v1")}},
	), true)
	events.OnAdd(cluster("two",
		v1alpha2.ClusterGroupResourcesStatus{Group: "example.io", Resources: []v1alpha2.ClusterResourceStatus{resource("widgets", "Widget", true, "v1beta1", "v2", "v1")}},
	), true)
	events.OnAdd(cluster("empty"), true)
	return catalog
}

func codecs() runtime.NegotiatedSerializer {
	s := runtime.NewScheme()
	v1 := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(s, v1)
	s.AddUnversionedTypes(v1, &metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
	return serializer.NewCodecFactory(s)
}

func noSubresources(string) []metav1.APIResource { return nil }

func TestDocuments(t *testing.T) {
	t.Parallel()
	h := discovery.NewHandler(fixture(), codecs(), []string{"get", "list"}, noSubresources)
	const notFound = "404 page not found\n"
	for _, c := range []struct{ cluster, path, want string }{
		{"", "/api", `{"kind":"APIVersions","versions":["v1"],"serverAddressByClientCIDRs":null}`},
		{"unknown", "/api", `{"kind":"APIVersions","versions":["v1"],"serverAddressByClientCIDRs":null}`},
		{"", "/apis", `{"kind":"APIGroupList","groups":[` +
			`{"name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"},{"groupVersion":"apps/v1beta2","version":"v1beta2"},{"groupVersion":"apps/v1beta1","version":"v1beta1"}],"preferredVersion":{"groupVersion":"apps/v1","version":"v1"}},` +
			`{"name":"example.io","versions":[{"groupVersion":"example.io/v2","version":"v2"},{"groupVersion":"example.io/v1","version":"v1"},{"groupVersion":"example.io/v1beta1","version":"v1beta1"}],"preferredVersion":{"groupVersion":"example.io/v2","version":"v2"}}]}`},
		{"empty", "/apis", `{"kind":"APIGroupList","groups":[]}`},
		{"", "/api/v1", `{"kind":"APIResourceList","groupVersion":"v1","resources":[` +
			`{"name":"nodes","singularName":"","namespaced":false,"kind":"Node","verbs":["get","list"]},` +
			`{"name":"pods","singularName":"","namespaced":true,"kind":"Pod","verbs":["get","list"]}]}`},
		{"two", "/apis/example.io/v2", `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"example.io/v2","resources":[` +
			`{"name":"widgets","singularName":"","namespaced":true,"kind":"Widget","verbs":["get","list"]}]}`},
		{"one", "/apis/apps/v1beta1", `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"apps/v1beta1","resources":[` +
			`{"name":"deployments","singularName":"","namespaced":true,"kind":"Deployment","verbs":["get","list"]}]}`},
		{"unknown", "/apis", notFound},
		{"empty", "/api/v1", notFound},
		{"two", "/apis/apps", notFound},
		{"", "/apis/nope/v1", notFound},
		{"", "/api/v2", notFound},
		{"", "/apis/apps/v1/deployments/x", notFound},
	} {
		t.Run(c.cluster+c.path, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, nil), c.cluster, c.path)
			if c.want == notFound {
				require.Equal(t, http.StatusNotFound, w.Code)
				require.Equal(t, c.want, w.Body.String())
				return
			}
			require.Equal(t, http.StatusOK, w.Code)
			require.JSONEq(t, c.want, w.Body.String())
		})
	}
}

func TestAggregated(t *testing.T) {
	t.Parallel()
	h := discovery.NewHandler(fixture(), codecs(), []string{"get", "list"}, logs)
	const version = `{"version":VERSION,"freshness":"Current","resources":[{"resource":RESOURCE,"responseKind":{"group":GROUP,"version":VERSION,"kind":KIND},"scope":SCOPE,"singularResource":"","verbs":["get","list"]}]}`
	one := func(group, v, resource, kind, scope string) string {
		return strings.NewReplacer("VERSION", strconv.Quote(v), "RESOURCE", strconv.Quote(resource), "GROUP", strconv.Quote(group), "KIND", strconv.Quote(kind), "SCOPE", strconv.Quote(scope)).Replace(version)
	}
	head := func(v string) string {
		return `{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/` + v + `","metadata":{},"items":[`
	}
	group := func(name string, versions ...string) string {
		metadata := `{}`
		if name != "" {
			metadata = `{"name":` + strconv.Quote(name) + `}`
		}
		return `{"metadata":` + metadata + `,"versions":[` + strings.Join(versions, ",") + `]}`
	}
	apps := group("apps", one("apps", "v1", "deployments", "Deployment", "Namespaced"), one("apps", "v1beta2", "deployments", "Deployment", "Namespaced"), one("apps", "v1beta1", "deployments", "Deployment", "Namespaced"))
	example := group("example.io", one("example.io", "v2", "widgets", "Widget", "Namespaced"), one("example.io", "v1", "widgets", "Widget", "Namespaced"), one("example.io", "v1beta1", "widgets", "Widget", "Namespaced"))
	const pod = `{"resource":"pods","responseKind":{"group":"","version":"v1","kind":"Pod"},"scope":"Namespaced","singularResource":"","verbs":["get","list"],` +
		`"subresources":[{"subresource":"log","responseKind":{"group":"","version":"v1","kind":""},"verbs":["get"]}]}`
	for _, c := range []struct{ cluster, path, accept, want string }{
		{"", "/apis", "v2", head("v2") + apps + "," + example + "]}"},
		{"two", "/apis", "v2", head("v2") + example + "]}"},
		{"one", "/api", "v2", head("v2") + group("", strings.Replace(one("", "v1", "nodes", "Node", "Cluster"), `}]}`, `},`+pod+`]}`, 1)) + "]}"},
		{"two", "/api", "v2", head("v2") + "]}"},
		{"empty", "/apis", "v2", head("v2") + "]}"},
		{"unknown", "/api", "v2", `{"kind":"APIVersions","versions":["v1"],"serverAddressByClientCIDRs":null}`},
	} {
		t.Run(c.cluster+c.path+c.accept, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, nil)
			req.Header.Set("Accept", "application/json;g=apidiscovery.k8s.io;v="+c.accept+";as=APIGroupDiscoveryList,application/json")
			h.ServeHTTP(w, req, c.cluster, c.path)
			require.Equal(t, http.StatusOK, w.Code)
			require.JSONEq(t, c.want, w.Body.String())
		})
	}
}

// logs are the subresources of pods.
func logs(resource string) []metav1.APIResource {
	if resource != "pods" {
		return nil
	}
	return []metav1.APIResource{{Name: "pods/log", Namespaced: true, Verbs: metav1.Verbs{"get"}}}
}

func TestSubresources(t *testing.T) {
	t.Parallel()
	h := discovery.NewHandler(fixture(), codecs(), []string{"get", "list"}, logs)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1", nil), "one", "/api/v1")
	require.JSONEq(t, `{"kind":"APIResourceList","groupVersion":"v1","resources":[`+
		`{"name":"nodes","singularName":"","namespaced":false,"kind":"Node","verbs":["get","list"]},`+
		`{"name":"pods","singularName":"","namespaced":true,"kind":"Pod","verbs":["get","list"]},`+
		`{"name":"pods/log","singularName":"","namespaced":true,"kind":"","verbs":["get"]}]}`, w.Body.String())
}

func TestResource(t *testing.T) {
	t.Parallel()
	catalog := fixture()
	all, ok := catalog.View("")
	require.True(t, ok)
	old, ok := all.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1beta1", Resource: "deployments"})
	require.True(t, ok)
	require.Equal(t, object.Resource{Group: "apps", Version: "v1", Resource: "deployments"}, old.Stored, "compiled-in kinds are converted")
	custom, ok := all.Resource(schema.GroupVersionResource{Group: "example.io", Version: "v1beta1", Resource: "widgets"})
	require.True(t, ok)
	require.Equal(t, object.Resource{Group: "example.io", Version: "v1beta1", Resource: "widgets"}, custom.Stored, "others are not")
	_, ok = all.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"})
	require.False(t, ok, "no version of it is synced")
}

func TestCatalogFollowsClusters(t *testing.T) {
	t.Parallel()
	catalog := fixture()
	events := catalog.Handler()
	pods := schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	has := func(name string) bool {
		view, ok := catalog.View(name)
		if !ok {
			return false
		}
		_, ok = view.Resource(pods)
		return ok
	}
	require.True(t, has("one"))
	require.True(t, has(""))

	before := cluster("one", v1alpha2.ClusterGroupResourcesStatus{Resources: []v1alpha2.ClusterResourceStatus{resource("pods", "Pod", true, "v1")}})
	terminating := before.DeepCopy()
	now := metav1.Now()
	terminating.DeletionTimestamp = &now
	events.OnUpdate(before, terminating)
	require.False(t, has("one"), "a cluster that is being deleted is not served")
	require.False(t, has(""))

	fresh := discovery.NewCatalog(builtin.NewScheme())
	fresh.Handler().OnAdd(terminating, true)
	_, ok := fresh.View("one")
	require.False(t, ok, "also not after a restart")

	events.OnUpdate(cluster("empty"), func() *v1alpha2.PediaCluster { c := before.DeepCopy(); c.Name = "empty"; return c }())
	require.True(t, has("empty"))
	events.OnDelete(cluster("empty"))
	require.False(t, has("empty"))
}

func TestHostNames(t *testing.T) {
	t.Parallel()
	catalog := fixture()
	host := &clientdiscovery.FakeDiscovery{Fake: &clienttesting.Fake{Resources: []*metav1.APIResourceList{{
		GroupVersion: "v1",
		APIResources: []metav1.APIResource{{Name: "pods", SingularName: "pod", ShortNames: []string{"po"}, Kind: "Pod", Namespaced: true, Verbs: metav1.Verbs{"get", "list", "delete"}}},
	}}}}
	ctx := t.Context()
	done := make(chan struct{})
	go func() { defer close(done); catalog.FollowHost(ctx, host) }()
	h := discovery.NewHandler(catalog, codecs(), []string{"list"}, noSubresources)
	require.Eventually(t, func() bool {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1", nil), "one", "/api/v1")
		var list metav1.APIResourceList
		return json.Unmarshal(w.Body.Bytes(), &list) == nil && strings.Contains(w.Body.String(), `"shortNames":["po"]`) &&
			!strings.Contains(w.Body.String(), "delete")
	}, 10e9, 10e6)
}
