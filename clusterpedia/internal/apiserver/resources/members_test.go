package resources_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/server/filters"
	"k8s.io/client-go/tools/cache"

	"clusterpedia.io/api/client/listers/cluster/v1alpha2"
	clusterv1alpha2 "clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/apiserver/discovery"
	"clusterpedia.io/clusterpedia/internal/apiserver/memberaccess"
	"clusterpedia.io/clusterpedia/internal/apiserver/resources"
	"clusterpedia.io/clusterpedia/internal/builtin"
)

// member is the API server of a member cluster that says what it was asked.
type member struct {
	*httptest.Server
	mu  sync.Mutex
	was http.Header
	// gone is closed when a stream's client has gone.
	gone chan struct{}
}

func newMember(t *testing.T) *member {
	t.Helper()
	m := &member{gone: make(chan struct{}, 10)}
	m.Server = httptest.NewUnstartedServer(http.HandlerFunc(m.serve))
	m.EnableHTTP2 = true
	m.StartTLS()
	t.Cleanup(m.Close)
	return m
}

// seen are the headers of the last request.
func (m *member) seen() http.Header {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.was
}

func (m *member) serve(w http.ResponseWriter, req *http.Request) {
	m.mu.Lock()
	m.was = req.Header.Clone()
	m.mu.Unlock()
	flush := func() { _ = http.NewResponseController(w).Flush() }
	w.Header().Set("Set-Cookie", "a=b")
	w.Header().Set("Cache-Control", "of the member")
	switch {
	case req.Header.Get("Upgrade") == "echo":
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(conn, buffered)
		m.gone <- struct{}{}
	case req.URL.Query().Get("follow") == "true":
		for i := 0; ; i++ {
			fmt.Fprintf(w, "line %d\n", i)
			flush()
			select {
			case <-req.Context().Done():
				m.gone <- struct{}{}
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	case strings.HasSuffix(req.URL.Path, "/breaks"):
		fmt.Fprint(w, "half of")
		flush()
		panic(http.ErrAbortHandler) //nolint:forbidigo // the one way to break off
	case strings.HasSuffix(req.URL.Path, "/redirects"):
		http.Redirect(w, req, "https://elsewhere.example/", http.StatusFound)
	case strings.HasSuffix(req.URL.Path, "/teapot"):
		w.WriteHeader(http.StatusTeapot)
	default:
		body, _ := io.ReadAll(req.Body)
		fmt.Fprintf(w, "%s %s %s", req.Method, req.URL.RequestURI(), body)
	}
}

func (m *member) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.Certificate().Raw})
}

