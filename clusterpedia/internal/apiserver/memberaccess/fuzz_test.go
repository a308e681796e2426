package memberaccess

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/labels"
)

// incoming returns what a server makes of a request's URL, or nil if it refuses it.
func incoming(method, path, query, header string) *http.Request {
	u, err := url.ParseRequestURI(path)
	if err != nil || !strings.HasPrefix(path, "/") || u.Host != "" {
		return nil
	}
	u.RawQuery = query
	return &http.Request{Method: method, URL: u, Header: http.Header{forwardHeader: {header}}}
}

// Whatever the selector, forwarding removes its own requirement alone, and leaves the rest
// of the query as it was.
func FuzzForward(f *testing.F) {
	for _, query := range []string{
		"", "labelSelector=search.clusterpedia.io/forward", "labelSelector=a=b,search.clusterpedia.io/forward=false,!c&limit=1",
		"labelSelector=search.clusterpedia.io/forward notin (false,x)&labelSelector=a", "labelSelector=%00,search.clusterpedia.io/forward",
		"labelSelector=search.clusterpedia.io/forward,,&x=%zz", "labelSelector=x in (search.clusterpedia.io/forward)", "watch=1&labelSelector=search.clusterpedia.io/forward",
	} {
		f.Add("/api/v1/pods", query, "")
		f.Add("/api/v1/namespaces/a/pods/b", query, "true")
	}
	f.Fuzz(func(t *testing.T, path, query, header string) {
		req := incoming(http.MethodGet, path, query, header)
		if req == nil {
			return
		}
		info, err := resolver().NewRequestInfo(req)
		if err != nil {
			return
		}
		before, escaped := req.URL.Query(), req.URL.EscapedPath()
		forward := Forward(req, info)
		after := req.URL.Query()
		if strings.EqualFold(header, "true") {
			require.True(t, forward)
		}
		if info.Verb != "list" && info.Verb != "watch" {
			require.Equal(t, query, req.URL.RawQuery)
			return
		}
		require.Equal(t, escaped, req.URL.EscapedPath())
		left, right := before.Get("labelSelector"), after.Get("labelSelector")
		if len(before["labelSelector"]) <= 1 {
			before.Del("labelSelector")
			after.Del("labelSelector")
			require.Equal(t, before, after)
		}
		was, err := labels.Parse(left)
		if err != nil {
			require.Equal(t, left, right, "what is wrong stays for whoever says so")
			return
		}
		is, err := labels.Parse(right)
		require.NoError(t, err)
		want := labels.NewSelector()
		requirements, _ := was.Requirements()
		for _, r := range requirements {
			if r.Key() != forwardLabel {
				want = want.Add(r)
			}
		}
		require.Equal(t, want.String(), is.String())
	})
}

// What the member sees of a path below the proxy path is what stands behind it, byte by byte.
func FuzzBelowProxyPath(f *testing.F) {
	for _, path := range []string{
		"/proxy", "/proxy/", "/proxy/api/v1/pods", "/proxyx", "/proxy//a", "/proxy/..", "/proxy/%2e%2e/a", "/proxy%2fapi", "/%70roxy/api",
		"/proxy/api/v1/namespaces/a%2Fb/pods", "/proxy/a?b#c", "/proxy/%00", "/proxy/%ff", "/a/proxy/b",
	} {
		f.Add(path, "a=b")
	}
	f.Fuzz(func(t *testing.T, path, query string) {
		req := incoming(http.MethodGet, path, query, "")
		if req == nil {
			return
		}
		outer := *req.URL
		inner, ok := belowProxyPath(req)
		require.Equal(t, outer, *req.URL, "the request itself stays as it is")
		rest, below := strings.CutPrefix(outer.EscapedPath(), "/proxy")
		below = below && (rest == "" || rest[0] == '/')
		require.Equal(t, below, ok)
		if !ok {
			return
		}
		if rest == "" {
			rest = "/"
		}
		require.Equal(t, rest, inner.URL.EscapedPath())
		unescaped, err := url.PathUnescape(rest)
		require.NoError(t, err)
		require.Equal(t, unescaped, inner.URL.Path, "what is checked is what is sent")
		require.Equal(t, query, inner.URL.RawQuery)

		// What is passed on has no segments that somebody could resolve.
		p := &Proxy{Config: Config{Resolver: resolver()}}
		info, err := p.resolve(inner)
		if err != nil {
			return
		}
		if info.Subresource != "proxy" {
			segments := strings.Split(strings.TrimPrefix(inner.URL.Path, "/"), "/")
			for i, segment := range segments {
				require.False(t, segment == "." || segment == ".." || segment == "" && i < len(segments)-1, inner.URL.Path)
			}
		}
		LongRunning(inner, resolver())
	})
}
