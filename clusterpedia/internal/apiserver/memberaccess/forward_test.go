package memberaccess

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
)

func resolver() request.RequestInfoResolver {
	return &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
}

func TestForward(t *testing.T) {
	t.Parallel()
	const label = "search.clusterpedia.io/forward"
	for name, tc := range map[string]struct {
		header, selector string
		path             string // default: a list
		forward          bool
		left             string // of the selector
	}{
		"nothing":                       {},
		"a header":                      {header: "true", forward: true},
		"a header in capitals":          {header: "TRUE", forward: true},
		"another header":                {header: "1"},
		"a label":                       {selector: label, forward: true},
		"a label among others":          {selector: "b=1," + label + "=true,a in (y,x)", forward: true, left: "a in (x,y),b=1"},
		"any value":                     {selector: label + "=yes", forward: true},
		"no value":                      {selector: label + "=", forward: true},
		"in":                            {selector: label + " in (false,true)", forward: true},
		"no":                            {selector: label + "=false,a=b", left: "a=b"},
		"not at all":                    {selector: "!" + label},
		"not true":                      {selector: label + "!=true"},
		"not false":                     {selector: label + " notin (false)", forward: true},
		"a label says no, a header yes": {selector: label + "=false", header: "true", forward: true},
		"another label":                 {selector: "forward=true", left: "forward=true"},
		"no selector":                   {selector: label + " === x", left: label + " === x"},
		"a watch":                       {path: "/api/v1/pods?watch=1", selector: label, forward: true},
		"a get by label":                {path: "/api/v1/namespaces/n/pods/a?x=y", selector: label, left: label},
		"a get by header":               {path: "/api/v1/namespaces/n/pods/a?x=y", header: "true", forward: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := tc.path
			if path == "" {
				path = "/api/v1/pods?limit=2"
			}
			target := "https://x" + path
			if tc.selector != "" {
				target += "&labelSelector=" + url.QueryEscape(tc.selector)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
			require.NoError(t, err)
			req.Header.Set("x-clusterpedia-forward", tc.header)
			info, err := resolver().NewRequestInfo(req)
			require.NoError(t, err)
			require.Equal(t, tc.forward, Forward(req, info))
			require.Equal(t, tc.left, req.URL.Query().Get("labelSelector"))
			require.Len(t, req.URL.Query(), map[bool]int{true: 1, false: 2}[tc.left == ""], "the rest of the query stays")
		})
	}
}

func TestLongRunning(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		path   string
		header http.Header
		want   bool
	}{
		"a list":                       {path: "/api/v1/pods"},
		"a get":                        {path: "/api/v1/namespaces/watch/pods/watch"},
		"a word":                       {path: "/api/v1/pods?labelSelector=watch&xwatchx=1"},
		"a watch":                      {path: "/api/v1/pods?watch=true", want: true},
		"an old watch":                 {path: "/api/v1/watch/pods", want: true},
		"logs":                         {path: "/api/v1/namespaces/n/pods/a/log", want: true},
		"a shell":                      {path: "/api/v1/namespaces/n/pods/a/exec", want: true},
		"a proxy":                      {path: "/api/v1/namespaces/n/services/a/proxy/x", want: true},
		"a watch below the proxy path": {path: "/proxy/api/v1/pods?watch=true", want: true},
		"logs below the proxy path":    {path: "/proxy/api/v1/namespaces/n/pods/a/log", want: true},
		"a list below the proxy path":  {path: "/proxy/api/v1/pods"},
		"an upgrade":                   {path: "/proxy/apis/x/v1/namespaces/n/machines/a/console", header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}, want: true},
		"an upgrade that goes nowhere": {path: "/apis/x/v1/namespaces/n/machines/a/console", header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}},
		"a path that is none":          {path: "/api/v1/watch"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://x"+tc.path, nil)
			require.NoError(t, err)
			req.Header = tc.header
			require.Equal(t, tc.want, LongRunning(req, resolver()))
		})
	}
}
