package v1alpha1

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestScheme(t *testing.T) {
	t.Parallel()

	scheme := runtime.NewScheme()
	require.NoError(t, Install(scheme))
	for _, kind := range []string{
		"ClusterImportPolicy", "ClusterImportPolicyList", "PediaClusterLifecycle", "PediaClusterLifecycleList", "ListOptions",
	} {
		require.True(t, scheme.Recognizes(GroupVersion.WithKind(kind)), kind)
	}
	require.Equal(t, "clusterimportpolicies.policy.clusterpedia.io", Resource("clusterimportpolicies").String())
}

func TestPolicyIsInline(t *testing.T) {
	t.Parallel()

	const text = `{
		"source": {"group": "", "resource": "secrets", "selectorTemplate": "true"},
		"references": [{"key": "a", "group": "", "resource": "pods", "nameTemplate": "b", "versions": ["v1"]}],
		"nameTemplate": "c",
		"template": "d",
		"creationCondition": "true"
	}`
	var spec ClusterImportPolicySpec
	require.NoError(t, json.Unmarshal([]byte(text), &spec))
	require.Equal(t, Policy{Template: "d", CreationCondition: "true"}, spec.Policy)
	require.Equal(t, "a", spec.References[0].Key)

	encoded, err := json.Marshal(spec)
	require.NoError(t, err)
	require.JSONEq(t, text, string(encoded))
}
