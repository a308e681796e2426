package resources_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"

	"clusterpedia.io/clusterpedia/internal/apiserver/resources"
	"clusterpedia.io/clusterpedia/internal/apiserver/visibility"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// rights are "verb resource cluster namespace", and may change.
type rights struct {
	mu  sync.Mutex
	all map[string]bool
	err error
}

func newRights(all ...string) *rights {
	r := &rights{}
	r.set(nil, all...)
	return r
}

func (r *rights) set(err error, all ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all, r.err = map[string]bool{}, err
	for _, one := range all {
		r.all[one] = true
	}
}

func (r *rights) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := strings.TrimSpace(strings.Join([]string{a.GetVerb(), a.GetResource(), a.GetName(), a.GetNamespace()}, " "))
	if r.all[key] || r.all["everything"] {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", r.err
}

// serveLimited serves to callers with rights.
func serveLimited(t *testing.T, st storage.Storage, r authorizer.UnconditionalAuthorizer) *httptest.Server {
	t.Helper()
	h := newHandler(t, st, func(c *resources.Config) {
		c.Checker = visibility.New(visibility.Config{Authorizer: r, Clusters: c.Clusters, Catalog: c.Catalog, Storage: st})
		c.RecheckWatches = 10 * time.Millisecond
	})
	plain := serveHandler(t, h)
	handler := plain.Config.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		handler.ServeHTTP(w, req.WithContext(request.WithUser(req.Context(), &user.DefaultInfo{Name: "alice"})))
	}))
	t.Cleanup(server.Close)
	return server
}

// follow opens a watch and returns its lines.
func follow(t *testing.T, server *httptest.Server, path string) *bufio.Scanner {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, nil)
	require.NoError(t, err)
	resp, err := server.Client().Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() }) // it has ended
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return bufio.NewScanner(resp.Body)
}

// A running watch ends when what its caller may see changes, whatever way.
func TestRightsOfWatches(t *testing.T) {
	t.Parallel()
	const own, other = "watch pods one default", "watch pods two default"
	for name, tc := range map[string]struct {
		before []string
		after  []string
		err    error
		code   string
		slow   bool
	}{
		"revoked":               {before: []string{own, other}, after: []string{own}, code: `"code":410`},
		"granted":               {before: []string{own}, after: []string{own, "watch pods two"}, code: `"code":410`},
		"all revoked":           {before: []string{own}, code: `"code":410`},
		"no longer everything":  {before: []string{"everything"}, after: []string{own}, code: `"code":410`},
		"everything":            {before: []string{own}, after: []string{"everything"}, code: `"code":410`},
		"nobody knows any more": {before: []string{own}, err: errors.New("the host is away"), code: `"code":500`},
		"while it begins":       {before: []string{own, other}, after: []string{own}, code: `"code":410`, slow: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory()
			h.slow = tc.slow
			r := newRights(tc.before...)
			server := serveLimited(t, withNamespace{h}, r)
			lines := follow(t, server, "/all/api/v1/pods?watch=true")
			require.True(t, lines.Scan())
			require.Contains(t, lines.Text(), `"ADDED"`)
			r.set(tc.err, tc.after...)
			for lines.Scan() && strings.Contains(lines.Text(), `"ADDED"`) {
			}
			require.Contains(t, lines.Text(), `"ERROR"`)
			require.Contains(t, lines.Text(), tc.code)
			require.False(t, lines.Scan())
			arrive(t, h.gone, "the storage layer's watch ends")
		})
	}
}

// A watch that would show nothing of what its caller may list is refused, and one that shows
// as little as his list is not.
func TestWatchOfLister(t *testing.T) {
	t.Parallel()
	const list, watch = "list pods one default", "watch pods one default"
	for name, tc := range map[string]struct {
		rights []string
		path   string
		want   string
	}{
		"only list":         {[]string{list}, "/all/api/v1/pods", `"code":403`},
		"of two":            {[]string{list}, "/all/api/v1/pods?clusters=one,two", `"code":403`},
		"in a namespace":    {[]string{list}, "/all/api/v1/namespaces/default/pods", "of any of the clusters"},
		"of one":            {[]string{list}, "/one/api/v1/pods", `"code":403`},
		"both":              {[]string{list, watch}, "/all/api/v1/pods", `"ADDED"`},
		"watch":             {[]string{watch}, "/all/api/v1/pods", `"ADDED"`},
		"neither":           {nil, "/all/api/v1/pods", ""},
		"another namespace": {[]string{list}, "/all/api/v1/namespaces/kube-system/pods", ""},
		"neither, of one":   {nil, "/one/api/v1/pods", `"code":403`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory()
			h.err = errors.New("enough")
			_, body := get(t, serveLimited(t, withNamespace{h}, newRights(tc.rights...)), tc.path+mark(tc.path)+"watch=true&timeoutSeconds=1", asJSON)
			require.Contains(t, body, tc.want)
			require.Equal(t, tc.want != "" && tc.want != `"ADDED"`, strings.Contains(body, "forbidden"), body)
		})
	}
}

