package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCRDs checks what users see of the custom resource definitions. Nobody reconciles
// their objects here.
func TestCRDs(t *testing.T) {
	d := deploy(t, "memory", "")
	kubectl := func(stdin string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(shared.binaries, "kubectl"), append([]string{"--kubeconfig", d.Host.Kubeconfig()}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		text, err := cmd.CombinedOutput()
		return string(text), err
	}
	type column struct {
		Name, Type, JSONPath string
		Priority             int
	}
	columns := func(priority int, reason bool, conditions ...string) (all []column) {
		for _, c := range conditions {
			field := "status"
			if reason {
				field = "reason"
			}
			all = append(all, column{c, "string", ".status.conditions[?(@.type == '" + c + "')]." + field, priority})
		}
		return all
	}
	for name, want := range map[string]struct {
		kind, plural, singular, version string
		status                          bool
		columns                         []column
	}{
		"pediaclusters.cluster.clusterpedia.io": {
			"PediaCluster", "pediaclusters", "pediacluster", "v1alpha2", true,
			append(append(columns(0, false, "Ready"), column{"Version", "string", ".status.version", 0}, column{"APIServer", "string", ".status.apiserver", 0}),
				append(columns(10, true, "Validated", "SynchroRunning", "ClusterHealthy"), column{"ShardingName", "string", ".status.shardingName", 10})...),
		},
		"clustersyncresources.cluster.clusterpedia.io":  {"ClusterSyncResources", "clustersyncresources", "clustersyncresources", "v1alpha2", false, nil},
		"clusterimportpolicies.policy.clusterpedia.io":  {"ClusterImportPolicy", "clusterimportpolicies", "clusterimportpolicy", "v1alpha1", true, columns(0, true, "Validated", "Reconciling")},
		"pediaclusterlifecycles.policy.clusterpedia.io": {"PediaClusterLifecycle", "pediaclusterlifecycles", "pediaclusterlifecycle", "v1alpha1", true, columns(0, true, "Created", "Updating")},
	} {
		out, err := kubectl("", "get", "crd", name, "-o", "json")
		require.NoError(t, err, out)
		var crd struct {
			Spec struct {
				Names struct {
					Kind, ListKind, Plural, Singular string
					ShortNames, Categories           []string
				}
				Scope    string
				Versions []struct {
					Name                     string
					Served, Storage          bool
					Subresources             map[string]any
					AdditionalPrinterColumns []column
				}
			}
		}
		require.NoError(t, json.Unmarshal([]byte(out), &crd))
		require.Equal(t, []string{want.kind, want.kind + "List", want.plural, want.singular, "Cluster"},
			[]string{crd.Spec.Names.Kind, crd.Spec.Names.ListKind, crd.Spec.Names.Plural, crd.Spec.Names.Singular, crd.Spec.Scope})
		require.Empty(t, crd.Spec.Names.ShortNames)
		require.Empty(t, crd.Spec.Names.Categories)
		require.Len(t, crd.Spec.Versions, 1)
		version := crd.Spec.Versions[0]
		require.Equal(t, want.version, version.Name)
		require.True(t, version.Served && version.Storage)
		require.Equal(t, want.status, version.Subresources["status"] != nil, name)
		require.Equal(t, want.columns, version.AdditionalPrinterColumns, name)
	}

	pedia := func(spec string) string {
		return "{apiVersion: cluster.clusterpedia.io/v1alpha2, kind: PediaCluster, metadata: {name: tried}, spec: " + spec + "}"
	}
	policy := func(spec string) string {
		return "{apiVersion: policy.clusterpedia.io/v1alpha1, kind: ClusterImportPolicy, metadata: {name: tried}, spec: " + spec + "}"
	}
	lifecycle := func(spec string) string {
		return "{apiVersion: policy.clusterpedia.io/v1alpha1, kind: PediaClusterLifecycle, metadata: {name: tried}, spec: " + spec + "}"
	}
	const source = `source: {group: "", resource: secrets}, nameTemplate: a, template: a`
	reference := func(version string) string {
		return `{source: {group: "", version: v1, resource: secrets, name: a}, template: a, creationCondition: a, references: [{key: a, group: "", resource: secrets` + version + `, nameTemplate: a}]}`
	}
	for name, tc := range map[string]struct {
		manifest, refused string
	}{
		"an empty spec":            {pedia("{}"), "spec.syncResources"},
		"no resources":             {pedia("{syncResources: []}"), ""},
		"null resources":           {pedia("{syncResources: null}"), "spec.syncResources"},
		"null data":                {pedia("{apiserver: https://x, caData: , tokenData: , certData: , keyData: , syncResources: []}"), ""},
		"no base64":                {pedia("{caData: '?', syncResources: []}"), "spec.caData"},
		"an entry without names":   {pedia("{syncResources: [{group: apps, resources: []}]}"), "spec.syncResources[0].resources"},
		"an entry without a group": {pedia("{syncResources: [{resources: [a]}]}"), "spec.syncResources[0].group"},
		"a token without a key":    {pedia("{syncResources: [], authenticationFrom: {token: {name: a}}}"), "spec.authenticationFrom.token.key"},
		"a token without a name":   {pedia("{syncResources: [], authenticationFrom: {token: {key: a}}}"), "spec.authenticationFrom.token.name"},
		"a policy":                 {policy("{" + source + ", creationCondition: a}"), ""},
		"a key twice":              {policy("{" + source + `, creationCondition: a, references: [{key: a, group: "", resource: secrets, nameTemplate: a}, {key: a, group: "", resource: secrets, nameTemplate: b}]}`), "spec.references"},
		"no condition":             {policy("{" + source + "}"), "spec.creationCondition"},
		"no source":                {policy("{nameTemplate: a, template: a, creationCondition: a}"), "spec.source"},
		"no template":              {policy(`{source: {group: "", resource: secrets}, nameTemplate: a, creationCondition: a}`), "spec.template"},
		"no name template":         {policy(`{source: {group: "", resource: secrets}, template: a, creationCondition: a}`), "spec.nameTemplate"},
		"a lifecycle":              {lifecycle(reference(", version: v1")), ""},
		"a lifecycle's reference":  {lifecycle(reference("")), "spec.references[0].version"},
	} {
		out, err := kubectl(tc.manifest, "create", "--dry-run=server", "--validate=false", "-f", "-")
		if tc.refused == "" {
			require.NoError(t, err, "%s: %s", name, out)
			continue
		}
		require.Error(t, err, name)
		require.Contains(t, out, tc.refused, name)
	}

	// Who changes an object doesn't change its status; ClusterSyncResources have none.
	out, err := kubectl(strings.Replace(pedia("{syncResources: []}"), ", spec:", ", status: {version: v9}, spec:", 1), "create", "-f", "-")
	require.NoError(t, err, out)
	out, err = kubectl("", "get", "pediacluster", "tried", "-o", "jsonpath={.status}")
	require.NoError(t, err, out)
	require.Empty(t, out)
	condition := func(reason string) string {
		return `{"status":{"version":"v1.2.3","apiserver":"https://x","conditions":[{"type":"Ready","status":"True","reason":"` + reason + `","message":"","lastTransitionTime":"2026-01-02T03:04:05Z"}]}}`
	}
	for _, reason := range []string{"", "two words"} {
		_, err = kubectl("", "patch", "pediacluster", "tried", "--subresource=status", "--type=merge", "-p", condition(reason))
		require.Error(t, err, reason)
	}
	out, err = kubectl("", "patch", "pediacluster", "tried", "--subresource=status", "--type=merge", "-p", condition("Ready"))
	require.NoError(t, err, out)
	out, err = kubectl("", "get", "pediacluster")
	require.NoError(t, err, out)
	header, cells := rows(out)
	require.Equal(t, []string{"NAME", "READY", "VERSION", "APISERVER"}, header)
	require.Equal(t, []string{"tried", "True", "v1.2.3", "https://x"}, cells[0])
	out, err = kubectl("", "get", "pediacluster", "-o", "wide")
	require.NoError(t, err, out)
	header, _ = rows(out)
	require.Equal(t, []string{"NAME", "READY", "VERSION", "APISERVER", "VALIDATED", "SYNCHRORUNNING", "CLUSTERHEALTHY", "SHARDINGNAME"}, header)

	out, err = kubectl("{apiVersion: cluster.clusterpedia.io/v1alpha2, kind: ClusterSyncResources, metadata: {name: tried}, spec: {syncResources: []}}", "create", "-f", "-")
	require.NoError(t, err, out)
	out, err = kubectl("", "get", "--raw", "/apis/cluster.clusterpedia.io/v1alpha2/clustersyncresources/tried/status")
	require.Error(t, err)
	require.Contains(t, out, "NotFound")
}
