package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"clusterpedia.io/testbed/stack"
)

// TestWorkable goes the way of the end-to-end test of v0.9, with what users of kubectl see:
// every PediaCluster becomes ready, and the pods of each cluster are listed as by the cluster
// itself, behind its name.
func TestWorkable(t *testing.T) {
	s := sqlStorages()["SQLite"](t)
	d := deploy(t, "internal", s.config)
	d.startManager(t)
	d.startAPIServer(t)
	for _, m := range shared.members {
		require.NoError(t, d.AddCluster(t.Context(), m.Name, m.Kubeconfig(), stack.SyncResource{Resources: []string{"namespaces", "pods"}}))
	}
	run := d.withKubeconfig(t)
	eventually(t, syncLimit, func() error {
		header, clusters := rows(run("kubectl", "get", "pediacluster"))
		if len(header) < 2 || header[1] != "READY" || len(clusters) != len(shared.members) || slices.ContainsFunc(clusters, func(c []string) bool { return len(c) < 2 || c[1] != "True" }) {
			return fmt.Errorf("not ready: %q %q", header, clusters)
		}
		return nil
	})

	run(filepath.Join(shared.root, "hack", "gen-clusterconfigs.sh"))
	same := func() {
		t.Helper()
		for _, m := range shared.members {
			eventually(t, seconds, func() error {
				want := run("kubectl", "--kubeconfig", m.Kubeconfig(), "get", "pod", "-o", "wide")
				got := run("kubectl", "--cluster", m.Name, "get", "pod", "-o", "wide")
				header, pods := rows(want)
				if len(pods) < 10 {
					return fmt.Errorf("the cluster has no pods: %s", want)
				}
				for i, pod := range pods {
					pods[i] = slices.Insert(pod, 0, m.Name)
				}
				listedHeader, listed := rows(got)
				if !slices.Equal(slices.Insert(header, 0, "CLUSTER"), listedHeader) || !slices.EqualFunc(pods, listed, slices.Equal) {
					return fmt.Errorf("%s is listed as\n%s and not as\n%s", m.Name, got, want)
				}
				return nil
			})
		}
	}
	for _, m := range shared.members {
		t.Cleanup(func() { m.removeFakePods(t) })
		m.makeFakePods(t)
	}
	same()
	for _, m := range shared.members {
		now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
		require.NoError(t, m.client.Resource(pods).Namespace("default").Delete(t.Context(), "fake-pod-0", now))
		require.NoError(t, m.client.Resource(pods).Namespace("default").Delete(t.Context(), "fake-pod-1", metav1.DeleteOptions{})) // terminating
		m.fakeStatus(t, "fake-pod-3", "Succeeded", "10.0.1.3")
		m.makeFakePod(t, "fake-pod-10")
	}
	same()
}

// makeFakePods makes pods as a controller and a node would that are not there.
func (m *member) makeFakePods(t *testing.T) {
	t.Helper()
	for i := range 10 {
		m.makeFakePod(t, fmt.Sprintf("fake-pod-%d", i))
	}
	for i := range 5 {
		m.fakeStatus(t, fmt.Sprintf("fake-pod-%d", i), "Running", fmt.Sprintf("10.0.0.%d", i))
	}
}

func (m *member) makeFakePod(t *testing.T, name string) {
	t.Helper()
	pod := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name, "labels": map[string]any{"app": "fake-pod"}},
		"spec": map[string]any{"nodeName": "fake-node", "containers": []any{map[string]any{"name": "fake", "image": "fake"}}},
	}}
	_, err := m.client.Resource(pods).Namespace("default").Create(t.Context(), pod, metav1.CreateOptions{})
	require.NoError(t, err)
}

func (m *member) fakeStatus(t *testing.T, name, phase, ip string) {
	t.Helper()
	pod, err := m.client.Resource(pods).Namespace("default").Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	pod.Object["status"] = map[string]any{
		"phase": phase, "podIP": ip, "podIPs": []any{map[string]any{"ip": ip}},
		"containerStatuses": []any{map[string]any{
			"name": "fake", "image": "fake", "imageID": "fake", "ready": phase == "Running", "restartCount": int64(0), "state": map[string]any{},
		}},
	}
	_, err = m.client.Resource(pods).Namespace("default").UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	require.NoError(t, err)
}

func (m *member) removeFakePods(t *testing.T) {
	t.Helper()
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
	err := m.client.Resource(pods).Namespace("default").DeleteCollection(context.WithoutCancel(t.Context()), now, metav1.ListOptions{LabelSelector: "app=fake-pod"})
	require.NoError(t, err)
}
