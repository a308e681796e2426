package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpedia.io/testbed/stack"
)

// apply applies manifests with kubectl.
func apply(t *testing.T, kubeconfig, manifests string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(shared.binaries, "kubectl"), "--kubeconfig", kubeconfig, "apply", "--server-side", "--force-conflicts", "-f", "-")
	cmd.Stdin = strings.NewReader(manifests)
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, string(text))
}

// onMember runs kubectl against member-1 itself.
func onMember(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(shared.binaries, "kubectl"), append([]string{"--kubeconfig", shared.members[0].Kubeconfig()}, args...)...).Output()
	require.NoError(t, err, args)
	return string(out)
}

// pediaCluster makes or changes a PediaCluster.
func (d *deployment) pediaCluster(t *testing.T, name string, spec map[string]any) {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"apiVersion": "cluster.clusterpedia.io/v1alpha2", "kind": "PediaCluster", "metadata": map[string]any{"name": name}, "spec": spec,
	})
	require.NoError(t, err)
	apply(t, d.Host.Kubeconfig(), string(text))
}

// says waits until a condition of a PediaCluster is "Status/Reason", with a text in its
// message.
func (d *deployment) says(t *testing.T, cluster, condition, want, message string) {
	t.Helper()
	eventually(t, syncLimit, func() error {
		status, err := d.Status(t.Context(), cluster)
		if err != nil {
			return err
		}
		for _, c := range status.Conditions {
			if c.Type == condition && string(c.Status)+"/"+c.Reason == want && strings.Contains(c.Message, message) {
				return nil
			}
		}
		return fmt.Errorf("the conditions of %s are %v, want %s=%s/%s", cluster, status.Conditions, condition, want, message)
	})
}

// resources returns "resource.version" of all that is synced of a cluster.
func (d *deployment) resources(t *testing.T, cluster string) (names []string) {
	t.Helper()
	status, err := d.Status(t.Context(), cluster)
	require.NoError(t, err)
	for _, group := range status.SyncResources {
		for _, r := range group.Resources {
			for _, c := range r.SyncConditions {
				names = append(names, r.Name+"."+c.Version)
			}
		}
	}
	return names
}

// rowsOf counts the rows of a resource of a cluster.
func (s sqlStorage) rowsOf(t *testing.T, cluster, resource string) (n int) {
	t.Helper()
	for key := range s.snapshot(t) {
		if strings.HasPrefix(key, cluster+"/"+resource+"/") {
			n++
		}
	}
	return n
}

func selectCore(resources ...string) map[string]any {
	return map[string]any{"group": "", "resources": resources}
}

