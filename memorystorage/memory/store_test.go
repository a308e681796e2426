package memory

import (
	"bytes"
	"fmt"
	"testing"

	"clusterpedia.io/storage-api/storage"
)

func pod(cluster, name, uid string) *storage.Object {
	return &storage.Object{
		Key:  storage.Key{Cluster: cluster, Resource: storage.Resource{Version: "v1", Resource: "pods"}, Namespace: "default", Name: name},
		Kind: "Pod", UID: uid, ResourceVersion: "1", JSON: []byte(`{}`),
	}
}

func apply(t *testing.T, s *Store, cluster string, changes ...storage.Change) {
	t.Helper()
	if err := s.Apply(t.Context(), storage.Writer{Cluster: cluster}, changes); err != nil {
		t.Fatal(err)
	}
}

func TestWriteMetrics(t *testing.T) {
	t.Parallel()
	s := New()
	for i := range 3 {
		apply(t, s, "tokyo", storage.Change{Put: pod("tokyo", fmt.Sprint("pod-", i), fmt.Sprint(i))})
	}
	apply(t, s, `a"b\c`, storage.Change{Put: pod(`a"b\c`, "pod", "a")})
	gone := pod("gone", "pod", "a")
	apply(t, s, "gone", storage.Change{Put: gone}, storage.Change{Delete: &gone.Key})

	var text bytes.Buffer
	if err := s.WriteMetrics(&text); err != nil {
		t.Fatal(err)
	}
	want := `# HELP clusterpedia_memorystorage_objects Stored objects by member cluster.
# TYPE clusterpedia_memorystorage_objects gauge
clusterpedia_memorystorage_objects{cluster="a\"b\\c"} 1
clusterpedia_memorystorage_objects{cluster="tokyo"} 3
`
	if text.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &text, want)
	}
}

// What is deleted, replaced by another object or purged leaves nothing behind but
// the cluster's epoch.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	s := New()
	a := pod("c", "a", "uid-a")
	apply(t, s, "c", storage.Change{Put: a})
	apply(t, s, "c", storage.Change{Put: pod("c", "a", "uid-b")})
	apply(t, s, "c", storage.Change{Delete: &a.Key})
	for i := range 2*purgeStep + 1 {
		apply(t, s, "c", storage.Change{Put: pod("c", fmt.Sprint("pod-", i), fmt.Sprint(i%1500))})
	}
	if got := len(s.clusters["c"].uids); got != 1500 {
		t.Errorf("%d UIDs are known, want 1500", got)
	}
	if err := s.Purge(t.Context(), storage.Writer{Cluster: "c", Epoch: 4}, nil); err != nil {
		t.Fatal(err)
	}
	c := s.clusters["c"]
	if len(c.uids) != 0 || len(c.resources) != 0 || c.epoch != 4 {
		t.Errorf("after the purge there are %d UIDs, %d resources and the epoch %d", len(c.uids), len(c.resources), c.epoch)
	}
}

func TestApplyRefuses(t *testing.T) {
	t.Parallel()
	other := pod("other", "a", "a")
	for name, change := range map[string]storage.Change{
		"nothing":                      {},
		"two things":                   {Put: pod("c", "a", "a"), Delete: &storage.Key{Cluster: "c"}},
		"an object of another cluster": {Put: other},
		"a key of another cluster":     {Delete: &other.Key},
		"an event that is no JSON":     {Event: &storage.Event{Involved: "a", UID: "e", JSON: []byte("{")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New()
			changes := []storage.Change{{Put: pod("c", "good", "good")}, change}
			if err := s.Apply(t.Context(), storage.Writer{Cluster: "c"}, changes); err == nil {
				t.Error("the batch was taken")
			}
			if len(s.clusters) != 0 {
				t.Error("a part of the batch was written")
			}
		})
	}
}
