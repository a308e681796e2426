package visibility

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
)

func TestMember(t *testing.T) {
	t.Parallel()
	const (
		inTeam = "/api/v1/namespaces/team"
		get    = http.MethodGet
	)
	for name, tc := range map[string]struct {
		method, path string
		allow        string
		want         bool
	}{
		"a list":                       {get, "/api/v1/pods", "list pods one", true},
		"another cluster":              {get, "/api/v1/pods", "list pods two", false},
		"the whole, one namespace":     {get, "/api/v1/pods", "list pods one team", false},
		"one namespace":                {get, inTeam + "/pods", "list pods one team", true},
		"a watch":                      {get, inTeam + "/pods?watch=1", "watch pods one team", true},
		"a watch is no list":           {get, inTeam + "/pods?watch=1", "list pods one team", false},
		"a create is no get":           {http.MethodPost, inTeam + "/pods", "get pods one", false},
		"a create":                     {http.MethodPost, inTeam + "/pods", "create pods one", true},
		"another group":                {http.MethodDelete, "/apis/apps/v1/namespaces/team/deployments/web", "delete deployments.apps one team", true},
		"all of a namespace":           {http.MethodDelete, inTeam + "/pods", "deletecollection pods one team", true},
		"logs":                         {get, inTeam + "/pods/a/log", "get pods/log one team", true},
		"the pod is not its logs":      {get, inTeam + "/pods/a/log", "get pods one team", false},
		"a shell by GET":               {get, inTeam + "/pods/a/exec", "get pods/exec one", false},
		"a shell":                      {get, inTeam + "/pods/a/exec", "create pods/exec one team", true},
		"a proxy":                      {http.MethodPut, "/api/v1/nodes/n/proxy/x", "update nodes/proxy one", true},
		"a method without verb":        {http.MethodOptions, inTeam + "/pods/a/proxy/x", "options pods/proxy one", true},
		"a namespace is not in itself": {http.MethodDelete, inTeam, "delete namespaces one team", false},
		"a namespace":                  {http.MethodDelete, inTeam, "delete namespaces one", true},
		"discovery":                    {get, "/apis/apps/v1", "get discoveryurls one", true},
		"no discovery":                 {get, "/apis/apps/v1", "get nonresourceurls one", false},
		"the version":                  {get, "/version", "get discoveryurls one", true},
		"metrics":                      {get, "/metrics", "get discoveryurls one", false},
		"metrics, allowed":             {get, "/metrics", "get nonresourceurls one", true},
		"logs of the node":             {get, "/logs/", "list pods one", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := checker(t, &rules{allow: map[string]bool{tc.allow: true}})
			req, err := http.NewRequestWithContext(t.Context(), tc.method, "https://x"+tc.path, nil)
			require.NoError(t, err)
			info, err := (&request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}).NewRequestInfo(req)
			require.NoError(t, err)
			err = c.Member(as(t, "alice"), "one", info)
			if tc.want {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "is forbidden")
			require.ErrorContains(t, err, "cluster one")
		})
	}
}

// TestReach asks for clusters that there are and that there are not.
func TestReach(t *testing.T) {
	t.Parallel()
	const inTeam = "/api/v1/namespaces/team"
	for name, tc := range map[string]struct {
		path      string
		allow     string
		one, nope bool
	}{
		"nothing":                     {path: "/api/v1/pods"},
		"nothing of an object":        {path: inTeam + "/pods/a"},
		"nothing of a namespace":      {path: inTeam + "/pods"},
		"nothing of what is not kept": {path: "/apis/nope/v1/things"},
		"nothing of a log":            {path: inTeam + "/pods/a/log"},
		"another cluster":             {path: "/api/v1/pods", allow: "list pods two"},
		"one namespace":               {path: "/api/v1/pods", allow: "list pods one team", one: true},
		"that namespace":              {path: inTeam + "/pods", allow: "list pods one team", one: true},
		"another one":                 {path: inTeam + "/pods", allow: "list pods one dev"},
		"one of another verb":         {path: "/api/v1/pods?watch=1", allow: "list pods one team"},
		"an object of a namespace":    {path: inTeam + "/pods/a", allow: "get pods one team", one: true},
		"all clusters":                {path: "/api/v1/pods", allow: "list pods *any", one: true, nope: true},
		"one that is not there":       {path: "/api/v1/pods", allow: "list pods nope", nope: true},
		"a namespace of none":         {path: "/api/v1/pods", allow: "list pods nope team"},
		"discovery":                   {path: "/api/v1/pods", allow: "get discoveryurls one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := checker(t, &rules{allow: map[string]bool{tc.allow: true}}, "default", "team")
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://x"+tc.path, nil)
			require.NoError(t, err)
			info, err := (&request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}).NewRequestInfo(req)
			require.NoError(t, err)
			one, nope := c.Reach(as(t, "alice"), "one", info), c.Reach(as(t, "alice"), "nope", info)
			require.Equal(t, tc.one, one == nil, one)
			require.Equal(t, tc.nope, nope == nil, nope)
			if one != nil && nope != nil {
				require.EqualError(t, nope, ofNope(one))
			}
		})
	}
}

