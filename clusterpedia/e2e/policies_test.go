package e2e

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpedia.io/testbed/build"
	"clusterpedia.io/testbed/process"
)

var (
	policyGroup   = schema.GroupVersion{Group: "policy.clusterpedia.io", Version: "v1alpha1"}
	policies      = policyGroup.WithResource("clusterimportpolicies")
	lifecycles    = policyGroup.WithResource("pediaclusterlifecycles")
	pediaClusters = schema.GroupVersionResource{Group: "cluster.clusterpedia.io", Version: "v1alpha2", Resource: "pediaclusters"}
	fleets        = schema.GroupVersionResource{Group: "example.io", Version: "v1", Resource: "fleets"}
)

// policyBed is a host cluster with the controller-manager and Kubernetes' own garbage
// collector.
type policyBed struct {
	*deployment
	host        dynamic.Interface
	controllers *process.Process
}

// newPolicyBed runs the controller-manager with the rights that the chart grants, and
// those to read what the policies of these tests name.
func newPolicyBed(t *testing.T) *policyBed {
	t.Helper()
	d := deploy(t, "memory", "")
	_, err := build.Programs(t.Context(), shared.testbed(), os.Stderr, build.Controllers)
	require.NoError(t, err)
	require.NoError(t, d.Host.StartGarbageCollector())
	config, err := clientcmd.BuildConfigFromFlags("", d.Host.Kubeconfig())
	require.NoError(t, err)
	config.QPS = -1
	b := &policyBed{deployment: d}
	b.host, err = dynamic.NewForConfig(config)
	require.NoError(t, err)

	rendered := newChart(t).render(t, "--set", "storage.password=x", "-f", "testdata/policies/rights.yaml")
	for document := range strings.SplitSeq(rendered, "\n---") {
		if rightsOf(document, "controller-manager") {
			b.apply(t, document)
		}
	}
	d.ServerKubeconfigs = map[string]string{"controller-manager": serviceAccountKubeconfig(t, d.Host, "clusterpedia-controller-manager")}
	b.startControllers(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of controller-manager ends with:\n%s", b.controllers.LogTail(6000))
		}
		require.NoError(t, b.controllers.Stop(stopLimit))
	})
	return b
}

func (b *policyBed) startControllers(t *testing.T) {
	t.Helper()
	var err error
	b.controllers, err = b.StartControllerManager(t.Context())
	require.NoError(t, err)
}

// apply applies manifests with kubectl.
func (b *policyBed) apply(t *testing.T, manifests string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(shared.binaries, "kubectl"), "--kubeconfig", b.Host.Kubeconfig(), "apply", "--server-side", "--force-conflicts", "-f", "-")
	cmd.Stdin = strings.NewReader(manifests)
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, string(text))
}

// crd defines a resource without a schema.
func (b *policyBed) crd(t *testing.T, r schema.GroupVersionResource, kind, scope string) {
	t.Helper()
	b.apply(t, fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]s.%[2]s, annotations: {api-approved.kubernetes.io: unapproved}}
