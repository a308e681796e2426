package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/pager"

	"clusterpedia.io/testbed/process"
	"clusterpedia.io/testbed/sample"
	"clusterpedia.io/testbed/stack"
)

// TestSQL follows objects from the members through both servers, with the internal
// storage layer on each database system, to kubectl. The databases take their turn:
// what one's part of the test does to the members, another's would see.
func TestSQL(t *testing.T) {
	for name, storage := range sqlStorages() {
		t.Run(name, func(t *testing.T) {
			s := storage(t)
			d := deploy(t, "internal", s.config)
			d.startManager(t)
			d.startAPIServer(t)
			d.register(t)
			require.Contains(t, d.manager.LogTail(1<<20), "internalstorage.so")

			for _, step := range []struct {
				name string
				run  func(*testing.T, *deployment, sqlStorage)
			}{
				{"served as the members have it", servedAsIs},
				{"kubectl", kubectlTables},
				{"pages", pages},
				{"one cluster", oneCluster},
				{"search", search},
				{"collections", collections},
				{"changes", changes},
				{"a manager that is killed", restartManager(syscallKill)},
				{"a manager that is stopped", restartManager(syscallStop)},
				{"an apiserver that is killed", restartAPIServer},
				{"a member that is killed", restartMember},
				{"a cluster that is removed", removeCluster},
			} {
				if !t.Run(step.name, func(t *testing.T) { step.run(t, d, s) }) {
					return // the next builds on it
				}
			}
		})
	}
}

// TestBinding does the same with the binding-apiserver, which keeps everything in
// memory.
func TestBinding(t *testing.T) {
	d := deploy(t, "memory", "")
	d.bind(t)
	require.Contains(t, d.apiserver.LogTail(1<<20), "memorystorage.so")
	servedAsIs(t, d, sqlStorage{})
	kubectlTables(t, d, sqlStorage{})
	pages(t, d, sqlStorage{})
	oneCluster(t, d, sqlStorage{})
	search(t, d, sqlStorage{})
	changes(t, d, sqlStorage{})

	// What it kept is gone with it, and read again.
	require.NoError(t, d.apiserver.Kill())
	var err error
	d.apiserver, err = d.StartBindingAPIServer(t.Context())
	require.NoError(t, err)
	eventually(t, syncLimit, func() error { return d.compare(t.Context()) })
	removeCluster(t, d, sqlStorage{})
}

// servedAsIs compares each object in full with its member's.
func servedAsIs(t *testing.T, d *deployment, _ sqlStorage) {
	eventually(t, seconds, func() error { return d.compare(t.Context()) })
}

func kubectlTables(t *testing.T, d *deployment, _ sqlStorage) {
	want, err := expected(t.Context(), deployments)
	require.NoError(t, err)
	header, cells := rows(d.mustKubectl(t, "get", "deployments", "-A"))
	// kubectl itself adds the namespace in front of the server's columns.
	require.Equal(t, []string{"NAMESPACE", "CLUSTER", "NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"}, header)
	require.Len(t, cells, len(want))
	for _, row := range cells {
		require.Contains(t, want, row[1]+"/"+row[0]+"/"+row[2])
	}
	header, _ = rows(d.mustKubectl(t, "get", "deployments", "-n", "default"))
	require.Equal(t, "CLUSTER", header[0])

	header, cells = rows(d.mustKubectl(t, "get", "widgets", "-A"))
	require.Equal(t, []string{"NAMESPACE", "CLUSTER", "NAME"}, header[:3])
	require.NotEmpty(t, cells)
	resources := d.mustKubectl(t, "api-resources")
	for _, gvr := range selected() {
		require.Contains(t, resources, gvr.Resource)
	}
}

