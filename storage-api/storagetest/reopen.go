package storagetest

import (
	"testing"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// testReopen closes the storage and opens it again, as a restarted server does.
func testReopen(t *testing.T, s suite) {
	if s.Reopen == nil {
		t.Skip("Options.Reopen is nil: the storage layer forgets when it is closed")
	}
	st := s.open(t)
	t.Cleanup(func() { closeStorage(t, st) })
	all := append(oddDocuments(), objects(
		thing{resource: deployments, namespace: "default", name: "web", owners: []string{"a", "b"}, controlled: true, labels: map[string]string{"app": "web"}},
		thing{cluster: "c2", resource: nodes, name: "node", deleted: epoch},
	)...)
	put(t, st, all...)
	applyAs(t, st, writer(7), recorded(all[0], "event", 1))
	applyAs(t, st, storage.Writer{Cluster: "purged", Epoch: 9}, puts(thing{cluster: "purged", name: "a"}.object())...)
	purge(t, st, storage.Writer{Cluster: "purged", Epoch: 9}, nil)
	q := query.Query{Order: []query.Order{{By: query.ByName}}, Limit: 3}
	_, page := listPage(t, st, q)
	before, versionsBefore := list(t, st, query.Query{}), versions(t, st, "c1")

	for range 2 {
		st = s.Reopen(t, st)
		checkStored(t, st, all...)
		checkEvents(t, st, all[0], "event/1")
		for i, o := range list(t, st, query.Query{}) {
			if !o.SyncedAt.Equal(before[i].SyncedAt) {
				t.Errorf("SyncedAt of %s was %v, is %v", o.Key, before[i].SyncedAt, o.SyncedAt)
			}
		}
		if got := versions(t, st, "c1"); len(got) != len(versionsBefore) {
			t.Errorf("there are %d versions of c1, there were %d", len(got), len(versionsBefore))
		}
		next := q
		next.Continue = page.Continue
		if got, want := list(t, st, next), reference(&q, all)[3:6]; !sameKeys(got, want) {
			t.Errorf("the page of an earlier token: got %s\nwant %s", keys(got), keys(want))
		}
		fenced(t, st, writer(6), puts(all[0])...)
		fenced(t, st, storage.Writer{Cluster: "purged", Epoch: 8}, puts(thing{cluster: "purged", name: "a"}.object())...)
		applyAs(t, st, writer(7), puts(all[0])...)
		before = list(t, st, query.Query{})
	}
}
