package pediaclusterlifecycle

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/api/policy/v1alpha1"
	"clusterpedia.io/clusterpedia/internal/controllers/dependents"
	"clusterpedia.io/clusterpedia/internal/controllers/templates"
)

func TestRender(t *testing.T) {
	t.Parallel()

	data := templates.Data{Source: map[string]any{"token": "YSs+/z0="}}
	for text, want := range map[string]v1alpha2.PediaCluster{
		"": {Spec: v1alpha2.ClusterSpec{SyncResources: []v1alpha2.ClusterGroupResources{}}},
		"apiVersion: cluster.clusterpedia.io/v1alpha2\nkind: PediaCluster\nmetadata: {name: other, labels: {a: b}, annotations: {c: d}, finalizers: [x]}\nspec: {apiserver: e, unknown: f}\nstatus: {version: g}": {
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"}},
			Spec:       v1alpha2.ClusterSpec{APIServer: "e", SyncResources: []v1alpha2.ClusterGroupResources{}},
		},
		`{"spec": {"tokenData": "{{ .source.token }}", "syncResources": [{"group": "apps", "resources": ["*"]}]}}`: {
			Spec: v1alpha2.ClusterSpec{TokenData: []byte("a+>\xff="), SyncResources: []v1alpha2.ClusterGroupResources{{Group: "apps", Resources: []string{"*"}}}},
		},
	} {
		want.Name = "a"
		got, err := render(&v1alpha1.PediaClusterLifecycle{
			ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: v1alpha1.PediaClusterLifecycleSpec{Policy: v1alpha1.Policy{Template: text}},
		}, data)
		require.NoError(t, err, text)
		require.Equal(t, &want, got, text)
	}
	for text, want := range map[string]string{
		"{{":                             "unclosed action",
		"[]":                             "the template renders to no PediaCluster",
		"spec: {tokenData: '%'}":         "illegal base64 data",
		"kind: Secret":                   "the template renders to a Secret, want a PediaCluster",
		"apiVersion: v1":                 "the template renders to a PediaCluster of v1, want cluster.clusterpedia.io/v1alpha2",
		"spec: {syncResources: everyth}": "cannot unmarshal string",
	} {
		_, err := render(&v1alpha1.PediaClusterLifecycle{Spec: v1alpha1.PediaClusterLifecycleSpec{Policy: v1alpha1.Policy{Template: text}}}, data)
		require.ErrorContains(t, err, want, text)
	}
}

func TestConnectionPatch(t *testing.T) {
	t.Parallel()

	got, err := connectionPatch(&v1alpha2.ClusterSpec{APIServer: "a", TokenData: []byte("t"), ShardingName: "not of it"})
	require.NoError(t, err)
	require.JSONEq(t, `{"spec": {"apiserver": "a", "tokenData": "dA==", "caData": null, "certData": null, "keyData": null, "kubeconfig": null}}`, string(got))
}

func TestOtherOwner(t *testing.T) {
	t.Parallel()

	yes := true
	lifecycle := &v1alpha1.PediaClusterLifecycle{ObjectMeta: metav1.ObjectMeta{UID: "own"}}
	own, foreign := metav1.OwnerReference{Kind: kindLifecycle, UID: "own"}, metav1.OwnerReference{Kind: kindLifecycle, UID: "foreign"}
	controller, mere := metav1.OwnerReference{Kind: "Fleet", UID: "fleet", Controller: &yes}, metav1.OwnerReference{Kind: "Fleet", UID: "fleet"}
	for name, tc := range map[string]struct {
		owners []metav1.OwnerReference
		free   bool
	}{
		"nobody": {nil, true}, "this one": {[]metav1.OwnerReference{controller, own}, true}, "another lifecycle": {[]metav1.OwnerReference{foreign}, false},
		"a controller": {[]metav1.OwnerReference{controller}, false}, "a mere owner": {[]metav1.OwnerReference{mere}, true},
	} {
		other := otherOwner(lifecycle, &v1alpha2.PediaCluster{ObjectMeta: metav1.ObjectMeta{OwnerReferences: tc.owners}})
		require.Equal(t, tc.free, other == nil, name)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()

	data := templates.Data{Source: map[string]any{"ns": "n"}}
	reference := func(namespace, name string) v1alpha1.ReferenceResourceTemplate {
		return v1alpha1.ReferenceResourceTemplate{Version: "v1", BaseReferenceResourceTemplate: v1alpha1.BaseReferenceResourceTemplate{
			Group: "g", Resource: "r", NamespaceTemplate: namespace, NameTemplate: name,
		}}
	}
	got, err := resolve(reference("{{ .source.ns }}", "a"), data)
	require.NoError(t, err)
	require.Equal(t, "g/v1/r n/a", got.String())
	_, err = resolve(reference("", "{{ .source.none }}"), data)
	require.EqualError(t, err, "g/v1/r/{{ .source.none }} resource name is empty")
	_, err = resolve(reference("x", "{{"), data)
	require.ErrorContains(t, err, "failed to resolve g/v1/r/x/{{ namespace and name: ")
}

func TestRegistry(t *testing.T) {
	t.Parallel()

	one, two := dependents.Object{GroupVersionResource: schema.GroupVersionResource{Resource: "r"}, Name: "one"}, dependents.Object{Name: "two"}
	r := newRegistry()
	r.set("a", one, two)
	r.set("b", two)
	require.Equal(t, []string{"a"}, r.dependingOn(one))
	require.ElementsMatch(t, []string{"a", "b"}, r.dependingOn(two))
	r.set("a", two)
	require.Empty(t, r.dependingOn(one))
	r.set("a")
	r.set("b")
	require.Empty(t, r.names)
	require.Empty(t, r.depends)
}