spec:
  group: %[2]s
  scope: %[5]s
  names: {plural: %[1]s, kind: %[4]s}
  versions:
    - {name: %[3]s, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`, r.Resource, r.Group, r.Version, kind, scope))
	eventually(t, seconds, func() error {
		_, err := b.host.Resource(r).List(t.Context(), metav1.ListOptions{})
		return err
	})
}

// condition waits for a condition with a reason, and with texts in its message.
func (b *policyBed) condition(t *testing.T, r schema.GroupVersionResource, name, kind, reason string, texts ...string) {
	t.Helper()
	eventually(t, seconds, func() error {
		u, err := b.host.Resource(r).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		all, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
		for _, one := range all {
			c, ok := one.(map[string]any)
			message, _ := c["message"].(string)
			lacks := func(text string) bool { return !strings.Contains(message, text) }
			if ok && c["type"] == kind && c["reason"] == reason && !slices.ContainsFunc(texts, lacks) {
				return nil
			}
		}
		return fmt.Errorf("%s %s has the conditions %v, want %s with %s %q", r.Resource, name, all, kind, reason, texts)
	})
}

// gone waits until an object is gone.
func (b *policyBed) gone(t *testing.T, r schema.GroupVersionResource, name string) {
	t.Helper()
	eventually(t, 2*seconds, func() error {
		_, err := b.host.Resource(r).Get(t.Context(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(fmt.Errorf("%s %s is still there", r.Resource, name), err)
	})
}

func (b *policyBed) get(t *testing.T, r schema.GroupVersionResource, name string) *unstructured.Unstructured {
	t.Helper()
	u, err := b.host.Resource(r).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return u
}

// spec waits until a field of a PediaCluster's spec has a value.
func (b *policyBed) spec(t *testing.T, name, field, want string) {
	t.Helper()
	eventually(t, seconds, func() error {
		u, err := b.host.Resource(pediaClusters).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if got, _, _ := unstructured.NestedString(u.Object, "spec", field); got != want {
			return fmt.Errorf("%s of %s is %q, want %q", field, name, got, want)
		}
		return nil
	})
}

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// fleet is a source object: its ConfigMap names the Secret with the credentials.
func fleetManifest(name, labels, ready string) string {
	return fmt.Sprintf(`
apiVersion: example.io/v1
kind: Fleet
metadata: {name: %s, namespace: default, labels: {%s}}
status: {ready: "%s"}
`, name, labels, ready)
}

func secretManifest(name, key, value string) string {
	return fmt.Sprintf("\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: default}\ndata: {%s: %q}\n", name, key, encoded(value))
}

func configManifest(name, data string) string {
	return fmt.Sprintf("\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: default}\ndata: {%s}\n", name, data)
}

// fleetPolicy finds the Secret of a Fleet through a ConfigMap.
const fleetPolicy = `
apiVersion: policy.clusterpedia.io/v1alpha1
kind: ClusterImportPolicy
metadata: {name: fleets}
spec:
  source: {group: example.io, resource: fleets, selectorTemplate: ' {{ eq .source.metadata.labels.import "yes" | toString | upper }} '}
  references:
    - {key: config, group: "", resource: configmaps, namespaceTemplate: '{{ .source.metadata.namespace }}', nameTemplate: '{{ .source.metadata.name }}'}
    - {key: credentials, group: "", resource: secrets, versions: [v1], namespaceTemplate: '{{ .source.metadata.namespace }}', nameTemplate: '{{ .references.config.data.secret }}'}
  nameTemplate: '{{ .source.metadata.name }}'
  creationCondition: " {{ .source.status.ready }}\n"
  template: |
    metadata:
      labels: {from: fleet}
      annotations: {missing: "[{{ .source.spec.nothing.at.all }}]"}
    spec:
      kubeconfig: {{ .references.credentials.data.kubeconfig }}
      syncResources: [{group: "", resources: [configmaps]}]
`

// TestPolicyImport follows a member from its source object to its objects in the search
// API, and back.
func TestPolicyImport(t *testing.T) {
	b := newPolicyBed(t)
	var err error
	b.apiserver, err = b.StartBindingAPIServer(t.Context())
	require.NoError(t, err)
	member := shared.members[0]
	kubeconfig, err := os.ReadFile(member.Kubeconfig())
	require.NoError(t, err)

	b.apply(t, fleetPolicy)
	b.condition(t, policies, "fleets", "Validated", "FailedNegotiateSourceResource", "fleets")
	b.crd(t, fleets, "Fleet", "Namespaced")
	b.condition(t, policies, "fleets", "Validated", "Success") // without an edit
	b.condition(t, policies, "fleets", "Reconciling", "ReconcileSourceResourceAndLifecycle")

	b.apply(t, fleetManifest("other", `import: "no"`, "true")+"---"+fleetManifest(member.Name, `import: "yes"`, "yes")+configManifest(member.Name, "secret: credentials"))
	b.condition(t, lifecycles, member.Name, "Created", "ReferenceResourceNotFound", "v1/secrets default/credentials")
	b.apply(t, secretManifest("credentials", "kubeconfig", string(kubeconfig)))
	b.condition(t, lifecycles, member.Name, "Created", "WaitCreationCondition")
	b.gone(t, pediaClusters, member.Name)
	b.apply(t, fleetManifest(member.Name, `import: "yes"`, "TRUE"))
	b.condition(t, lifecycles, member.Name, "Created", "PediaClusterCreated")
	require.NoError(t, b.WaitSynced(t.Context(), member.Name, syncLimit, nil))

	lifecycle, cluster := b.get(t, lifecycles, member.Name), b.get(t, pediaClusters, member.Name)
	policy := b.get(t, policies, "fleets")
	require.True(t, metav1.IsControlledBy(lifecycle, policy))
	require.Contains(t, policy.GetFinalizers(), "clusterpedia.io/cluster-import-policy-controller")
	require.Contains(t, lifecycle.GetFinalizers(), "clusterpedia.io/pediacluster-lifecycle-controller")
	require.Nil(t, metav1.GetControllerOf(cluster))
	require.Equal(t, lifecycle.GetUID(), cluster.GetOwnerReferences()[0].UID)
	require.Equal(t, map[string]string{"from": "fleet"}, cluster.GetLabels())
	require.Equal(t, "[]", cluster.GetAnnotations()["missing"])
	references, _, _ := unstructured.NestedSlice(lifecycle.Object, "status", "references")
	require.Len(t, references, 2)
	require.Equal(t, map[string]any{"group": "", "version": "v1", "resource": "secrets", "namespace": "default", "name": "credentials"}, references[1])
	_, err = b.host.Resource(lifecycles).Get(t.Context(), "other", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err), "it is not selected")

	// Deleted by hand, it comes back. No more ready, it stays, and gets new credentials.
	require.NoError(t, b.host.Resource(pediaClusters).Delete(t.Context(), member.Name, metav1.DeleteOptions{}))
	eventually(t, 2*seconds, func() error {
		again, err := b.host.Resource(pediaClusters).Get(t.Context(), member.Name, metav1.GetOptions{})
		if err == nil && again.GetUID() == cluster.GetUID() {
			return errors.New("it is still the old one")
		}
		return err
	})
	require.NoError(t, b.WaitSynced(t.Context(), member.Name, syncLimit, nil))
	b.apply(t, fleetManifest(member.Name, `import: "yes"`, "false")+secretManifest("credentials", "kubeconfig", string(kubeconfig)+"\n"))
	b.condition(t, lifecycles, member.Name, "Updating", "PediaClusterUpdated")
	b.spec(t, member.Name, "kubeconfig", encoded(string(kubeconfig)+"\n"))

	// Another manager takes over after a crash, and finds nothing to do.
	before := b.versions(t)
	require.NoError(t, b.controllers.Kill())
	b.startControllers(t)
	b.apply(t, fleetManifest("second", `import: "yes"`, "true")+configManifest("second", "secret: nothing"))
	b.condition(t, lifecycles, "second", "Created", "ReferenceResourceNotFound")
	require.Equal(t, before, b.versions(t))

	// No more selected, all of it goes.
	b.apply(t, fleetManifest(member.Name, `import: "no"`, "true"))
	b.gone(t, lifecycles, member.Name)
	b.gone(t, pediaClusters, member.Name)
	require.NoError(t, b.host.Resource(fleets).Namespace("default").Delete(t.Context(), "second", metav1.DeleteOptions{}))
	b.gone(t, lifecycles, "second")
	require.NotContains(t, b.controllers.LogTail(1<<20), "is forbidden", "the chart grants too little")
}

// versions returns the resource versions of a policy and of what it has made.
func (b *policyBed) versions(t *testing.T) []string {
	t.Helper()
	name := shared.members[0].Name
	return []string{
		b.get(t, policies, "fleets").GetResourceVersion(), b.get(t, lifecycles, name).GetResourceVersion(),
		fmt.Sprint(b.get(t, pediaClusters, name).GetGeneration()),
	}
}

// policyManifest makes a policy of Fleets with other fields of the spec, in YAML.
func policyManifest(name, resource, fields string) string {
	spec := "  source: {group: example.io, resource: " + resource + "}\n"
	for _, field := range []string{`nameTemplate: '{{ .source.metadata.name }}'`, `creationCondition: "true"`, "template: |-\n    spec: {syncResources: [], apiserver: https://127.0.0.1:1}"} {
		if key, _, _ := strings.Cut(field, ":"); !strings.Contains("\n"+fields, "\n  "+key+":") {
			spec += "  " + field + "\n"
		}
	}
	if strings.Contains("\n"+fields, "\n  source:") {
		_, spec, _ = strings.Cut(spec, "\n")
	}
	return "\n---\napiVersion: policy.clusterpedia.io/v1alpha1\nkind: ClusterImportPolicy\nmetadata: {name: " + name + "}\nspec:\n" + spec + fields + "\n"
}

// TestPolicies checks what a policy says of itself, and that it harms nothing that it
// should leave alone.
func TestPolicies(t *testing.T) {
	b := newPolicyBed(t)
	for _, r := range []string{"fleets", "barges", "rafts"} {
		b.crd(t, fleets.GroupVersion().WithResource(r), strings.ToUpper(r[:1])+r[1:len(r)-1], "Namespaced")
	}

	t.Run("invalid templates", func(t *testing.T) {
		for name, tc := range map[string]struct{ field, reason, message string }{
			"name":      {"  nameTemplate: '{{ .source'", "FailedParseLifecycleName", "spec.nameTemplate:1: unclosed action"},
			"selector":  {"  source: {group: example.io, resource: fleets, selectorTemplate: '{{ end }}'}", "FailedParseSourceSelector", "spec.source.selectorTemplate:1: unexpected {{end}}"},
			"template":  {"  template: '{{ env \"HOME\" }}'", "InvalaidPolicy", `spec.template:1: function "env" not defined`},
			"condition": {"  creationCondition: '{{ if }}'", "InvalaidPolicy", "spec.creationCondition:1: missing value for if"},
			"source":    {"  source: {group: example.io, resource: fleets, versions: [v9]}", "FailedNegotiateSourceResource", `spec.source.versions: the host cluster serves fleets.example.io in ["v1"] only`},
			"reference": {"  references: [{key: a, group: example.io, resource: nothing, nameTemplate: a}]", "FailedNegotiateReferenceResource", "spec.references[0]:"},
		} {
			b.apply(t, policyManifest(name, "fleets", tc.field))
			b.condition(t, policies, name, "Validated", tc.reason, tc.message)
			all, _, _ := unstructured.NestedSlice(b.get(t, policies, name).Object, "status", "conditions")
			require.Len(t, all, 1, name)
			require.NoError(t, b.host.Resource(policies).Delete(t.Context(), name, metav1.DeleteOptions{}))
			b.gone(t, policies, name)
		}
	})

	t.Run("one source for one policy", func(t *testing.T) {
		b.apply(t, strings.Replace(fleetManifest("a", "", ""), "Fleet", "Barge", 1)+policyManifest("first", "barges", ""))
		b.condition(t, lifecycles, "a", "Created", "PediaClusterCreated")
		b.apply(t, policyManifest("second", "barges", "  nameTemplate: second-{{ .source.metadata.name }}"))
		b.condition(t, policies, "second", "Validated", "Success")
		b.condition(t, policies, "second", "Reconciling", "SourceResourceInUse", "barges.example.io are the source of the ClusterImportPolicy first already")
		b.condition(t, policies, "first", "Reconciling", "ReconcileSourceResourceAndLifecycle")
		require.NoError(t, b.host.Resource(policies).Delete(t.Context(), "first", metav1.DeleteOptions{}))
		b.condition(t, lifecycles, "second-a", "Created", "PediaClusterCreated")
		b.gone(t, pediaClusters, "a")
		// Another source sets this one free.
		b.apply(t, policyManifest("third", "barges", "  nameTemplate: third-{{ .source.metadata.name }}"))
		b.condition(t, policies, "third", "Reconciling", "SourceResourceInUse")
		b.apply(t, policyManifest("second", "rafts", ""))
		b.condition(t, lifecycles, "third-a", "Created", "PediaClusterCreated")
		b.gone(t, pediaClusters, "second-a")
	})

	t.Run("what a template renders arrives as it is", func(t *testing.T) {
		const token = `ab+/c=="<'&'>"`
		b.apply(t, configManifest("quoted", `token: "`+encoded(token+"??>>~~")+`", json: '{"a": "<&>"}'`)+policyManifest("quoted", "fleets", `  references: [{key: c, group: "", resource: configmaps, namespaceTemplate: default, nameTemplate: quoted}]
  nameTemplate: quoted-{{ .source.metadata.name }}
  template: |
    {"metadata": {"annotations": {"json": {{ .references.c.data.json | toJson }}}}, "spec": {"syncResources": [], "apiserver": "https://127.0.0.1:1", "tokenData": "{{ .references.c.data.token }}"}}`)+"\n---"+fleetManifest("b", "", ""))
		b.spec(t, "quoted-b", "tokenData", encoded(token+"??>>~~"))
		require.Contains(t, encoded(token+"??>>~~"), "+")
		require.JSONEq(t, `{"a": "<&>"}`, b.get(t, pediaClusters, "quoted-b").GetAnnotations()["json"])
	})

	t.Run("a template that fails deletes nothing", func(t *testing.T) {
		b.apply(t, policyManifest("quoted", "fleets", `  nameTemplate: '{{ if eq .source.metadata.name "b" }}{{ fail "no name today" }}{{ end }}quoted-{{ .source.metadata.name }}'`)+"\n---"+fleetManifest("c", "", ""))
		b.condition(t, policies, "quoted", "Reconciling", "FailedReconcile", "no name today", "default/b")
		b.condition(t, lifecycles, "quoted-c", "Created", "PediaClusterCreated")
		b.get(t, lifecycles, "quoted-b")
		b.get(t, pediaClusters, "quoted-b")
	})

	t.Run("two sources of one name", func(t *testing.T) {
		b.apply(t, policyManifest("quoted", "fleets", "  nameTemplate: quoted-c"))
		b.condition(t, policies, "quoted", "Reconciling", "FailedReconcile", `default/b: spec.nameTemplate renders to "quoted-c", as for default/c`)
		source, _, _ := unstructured.NestedString(b.get(t, lifecycles, "quoted-c").Object, "spec", "source", "name")
		require.Equal(t, "c", source, "the one that has it keeps it")
		b.get(t, pediaClusters, "quoted-b") // and the other one keeps what it had
	})

	t.Run("a PediaCluster that was there", func(t *testing.T) {
		b.apply(t, "\n---\napiVersion: cluster.clusterpedia.io/v1alpha2\nkind: PediaCluster\nmetadata: {name: there}\nspec: {apiserver: \"https://127.0.0.1:2\", syncResources: []}\n")
		b.apply(t, fleetManifest("there", "", "")+policyManifest("quoted", "fleets", "  nameTemplate: '{{ .source.metadata.name }}'"))
		b.condition(t, lifecycles, "there", "Created", "PediaClusterExisted")
		b.spec(t, "there", "apiserver", "https://127.0.0.1:1")
		require.Empty(t, b.get(t, pediaClusters, "there").GetOwnerReferences())
		require.NoError(t, b.host.Resource(fleets).Namespace("default").Delete(t.Context(), "there", metav1.DeleteOptions{}))
		b.gone(t, lifecycles, "there")
		b.get(t, pediaClusters, "there")
	})

	t.Run("lifecycles of others", func(t *testing.T) {
		const orphan = "\n---\napiVersion: policy.clusterpedia.io/v1alpha1\nkind: PediaClusterLifecycle\nmetadata:\n  name: %s\n%sspec: {source: {group: example.io, version: v1, resource: fleets, namespace: default, name: b}, template: \"\", creationCondition: \"true\"}\n"
		owner := fmt.Sprintf("  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: none, uid: %s, controller: true}]\n", b.get(t, policies, "quoted").GetUID())
		b.apply(t, fmt.Sprintf(orphan, "nobodys", ""))
		b.condition(t, lifecycles, "nobodys", "Created", "OrphanLifecycle", "not found owner controller")
		b.apply(t, fmt.Sprintf(orphan, "anothers", owner))
		b.condition(t, lifecycles, "anothers", "Created", "OrphanLifecycle", "owner controller is not policy.ClusterImportPolicy")
		require.True(t, b.controllers.Running())
	})
}

// TestPolicyTroubles provokes what must not end in the loss of a cluster, or of work.
func TestPolicyTroubles(t *testing.T) {
	b := newPolicyBed(t)
	barges, rafts := fleets.GroupVersion().WithResource("barges"), fleets.GroupVersion().WithResource("rafts")
	b.crd(t, barges, "Barge", "Namespaced")
	b.crd(t, rafts, "Raft", "Namespaced")
	kubectl := func(args ...string) {
		t.Helper()
		text, err := exec.CommandContext(t.Context(), filepath.Join(shared.binaries, "kubectl"), append([]string{"--kubeconfig", b.Host.Kubeconfig()}, args...)...).CombinedOutput()
		require.NoError(t, err, string(text))
	}
	restart := func() {
		require.NoError(t, b.controllers.Kill())
		b.startControllers(t)
	}

	t.Run("who has a source keeps it over restarts", func(t *testing.T) {
		b.apply(t, strings.Replace(fleetManifest("a", "", ""), "Fleet", "Raft", 1)+policyManifest("zz", "rafts", ""))
		b.condition(t, lifecycles, "a", "Created", "PediaClusterCreated")
		b.apply(t, policyManifest("aa", "rafts", "  nameTemplate: second-{{ .source.metadata.name }}"))
		b.condition(t, policies, "aa", "Reconciling", "SourceResourceInUse", "ClusterImportPolicy zz")
		for range 2 {
			restart()
			b.apply(t, strings.Replace(fleetManifest("b", "restarted: "+`"yes"`, ""), "Fleet", "Raft", 1))
			b.condition(t, lifecycles, "b", "Created", "PediaClusterCreated")
			b.condition(t, policies, "aa", "Reconciling", "SourceResourceInUse", "ClusterImportPolicy zz")
			require.NoError(t, b.host.Resource(rafts).Namespace("default").Delete(t.Context(), "b", metav1.DeleteOptions{}))
			b.gone(t, pediaClusters, "b")
		}
		// A typing error does not hand it over either.
		b.apply(t, policyManifest("zz", "rafts", "  nameTemplate: '{{'"))
		b.condition(t, policies, "zz", "Validated", "FailedParseLifecycleName")
		b.apply(t, policyManifest("aa", "rafts", "  nameTemplate: third-{{ .source.metadata.name }}"))
		b.condition(t, policies, "aa", "Reconciling", "SourceResourceInUse", "ClusterImportPolicy zz")
		b.get(t, pediaClusters, "a")
	})

	t.Run("a version that is served no more", func(t *testing.T) {
		b.apply(t, strings.Replace(fleetManifest("kept", "", ""), "Fleet", "Barge", 1)+policyManifest("barges", "barges", ""))
		b.condition(t, lifecycles, "kept", "Created", "PediaClusterCreated")
		uid := b.get(t, lifecycles, "kept").GetUID()
		// One change is on its way when the version goes.
		require.NoError(t, b.controllers.Signal(syscall.SIGSTOP))
		kubectl("annotate", "barges.example.io", "kept", "changed=yes")
		const schema = `"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}`
		kubectl("patch", "crd", "barges.example.io", "--type=merge", "-p",
			`{"spec":{"versions":[{"name":"v1","served":false,"storage":false,`+schema+`},{"name":"v2","served":true,"storage":true,`+schema+`}]}}`)
		require.NoError(t, b.controllers.Signal(syscall.SIGCONT))
		eventually(t, 2*seconds, func() error {
			version, _, _ := unstructured.NestedString(b.get(t, lifecycles, "kept").Object, "spec", "source", "version")
			if version != "v2" {
				return fmt.Errorf("the lifecycle's source is still of %s", version)
			}
			return nil
		})
		require.Equal(t, uid, b.get(t, lifecycles, "kept").GetUID(), "it was never deleted")
		b.apply(t, strings.NewReplacer("Fleet", "Barge", "/v1", "/v2").Replace(fleetManifest("later", "", "")))
		b.condition(t, lifecycles, "later", "Created", "PediaClusterCreated")
		require.NoError(t, b.host.Resource(barges.GroupResource().WithVersion("v2")).Namespace("default").Delete(t.Context(), "later", metav1.DeleteOptions{}))
		b.gone(t, pediaClusters, "later")
	})

	t.Run("objects that others change at the same time", func(t *testing.T) {
		const n = 50
		var all strings.Builder
		for i := range n {
			all.WriteString(policyManifest(fmt.Sprintf("busy-%d", i), "nothing", ""))
		}
		b.apply(t, all.String())
		for i := range n {
			for _, value := range []string{"one", "two"} {
				_, err := b.host.Resource(policies).Patch(t.Context(), fmt.Sprintf("busy-%d", i), types.MergePatchType, []byte(`{"metadata":{"annotations":{"by":"`+value+`"}}}`), metav1.PatchOptions{})
				require.NoError(t, err)
			}
		}
		for i := range n {
			b.condition(t, policies, fmt.Sprintf("busy-%d", i), "Validated", "FailedNegotiateSourceResource")
			require.NoError(t, b.host.Resource(policies).Delete(t.Context(), fmt.Sprintf("busy-%d", i), metav1.DeleteOptions{}))
			_, err := b.host.Resource(policies).Patch(t.Context(), fmt.Sprintf("busy-%d", i), types.MergePatchType, []byte(`{"metadata":{"annotations":{"by":"three"}}}`), metav1.PatchOptions{})
			if !apierrors.IsNotFound(err) {
				require.NoError(t, err)
			}
		}
		for i := range n {
			b.gone(t, policies, fmt.Sprintf("busy-%d", i))
		}
	})

	t.Run("orphans outlive their policy", func(t *testing.T) {
		kubectl("delete", "clusterimportpolicy", "barges", "--cascade=orphan")
		b.gone(t, policies, "barges")
		b.condition(t, lifecycles, "kept", "Updating", "OrphanLifecycle")
		b.get(t, pediaClusters, "kept")
	})
}