const readerRights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: clusterpedia-reader}
rules:
- {apiGroups: [""], resources: [configmaps], verbs: [list, watch]}
- {nonResourceURLs: [/version, /api, "/api/*", /apis, "/apis/*", /readyz], verbs: [get]}
`

func reader(name string) string {
	return fmt.Sprintf(`
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: %[1]s, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: clusterpedia-%[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: clusterpedia-reader}
subjects: [{kind: ServiceAccount, name: %[1]s, namespace: default}]
`, name)
}

// TestManager runs the manager through what can become of a PediaCluster, as far as that
// needs real API servers.
func TestManager(t *testing.T) {
	s := sqlStorages()["SQLite"](t)
	d := deploy(t, "internal", s.config)
	d.ManagerArgs = append(d.ManagerArgs, "--feature-gates=ClusterAuthenticationFromSecret=true,AllowSyncAllCustomResources=true")
	d.startManager(t)
	m := shared.members[0]
	ca, err := os.ReadFile(m.PKI("ca.crt"))
	require.NoError(t, err)
	config := []any{selectCore("configmaps")}

	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"least rights, from a Secret, which rotates", func(t *testing.T) {
			apply(t, m.Kubeconfig(), readerRights+reader("first")+reader("second"))
			token := func(name string) string {
				return strings.TrimSpace(onMember(t, "create", "token", name, "-n", "default"))
			}
			secret := func(token string) {
				apply(t, d.Host.Kubeconfig(), fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: rotated, namespace: %s}, stringData: {token: %q, ca: %q}}", stack.Namespace, token, ca))
			}
			from := func(key string) map[string]any { return map[string]any{"name": "rotated", "key": key} }
			d.pediaCluster(t, "secret", map[string]any{
				"apiserver": m.URL(), "authenticationFrom": map[string]any{"token": from("token"), "ca": from("ca")}, "syncResources": config,
			})
			d.says(t, "secret", "Validated", "False/InvalidConfig", `invalid cluster config: Cluster Authentication Error: secret "rotated" not found`)
			d.says(t, "secret", "SynchroRunning", "False/InvalidConfig", "Cluster Authentication Error")
			secret(token("first"))
			require.NoError(t, d.WaitSynced(t.Context(), "secret", syncLimit, nil))
			require.Equal(t, []string{"configmaps.v1"}, d.resources(t, "secret"), "no right to see definitions is needed")
			before := s.snapshot(t)
			require.NotEmpty(t, before)
			onMember(t, "delete", "serviceaccount", "first", "-n", "default")
			d.says(t, "secret", "ClusterHealthy", "False/NotReachable", "Unauthorized")
			secret(token("second"))
			d.says(t, "secret", "Ready", "True/Ready", "")
			require.NoError(t, d.WaitSynced(t.Context(), "secret", syncLimit, nil))
			require.Empty(t, before.changed(s.snapshot(t)))
		}},
		{"certificates of authorities", func(t *testing.T) {
			token := []byte(strings.TrimSpace(onMember(t, "create", "token", "second", "-n", "default")))
			other, err := os.ReadFile(d.Host.PKI("ca.crt"))
			require.NoError(t, err)
			d.pediaCluster(t, "ca", map[string]any{"apiserver": m.URL(), "tokenData": token, "caData": other, "syncResources": config})
			d.says(t, "ca", "SynchroRunning", "False/InitialFailed", "x509: certificate signed by unknown authority")
			d.says(t, "ca", "ClusterHealthy", "Unknown/MonitorStop", "wait cluster synchro")
			d.pediaCluster(t, "ca", map[string]any{"apiserver": m.URL(), "tokenData": token, "caData": ca, "syncResources": config})
			d.says(t, "ca", "Ready", "True/Ready", "")
			d.pediaCluster(t, "ca", map[string]any{"apiserver": m.URL(), "tokenData": token, "syncResources": config})
			d.says(t, "ca", "Validated", "True/Validated", "Warning: the certificate of the cluster's API server is not verified")
			d.says(t, "ca", "Ready", "True/Ready", "")
			require.NoError(t, d.RemoveCluster(t.Context(), "ca"))
			require.Zero(t, s.rowsOf(t, "ca", "configmaps"))
		}},
		{"commands and files in a kubeconfig", func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "made")
			kubeconfig := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"a","clusters":[{"name":"a","cluster":{"server":%q}}],"contexts":[{"name":"a","context":{"cluster":"a","user":"a"}}],
				"users":[{"name":"a","user":{"exec":{"apiVersion":"client.authentication.k8s.io/v1","command":"touch","args":[%q],"interactiveMode":"Never"}}}]}`, m.URL(), file)
			d.pediaCluster(t, "exec", map[string]any{"kubeconfig": []byte(kubeconfig), "syncResources": config})
			d.says(t, "exec", "Validated", "False/InvalidConfig", "users[a].exec is not allowed")
			_, err := os.Stat(file)
			require.ErrorIs(t, err, os.ErrNotExist)
			require.NoError(t, d.RemoveCluster(t.Context(), "exec"))
		}},
		{"a proxy", func(t *testing.T) { throughProxy(t, d) }},
		{"definitions that come and go", func(t *testing.T) { definitions(t, d, s) }},
		{"kinds that not every version has", func(t *testing.T) {
			apply(t, m.Kubeconfig(), "{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {name: e2e}, spec: {cidrs: [192.0.2.0/24]}}\n---\n"+
				"{apiVersion: storage.k8s.io/v1, kind: VolumeAttributesClass, metadata: {name: e2e}, driverName: example.io, parameters: {a: b}}\n---\n"+
				"{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: e2e, namespace: default}, spec: {maxReplicas: 2, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}}")
			require.NoError(t, d.AddCluster(t.Context(), "member-1", m.Kubeconfig(),
				stack.SyncResource{Group: "networking.k8s.io", Resources: []string{"ServiceCIDR"}}, stack.SyncResource{Group: "storage.k8s.io", Resources: []string{"volumeattributesclasses"}},
				stack.SyncResource{Group: "autoscaling", Resources: []string{"*"}}, stack.SyncResource{Group: "coordination.k8s.io", Resources: []string{"deploy", "leases"}}))
			eventually(t, syncLimit, func() error {
				for _, resource := range []string{"servicecidrs", "volumeattributesclasses", "horizontalpodautoscalers"} {
					if s.rowsOf(t, "member-1", resource) == 0 {
						return fmt.Errorf("no rows of %s", resource)
					}
				}
				return nil
			})
			eventually(t, seconds, func() error {
				if out := d.mustKubectl(t, "--context", "host", "get", "events", "-n", "default", "-o", "jsonpath={.items[*].message}"); !strings.Contains(out, "deploy.coordination.k8s.io") {
					return fmt.Errorf("nobody was told that there is no such resource: %s", out)
				}
				return nil
			})
			onMember(t, "delete", "servicecidr/e2e", "volumeattributesclass/e2e", "--wait=false") // a controller that doesn't run would let the first go
			onMember(t, "delete", "hpa/e2e", "-n", "default")
			require.NoError(t, d.RemoveCluster(t.Context(), "member-1"))
		}},
		{"a shared selection that is deleted", func(t *testing.T) { sharedSelection(t, d, s) }},
		{"a finalizer that is removed by force", func(t *testing.T) { vanished(t, d, s) }},
		{"shards", func(t *testing.T) { shards(t, d, s) }},
		{"the end", func(t *testing.T) {
			require.NoError(t, d.manager.Stop(stopLimit))
			require.NoError(t, d.manager.Wait(t.Context()), "its exit code")
			for condition, want := range map[string]string{"SynchroRunning": "False/Shutdown", "ClusterHealthy": "Unknown/MonitorStop", "Ready": "False/NotReady"} {
				d.says(t, "secret", condition, want, "")
			}
			require.NotEmpty(t, s.rowsOf(t, "secret", "configmaps"))
			out := d.mustKubectl(t, "--context", "host", "get", "events", "-n", "default", "--field-selector", "involvedObject.kind=PediaCluster,involvedObject.name=secret", "-o", "jsonpath={.items[*].reason}")
			for _, reason := range []string{"InvalidConfig", "Running", "Healthy", "Synced", "NotReachable"} {
				require.Contains(t, strings.Fields(out), reason)
			}
		}},
		{"a file that was moved away", func(t *testing.T) {
			want := s.rowsOf(t, "secret", "configmaps")
			require.NoError(t, s.db.Close())
			require.NoError(t, os.Rename(s.file, s.file+".old"))
			d.startManager(t)
			anew := sqliteFile(t, s.file)
			eventually(t, syncLimit, func() error {
				var n int
				err := anew.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM resources WHERE cluster = 'secret' AND resource = 'configmaps'").Scan(&n)
				if err == nil && n != want {
					err = fmt.Errorf("%d rows, want %d", n, want)
				}
				return err
			})
		}},
	} {
		if !t.Run(step.name, step.run) {
			return
		}
	}
}

