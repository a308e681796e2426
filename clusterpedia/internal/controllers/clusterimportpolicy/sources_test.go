package clusterimportpolicy

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"clusterpedia.io/api/policy/v1alpha1"
)

func TestNameOf(t *testing.T) {
	t.Parallel()

	object := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "a", "labels": map[string]any{"env": "prod"}}}}
	for _, tc := range []struct{ selector, name, want, err string }{
		{"", "x-{{ .source.metadata.name }}", "x-a", ""},
		{" TRUE\n", "x", "x", ""},
		{"{{ .source.metadata.labels.env }}", "x", "", ""},
		{"{{ .source.none }}", "x", "", ""},
		{`{{ fail "broken" }}`, "x", "", "broken"},
		{"", `{{ fail "broken" }}`, "", "broken"},
		{"", "{{ .source.none }}", "", "spec.nameTemplate renders to nothing"},
		{"", "Upper", "", `spec.nameTemplate renders to "Upper": a lowercase RFC 1123 subdomain`},
		{"", "a\n", "", `spec.nameTemplate renders to "a\n"`},
	} {
		got, err := nameOf(&v1alpha1.ClusterImportPolicySpec{
			Source:       v1alpha1.SourceType{SelectorTemplate: v1alpha1.SelectorTemplate(tc.selector)},
			NameTemplate: v1alpha1.LifecycleNameTemplate(tc.name),
		}, object)
		if tc.err != "" {
			require.ErrorContains(t, err, tc.err, tc)
			continue
		}
		require.NoError(t, err, tc)
		require.Equal(t, tc.want, got, tc)
	}
}

func key(name string) types.NamespacedName { return types.NamespacedName{Namespace: "ns", Name: name} }

func lifecycleOf(source string) *v1alpha1.PediaClusterLifecycle {
	return &v1alpha1.PediaClusterLifecycle{Spec: v1alpha1.PediaClusterLifecycleSpec{Source: v1alpha1.DependentResource{Namespace: "ns", Name: source}}}
}

func TestAssign(t *testing.T) {
	t.Parallel()

	s := sources{
		key("a"): {name: "one"}, key("b"): {name: "one"}, // b has it already
		key("c"): {name: "two"}, key("d"): {name: "two"}, // c comes first
		key("e"): {err: errors.New("broken")},
		key("f"): {name: "three"},
	}
	wanted, clashes := assign(s, map[string]*v1alpha1.PediaClusterLifecycle{
		"one": lifecycleOf("b"), "old": lifecycleOf("f"), "kept": lifecycleOf("e"), "gone": lifecycleOf("x"),
	})
	require.Equal(t, map[string]types.NamespacedName{"one": key("b"), "two": key("c"), "three": key("f")}, wanted)
	require.EqualError(t, clashes, "ns/a: spec.nameTemplate renders to \"one\", as for ns/b\nns/d: spec.nameTemplate renders to \"two\", as for ns/c")
	require.EqualError(t, s.failures(), "ns/e: broken")
}

func TestFailures(t *testing.T) {
	t.Parallel()

	one, two := errors.New("one"), errors.New("two")
	require.EqualError(t, failures{one, two, one, two, one}, "one\ntwo\none\nand 2 more")
	require.ErrorIs(t, failures{one, two}, two)
}

func TestOwner(t *testing.T) {
	t.Parallel()

	yes := true
	for name, tc := range map[string]struct {
		owner metav1.OwnerReference
		want  []string
	}{
		"a policy":         {metav1.OwnerReference{APIVersion: "policy.clusterpedia.io/v1alpha1", Kind: "ClusterImportPolicy", Name: "p", Controller: &yes}, []string{"p"}},
		"a later version":  {metav1.OwnerReference{APIVersion: "policy.clusterpedia.io/v2", Kind: "ClusterImportPolicy", Name: "p", Controller: &yes}, []string{"p"}},
		"another kind":     {metav1.OwnerReference{APIVersion: "policy.clusterpedia.io/v1alpha1", Kind: "Deployment", Name: "p", Controller: &yes}, nil},
		"another group":    {metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ClusterImportPolicy", Name: "p", Controller: &yes}, nil},
		"a broken version": {metav1.OwnerReference{APIVersion: "a/b/c", Kind: "ClusterImportPolicy", Name: "p", Controller: &yes}, nil},
		"no controller":    {metav1.OwnerReference{APIVersion: "policy.clusterpedia.io/v1alpha1", Kind: "ClusterImportPolicy", Name: "p"}, nil},
	} {
		got, err := policyOf(&v1alpha1.PediaClusterLifecycle{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{tc.owner}}})
		require.NoError(t, err, name)
		require.Equal(t, tc.want, got, name)
	}
	got, err := policyOf("no object")
	require.NoError(t, err)
	require.Empty(t, got)
}

// resetter is a Mapper of fixed resources.
type resetter struct{ meta.RESTMapper }

func (resetter) Reset() {}

func TestVersion(t *testing.T) {
	t.Parallel()

	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: "example.io", Version: "v2"}, {Group: "example.io", Version: "v1"}, {Version: "v1"}})
	for _, gvk := range []schema.GroupVersionKind{
		{Group: "example.io", Version: "v2", Kind: "Fleet"},
		{Group: "example.io", Version: "v1", Kind: "Fleet"},
		{Group: "example.io", Version: "v1", Kind: "Secret"},
		{Version: "v1", Kind: "Secret"},
	} {
		mapper.Add(gvk, meta.RESTScopeNamespace)
	}
	c := &Controller{mapper: resetter{mapper}}
	for _, tc := range []struct {
		group, resource string
		versions        []string
		want, err       string
	}{
		{"example.io", "fleets", nil, "example.io/v2, Resource=fleets", ""},
		{"example.io", "fleets", []string{"v0", "v1", "v2"}, "example.io/v2, Resource=fleets", ""},
		{"example.io", "fleets", []string{"v1"}, "example.io/v1, Resource=fleets", ""},
		{"", "secrets", nil, "/v1, Resource=secrets", ""},
		{"example.io", "fleets", []string{"v9"}, "", `f.versions: the host cluster serves fleets.example.io in ["v2" "v1"] only`},
		{"", "fleets", nil, "", "f: the host cluster has no resource fleets"},
		{"example.io", "nothing", nil, "", "f: no matches for"},
	} {
		got, err := c.version("f", tc.group, tc.resource, tc.versions)
		if tc.err != "" {
			require.ErrorContains(t, err, tc.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, tc.want, got.String())
	}
}