// pages checks that a client that reads in pages sees every row, once.
func pages(t *testing.T, d *deployment, _ sqlStorage) {
	want := d.mustKubectl(t, "get", "pods", "-A", "--no-headers", "-o", "name", "--chunk-size=0")
	for _, size := range []string{"5", "7", "500"} {
		require.Equal(t, want, d.mustKubectl(t, "get", "pods", "-A", "--no-headers", "-o", "name", "--chunk-size="+size), "pages of %s", size)
	}
	objects, err := expected(t.Context(), pods)
	require.NoError(t, err)
	require.Len(t, strings.Fields(want), len(objects))
	_, cells := rows(d.mustKubectl(t, "get", "pods", "-A", "--chunk-size=3"))
	require.Len(t, cells, len(objects), "rows of the table")

	// As programs do, with client-go.
	config, err := clientcmd.BuildConfigFromFlags("", d.kubeconfig)
	require.NoError(t, err)
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	all := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return client.Resource(pods).List(ctx, o)
	})
	all.PageSize = 3
	seen := map[string]bool{}
	require.NoError(t, all.EachListItem(t.Context(), metav1.ListOptions{}, func(o runtime.Object) error {
		u, ok := o.(*unstructured.Unstructured)
		require.True(t, ok)
		seen[u.GetAnnotations()[clusterAnnotation]+"/"+u.GetNamespace()+"/"+u.GetName()] = true
		return nil
	}))
	require.Len(t, seen, len(objects))
}

func oneCluster(t *testing.T, d *deployment, _ sqlStorage) {
	for _, m := range shared.members {
		list, err := m.client.Resource(deployments).Namespace("default").List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		_, cells := rows(d.mustKubectl(t, "--context", m.Name, "get", "deployments", "-n", "default"))
		require.Len(t, cells, len(list.Items))
		for _, row := range cells {
			require.Equal(t, m.Name, row[0])
		}
		var got unstructured.Unstructured
		require.NoError(t, json.Unmarshal([]byte(d.mustKubectl(t, "--context", m.Name, "get", "deployment", "web", "-n", "default", "-o", "json")), &got.Object))
		want, err := m.client.Resource(deployments).Namespace("default").Get(t.Context(), "web", metav1.GetOptions{})
		require.NoError(t, err)
		require.Equal(t, want.GetUID(), got.GetUID())
		require.Equal(t, want.GetResourceVersion(), got.GetResourceVersion())
		require.Equal(t, m.Name, got.GetAnnotations()[clusterAnnotation])
		require.Equal(t, normal(want.Object)["spec"], normal(got.Object)["spec"])

		_, err = d.kubectl(t.Context(), "--context", m.Name, "get", "deployment", "missing", "-n", "default")
		require.ErrorContains(t, err, `deployments.apps "missing" not found`)
	}
	_, err := d.kubectl(t.Context(), "get", "deployment", "web", "-n", "default")
	require.ErrorContains(t, err, "please specify the cluster name when using the resource name to get a specific resource.")
	_, err = d.kubectl(t.Context(), "--context", "host", "get", "--raw", stack.Root+"/clusters/missing/api/v1/pods")
	require.ErrorContains(t, err, "the server could not find the requested cluster")
}

// search asks by URL and by label.
func search(t *testing.T, d *deployment, _ sqlStorage) {
	_, cells := rows(d.mustKubectl(t, "get", "deployments", "-A", "-l", "search.clusterpedia.io/clusters in (member-2),app=web"))
	require.NotEmpty(t, cells)
	for _, row := range cells {
		require.Equal(t, []string{"member-2", "web"}, row[1:3])
	}
	names := func(query string) (names []string) {
		var list unstructured.UnstructuredList
		require.NoError(t, json.Unmarshal([]byte(d.mustKubectl(t, "--context", "host", "get", "--raw", stack.Root+"/apis/apps/v1/"+query)), &list))
		for _, item := range list.Items {
			names = append(names, item.GetAnnotations()[clusterAnnotation]+"/"+item.GetName())
		}
		return names
	}
	require.Equal(t, []string{"member-2/web", "member-1/web"}, names("deployments?namespaces=default&names=web&orderby=cluster%20desc"))
	require.Equal(t, []string{"member-1/api"}, names("deployments?clusters=member-1&namespaces=default&fieldSelector=metadata.name%3Dapi"))

	// Pods of a deployment are two generations below it.
	web, err := shared.members[0].client.Resource(deployments).Namespace("default").Get(t.Context(), "web", metav1.GetOptions{})
	require.NoError(t, err)
	_, cells = rows(d.mustKubectl(t, "--context", "member-1", "get", "pods", "-n", "default",
		"-l", "search.clusterpedia.io/owner-uid="+string(web.GetUID())+",search.clusterpedia.io/owner-seniority=1"))
	require.Len(t, cells, sample.Defaults().Replicas)

	_, err = d.kubectl(t.Context(), "--context", "host", "get", "--raw", stack.Root+"/api/v1/pods?limit=many")
	require.ErrorContains(t, err, "BadRequest")
}