// throughProxy reaches a member through a proxy that its kubeconfig names.
func throughProxy(t *testing.T, d *deployment) {
	var connections atomic.Int64
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // It is closed below.
	require.NoError(t, err)
	proxy := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodConnect {
			http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)
			return
		}
		connections.Add(1)
		tunnel(w, req.Host)
	})}
	go func() { _ = proxy.Serve(listener) }()
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	text, err := os.ReadFile(shared.members[0].Kubeconfig())
	require.NoError(t, err)
	var kubeconfig map[string]any
	require.NoError(t, json.Unmarshal(text, &kubeconfig))
	clusters, ok := kubeconfig["clusters"].([]any)
	require.True(t, ok)
	entry, ok := clusters[0].(map[string]any)["cluster"].(map[string]any)
	require.True(t, ok)
	entry["proxy-url"] = "http://" + listener.Addr().String()
	// A name that only the proxy can make something of.
	text, err = json.Marshal(kubeconfig)
	require.NoError(t, err)
	d.pediaCluster(t, "proxied", map[string]any{"kubeconfig": base64.StdEncoding.EncodeToString(text), "syncResources": []any{selectCore("configmaps", "pods")}})
	require.NoError(t, d.WaitSynced(t.Context(), "proxied", syncLimit, nil))
	require.Positive(t, connections.Load())
	// It stays as it is: no reconciliation makes another connection.
	before := connections.Load()
	for i := range 3 {
		d.mustKubectl(t, "--context", "host", "annotate", "pediacluster", "proxied", fmt.Sprintf("touched=%d", i), "--overwrite")
	}
	require.Never(t, func() bool { return connections.Load() != before }, 8*time.Second, time.Second)
	require.NoError(t, d.RemoveCluster(t.Context(), "proxied"))
}