// A request that names namespaces is reached by them, however many the cluster has, and
// tells as little of it as any.
func TestReachNamed(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 2 * maxReviews {
		many = append(many, fmt.Sprintf("ns-%04d", i))
	}
	r := &rules{allow: map[string]bool{"list pods one ns-1400": true}}
	c := checker(t, r, many...)
	info := &request.RequestInfo{IsResourceRequest: true, Verb: "list", APIVersion: "v1", Resource: "pods"}
	require.NoError(t, c.Reach(as(t, "alice"), "one", info, "nope", "ns-1400"))
	require.LessOrEqual(t, r.asked.Load(), int64(3))
	for _, wanted := range [][]string{{"ns-1401"}, {"nope", ""}, many} {
		err := c.Reach(as(t, "bob"), "one", info, wanted...)
		require.ErrorContains(t, err, "is forbidden")
		require.EqualError(t, c.Reach(as(t, "bob"), "nope", info, wanted...), ofNope(err))
	}
	require.LessOrEqual(t, r.asked.Load(), int64(3*maxReviews))
}

// ofNope returns what an error about the cluster one says of nope.
func ofNope(err error) string {
	return strings.NewReplacer("cluster one", "cluster nope", "clusters/one", "clusters/nope").Replace(err.Error())
}

// Too many namespaces tell nothing of a cluster, and end a request in the same way each time.
func TestReachBounds(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 2 * maxReviews {
		many = append(many, fmt.Sprintf("ns-%04d", i))
	}
	for right, want := range map[string]bool{"list pods one ns-1400": false, "list pods one ns-0400": true, "": false} {
		c := checker(t, &rules{allow: map[string]bool{right: true}}, many...)
		info := &request.RequestInfo{IsResourceRequest: true, Verb: "list", APIVersion: "v1", Resource: "pods"}
		for range 3 {
			err := c.Reach(as(t, "alice"), "one", info)
			require.Equal(t, want, err == nil, right)
			if err == nil {
				continue
			}
			require.ErrorContains(t, err, `cannot list resource "pods" in API group "search.clusterpedia.io" of cluster one, nor in those`)
			require.ErrorContains(t, err, "as at …/resources/clusters/one/api/v1/namespaces/NAMESPACE/pods")
			require.EqualError(t, c.Reach(as(t, "alice"), "nope", info), ofNope(err))
		}
		info.Resource = "nodes"
		require.NotContains(t, c.Reach(as(t, "alice"), "one", info).Error(), "NAMESPACE", "nodes are in none")
	}
}

func TestDiscover(t *testing.T) {
	t.Parallel()
	c := checker(t, &rules{allow: map[string]bool{"get discoveryurls one": true, "list pods two": true}})
	for cluster, want := range map[string]bool{"one": true, "two": false, "nope": false} {
		got, err := c.Discover(as(t, "alice"), cluster)
		require.NoError(t, err)
		require.Equal(t, want, got, cluster)
	}
}

// What no cluster stores takes one review of a cluster, whether there is one or not.
func TestReachOfNothing(t *testing.T) {
	t.Parallel()
	r := &rules{}
	c := checker(t, r, "default", "dev", "team")
	for i, info := range []request.RequestInfo{
		{APIGroup: "nope.io", APIVersion: "v1", Resource: "things"}, {APIVersion: "v1", Resource: "things"}, {APIVersion: "v9", Resource: "secrets"}, {APIVersion: "v1", Resource: "nodes"},
	} {
		info.IsResourceRequest, info.Verb = true, "list"
		one := c.Reach(as(t, "alice"), "one", &info)
		require.Error(t, one)
		require.EqualError(t, c.Reach(as(t, "alice"), "nope", &info), ofNope(one))
		require.EqualValues(t, 2*(i+1), r.asked.Load(), info)
	}
}