func (m *member) kubeconfig(more string) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"c","user":"u"}}],"clusters":[{"name":"c","cluster":{"server":%q,%s}}],"users":[{"name":"u","user":{"token":"own"}}]}`, m.URL+"/base", more)
}

// front is a server that passes requests on to a member: as cluster one by its
// kubeconfig, as two without a CA, as three without verification, and four has no
// address. Five is not reachable.
func front(t *testing.T, m *member, config memberaccess.Config, values ...string) *httptest.Server {
	t.Helper()
	var err error
	config.Allowed, err = memberaccess.ParseSubresources(values)
	require.NoError(t, err)
	kinds := builtin.NewScheme()
	catalog := discovery.NewCatalog(kinds)
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	ca := base64.StdEncoding.EncodeToString(m.ca())
	for name, spec := range map[string]clusterv1alpha2.ClusterSpec{
		"one":   {Kubeconfig: m.kubeconfig(`"certificate-authority-data":"` + ca + `"`)},
		"two":   {APIServer: m.URL, TokenData: []byte("own")},
		"three": {Kubeconfig: m.kubeconfig(`"insecure-skip-tls-verify":true`)},
		"four":  {},
		"five":  {APIServer: "https://127.0.0.1:1", TokenData: []byte("own"), CAData: m.ca()},
	} {
		synced := func(name, kind string, namespaced bool) clusterv1alpha2.ClusterResourceStatus {
			return clusterv1alpha2.ClusterResourceStatus{Name: name, Kind: kind, Namespaced: namespaced, SyncConditions: []clusterv1alpha2.ClusterResourceSyncCondition{{Version: "v1"}}}
		}
		c := &clusterv1alpha2.PediaCluster{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec, Status: clusterv1alpha2.ClusterStatus{
			SyncResources: []clusterv1alpha2.ClusterGroupResourcesStatus{{Resources: []clusterv1alpha2.ClusterResourceStatus{synced("pods", "Pod", true), synced("services", "Service", true)}}},
		}}
		if len(spec.Kubeconfig) > 0 {
			c.Status.APIServer = m.URL
		}
		require.NoError(t, indexer.Add(c))
		catalog.Handler().OnAdd(c, true)
	}
	h := resources.NewHandler(resources.Config{Storage: fixture(), Scheme: kinds, Catalog: catalog, Clusters: v1alpha2.NewPediaClusterLister(indexer), Members: config})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		cluster, path, _ := strings.Cut(strings.TrimPrefix(req.URL.EscapedPath(), "/"), "/")
		w.Header().Set("Cache-Control", "of the front")
		h.Serve(w, req, strings.TrimPrefix(cluster, "all"), "/"+path)
	}))
	t.Cleanup(server.Close)
	return server
}

// ask sends a request whose headers are pairs of name and value.
func ask(t *testing.T, server *httptest.Server, method, path, body string, headers ...string) (answer, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	// Paths go out as they are.
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header}, string(text)
}

const (
	forwardHeader = "x-clusterpedia-forward"
	log           = "/api/v1/namespaces/default/pods/a/log"
	notFound      = "404 page not found\n"
)

func TestForwarding(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	all := memberaccess.Config{UsePediaClusterConfig: true, ProxyPath: true, ForwardUnsynced: true}
	subresources := []string{"log", "exec", "portfowrd", "pods/proxy", "services/proxy"}
	shell := []string{forwardHeader, "true", "Connection", "Upgrade", "Upgrade", "websocket"}
	for name, tc := range map[string]struct {
		config       memberaccess.Config
		allowed      []string
		method, path string
		header       []string
		code         int
		body         string
	}{
		"by default":                    {path: "/one/api/v1/pods?b=1&a=2", header: []string{forwardHeader, "true"}, code: 200, body: "GET /api/v1/pods?b=1&a=2 "},
		"only on demand":                {path: "/one/api/v1/pods", code: 200, body: `"kind":"PodList"`},
		"by label":                      {path: "/one/api/v1/pods?labelSelector=a%3Db,search.clusterpedia.io/forward", code: 200, body: "GET /api/v1/pods?labelSelector=a%3Db "},
		"a label that says no":          {path: "/one/api/v1/pods?labelSelector=search.clusterpedia.io/forward%3Dfalse", code: 200, body: `"kind":"PodList"`},
		"with the path of a kubeconfig": {config: all, path: "/one/api/v1/pods", header: []string{forwardHeader, "true"}, code: 200, body: "GET /base/api/v1/pods "},
		"discovery":                     {path: "/one/apis/apps/v1", header: []string{forwardHeader, "true"}, code: 200, body: "GET /apis/apps/v1 "},
		"what is the server's own":      {path: "/one/version", header: []string{forwardHeader, "true"}, code: 200, body: `"gitVersion"`},
		"another path":                  {path: "/one/metrics", header: []string{forwardHeader, "true"}, code: 404, body: notFound},
		"not synced":                    {path: "/one/api/v1/secrets", header: []string{forwardHeader, "true"}, code: 404, body: notFound},
		"not synced, but allowed":       {config: all, path: "/one/api/v1/secrets", header: []string{forwardHeader, "true"}, code: 200, body: "GET /base/api/v1/secrets "},
		"unknown cluster":               {path: "/nope/api/v1/pods", header: []string{forwardHeader, "true"}, code: 400, body: "the server could not find the requested cluster"},
		"unknown cluster, discovery":    {path: "/nope/api", header: []string{forwardHeader, "true"}, code: 400, body: `pediacluster.cluster.clusterpedia.io \"nope\" not found`},
		"unknown cluster, not synced":   {config: all, path: "/nope/api/v1/secrets", header: []string{forwardHeader, "true"}, code: 400, body: `pediacluster.cluster.clusterpedia.io \"nope\" not found`},
		"no cluster":                    {path: "/all/api/v1/pods", header: []string{forwardHeader, "true"}, code: 400, body: "please specify the cluster name when using proxy model."},
		"no cluster, discovery":         {path: "/all/apis", header: []string{forwardHeader, "true"}, code: 400, body: "please specify the cluster name when using proxy model."},
		"no address":                    {path: "/four/api/v1/pods", header: []string{forwardHeader, "true"}, code: 400, body: ".Spec.APIServer and .Status.APIServer are empty"},
		"not reachable":                 {path: "/five/api/v1/pods", header: []string{forwardHeader, "true"}, code: 500, body: "dial tcp 127.0.0.1:1: connect: connection refused"},
		"no base64":                     {path: "/one/api/v1/pods", header: []string{forwardHeader, "true", "X-Clusterpedia-Proxy-Ca", "!!!"}, code: 400, body: "illegal base64 data at input byte 0"},
		"no PEM":                        {path: "/one/api/v1/pods", header: []string{forwardHeader, "true", "X-Clusterpedia-Proxy-Ca", "eA=="}, code: 400, body: "the X-Clusterpedia-Proxy headers: tls: unable to load root certificates"},
		"no CA":                         {path: "/two/api/v1/pods", header: []string{forwardHeader, "true"}, code: 500, body: "tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		"no CA, its own credentials":    {config: all, path: "/two/api/v1/pods", header: []string{forwardHeader, "true"}, code: 500, body: "x509: certificate signed by unknown authority"},
		"a CA of the caller":            {path: "/two/api/v1/pods", header: []string{forwardHeader, "true", "X-Clusterpedia-Proxy-Ca", base64.StdEncoding.EncodeToString(m.ca())}, code: 200, body: "GET /api/v1/pods "},
		"insecure by kubeconfig":        {path: "/three/api/v1/pods", header: []string{forwardHeader, "true"}, code: 200, body: "GET /api/v1/pods "},
		"names with escapes":            {config: all, path: "/one/proxy/api/v1/x%2Fy%3Fz", code: 200, body: "GET /base/api/v1/x%2Fy%3Fz "},

		"the proxy path":           {config: all, method: http.MethodPost, path: "/one/proxy/api/v1/namespaces/x/pods?a=b", code: 200, body: "POST /base/api/v1/namespaces/x/pods?a=b body"},
		"the proxy path itself":    {config: all, path: "/one/proxy", code: 200, body: "GET /base/ "},
		"a status of the member's": {config: all, path: "/one/proxy/teapot", code: 418},
		"not enabled":              {path: "/one/proxy/version", code: 404, body: notFound},
		"another prefix":           {config: all, path: "/one/proxyx/version", code: 404, body: notFound},
		"the proxy path of all":    {config: all, path: "/all/proxy/version", code: 400, body: "please specify the cluster name when using proxy model."},
		"the proxy path of none":   {config: all, path: "/nope/proxy/version", code: 400, body: `pediacluster.cluster.clusterpedia.io \"nope\" not found`},
		"dots":                     {config: all, path: "/one/proxy/api/v1/../../metrics", code: 400, body: "must not have segments that are empty, . or .."},
		"escaped dots":             {config: all, path: "/one/proxy/api/v1/%2e%2e/x", code: 400, body: "must not have segments that are empty, . or .."},
		"empty segments":           {config: all, path: "/one/proxy/api/v1//pods", code: 400, body: "must not have segments that are empty, . or .."},
		"empty segments at first":  {config: all, path: "/one/proxy//api/v1/pods", code: 400, body: "must not have segments that are empty, . or .."},
		"a slash at the end":       {config: all, path: "/one/proxy/api/v1/pods/", code: 200, body: "GET /base/api/v1/pods/ "},
		"a redirection":            {config: all, path: "/one/proxy/redirects", code: 502, body: "redirects to https://elsewhere.example/"},

		"logs":                            {allowed: subresources, path: "/one" + log + "?container=c&foo=bar", code: 200, body: "GET " + log + "?container=c&foo=bar "},
		"logs, not allowed":               {path: "/one" + log, code: 500, body: "not found request scope or resource storage"},
		"attach, not allowed":             {allowed: subresources, path: "/one/api/v1/namespaces/default/pods/a/attach", code: 500, body: "not found request scope or resource storage"},
		"logs of all":                     {allowed: subresources, path: "/all" + log, code: 400, body: "please specify the cluster name when using proxy model."},
		"logs with a bad option":          {allowed: subresources, path: "/one" + log + "?tailLines=abc", code: 400, body: "abc"},
		"logs by POST":                    {allowed: subresources, method: http.MethodPost, path: "/one" + log, code: 405, body: `create is not supported on resources of kind \"pods\"`},
		"a shell without upgrade":         {allowed: subresources, path: "/one/api/v1/namespaces/default/pods/a/exec?command=x", code: 400, body: "Upgrade request required"},
		"a port without upgrade":          {allowed: subresources, method: http.MethodPost, path: "/one/api/v1/namespaces/default/pods/a/portforward", code: 400, body: "Upgrade request required"},
		"an application":                  {allowed: subresources, method: http.MethodPut, path: "/one/api/v1/namespaces/default/pods/a:80/proxy/x//y?z=1", code: 200, body: "PUT /api/v1/namespaces/default/pods/a:80/proxy/x//y?z=1 body"},
		"an application, dots":            {allowed: subresources, path: "/one/api/v1/namespaces/default/pods/a:80/proxy/../../b", code: 400, body: "must not have segments"},
		"of a node, not synced":           {allowed: []string{"proxy"}, path: "/one/api/v1/nodes/n/proxy/x", code: 404, body: notFound},
		"a create":                        {config: all, method: http.MethodPost, path: "/one/api/v1/namespaces/default/pods", code: 405, body: `create is not supported on resources of kind \"pods\"`},
		"a shell by header":               {path: "/one/api/v1/namespaces/default/pods/a/exec?command=x", header: shell, code: 500, body: "not found request scope or resource storage"},
		"a shell by header, unsynced":     {config: memberaccess.Config{ForwardUnsynced: true}, path: "/one/api/v1/namespaces/default/pods/a/exec?command=x", header: shell, code: 500, body: "not found request scope or resource storage"},
		"a shell by header, allowed":      {allowed: subresources, path: "/one/api/v1/namespaces/default/pods/a/exec?command=x", header: []string{forwardHeader, "true"}, code: 400, body: "Upgrade request required"},
		"a shell by header and POST":      {allowed: subresources, method: http.MethodPost, path: "/one/api/v1/namespaces/default/pods/a/exec", header: []string{forwardHeader, "true"}, code: 400, body: "Upgrade request required"},
		"a shell by header, no cluster":   {path: "/all/api/v1/namespaces/default/pods/a/exec?command=x", header: shell, code: 400, body: "please specify the cluster name when using proxy model."},
		"a write by header, no cluster":   {allowed: subresources, method: http.MethodPost, path: "/all/api/v1/namespaces/default/pods", header: []string{forwardHeader, "true"}, code: 400, body: "please specify the cluster name when using proxy model."},
		"a port by header":                {path: "/one/api/v1/namespaces/default/pods/a/portforward", header: shell, code: 500, body: "not found request scope or resource storage"},
		"an application by header":        {path: "/one/api/v1/namespaces/default/services/a/proxy/x", header: []string{forwardHeader, "true"}, code: 500, body: "not found request scope or resource storage"},
		"a node by header":                {config: memberaccess.Config{ForwardUnsynced: true}, path: "/one/api/v1/nodes/n/proxy/run", header: []string{forwardHeader, "true"}, code: 500, body: "not found request scope or resource storage"},
		"a console by header":             {config: memberaccess.Config{ForwardUnsynced: true}, path: "/one/apis/subresources.example.io/v1/namespaces/default/machines/a/console", header: shell, code: 500, body: "not found request scope or resource storage"},
		"logs by header, as a read":       {path: "/one" + log, header: []string{forwardHeader, "true"}, code: 200, body: "GET " + log + " "},
		"a status by header, as a read":   {path: "/one/api/v1/namespaces/default/pods/a/status", header: []string{forwardHeader, "true"}, code: 200, body: "GET /api/v1/namespaces/default/pods/a/status "},
		"a write with shells allowed":     {allowed: subresources, method: http.MethodPost, path: "/one/api/v1/namespaces/default/pods", header: []string{forwardHeader, "true"}, code: 405, body: `create is not supported on resources of kind \"pods\"`},
		"a delete, applications allowed":  {allowed: []string{"proxy"}, method: http.MethodDelete, path: "/one/api/v1/namespaces/default/pods/a", header: []string{forwardHeader, "true"}, code: 405, body: `delete is not supported on resources of kind \"pods\"`},
		"a write of what is not synced":   {config: memberaccess.Config{ForwardUnsynced: true}, allowed: subresources, method: http.MethodPost, path: "/one/apis/x.io/v1/things", header: []string{forwardHeader, "true"}, code: 405, body: `create is not supported on resources of kind \"things.x.io\"`},
		"no forwarding":                   {config: memberaccess.Config{NoForward: true}, path: "/one/apis", header: []string{forwardHeader, "true"}, code: 400, body: "AllowForwardRequestToClusters is off"},
		"no forwarding, the server's own": {config: memberaccess.Config{NoForward: true}, path: "/one/version", header: []string{forwardHeader, "true"}, code: 200, body: `"gitVersion"`},
		"a create by header":              {config: all, method: http.MethodPost, path: "/one/api/v1/namespaces/default/pods", header: []string{forwardHeader, "true"}, code: 200, body: "POST /base/api/v1/namespaces/default/pods body"},
		"a delete of all":                 {config: all, method: http.MethodDelete, path: "/one/api/v1/namespaces/default/pods", code: 405, body: `deletecollection is not supported on resources of kind \"pods\"`},
		"logs of an object not synced":    {allowed: subresources, path: "/one/api/v1/namespaces/default/secrets/a/log", code: 404, body: notFound},
		"another subresource is a search": {allowed: subresources, path: "/one/api/v1/namespaces/default/pods/a/status", code: 500, body: "not found request scope or resource storage"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := ""
			if tc.method != "" {
				body = "body"
			} else {
				tc.method = http.MethodGet
			}
			got, text := ask(t, front(t, m, tc.config, tc.allowed...), tc.method, tc.path, body, tc.header...)
			require.Equal(t, tc.code, got.StatusCode, text)
			if strings.HasPrefix(tc.body, tc.method) || tc.body == notFound {
				require.Equal(t, tc.body, text)
			} else {
				require.Contains(t, text, tc.body)
			}
			if got.StatusCode >= 400 && tc.body != notFound && tc.code != http.StatusTeapot {
				require.Contains(t, text, `"kind":"Status"`)
			}
		})
	}
}

