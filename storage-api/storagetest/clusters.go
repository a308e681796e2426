package storagetest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	"clusterpedia.io/storage-api/storage"
)

// checkClusters checks what an empty storage layer says that lists its clusters.
func checkClusters(t *testing.T, st storage.Storage) {
	lister, ok := st.(storage.ClusterLister)
	if !ok {
		t.Fatal("storage layers of the same Open differ")
	}
	check := func(when string, want ...string) {
		t.Helper()
		var got []string
		if err := lister.Clusters(t.Context(), func(name string) error { got = append(got, name); return nil }); err != nil {
			t.Fatalf("list the clusters, %s: %v", when, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the clusters are, %s, %q, want %q", when, got, want)
		}
	}
	check("when nothing is stored")
	put(t, st, manyPods("c-1", 30)...)
	put(t, st, manyPods("c10", 3)...)
	put(t, st, manyPods("c1.a", 1500)...)
	put(t, st, objects(thing{resource: nodes, name: "a"}, thing{resource: widgets, name: "a"}, thing{cluster: "z", name: "a"})...)
	claimed := storage.Writer{Cluster: "claimed", Epoch: 7}
	if err := st.Apply(t.Context(), claimed, nil); err != nil {
		t.Fatalf("claim a cluster: %v", err)
	}
	check("of which objects are stored", "c-1", "c1", "c1.a", "c10", "z")

	purge(t, st, storage.Writer{Cluster: "c1.a"}, nil)
	deleted := thing{cluster: "z", name: "a"}.object()
	if err := st.Apply(t.Context(), storage.Writer{Cluster: "z"}, deletes(deleted)); err != nil {
		t.Fatalf("delete: %v", err)
	}
	check("after two were emptied", "c-1", "c1", "c10")

	want := &yieldError{"enough"}
	var given []string
	err := lister.Clusters(t.Context(), func(name string) error { given = append(given, name); return want })
	if !asItIs(err, want) || !slices.Equal(given, []string{"c-1"}) {
		t.Errorf("list the clusters: yield got %q and returned %v, got %v", given, want, err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := lister.Clusters(canceled, func(string) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("list the clusters with a canceled context: %v", err)
	}
}
