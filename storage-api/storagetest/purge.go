package storagetest

import (
	"fmt"
	"testing"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/storage"
)

func testPurge(t *testing.T, s suite) {
	s.each(t, []test{
		{"one resource", purgeResource},
		{"a cluster", purgeCluster},
		{"nothing", purgeNothing},
		{"many objects", purgeMany},
	})
}

func purge(t testing.TB, st storage.Storage, w storage.Writer, resource *object.Resource) {
	t.Helper()
	if err := st.Purge(t.Context(), w, resource); err != nil {
		t.Fatalf("purge %v of cluster %s: %v", resource, w.Cluster, err)
	}
}

// manyPods returns pods with labels and owners.
func manyPods(cluster string, n int) []*object.Object {
	all := make([]*object.Object, n)
	for i := range all {
		all[i] = thing{
			cluster: cluster, namespace: fmt.Sprint("ns-", i%5), name: fmt.Sprint("pod-", i), version: fmt.Sprint(i),
			labels: map[string]string{"app": fmt.Sprint("app-", i%10)}, owners: []string{fmt.Sprint("owner-", i%10)},
		}.object()
	}
	return all
}

func purgeResource(t *testing.T, st storage.Storage) {
	gone := objects(
		thing{resource: widgets, namespace: "default", name: "a", labels: map[string]string{"app": "a"}, owners: []string{"o"}},
		thing{resource: widgets, namespace: "other", name: "a"},
		thing{resource: widgets, name: "b"},
	)
	kept := objects(
		thing{resource: widgetsAlpha, namespace: "default", name: "a", labels: map[string]string{"app": "a"}, owners: []string{"o"}},
		thing{resource: object.Resource{Group: "example.io", Version: "v1", Resource: "widgetsets"}, name: "a"},
		thing{resource: object.Resource{Group: "Example.io", Version: "v1", Resource: "widgets"}, name: "a"},
		thing{resource: object.Resource{Version: "v1", Resource: "widgets"}, name: "a"},
		thing{resource: pods, namespace: "default", name: "a"},
		thing{cluster: "c2", resource: widgets, namespace: "default", name: "a"},
		thing{cluster: "C1", resource: widgets, namespace: "default", name: "a"},
	)
	put(t, st, gone...)
	put(t, st, kept...)
	apply(t, st, recorded(gone[0], "event", 1), recorded(kept[0], "event", 1))
	purge(t, st, storage.Writer{Cluster: "c1"}, &widgets)
	checkStored(t, st, kept...)

	// What was stored beside the objects is gone too.
	put(t, st, gone[0])
	if got := eventsOf(t, st, gone[0]); got != "" {
		t.Errorf("a purged object has events when it comes back: %s", got)
	}
}

func purgeCluster(t *testing.T, st storage.Storage) {
	kept := objects(
		thing{cluster: "c2", namespace: "default", name: "a"},
		thing{cluster: "C1", namespace: "default", name: "a"},
		thing{cluster: "c10", name: "a", resource: nodes},
	)
	put(t, st, kept...)
	put(t, st, objects(
		thing{namespace: "default", name: "a"},
		thing{resource: nodes, name: "a"},
		thing{resource: widgets, namespace: "default", name: "a"},
	)...)
	purge(t, st, storage.Writer{Cluster: "c1"}, nil)
	checkStored(t, st, kept...)
	if got := versions(t, st, "c1"); len(got) > 0 {
		t.Errorf("a purged cluster has versions: %v", got)
	}
}

func purgeNothing(t *testing.T, st storage.Storage) {
	o := thing{name: "a"}.object()
	put(t, st, o)
	purge(t, st, storage.Writer{Cluster: "c1"}, &widgets)
	purge(t, st, storage.Writer{Cluster: "unknown"}, &pods)
	purge(t, st, storage.Writer{Cluster: "unknown"}, nil)
	checkStored(t, st, o)
}

func purgeMany(t *testing.T, st storage.Storage) {
	kept := append(manyPods("c2", 100), thing{resource: nodes, name: "node"}.object())
	put(t, st, kept...)
	put(t, st, manyPods("c1", 2500)...)
	purge(t, st, storage.Writer{Cluster: "c1"}, &pods)
	checkStored(t, st, kept...)
	put(t, st, manyPods("c1", 2500)...)
	purge(t, st, storage.Writer{Cluster: "c1"}, nil)
	checkStored(t, st, kept[:100]...)
}