// mark returns what stands before one more parameter of a URL.
func mark(url string) string {
	if strings.Contains(url, "?") {
		return "&"
	}
	return "?"
}

// withNamespace is a history whose clusters have the namespace default.
type withNamespace struct{ *history }

func (w withNamespace) List(ctx context.Context, q *query.Query, yield func(*storage.Object) error) (storage.Page, error) {
	if len(q.Types) == 1 && q.Types[0].Resource == "namespaces" {
		return storage.Page{}, yield(&storage.Object{Key: storage.Key{Cluster: q.Clusters[0], Name: "default"}})
	}
	return w.history.List(ctx, q, yield)
}

// withMany is a history whose clusters have more namespaces than a search may ask for.
type withMany struct{ *history }

func (w withMany) List(ctx context.Context, q *query.Query, yield func(*storage.Object) error) (storage.Page, error) {
	if len(q.Types) != 1 || q.Types[0].Resource != "namespaces" {
		return w.history.List(ctx, q, yield)
	}
	for i := range 1100 {
		if err := yield(&storage.Object{Key: storage.Key{Cluster: q.Clusters[0], Name: fmt.Sprint("ns-", i)}}); err != nil {
			return storage.Page{}, err
		}
	}
	return storage.Page{}, nil
}

// hidden denies everything while it is looked at for some time, counted from 1.
type hidden struct {
	*rights
	from, to int64
	looks    atomic.Int64
}

func (h *hidden) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	look := h.looks.Load()
	if a.GetVerb() == "list" && a.GetResource() == "*" && a.GetName() == "" && a.GetNamespace() == "" {
		look = h.looks.Add(1) // the first question of each
	}
	if look >= h.from && look <= h.to {
		return authorizer.DecisionNoOpinion, "", nil
	}
	return h.rights.Authorize(ctx, a)
}

// A watch goes on when it took too many reviews once to find out what its caller may see,
// and ends with the reason when it does again. The first look is that of its request.
func TestTooManyReviewsOfWatches(t *testing.T) {
	t.Parallel()
	var all []string
	for _, verb := range []string{"list", "watch"} {
		for _, cluster := range []string{"one", "two", "three"} {
			all = append(all, verb+" pods "+cluster)
		}
	}
	for name, tc := range map[string]struct {
		from, to int64
		code     string
	}{
		"never": {-1, -1, ""}, "once": {2, 2, ""}, "from now on": {2, 1000, `"code":403`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory()
			r := &hidden{rights: newRights(all...), from: tc.from, to: tc.to}
			server := serveLimited(t, withMany{h}, r)
			lines := follow(t, server, "/all/api/v1/pods?watch=true")
			if tc.code == "" {
				require.Eventually(t, func() bool { return r.looks.Load() > 5 }, 15*time.Second, time.Millisecond)
				r.set(nil, "everything") // a change still ends it
				tc.code = `"code":410`
			}
			for lines.Scan() && strings.Contains(lines.Text(), `"ADDED"`) {
			}
			require.Contains(t, lines.Text(), tc.code)
			require.Equal(t, tc.code == `"code":403`, strings.Contains(lines.Text(), "namespaces/NAMESPACE/pods"), lines.Text())
			arrive(t, h.gone, "the storage layer's watch ends")
		})
	}
}

// A watch that resumes with other rights than its client's list had must list again.
func TestResumeWithOtherRights(t *testing.T) {
	t.Parallel()
	const list, own, other = "list pods one", "watch pods one default", "watch pods two default"
	h := newHistory()
	h.from = make(chan string, 10)
	h.err = errors.New("enough")
	r := newRights(list, own)
	server := serveLimited(t, withNamespace{h}, r)
	version := func() string {
		_, body := get(t, server, "/all/api/v1/pods", asJSON)
		var got struct{ Metadata metav1.ListMeta }
		require.NoError(t, json.Unmarshal([]byte(body), &got), body)
		return got.Metadata.ResourceVersion
	}
	resume := func(version string) string {
		lines := follow(t, server, "/all/api/v1/pods?watch=true&resourceVersion="+version)
		require.True(t, lines.Scan())
		return lines.Text()
	}
	limited := version()
	require.True(t, strings.HasPrefix(limited, "40."), limited)
	require.Contains(t, resume(limited), `"code":500`)
	require.Equal(t, "40", <-h.from, "the storage layer sees its own version")
	require.Contains(t, resume("40"), `"code":410`)

	r.set(nil, list, own, "list pods two") // a list shows more
	require.Contains(t, resume(limited), `"code":410`)
	require.NotEqual(t, limited, version())
	r.set(nil, list, own, other)
	require.Contains(t, resume(limited), `"code":410`)
	require.NotEqual(t, limited, version())

	r.set(nil, "everything")
	require.Equal(t, "40", version())
	require.Contains(t, resume("40"), `"code":500`)
	r.set(nil, list)
	require.True(t, strings.HasPrefix(version(), "40."), "what may not be watched can be listed")
}