// TestPassedHeaders checks what a member learns of a caller, and a caller of a member.
func TestPassedHeaders(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	foreign := []string{
		"Authorization", "Bearer mine", "Cookie", "session=1", "Impersonate-User", "root", "X-Remote-User", "root", "X-Remote-Group", "system:masters",
		"Proxy-Authorization", "Basic x", "Connection", "X-Hop", "X-Hop", "1", "X-Foreign", "1", "X-Clusterpedia-Forward", "true", "X-Forwarded-For", "192.0.2.1", "Accept", "text/x",
	}
	server := front(t, m, memberaccess.Config{})
	answered, _ := ask(t, server, http.MethodGet, "/one/api/v1/pods", "", foreign...)
	require.Equal(t, http.Header{
		"Accept": {"text/x"}, "Accept-Encoding": {"gzip"}, "User-Agent": {"Go-http-client/1.1"}, "X-Forwarded-For": {"192.0.2.1, 127.0.0.1"},
	}, m.seen())
	require.Equal(t, []string{"of the front"}, answered.Header["Cache-Control"])
	require.Empty(t, answered.Header["Set-Cookie"])

	ask(t, server, http.MethodGet, "/one/api/v1/pods", "", append(foreign, "X-Clusterpedia-Proxy-Token", "theirs")...)
	require.Equal(t, []string{"Bearer theirs"}, m.seen()["Authorization"])

	own := front(t, m, memberaccess.Config{UsePediaClusterConfig: true}, "proxy")
	ask(t, own, http.MethodGet, "/one/api/v1/pods", "", foreign...)
	require.Equal(t, []string{"Bearer own"}, m.seen()["Authorization"])
	ask(t, own, http.MethodGet, "/one/api/v1/pods", "", append(foreign, "X-Clusterpedia-Proxy-Token", "")...)
	require.Empty(t, m.seen()["Authorization"], "who brings no token on purpose does not get another's")

	ask(t, own, http.MethodGet, "/one/api/v1/namespaces/default/services/a/proxy/", "", foreign[:len(foreign)-8]...)
	seen := m.seen()
	require.Equal(t, "Bearer own", seen.Get("Authorization"))
	for _, name := range []string{"Cookie", "Impersonate-User", "X-Remote-User", "X-Remote-Group", "Proxy-Authorization", "X-Hop"} {
		require.Empty(t, seen[name], name)
	}
	ask(t, own, http.MethodGet, "/one/api/v1/namespaces/default/services/a/proxy/", "", "X-Foreign", "1")
	require.Equal(t, "1", m.seen().Get("X-Foreign"), "an application has headers of its own")
}