// TestPolicySamples tries the policies of docs/import-policies on objects as the cluster
// managers make them.
func TestPolicySamples(t *testing.T) {
	b := newPolicyBed(t)
	b.crd(t, schema.GroupVersionResource{Group: "cluster.karmada.io", Version: "v1alpha1", Resource: "clusters"}, "Cluster", "Cluster")
	b.crd(t, schema.GroupVersionResource{Group: "cluster.x-k8s.io", Version: "v1beta2", Resource: "clusters"}, "Cluster", "Namespaced")
	files, err := filepath.Glob(filepath.Join(shared.root, "docs", "import-policies", "*.yaml"))
	require.NoError(t, err)
	require.Len(t, files, 4)
	apply := func(name string) {
		text, err := os.ReadFile(filepath.Join(shared.root, "docs", "import-policies", name+".yaml"))
		require.NoError(t, err)
		b.apply(t, string(text))
		b.condition(t, policies, name, "Validated", "Success")
	}
	objects, err := os.ReadFile("testdata/policies/sources.yaml")
	require.NoError(t, err)
	b.apply(t, string(objects))
	for _, name := range []string{"karmada", "cluster-api", "vcluster", "kubevela"} {
		apply(name)
	}
	b.spec(t, "karmada-east", "apiserver", "https://east.example.io:6443")
	b.spec(t, "karmada-east", "tokenData", encoded("karmada>>>token"))
	b.spec(t, "karmada-east", "caData", encoded("ca"))
	b.spec(t, "capi-default-west", "kubeconfig", encoded("kubeconfig>>>"))
	b.spec(t, "vc-default-north", "apiserver", "https://north.default.svc:443")
	b.spec(t, "vc-default-north", "certData", encoded("cert"))
	// Both have Secrets as their source, so one has to go.
	b.condition(t, policies, "kubevela", "Reconciling", "SourceResourceInUse")
	require.NoError(t, b.host.Resource(policies).Delete(t.Context(), "vcluster", metav1.DeleteOptions{}))
	b.spec(t, "vela-south", "apiserver", "https://south.example.io")
	b.spec(t, "vela-south", "certData", encoded("cert"))
	b.spec(t, "vela-center", "tokenData", encoded("token"))
	for _, absent := range []string{"karmada-pull", "karmada-down", "capi-default-new", "vc-default-backup"} {
		_, err := b.host.Resource(pediaClusters).Get(t.Context(), absent, metav1.GetOptions{})
		require.True(t, apierrors.IsNotFound(err), absent)
	}
}
