package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/stack"
)

// rights are those of docs/search-authorization.md: alice may see one namespace of one
// cluster, bob the deployments of all clusters, dave everything, erin one cluster, and carol
// what everybody may.
const rights = `
apiVersion: v1
kind: Namespace
metadata: {name: team-1}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: clusterpedia-search}
rules:
- {apiGroups: [clusterpedia.io], resources: ["*"], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: clusterpedia-search}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: clusterpedia-search}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:authenticated"}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: search-member-1, namespace: team-1}
rules:
- {apiGroups: [search.clusterpedia.io], resources: ["*"], resourceNames: [member-1], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: search-member-1, namespace: team-1}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: search-member-1}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: alice}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: search-deployments}
rules:
- {apiGroups: [search.clusterpedia.io], resources: [deployments.apps], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: search-deployments}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: search-deployments}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: bob}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: search-everything}
rules:
- {apiGroups: [search.clusterpedia.io], resources: ["*"], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: search-everything}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: search-everything}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: dave}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: search-all-of-member-1}
rules:
- {apiGroups: [search.clusterpedia.io], resources: ["*"], resourceNames: [member-1], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: search-all-of-member-1}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: search-all-of-member-1}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: erin}
`

// TestSearchAuthorization lets callers with few rights search: each sees exactly what
// it may, through every path.
func TestSearchAuthorization(t *testing.T) {
	t.Run("internal", func(t *testing.T) { searchAuthorization(t, "internal", sqlStorages()["SQLite"](t).config) })
	t.Run("memory", func(t *testing.T) { searchAuthorization(t, "memory", "") })
}

