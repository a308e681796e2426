package membercluster

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

// answers are what a member answers, by path; a path that is missing is not found.
type answers struct {
	mu    sync.Mutex
	paths map[string]http.HandlerFunc
	seen  []*http.Request
}

func (a *answers) set(path string, h http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.paths[path] = h
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	h := a.paths[r.URL.Path]
	a.seen = append(a.seen, r)
	a.mu.Unlock()
	if h == nil {
		http.Error(w, "404 page not found", http.StatusNotFound)
		return
	}
	h(w, r)
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

func code(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func newMember(t *testing.T, prefix string) (*answers, *Client) {
	t.Helper()
	a := &answers{paths: map[string]http.HandlerFunc{}}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	client, err := NewClient(&rest.Config{Host: server.URL + prefix, BearerToken: "token", UserAgent: "test"})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return a, client
}

func TestGet(t *testing.T) {
	t.Parallel()
	a, client := newMember(t, "/k8s/clusters/c-1/")
	a.set("/k8s/clusters/c-1/api/v1/pods", text("ok"))
	response, err := client.Get(t.Context(), Request{Path: "/api/v1/pods", Query: url.Values{"limit": {"1"}}, ETag: "e"})
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, "/k8s/clusters/c-1/api/v1/pods?limit=1", a.seen[0].URL.String())
	require.Equal(t, "Bearer token", a.seen[0].Header.Get("Authorization"))
	require.Equal(t, "application/json", a.seen[0].Header.Get("Accept"))
	require.Equal(t, "test", a.seen[0].Header.Get("User-Agent"))
	require.Equal(t, "e", a.seen[0].Header.Get("If-None-Match"))

	for _, test := range []struct {
		answer http.HandlerFunc
		is     func(error) bool
		text   string
	}{
		{code(410, `{"kind":"Status","status":"Failure","reason":"Expired","code":410,"message":"too old"}`), apierrors.IsResourceExpired, "too old"},
		{code(403, `{"kind":"Status","status":"Failure","reason":"Forbidden","code":403,"message":"no"}`), apierrors.IsForbidden, "no"},
		{code(502, `<html>bad gateway</html>`), apierrors.IsInternalError, "bad gateway"},
		{code(404, ``), apierrors.IsNotFound, "could not find"},
		{code(204, ``), func(err error) bool { return err != nil }, ""},
		{func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Retry-After", "7"); code(429, "")(w, r) }, func(err error) bool {
			seconds, ok := apierrors.SuggestsClientDelay(err)
			return ok && seconds == 7
		}, ""},
	} {
		a.set("/k8s/clusters/c-1/x", test.answer)
		_, err := client.Get(t.Context(), Request{Path: "/x"}) //nolint:bodyclose // There is none.
		require.ErrorContains(t, err, test.text)
		if test.text != "bad gateway" {
			require.True(t, test.is(err), "%v", err)
		}
	}
}

func TestHealthAndVersion(t *testing.T) {
	t.Parallel()
	a, client := newMember(t, "")
	require.Error(t, client.CheckHealth(t.Context()))
	a.set("/healthz", text("ok"))
	require.NoError(t, client.CheckHealth(t.Context()))
	a.set("/readyz", code(500, "etcd failed"))
	require.ErrorContains(t, client.CheckHealth(t.Context()), "etcd failed")

	_, err := client.Version(t.Context())
	require.ErrorContains(t, err, "get version: ")
	a.set("/version", text("<html>"))
	_, err = client.Version(t.Context())
	require.ErrorContains(t, err, "get version: decode the answer")
	a.set("/version", text(`{"gitVersion":"v1.37.2"}`))
	version, err := client.Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "v1.37.2", version)
}

func TestNewClientRefuses(t *testing.T) {
	t.Parallel()
	for _, config := range []*rest.Config{
		{Host: "https://x y"},
		{Host: "https://x", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("no PEM")}},
		{Host: "https://x", TLSClientConfig: rest.TLSClientConfig{CertData: []byte("no PEM"), KeyData: []byte("no PEM")}},
	} {
		_, err := NewClient(config)
		require.Error(t, err)
	}
}

const (
	legacyCore  = `{"kind":"APIVersions","versions":["v1"]}`
	legacyV1    = `{"groupVersion":"v1","resources":[{"name":"pods","singularName":"pod","kind":"Pod","namespaced":true,"verbs":["list","watch"]},{"name":"pods/log","kind":"Pod"}]}`
	legacyNamed = `{"kind":"APIGroupList","groups":[{"name":"apps","versions":[{"version":"v1"},{"version":"v1beta1"}]}]}`
	legacyApps  = `{"groupVersion":"apps/v1","resources":[{"name":"deployments","singularName":"deployment","kind":"Deployment","namespaced":true,"verbs":["list"]}]}`
)

var (
	pods        = Resource{Name: "pods", Singular: "pod", Kind: "Pod", Namespaced: true, Verbs: []string{"list", "watch"}}
	deployments = Resource{Name: "deployments", Singular: "deployment", Kind: "Deployment", Namespaced: true, Verbs: []string{"list"}}
)

func look(t *testing.T, d *discoverer) []Group {
	t.Helper()
	served, err := d.fetch(t.Context())
	require.NoError(t, err)
	return served.Groups
}