// collections searches several types at once.
func collections(t *testing.T, d *deployment, _ sqlStorage) {
	const root = "/apis/clusterpedia.io/v1beta1/collectionresources"
	header, cells := rows(d.mustKubectl(t, "--context", "host", "get", "collectionresources"))
	require.Equal(t, []string{"NAME", "RESOURCES"}, header)
	require.Equal(t, []string{"any", "*"}, cells[0])
	require.Equal(t, []string{"workloads", "apps.deployments,apps.daemonsets,apps.statefulsets"}, cells[1])

	var found struct {
		ResourceTypes []struct{ Kind string }
		Items         []map[string]any
		Continue      string
	}
	get := func(query string) {
		found.Continue = ""
		require.NoError(t, json.Unmarshal([]byte(d.mustKubectl(t, "--context", "host", "get", "--raw", root+"/"+query)), &found))
	}
	want, err := expected(t.Context(), deployments)
	require.NoError(t, err)
	get("workloads")
	require.Len(t, found.Items, len(want))
	get("any?resources=apps/deployments,/pods&namespaces=default&clusters=member-2&names=web,web-5d8f-0")
	require.Len(t, found.Items, 2)
	require.Len(t, found.ResourceTypes, 2)
	seen := 0
	for next := ""; ; {
		get("any?groups=apps&limit=5&continue=" + next)
		seen += len(found.Items)
		if next = found.Continue; next == "" {
			break
		}
	}
	sets, err := expected(t.Context(), deployments.GroupVersion().WithResource("replicasets"))
	require.NoError(t, err)
	require.Equal(t, len(want)+len(sets), seen)
	_, err = d.kubectl(t.Context(), "--context", "host", "get", "--raw", root+"/any")
	require.ErrorContains(t, err, "url query - `groups` or `resources` is required")
	header, _ = rows(d.mustKubectl(t, "--context", "host", "get", "collectionresources", "workloads"))
	require.Equal(t, []string{"CLUSTER", "GROUP", "VERSION", "KIND", "NAMESPACE", "NAME", "AGE"}, header)
}

// configMap makes a config map for a test.
func configMap(name, value string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": "default", "labels": map[string]any{"test": "changes"}},
		"data": map[string]any{"key": value},
	}}
}

// sees returns nil if kubectl sees the value in the config map of a member; empty
// means that there must be none.
func (d *deployment) sees(ctx context.Context, m *member, name, value string) error {
	out, err := d.kubectl(ctx, "--context", m.Name, "get", "configmap", name, "-n", "default", "--ignore-not-found", "-o", "jsonpath={.data.key}")
	if err == nil && out != value {
		err = fmt.Errorf("config map %s of %s has %q, want %q", name, m.Name, out, value)
	}
	return err
}

// changes makes, changes and deletes objects of a member.
func changes(t *testing.T, d *deployment, _ sqlStorage) {
	ctx := t.Context()
	for _, m := range shared.members {
		client := m.client.Resource(configMaps).Namespace("default")
		_, err := client.Create(ctx, configMap("changing", "one"), metav1.CreateOptions{})
		require.NoError(t, err)
		eventually(t, seconds, func() error { return d.sees(ctx, m, "changing", "one") })
		_, err = client.Patch(ctx, "changing", types.MergePatchType, []byte(`{"data":{"key":"two"}}`), metav1.PatchOptions{})
		require.NoError(t, err)
		eventually(t, seconds, func() error { return d.sees(ctx, m, "changing", "two") })
		require.NoError(t, client.Delete(ctx, "changing", metav1.DeleteOptions{}))
		eventually(t, seconds, func() error { return d.sees(ctx, m, "changing", "") })
	}
	eventually(t, seconds, func() error { return d.compare(ctx) })
}

func syscallKill(p *process.Process) error { return p.Kill() }
func syscallStop(p *process.Process) error { return p.Stop(stopLimit) }