// What a cluster can be asked for depends on the caller, and is not for caches that callers
// share. What all clusters can be asked for does not.
func TestDiscoveryIsPrivate(t *testing.T) {
	t.Parallel()
	const aggregated = asJSON + ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
	for _, rights := range []string{"", "get discoveryurls one"} {
		limited := serveLimited(t, newHistory(), newRights(rights))
		for _, path := range []string{"/api", "/apis"} {
			answer, body := get(t, limited, "/one"+path, aggregated)
			require.Equal(t, http.StatusOK, answer.StatusCode)
			require.Contains(t, body, "APIGroupDiscoveryList")
			require.Equal(t, "no-cache, private", answer.Header.Get("Cache-Control"))
			require.NotEmpty(t, answer.Header.Get("Etag"))
			answer, _ = get(t, limited, "/all"+path, aggregated)
			require.Equal(t, "public", answer.Header.Get("Cache-Control"))
		}
	}
	answer, _ := get(t, serve(t, newHistory()), "/one/apis", aggregated)
	require.Equal(t, "public", answer.Header.Get("Cache-Control"))
}

// A caller without rights on a cluster gets the answers of one that is not there.
func TestNoEnumeration(t *testing.T) {
	t.Parallel()
	server := serveLimited(t, withNamespace{newHistory()}, newRights("list pods two"))
	ofNope := strings.NewReplacer("cluster one", "cluster nope", "clusters/one/", "clusters/nope/")
	for _, path := range []string{
		"/api/v1/pods", "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/pods/a", "/api/v1/namespaces/default/pods/zz", "/api/v1/nodes",
		"/api/v1/services", "/apis/no.such/v1/things", "/api/v1/namespaces/default/nodes", "/api/v1/namespaces/default/pods/a/log",
		"/api/v1/pods?watch=true", "/api/v1/pods?limit=abc", "/api/v1/pods?namespaces=default", "/api/v1/pods?labelSelector=search.clusterpedia.io/forward",
		"/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/apis/no.such", "/version", "/healthz", "/x",
	} {
		there, body := get(t, server, "/one"+path, asJSON)
		missing, other := get(t, server, "/nope"+path, asJSON)
		require.Equal(t, there.StatusCode, missing.StatusCode, path)
		require.Equal(t, ofNope.Replace(body), other, path)
	}
	answer, body := get(t, server, "/all/api/v1/pods?clusters=one", asJSON)
	missing, other := get(t, server, "/all/api/v1/pods?clusters=nope", asJSON)
	require.Equal(t, http.StatusForbidden, answer.StatusCode)
	require.Equal(t, answer.StatusCode, missing.StatusCode)
	require.Equal(t, ofNope.Replace(body), other)
}

// One object comes with its Events, if they are asked for and may be listed.
func TestEventsOfOne(t *testing.T) {
	t.Parallel()
	with := pod("one", "a")
	with.Events = []byte(`[{"reason":"Tested"}]`)
	st := &shelf{objects: []storage.Object{with, pod("one", "b"), pod("two", "a")}}
	const path = "/one/api/v1/namespaces/default/pods/"
	open := serve(t, st)
	for query, want := range map[string]bool{"": false, "?injectEvents": true, "?injectEvents=true": true, "?injectEvents=false": false, "?injectEvents=0": false} {
		for _, accept := range []string{asJSON, "application/yaml", asTable} {
			answer, body := get(t, open, path+"a"+query, accept)
			require.Equal(t, http.StatusOK, answer.StatusCode, body)
			require.Equal(t, want, strings.Contains(body, "Tested"), "%s %s", query, body)
			require.Contains(t, body, `app`)
		}
	}
	answer, body := get(t, open, path+"b?injectEvents=true", asJSON)
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.NotContains(t, body, "shadow.clusterpedia.io/events")
	answer, body = get(t, open, path+"zz?injectEvents=true", asJSON)
	require.Equal(t, http.StatusNotFound, answer.StatusCode)
	require.Contains(t, body, `pods \"zz\" not found`)

	for right, want := range map[string]bool{"list events one default": true, "list events one": true, "list events two": false, "get events one": false} {
		answer, body = get(t, serveLimited(t, st, newRights("get pods one default", right)), path+"a?injectEvents=true", asJSON)
		require.Equal(t, http.StatusOK, answer.StatusCode)
		require.Equal(t, want, strings.Contains(body, "Tested"), right)
		require.Equal(t, want, answer.Header.Get("Warning") == "", right)
	}
}
