package storagetest

import (
	"reflect"
	"testing"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

func testVersions(t *testing.T, s suite) {
	s.each(t, []test{
		{"content and order", versionsContent},
		{"many", versionsMany},
	})
}

// wantVersions checks the versions of c1, which hold no events.
func wantVersions(t testing.TB, st storage.Storage, want []storage.Version) {
	t.Helper()
	got := versions(t, st, "c1")
	for i := range got {
		if len(got[i].Events) == 0 {
			got[i].Events = nil
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func versionsContent(t *testing.T, st storage.Storage) {
	all := objects(
		thing{namespace: "default", name: "b", version: "12"},
		thing{namespace: "default", name: "B", version: "opaque"},
		thing{namespace: "default", name: "a-b"},
		thing{namespace: "default", name: "a.b"},
		thing{namespace: "Default", name: "b"},
		thing{resource: nodes, name: "node", uid: "of-node"},
		thing{resource: widgetsAlpha, namespace: "default", name: "b"},
		thing{resource: widgets, namespace: "default", name: "b"},
	)
	put(t, st, all...)
	put(t, st, thing{cluster: "c2", name: "other"}.object(), thing{cluster: "C1", name: "other"}.object())

	var want []storage.Version
	for _, o := range reference(&query.Query{}, all) {
		want = append(want, storage.Version{Key: o.Key, UID: o.UID, ResourceVersion: o.ResourceVersion})
	}
	wantVersions(t, st, want)
	if got := versions(t, st, "unknown"); len(got) > 0 {
		t.Errorf("an unknown cluster has versions: %v", got)
	}

	apply(t, st, deletes(all...)...)
	wantVersions(t, st, nil)
}

func versionsMany(t *testing.T, st storage.Storage) {
	all := manyPods("c1", 2500)
	put(t, st, all...)
	var want []storage.Version
	for _, o := range reference(&query.Query{}, all) {
		want = append(want, storage.Version{Key: o.Key, UID: o.UID, ResourceVersion: o.ResourceVersion})
	}
	wantVersions(t, st, want)
}