// restartManager ends the manager, changes members, and starts it again: it finds
// out what has changed, and writes nothing else.
func restartManager(end func(*process.Process) error) func(*testing.T, *deployment, sqlStorage) {
	return func(t *testing.T, d *deployment, s sqlStorage) {
		ctx := t.Context()
		m := shared.members[0]
		client := m.client.Resource(configMaps).Namespace("default")
		for _, name := range []string{"restart-changed", "restart-deleted"} {
			_, err := client.Create(ctx, configMap(name, "before"), metav1.CreateOptions{})
			require.NoError(t, err)
			eventually(t, seconds, func() error { return d.sees(ctx, m, name, "before") })
		}
		before := s.snapshot(t)
		require.NoError(t, end(d.manager))
		_, err := client.Create(ctx, configMap("restart-created", "after"), metav1.CreateOptions{})
		require.NoError(t, err)
		_, err = client.Patch(ctx, "restart-changed", types.MergePatchType, []byte(`{"data":{"key":"after"}}`), metav1.PatchOptions{})
		require.NoError(t, err)
		require.NoError(t, client.Delete(ctx, "restart-deleted", metav1.DeleteOptions{}))
		require.NoError(t, d.sees(ctx, m, "restart-deleted", "before"), "nobody copies")

		d.startManager(t)
		eventually(t, time.Minute, func() error { return d.compare(ctx) })
		require.ElementsMatch(t, []string{
			"member-1/configmaps/default/restart-created", "member-1/configmaps/default/restart-changed", "member-1/configmaps/default/restart-deleted",
		}, before.changed(s.snapshot(t)))
		for _, name := range []string{"restart-created", "restart-changed"} {
			require.NoError(t, client.Delete(ctx, name, metav1.DeleteOptions{}))
			eventually(t, seconds, func() error { return d.sees(ctx, m, name, "") })
		}
	}
}

func restartAPIServer(t *testing.T, d *deployment, s sqlStorage) {
	before := s.snapshot(t)
	require.NoError(t, d.apiserver.Kill())
	_, err := d.kubectl(t.Context(), "get", "pods", "-A")
	require.Error(t, err)
	d.startAPIServer(t)
	eventually(t, seconds, func() error { return d.compare(t.Context()) })
	require.Empty(t, before.changed(s.snapshot(t)))
}

// restartMember kills the API server of a member: its objects stay served, with a
// warning, and are followed again when it is back.
func restartMember(t *testing.T, d *deployment, s sqlStorage) {
	ctx := t.Context()
	m := shared.members[1]
	before := s.snapshot(t)
	require.NoError(t, m.APIServer().Kill())
	out, err := d.kubectl(ctx, "--context", m.Name, "get", "pods", "-A")
	require.NoError(t, err)
	require.Contains(t, out, "web-5d8f-0")
	eventually(t, time.Minute, func() error {
		status, err := d.Status(ctx, m.Name)
		if err == nil && status.Synced() == nil {
			err = fmt.Errorf("%s still counts as ready", m.Name)
		}
		return err
	})
	require.NoError(t, m.StartAPIServer(ctx))
	require.NoError(t, d.WaitSynced(ctx, m.Name, syncLimit, nil))
	eventually(t, time.Minute, func() error { return d.compare(ctx) })
	changed := slices.DeleteFunc(before.changed(s.snapshot(t)), func(key string) bool {
		// A kube-apiserver writes some objects of its own as it starts.
		return strings.Contains(key, "/kube-system/") || strings.Contains(key, "/services/default/kubernetes")
	})
	require.Empty(t, changed)
	_, err = m.client.Resource(configMaps).Namespace("default").Create(ctx, configMap("back", "again"), metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, seconds, func() error { return d.sees(ctx, m, "back", "again") })
	require.NoError(t, m.client.Resource(configMaps).Namespace("default").Delete(ctx, "back", metav1.DeleteOptions{}))
	eventually(t, seconds, func() error { return d.sees(ctx, m, "back", "") })
}

// removeCluster checks that what is stored of a cluster goes with its PediaCluster,
// and nothing else does.
func removeCluster(t *testing.T, d *deployment, _ sqlStorage) {
	ctx := t.Context()
	require.NoError(t, d.RemoveCluster(ctx, "member-2"))
	eventually(t, seconds, func() error {
		_, cells := rows(d.mustKubectl(t, "get", "pods", "-A"))
		for _, row := range cells {
			if row[1] != "member-1" {
				return fmt.Errorf("still listed: %v", row)
			}
		}
		if len(cells) == 0 {
			return fmt.Errorf("member-1 is gone, too")
		}
		return nil
	})
	_, err := d.kubectl(ctx, "--context", "host", "get", "--raw", stack.Root+"/clusters/member-2/api/v1/pods")
	require.ErrorContains(t, err, "the server could not find the requested cluster")
}