func searchAuthorization(t *testing.T, storage, config string) {
	d := deploy(t, storage, config)
	d.APIServerArgs = []string{"--search-authorization=PerResource"}
	cmd := exec.CommandContext(t.Context(), filepath.Join(shared.binaries, "kubectl"), "--kubeconfig", d.Host.Kubeconfig(), "apply", "--server-side", "-f", "-")
	cmd.Stdin = strings.NewReader(rights)
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, string(text))
	if storage == "memory" {
		d.bind(t)
	} else {
		d.startManager(t)
		d.startAPIServer(t)
		d.register(t)
	}

	documented, err := os.ReadFile(filepath.Join(shared.root, "docs", "search-authorization.md"))
	require.NoError(t, err)
	for rule := range strings.SplitSeq(rights, "\n") {
		if strings.Contains(rule, "apiGroups:") {
			require.Contains(t, string(documented), strings.TrimPrefix(rule, "- "), "the documented roles are those that are tested")
		}
	}

	// places are where the rows of a table come from.
	places := func(who string, args ...string) map[string]int {
		_, cells := rows(d.mustKubectl(t, append(args, "--as", who, "--as-group", "system:authenticated")...))
		found := map[string]int{}
		for _, row := range cells {
			found[row[1]+"/"+row[0]]++
		}
		return found
	}
	for _, resource := range []string{"pods", "secrets", "deployments", "widgets", "configmaps"} {
		found := places("alice", "get", resource, "-A")
		require.Len(t, found, 1, resource)
		require.Positive(t, found["member-1/team-1"], resource)
		require.Equal(t, found, places("alice", "get", resource, "-A", "--chunk-size=1"), resource)
		require.Equal(t, found, places("alice", "--context", "member-1", "get", resource, "-A"), resource)
		require.Empty(t, places("alice", "get", resource, "-A", "-l", "search.clusterpedia.io/clusters in (member-2,member-1),search.clusterpedia.io/namespaces=default"))
	}
	all := places("admin-of-nothing", "get", "deployments", "-A")
	require.Empty(t, all)
	require.Len(t, places("bob", "get", "deployments", "-A"), 8, "four namespaces of both clusters")
	require.Empty(t, places("bob", "get", "secrets", "-A"))
	for _, resource := range []string{"deployments", "secrets"} {
		require.Len(t, places("dave", "get", resource, "-A"), 8, resource)
		require.Len(t, places("erin", "get", resource, "-A"), 4, resource)
	}

	for _, tc := range []struct {
		who  string
		args []string
		want string // empty: allowed
	}{
		{"alice", []string{"--context", "member-1", "get", "deployment", "web", "-n", "team-1"}, ""},
		{"alice", []string{"--context", "member-1", "get", "secret", "token", "-n", "team-1"}, ""},
		{"alice", []string{"--context", "member-1", "get", "deployment", "web", "-n", "default"}, "is forbidden"},
		{"alice", []string{"--context", "member-2", "get", "deployment", "web", "-n", "team-1"}, "is forbidden"},
		{"alice", []string{"--context", "member-1", "get", "pods", "-n", "default"}, "is forbidden"},
		{"alice", []string{"--context", "member-1", "get", "nodes"}, "is forbidden"},
		{"alice", []string{"--context", "member-2", "get", "pods", "-A"}, "is forbidden"},
		{"bob", []string{"--context", "member-2", "get", "deployment", "web", "-n", "default"}, ""},
		{"bob", []string{"--context", "member-2", "get", "secret", "token", "-n", "default"}, "is forbidden"},
	} {
		_, err := d.kubectl(t.Context(), append(tc.args, "--as", tc.who, "--as-group", "system:authenticated")...)
		if tc.want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, tc.want, "%s: %v", tc.who, tc.args)
		}
	}

	if storage == "memory" {
		limitedWatch(t, d)
		return // which has no collections
	}
	const anything = "/apis/clusterpedia.io/v1beta1/collectionresources/any?groups=*"
	mine := d.mustKubectl(t, "--context", "host", "get", "--raw", anything, "--as", "alice", "--as-group", "system:authenticated")
	require.Contains(t, mine, `"namespace":"team-1"`)
	for _, foreign := range []string{`"namespace":"default"`, `"namespace":"team-2"`, `"cluster-name":"member-2"`, clusterAnnotation + `":"member-2"`, `"kind":"Node"`} {
		require.NotContains(t, mine, foreign)
	}
	require.Contains(t, d.mustKubectl(t, "--context", "host", "get", "--raw", anything, "--as", "carol", "--as-group", "system:authenticated"), `"resourceTypes":null`)
	// Owners are found by their names where the caller may see them.
	require.NotContains(t, d.mustKubectl(t, "--context", "host", "get", "--raw", stack.Root+"/clusters/member-1/api/v1/pods?ownerName=web&ownerSeniority=1", "--as", "alice", "--as-group", "system:authenticated"), `"namespace":"default"`)
}

// limitedWatch watches as callers who may see a part, or nothing.
func limitedWatch(t *testing.T, d *deployment) {
	watch := func(who, path string) (string, error) {
		return d.kubectl(t.Context(), "--context", "host", "get", "--raw", stack.Root+path+"?watch=true&timeoutSeconds=1", "--as", who, "--as-group", "system:authenticated")
	}
	for _, path := range []string{"/api/v1/secrets", "/clusters/member-1/api/v1/secrets"} {
		mine, err := watch("alice", path)
		require.NoError(t, err)
		require.Contains(t, mine, `"type":"ADDED"`)
		require.Contains(t, mine, `"namespace":"team-1"`)
		for _, foreign := range []string{`"namespace":"default"`, `"namespace":"team-2"`, clusterAnnotation + `":"member-2"`} {
			require.NotContains(t, mine, foreign)
		}
	}
	nothing, err := watch("carol", "/api/v1/secrets")
	require.NoError(t, err)
	require.NotContains(t, nothing, "ADDED")
	_, err = watch("bob", "/apis/apps/v1/deployments")
	require.NoError(t, err)
	_, err = watch("alice", "/clusters/member-2/api/v1/secrets")
	require.ErrorContains(t, err, "is forbidden")
}
