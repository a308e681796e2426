package resources

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// The cluster of a path is the one that was authorized: what the outer request's resolver
// takes for the subresource. What stands behind it reaches the inner one as it was written.
func FuzzSplitPath(f *testing.F) {
	const root = "/apis/clusterpedia.io/v1beta1/resources"
	for _, rest := range []string{
		"", "/", "/api/v1/pods", "/clusters", "/clusters/", "/clusters/one", "/clusters/one/", "/clusters/one/api/v1/pods", "/clusters/one//api", "/%2Fapi/v1/pods", "/clusters/one/%2Fapi/v1/pods",
		"/clusters//one/api", "/clusters/on%65/api", "/clusters/%2e%2e/api", "/clusters/../api", "/clusters%2fone/api", "//clusters/one/api",
		"/clusters/one/../two/api", "/cluster%73/one/api", "/clusters/one/api/v1/pods/a%2Fb", "/clusters/one/%00", "/clusters/one/%ff%zz", "x",
		"/apis//v1/secrets", "/apis/%2Fv1/secrets", "/apis/./v1/secrets", "/api/v1/namespaces//pods", "/api/v1/namespaces/a/pods/b/proxy//c", "/apis/apps/v1/deployments/",
	} {
		f.Add(rest)
	}
	outer := newResolver()
	f.Fuzz(func(t *testing.T, rest string) {
		u, err := url.ParseRequestURI(root + rest)
		if err != nil {
			return
		}
		req := &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}
		info, err := outer.NewRequestInfo(req)
		if err != nil || info.Resource != "resources" {
			return // the router has no such route
		}
		cluster, path, found := splitPath(root, u.EscapedPath())
		if !found {
			return
		}
		require.True(t, strings.HasPrefix(path, "/"), path)
		if strings.Contains(cluster, "%") || strings.HasPrefix(path, "//") {
			return // Connect answers 404
		}
		before := *req.URL
		inner, err := below(req, path)
		if err != nil || strings.HasPrefix(inner.URL.Path, "//") || !plain(inner.URL.Path) {
			return // Serve answers with 404, too
		}
		// What is served is what was authorized.
		if cluster == "" {
			require.Equal(t, root+path, u.EscapedPath())
			parts := append(strings.Split(strings.Trim(inner.URL.Path, "/"), "/"), "")
			require.Equal(t, parts[0], info.Name)
			require.Equal(t, parts[1], info.Subresource)
		} else {
			require.Equal(t, root+"/clusters/"+cluster+path, u.EscapedPath())
			require.Equal(t, "clusters", info.Name)
			require.Equal(t, cluster, info.Subresource)
		}
		require.Equal(t, path, inner.URL.EscapedPath())
		require.Equal(t, before, *req.URL, "the request itself stays as it is")
		if served, err := outer.NewRequestInfo(inner); err == nil && served.IsResourceRequest && cluster == "" {
			// Rules are for groups, and for versions of the core group.
			require.Equal(t, info.Subresource, map[string]string{"api": served.APIVersion, "apis": served.APIGroup}[served.APIPrefix])
		}
		LongRunning()(req.WithContext(request.WithRequestInfo(t.Context(), info)), info)
	})
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/": true, "/api": true, "/api/": true, "/apis/apps/v1/deployments": true, "/apis/apps/v1/deployments/": true,
		"/apis//v1/secrets": false, "/api//v1/pods": false, "/api/v1//pods": false, "/api/v1/namespaces//pods": false, "/api/v1/pods//": false,
		"/apis/./v1/pods": false, "/api/v1/../v1/pods": false, "/api/v1/namespaces/proxy//pods": false, "/api/v1/pods//proxy/a": false,
		"/api/v1/namespaces/a/pods/b/proxy": true, "/api/v1/namespaces/a/pods/b/proxy//c/../d": true, "/api/v1/nodes/a/proxy//b": true,
		"/api/v1/namespaces//pods/b/proxy/c": false, "/api/v1/namespaces/a/proxy//b": true, "/version//": false,
	} {
		require.Equal(t, want, plain(path), path)
	}
}