func TestLegacyDiscovery(t *testing.T) {
	t.Parallel()
	a, client := newMember(t, "")
	d := newDiscoverer(client)
	_, err := d.fetch(t.Context())
	require.ErrorContains(t, err, "discover /api: ")
	a.set("/api", text(legacyCore))
	a.set("/api/v1", text(legacyV1))
	a.set("/apis", text(legacyNamed))
	a.set("/apis/apps/v1", text(legacyApps))
	core := Group{Versions: []Version{{Version: "v1", Resources: []Resource{pods}}}}
	unknown := Version{Version: "v1beta1", Unknown: true}
	require.Equal(t, []Group{core, {Name: "apps", Versions: []Version{{Version: "v1", Resources: []Resource{deployments}}, unknown}}}, look(t, d))
	require.True(t, pods.Syncable())
	require.False(t, deployments.Syncable())

	// What fails stays as it was; what is positively told changes.
	a.set("/apis/apps/v1", code(503, ""))
	a.set("/apis/apps/v1beta1", text(`{"groupVersion":"apps/v1beta1","resources":[]}`))
	a.set("/api/v1", text(`{"groupVersion":"v1","resources":[]}`))
	require.Equal(t, []Group{
		{Versions: []Version{{Version: "v1"}}},
		{Name: "apps", Versions: []Version{{Version: "v1", Resources: []Resource{deployments}}, {Version: "v1beta1"}}},
	}, look(t, d))

	// An answer that is none, or names nothing, is a failure.
	for _, body := range []string{"<html>", `{"kind":"APIGroupList","groups":[]}`, `{}`} {
		a.set("/apis", text(body))
		_, err = d.fetch(t.Context())
		require.Error(t, err)
	}
	a.set("/apis", text(`{"kind":"APIGroupList","groups":[{"name":"other.io","versions":[{"version":"v1"}]}]}`))
	require.Equal(t, []Group{{Versions: []Version{{Version: "v1"}}}, {Name: "other.io", Versions: []Version{{Version: "v1", Unknown: true}}}}, look(t, d))
}

func aggregated(etag, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if etag != "" && r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
		w.Header().Set("ETag", etag)
		text(body)(w, r)
	}
}

func TestAggregatedDiscovery(t *testing.T) {
	t.Parallel()
	a, client := newMember(t, "")
	const group = `{"metadata":{"name":"apps"},"versions":[{"version":"v1","freshness":"Current","resources":[
		{"resource":"deployments","singularResource":"deployment","responseKind":{"kind":"Deployment"},"scope":"Namespaced","verbs":["list"]},
		{"resource":"onlysub","responseKind":{"kind":""},"scope":"Namespaced"}]}]}`
	a.set("/api", aggregated("core", `{"items":[{"metadata":{},"versions":[{"version":"v1","resources":[{"resource":"pods","singularResource":"pod","responseKind":{"kind":"Pod"},"scope":"Namespaced","verbs":["list","watch"]}]}]}]}`))
	a.set("/apis", aggregated("one", `{"items":[`+group+`,{"metadata":{"name":"metrics.k8s.io"},"versions":[{"version":"v1beta1","freshness":"Stale"}]}]}`))
	d := newDiscoverer(client)
	core := Group{Versions: []Version{{Version: "v1", Resources: []Resource{pods}}}}
	apps := Group{Name: "apps", Versions: []Version{{Version: "v1", Resources: []Resource{deployments}}}}
	metrics := Group{Name: "metrics.k8s.io", Versions: []Version{{Version: "v1beta1", Unknown: true}}}
	require.Equal(t, []Group{core, apps, metrics}, look(t, d))
	require.Equal(t, []Group{core, apps, metrics}, look(t, d))

	served, err := d.fetch(t.Context())
	require.NoError(t, err)
	require.True(t, served.Complete("apps"))
	require.True(t, served.Complete("nothing"))
	require.False(t, served.Complete("metrics.k8s.io"))

	a.set("/apis", aggregated("two", `{"items":[`+group+`]}`))
	require.Equal(t, []Group{core, apps}, look(t, d))
	a.set("/apis", aggregated("three", `{"items":[{"metadata":{"name":"apps"},"versions":[{"version":"v1","freshness":"Stale"}]}]}`))
	require.Equal(t, []Group{core, apps}, look(t, d))
	a.set("/apis", aggregated("", `{"items":[]}`))
	_, err = d.fetch(t.Context())
	require.ErrorContains(t, err, "names no group")
}

func TestMonitorFollowsDefinitions(t *testing.T) {
	t.Parallel()
	a, client := newMember(t, "")
	a.set("/api", text(legacyCore))
	a.set("/api/v1", text(legacyV1))
	a.set("/apis", text(legacyNamed))
	a.set("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Has("sendInitialEvents") { // as members of some age do
			code(422, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)(w, r)
			return
		}
		if r.URL.Query().Get("watch") != "" {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		text(`{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"7"},"items":[{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"widgets.example.io","uid":"u","resourceVersion":"5"}}]}`)(w, r)
	})
	m, err := NewMonitor(client, klog.Background())
	require.NoError(t, err)
	served, err := m.Look(t.Context())
	require.NoError(t, err)
	require.Nil(t, served.CustomGroups)
	looks := make(chan *Served, 100)
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer close(done)
		m.Run(ctx, func(s *Served) { looks <- s })
	}()
	deadline := time.After(30 * time.Second)
	for served.CustomGroups == nil {
		select {
		case served = <-looks:
		case <-deadline:
			require.Fail(t, "the definitions were not noticed")
		}
	}
	require.Equal(t, map[string]bool{"example.io": true}, served.CustomGroups)
	cancel()
	<-done
}