// TestStreams follows logs and holds an upgraded connection, beyond the time that other
// requests may take, until the client leaves or the server stops.
func TestStreams(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	stopping, stop := context.WithCancel(t.Context())
	defer stop()
	inner := front(t, m, memberaccess.Config{UsePediaClusterConfig: true, Stopping: stopping}, "log", "exec")
	const root, limit = "/apis/clusterpedia.io/v1beta1/resources/clusters/", 200 * time.Millisecond
	resolver := &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	longRunning := resources.LongRunning()
	// What the generic server does to requests that are not long-running: here their time
	// begins when their answer does, so that a busy machine cuts none off before.
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info, err := resolver.NewRequestInfo(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithCancel(request.WithRequestInfo(req.Context(), info))
		defer cancel()
		long := longRunning(req, info)
		handler := filters.WithTimeoutForNonLongRunningRequests(http.StripPrefix(root, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			req.URL.Path = "/" + req.URL.Path
			if !long {
				w = &limited{ResponseWriter: w, begin: sync.OnceFunc(func() { time.AfterFunc(limit, cancel) })}
			}
			inner.Config.Handler.ServeHTTP(w, req)
		})), longRunning)
		handler.ServeHTTP(w, req.WithContext(ctx))
	}))
	t.Cleanup(outer.Close) // after the test's requests have ended

	follow := func(path string) (*bufio.Reader, context.CancelFunc) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, outer.URL+root+path, nil)
		require.NoError(t, err)
		resp, err := outer.Client().Do(req)
		require.NoError(t, err)
		t.Cleanup(func() { resp.Body.Close() })
		require.Equal(t, 200, resp.StatusCode)
		return bufio.NewReader(resp.Body), cancel
	}
	lines := func(r *bufio.Reader, limit time.Duration) (n int, err error) {
		for end := time.Now().Add(limit); time.Now().Before(end); n++ {
			if _, err := r.ReadString('\n'); err != nil {
				return n, err
			}
		}
		return n, nil
	}
	logs, leave := follow("one" + log + "?follow=true")
	n, err := lines(logs, 3*limit)
	require.NoError(t, err)
	require.Positive(t, n)
	leave()
	const ends = "the member's stream ends"
	arrive(t, m.gone, ends)

	// A word in the URL is no reason to live longer.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, outer.URL+root+"one/api/v1/pods?follow=true&xwatchx=1", nil)
	require.NoError(t, err)
	req.Header.Set(forwardHeader, "true")
	resp, err := outer.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	require.Error(t, err, "cut, and not ended as if it were whole")
	arrive(t, m.gone, ends)

	shell := upgrade(t, outer, root+"one/api/v1/namespaces/default/pods/a/exec?command=x")
	echo := func(text string) {
		fmt.Fprintln(shell, text)
		got, err := bufio.NewReader(shell).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, text+"\n", got)
	}
	echo("hello")
	more, _ := follow("one" + log + "?follow=true")
	_, err = lines(more, 2*limit)
	require.NoError(t, err)
	echo("still there")
	stop()
	_, err = io.ReadAll(more)
	require.Error(t, err)
	_, err = io.ReadAll(shell)
	require.NoError(t, err, "closed")
	arrive(t, m.gone, ends)
	arrive(t, m.gone, ends)
}

