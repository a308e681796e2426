package visibility

import (
	"net/http"
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
		"discovery":                    {get, "/apis/apps/v1", "", true},
		"the version":                  {get, "/version", "", true},
		"metrics":                      {get, "/metrics", "", false},
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