// tunnel joins a client and a host until one of them ends.
func tunnel(w http.ResponseWriter, host string) {
	upstream, err := net.Dial("tcp", host) //nolint:noctx // The client's end ends it.
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer func() { _ = upstream.Close() }()
	w.WriteHeader(http.StatusOK)
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return
	}
	client, _, err := hijacker.Hijack()
	if err != nil {
		return
	}
	defer func() { _ = client.Close() }()
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{client, upstream}, {upstream, client}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			done <- struct{}{}
		}()
	}
	<-done
}

const gadgets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.live.example.io}
spec:
  group: live.example.io
  scope: Namespaced
  names: {plural: gadgets, singular: gadget, kind: Gadget, listKind: GadgetList}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
  - {name: v1alpha1, served: %t, storage: false, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`

// definitions has custom resources defined, changed and deleted while they are selected,
// by a wildcard for their group and by one for all.
func definitions(t *testing.T, d *deployment, s sqlStorage) {
	kubeconfig := shared.members[0].Kubeconfig()
	require.NoError(t, d.AddCluster(t.Context(), "by-group", kubeconfig, stack.SyncResource{Group: "live.example.io", Resources: []string{"*"}}))
	text, err := os.ReadFile(kubeconfig)
	require.NoError(t, err)
	d.pediaCluster(t, "all-custom", map[string]any{"kubeconfig": text, "syncResources": []any{}, "syncAllCustomResources": true})
	d.says(t, "by-group", "Ready", "True/Ready", "")
	d.says(t, "all-custom", "Ready", "True/Ready", "")
	clusters := []string{"by-group", "all-custom"}
	check := func(want int, versions ...string) {
		t.Helper()
		eventually(t, syncLimit, func() error {
			for _, cluster := range clusters {
				var got []string
				for _, name := range d.resources(t, cluster) {
					if strings.HasPrefix(name, "gadgets.") {
						got = append(got, name)
					}
				}
				if rows := s.rowsOf(t, cluster, "gadgets"); rows != want || !slices.Equal(got, versions) {
					return fmt.Errorf("%s has %d rows of gadgets in %q, want %d in %q", cluster, rows, got, want, versions)
				}
			}
			return nil
		})
	}
	apply(t, kubeconfig, fmt.Sprintf(gadgets, false))
	onMember(t, "wait", "--for=condition=Established", "crd/gadgets.live.example.io", "--timeout=30s")
	make1 := func() {
		t.Helper()
		eventually(t, seconds, func() error { // served a moment after it is established
			cmd := exec.CommandContext(t.Context(), filepath.Join(shared.binaries, "kubectl"), "--kubeconfig", kubeconfig, "apply", "-f", "-")
			cmd.Stdin = strings.NewReader("{apiVersion: live.example.io/v1, kind: Gadget, metadata: {name: a, namespace: default}, spec: {x: 1}}")
			return cmd.Run()
		})
	}
	make1()
	check(1, "gadgets.v1")
	// A version more is served: its objects are rows of their own.
	apply(t, kubeconfig, fmt.Sprintf(gadgets, true))
	eventually(t, syncLimit, func() error {
		if names := d.resources(t, "by-group"); !slices.Contains(names, "gadgets.v1alpha1") {
			return fmt.Errorf("synced are %q", names)
		}
		return nil
	})
	check(1, "gadgets.v1", "gadgets.v1alpha1") // counted by names, which are the same
	apply(t, kubeconfig, fmt.Sprintf(gadgets, false))
	check(1, "gadgets.v1")
	onMember(t, "delete", "crd", "gadgets.live.example.io")
	check(0)
	apply(t, kubeconfig, fmt.Sprintf(gadgets, false))
	onMember(t, "wait", "--for=condition=Established", "crd/gadgets.live.example.io", "--timeout=30s")
	make1()
	check(1, "gadgets.v1")
	onMember(t, "delete", "crd", "gadgets.live.example.io")
	check(0)
	for _, cluster := range clusters {
		require.NoError(t, d.RemoveCluster(t.Context(), cluster))
	}
}

// sharedSelection deletes a ClusterSyncResources that is still named: nothing changes, for a
// manager that starts anew neither.
func sharedSelection(t *testing.T, d *deployment, s sqlStorage) {
	apply(t, d.Host.Kubeconfig(), `{apiVersion: cluster.clusterpedia.io/v1alpha2, kind: ClusterSyncResources, metadata: {name: everywhere},
		spec: {syncResources: [{group: "", resources: [configmaps]}], excludedNamespaces: [kube-system]}}`)
	kubeconfig, err := os.ReadFile(shared.members[0].Kubeconfig())
	require.NoError(t, err)
	d.pediaCluster(t, "shared", map[string]any{"kubeconfig": kubeconfig, "syncResources": []any{}, "syncResourcesRefName": "everywhere"})
	require.NoError(t, d.WaitSynced(t.Context(), "shared", syncLimit, nil))
	before := s.snapshot(t)
	require.NotZero(t, s.rowsOf(t, "shared", "configmaps"))
	for key := range before {
		require.False(t, strings.HasPrefix(key, "shared/configmaps/kube-system/"), key)
	}
	d.mustKubectl(t, "--context", "host", "delete", "clustersyncresources", "everywhere")
	const inForce = "Warning: sync resource ref is not found; what it said last stays in force"
	d.says(t, "shared", "Validated", "True/Validated", inForce)
	require.NoError(t, d.manager.Kill())
	d.startManager(t)
	d.says(t, "shared", "Ready", "True/Ready", "")
	require.NoError(t, d.WaitSynced(t.Context(), "shared", syncLimit, nil))
	d.says(t, "shared", "Validated", "True/Validated", inForce)
	require.Empty(t, before.changed(s.snapshot(t)))
	require.Len(t, s.snapshot(t), len(before))

	d.pediaCluster(t, "shared", map[string]any{"kubeconfig": kubeconfig, "syncResources": []any{}})
	eventually(t, syncLimit, func() error {
		if n := s.rowsOf(t, "shared", "configmaps"); n > 0 {
			return fmt.Errorf("%d rows are left", n)
		}
		return nil
	})
	require.NoError(t, d.RemoveCluster(t.Context(), "shared"))
}

// shards gives a cluster from one manager to another, and back.
func shards(t *testing.T, d *deployment, s sqlStorage) {
	kubeconfig, err := os.ReadFile(shared.members[0].Kubeconfig())
	require.NoError(t, err)
	spec := func(shard string) map[string]any {
		return map[string]any{"kubeconfig": kubeconfig, "syncResources": []any{selectCore("configmaps")}, "shardingName": shard}
	}
	owner := func(want string) {
		t.Helper()
		eventually(t, syncLimit, func() error {
			got := d.mustKubectl(t, "--context", "host", "get", "pediacluster", "sharded", "-o", "jsonpath={.status.shardingName}")
			if got != want {
				return fmt.Errorf("it is owned by %q, want %q", got, want)
			}
			return nil
		})
	}
	d.pediaCluster(t, "sharded", spec("a"))
	require.Never(t, func() bool {
		status, err := d.Status(context.WithoutCancel(t.Context()), "sharded")
		return err != nil || len(status.Conditions) > 0
	}, 3*time.Second, 500*time.Millisecond)

	other := *d.Stack
	other.Dir = filepath.Join(d.Dir, "shard-a")
	require.NoError(t, os.MkdirAll(other.Dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(other.Dir, "storage.yaml"), []byte(other.StorageConfig), 0o600))
	other.ManagerArgs = append(slices.Clone(d.ManagerArgs), "--sharding-name=a")
	second, err := other.StartManager(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, second.Stop(stopLimit)) })
	require.NoError(t, d.WaitSynced(t.Context(), "sharded", syncLimit, nil))
	owner("a")
	leases := d.mustKubectl(t, "--context", "host", "get", "leases", "-n", stack.Namespace, "-o", "jsonpath={.items[*].metadata.name}")
	require.ElementsMatch(t, []string{"clusterpedia-clustersynchro-manager", "clusterpedia-clustersynchro-manager-a"}, strings.Fields(leases))
	before := s.snapshot(t)
	require.NotZero(t, s.rowsOf(t, "sharded", "configmaps"))
	for _, shard := range []string{"", "a", ""} {
		d.pediaCluster(t, "sharded", spec(shard))
		eventually(t, syncLimit, func() error {
			out := d.mustKubectl(t, "--context", "host", "get", "pediacluster", "sharded", "-o", "json")
			var p struct {
				Status struct{ ShardingName *string }
			}
			if err := json.Unmarshal([]byte(out), &p); err != nil || p.Status.ShardingName == nil || *p.Status.ShardingName != shard {
				return fmt.Errorf("shard %q has not taken it: %w", shard, err)
			}
			return nil
		})
		require.NoError(t, d.WaitSynced(t.Context(), "sharded", syncLimit, nil))
		require.Empty(t, before.changed(s.snapshot(t)))
	}
	// The one that gave it away doesn't write any more: what happens now comes once.
	client := shared.members[0].client.Resource(configMaps).Namespace("default")
	_, err = client.Create(t.Context(), configMap("sharded", "one"), metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, seconds, func() error {
		if len(before.changed(s.snapshot(t))) == 0 {
			return fmt.Errorf("not copied")
		}
		return nil
	})
	require.NoError(t, client.Delete(t.Context(), "sharded", metav1.DeleteOptions{}))

	// It belongs to a manager that is gone: nobody takes it until that is said.
	ownedBy := func(shard string) {
		t.Helper()
		d.mustKubectl(t, "--context", "host", "patch", "pediacluster", "sharded", "--subresource=status", "--type=merge", "-p", `{"status":{"shardingName":`+shard+`}}`)
	}
	d.pediaCluster(t, "sharded", spec("gone"))
	d.says(t, "sharded", "SynchroRunning", "False/Shutdown", "")
	owner("")
	ownedBy(`"gone"`)
	d.pediaCluster(t, "sharded", spec(""))
	require.Never(t, func() bool {
		got, err := d.kubectl(context.WithoutCancel(t.Context()), "--context", "host", "get", "pediacluster", "sharded", "-o", "jsonpath={.status.shardingName}")
		return err != nil || got != "gone"
	}, 3*time.Second, 500*time.Millisecond)
	ownedBy("null")
	d.says(t, "sharded", "Ready", "True/Ready", "")
	require.NoError(t, d.WaitSynced(t.Context(), "sharded", syncLimit, nil))
	require.NoError(t, d.RemoveCluster(t.Context(), "sharded"))
}
