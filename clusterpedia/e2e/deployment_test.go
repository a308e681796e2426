package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/e2e/bed"
	"clusterpedia.io/testbed/cluster"
	"clusterpedia.io/testbed/process"
	"clusterpedia.io/testbed/sample"
	"clusterpedia.io/testbed/stack"
)

const (
	clusterAnnotation = bed.ClusterAnnotation
	syncLimit         = 2 * time.Minute
	stopLimit         = 20 * time.Second
)

var (
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

// selected is what is synced of each member.
func selected() []schema.GroupVersionResource {
	core := schema.GroupVersion{Version: "v1"}
	return []schema.GroupVersionResource{
		pods, configMaps, deployments, sample.Widgets,
		core.WithResource("services"), core.WithResource("secrets"), core.WithResource("namespaces"), core.WithResource("nodes"),
		deployments.GroupVersion().WithResource("replicasets"),
	}
}

// selection is selected as a PediaCluster has it.
func selection() []stack.SyncResource { return bed.Selection(selected()) }

// deployment is Clusterpedia on a host cluster of its own.
type deployment struct {
	*stack.Stack
	kubeconfig, cache string
	// manager is nil where the apiserver is a binding-apiserver.
	manager, apiserver *process.Process
}

// deploy starts a host cluster and prepares it.
func deploy(t *testing.T, storage, config string) *deployment {
	t.Helper()
	if testing.Short() {
		t.Skip("needs clusters")
	}
	dir := t.TempDir()
	host := &cluster.Cluster{Name: "host", Dir: filepath.Join(dir, "host"), Binaries: shared.binaries}
	t.Cleanup(func() { require.NoError(t, host.Remove()) })
	require.NoError(t, host.Start(t.Context()))
	d := &deployment{
		Stack: &stack.Stack{
			Host: host, Dir: filepath.Join(dir, "servers"), Bin: shared.bin,
			CRDs: filepath.Join(shared.root, "charts", "clusterpedia", "crds"), Storage: storage, StorageConfig: config,
			// A manager that is killed is succeeded soon.
			ManagerArgs: []string{"--leader-elect-lease-duration=4s", "--leader-elect-renew-deadline=3s", "--leader-elect-retry-period=500ms"},
		},
		kubeconfig: filepath.Join(dir, "kubeconfig"), cache: filepath.Join(dir, "cache"),
	}
	require.NoError(t, d.Install(t.Context()))
	require.NoError(t, d.WriteKubeconfig(d.kubeconfig, memberNames()...))
	t.Cleanup(func() {
		for _, p := range []*process.Process{d.apiserver, d.manager} {
			if p == nil {
				continue
			}
			if t.Failed() {
				t.Logf("the log ends with:\n%s", p.LogTail(4000))
			}
			require.NoError(t, p.Stop(stopLimit))
		}
	})
	return d
}

func (d *deployment) startManager(t *testing.T) {
	t.Helper()
	var err error
	d.manager, err = d.StartManager(t.Context())
	require.NoError(t, err)
}

func (d *deployment) startAPIServer(t *testing.T) {
	t.Helper()
	var err error
	d.apiserver, err = d.StartAPIServer(t.Context())
	require.NoError(t, err)
}

// register registers all members and waits until they are synced.
func (d *deployment) register(t *testing.T) {
	t.Helper()
	for _, m := range shared.members {
		require.NoError(t, d.AddCluster(t.Context(), m.Name, m.Kubeconfig(), selection()...))
	}
	for _, m := range shared.members {
		require.NoError(t, d.WaitSynced(t.Context(), m.Name, syncLimit, nil))
	}
}

// bind starts the binding-apiserver and registers all members with it.
func (d *deployment) bind(t *testing.T) {
	t.Helper()
	var err error
	d.apiserver, err = d.StartBindingAPIServer(t.Context())
	require.NoError(t, err)
	d.register(t)
}

// kubectl runs kubectl, with the context that sees all clusters unless the
// arguments choose another, and returns what it prints.
func (d *deployment) kubectl(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(shared.binaries, "kubectl"),
		append([]string{"--kubeconfig", d.kubeconfig, "--cache-dir", d.cache}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// mustKubectl is kubectl that must succeed.
func (d *deployment) mustKubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := d.kubectl(t.Context(), args...)
	require.NoError(t, err)
	return out
}

// rows splits a table of kubectl into its cells, the header apart.
func rows(table string) (header []string, cells [][]string) {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if header == nil {
			header = fields
			continue
		}
		cells = append(cells, fields)
	}
	return header, cells
}

// list reads all objects of a resource, of all clusters, over plain HTTP.
func (d *deployment) list(ctx context.Context, gvr schema.GroupVersionResource) (map[string]*unstructured.Unstructured, error) {
	path := stack.Root + "/api/" + gvr.Version
	if gvr.Group != "" {
		path = stack.Root + "/apis/" + gvr.Group + "/" + gvr.Version
	}
	out, err := d.kubectl(ctx, "--context", "host", "get", "--raw", path+"/"+gvr.Resource)
	if err != nil {
		return nil, err
	}
	var list struct{ Items []map[string]any }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return nil, fmt.Errorf("%w in %q", err, out)
	}
	objects := map[string]*unstructured.Unstructured{}
	for _, item := range list.Items {
		u := &unstructured.Unstructured{Object: item}
		key := u.GetAnnotations()[clusterAnnotation] + "/" + u.GetNamespace() + "/" + u.GetName()
		if objects[key] != nil {
			return nil, fmt.Errorf("%s: %s is listed twice", gvr.Resource, key)
		}
		objects[key] = u
	}
	return objects, nil
}

// expected reads what must be listed, from the members themselves.
func expected(ctx context.Context, gvr schema.GroupVersionResource) (map[string]*unstructured.Unstructured, error) {
	objects := map[string]*unstructured.Unstructured{}
	for _, m := range shared.members {
		list, err := m.client.Resource(gvr).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			u := &list.Items[i]
			bed.MakeStored(u, m.Name)
			objects[m.Name+"/"+u.GetNamespace()+"/"+u.GetName()] = u
		}
	}
	return objects, nil
}

// compare checks every object that is served against the members.
func (d *deployment) compare(ctx context.Context) error {
	for _, gvr := range selected() {
		want, err := expected(ctx, gvr)
		if err != nil {
			return err
		}
		got, err := d.list(ctx, gvr)
		if err != nil {
			return err
		}
		for key := range got {
			if want[key] == nil {
				return fmt.Errorf("%s: %s is listed, the member has none", gvr.Resource, key)
			}
		}
		for key, w := range want {
			g := got[key]
			if g == nil {
				return fmt.Errorf("%s: %s is missing", gvr.Resource, key)
			}
			// A kind and an apiVersion stand in items or not, by the kind of the resource.
			g.SetAPIVersion(w.GetAPIVersion())
			g.SetKind(w.GetKind())
			if !reflect.DeepEqual(normal(w.Object), normal(g.Object)) {
				return fmt.Errorf("%s: %s is served as %v, the member has %v", gvr.Resource, key, g.Object, w.Object)
			}
		}
	}
	return nil
}

// normal is a document as JSON has it, whose numbers are all of one type.
func normal(document map[string]any) (out map[string]any) {
	text, err := json.Marshal(document)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	return out
}