// limited begins something with the first bytes of a response.
type limited struct {
	http.ResponseWriter
	begin func()
}

func (l *limited) Write(p []byte) (int, error) {
	n, err := l.ResponseWriter.Write(p)
	l.begin()
	return n, err
}

// Unwrap is what an http.ResponseController asks for.
func (l *limited) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// upgrade opens a connection that speaks the protocol echo.
func upgrade(t *testing.T, server *httptest.Server, path string) net.Conn {
	t.Helper()
	address, err := url.Parse(server.URL)
	require.NoError(t, err)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address.Host)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", path)
	answered, err := http.ReadResponse(bufio.NewReader(io.LimitReader(byByte{conn}, 1<<16)), nil)
	require.NoError(t, err)
	defer answered.Body.Close()
	require.Equal(t, http.StatusSwitchingProtocols, answered.StatusCode)
	return conn
}

// byByte leaves what follows a response in the connection.
type byByte struct{ r io.Reader }

func (b byByte) Read(p []byte) (int, error) { return b.r.Read(p[:1]) }

// TestBrokenAnswers checks that an answer of which half is missing does not look whole.
func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	server := front(t, m, memberaccess.Config{ProxyPath: true})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/one/proxy/breaks", nil)
	require.NoError(t, err)
	resp, err := server.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	require.Error(t, err)
}
