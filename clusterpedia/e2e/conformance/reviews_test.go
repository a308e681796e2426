package conformance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
)

// TestReviews looks into the host cluster's audit log for the SubjectAccessReviews that
// requests have led to: case 172 of the contract, and what --search-authorization=PerResource
// asks for beyond it. The users ask for nothing else, so that what is new to the test is not
// remembered by a server.
func TestReviews(t *testing.T) {
	t.Parallel()
	d := shared.deployment(t, sqlite)
	resource := func(verb, resource, subresource, name string) authorizationv1.SubjectAccessReviewSpec {
		return authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verb, Group: "clusterpedia.io", Version: "v1beta1", Resource: resource, Subresource: subresource, Name: name,
		}}
	}
	path := func(path string) authorizationv1.SubjectAccessReviewSpec {
		return authorizationv1.SubjectAccessReviewSpec{NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: "get"}}
	}
	search := func(verb, resource, cluster, namespace string) authorizationv1.SubjectAccessReviewSpec {
		return authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verb, Group: "search.clusterpedia.io", Version: "*", Resource: resource, Name: cluster, Namespace: namespace,
		}}
	}
	type specs = []authorizationv1.SubjectAccessReviewSpec
	seen := map[string]bool{} // and maybe remembered
	for _, tc := range []struct {
		user, method, url, server string
		want                      specs
	}{
		{"walter", "", "M/api/v1/pods", "", specs{resource("get", "resources", "v1", "api")}},
		{"walter", "", "M/api/v1/namespaces/default/secrets?watch=true", "", nil}, // the same
		{"walter", "", "D", "", specs{resource("get", "resources", "apps", "apis")}},
		{"walter", "", "M/api", "", specs{resource("get", "resources", "", "api")}},
		{"walter", "", "M/apis", "", specs{resource("get", "resources", "", "apis")}},
		{"walter", "", "M/version", "", specs{resource("get", "resources", "", "version")}},
		{"walter", "", "C(cluster-1)/api/v1/namespaces/default/pods/a/log", "", specs{resource("get", "resources", "cluster-1", "clusters")}},
		{"walter", http.MethodPost, "C(cluster-1)/api/v1/pods", "", specs{resource("create", "resources", "cluster-1", "clusters")}},
		{"walter", "", "CO", "", specs{resource("list", "collectionresources", "", "")}},
		{"walter", "", "CO/any?groups=*", "", specs{resource("get", "collectionresources", "", "any")}},
		{"walter", "", "B", "", specs{path(root)}},
		{"walter", "", "/apis", "", specs{path("/apis")}},
		{"walter", "", "/openapi/v2", "", specs{path("/openapi/v2")}},
		{"walter", "", "/healthz", "", nil},
		{"xenia", "", "C(cluster-1)/api/v1/namespaces/default/pods", perResource, specs{
			resource("get", "resources", "cluster-1", "clusters"), search("list", "pods", "cluster-1", ""), search("list", "pods", "cluster-1", "default"),
		}},
		{"xenia", "", "C(nope)/api/v1/pods", perResource, specs{resource("get", "resources", "nope", "clusters"), search("list", "pods", "nope", "")}},
		{"xenia", "", "C(cluster-1)/apis/apps/v1/namespaces/default/deployments/web", perResource, specs{
			search("get", "deployments.apps", "cluster-1", ""), search("get", "deployments.apps", "cluster-1", "default"),
		}},
		{"xenia", "", "M/api/v1/nodes?clusters=cluster-1,cluster-2,nope", perResource, specs{
			resource("get", "resources", "v1", "api"), search("list", "*", "", ""), search("list", "nodes", "", ""),
			search("list", "nodes", "cluster-1", ""), search("list", "nodes", "cluster-2", ""),
		}},
		{"xenia", "", "M/api/v1/configmaps?clusters=cluster-1,nope", perResource, specs{
			search("list", "configmaps", "", ""), search("list", "configmaps", "cluster-1", ""),
			search("list", "configmaps", "cluster-1", "default"), search("list", "configmaps", "cluster-1", "kube-system"),
		}},
		{"xenia", "", "C(cluster-1)/apis", perResource, specs{search("get", "discoveryurls", "cluster-1", "")}},
	} {
		before := d.reviews(t, tc.user)
		r, err := d.send(t.Context(), &Case{Server: tc.server, As: tc.user, Method: tc.method}, tc.url)
		require.NoError(t, err)
		var got specs
		for _, spec := range d.reviews(t, tc.user)[len(before):] {
			spec.User, spec.UID, spec.Groups, spec.Extra = "", "", nil, nil
			key := fmt.Sprint(tc.user, tc.server, spec.ResourceAttributes, spec.NonResourceAttributes)
			if !seen[key] {
				seen[key] = true
				got = append(got, spec)
			}
		}
		slices.SortFunc(got, compareReviews)
		slices.SortFunc(tc.want, compareReviews)
		require.Len(t, got, len(tc.want), "%s: %v\n%s", tc.url, got, r)
		for i := range got {
			require.Equal(t, tc.want[i], got[i], tc.url)
		}
	}
}

func compareReviews(a, b authorizationv1.SubjectAccessReviewSpec) int {
	left, right := fmt.Sprint(a.ResourceAttributes, a.NonResourceAttributes), fmt.Sprint(b.ResourceAttributes, b.NonResourceAttributes)
	switch {
	case left < right:
		return -1
	case left > right:
		return 1
	}
	return 0
}

// reviews returns the reviews of a user that the host cluster has answered.
func (d *deployment) reviews(t *testing.T, user string) []authorizationv1.SubjectAccessReviewSpec {
	t.Helper()
	file, err := os.Open(d.auditLog())
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	var found []authorizationv1.SubjectAccessReviewSpec
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			RequestObject authorizationv1.SubjectAccessReview
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line))
		if line.RequestObject.Spec.User == user {
			found = append(found, line.RequestObject.Spec)
		}
	}
	require.NoError(t, lines.Err())
	return found
}
