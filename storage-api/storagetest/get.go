package storagetest

import (
	"testing"
	"time"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

func testGet(t *testing.T, s suite) {
	s.each(t, []test{
		{"nothing is stored at first", getNothing},
		{"an object comes back as it was put", getWhole},
		{"a put replaces all of the earlier object", getReplaced},
		{"a deleted object is gone", getDeleted},
		{"what is stored belongs to nobody else", getCopies},
	})
}

func getNothing(t *testing.T, st storage.Storage) {
	absent(t, st, thing{name: "web"}.object().Key)
	checkStored(t, st)
	if got := versions(t, st, "c1"); len(got) > 0 {
		t.Errorf("an empty storage has versions: %v", got)
	}
}

func getWhole(t *testing.T, st storage.Storage) {
	all := objects(
		thing{namespace: "default", name: "plain"},
		thing{resource: nodes, name: "cluster-scoped"},
		thing{resource: deployments, namespace: "default", name: "labels", labels: map[string]string{"app": "web", "example.io/tier": ""}},
		thing{namespace: "default", name: "controlled", owners: []string{"rs-1", "other-2", "other-1"}, controlled: true},
		thing{namespace: "default", name: "owned", owners: []string{"other-1"}},
		thing{namespace: "default", name: "deleted", deleted: epoch.Add(90 * time.Minute)},
		thing{namespace: "default", name: "opaque-version", version: "a:17/b"},
		thing{namespace: "default", name: "long-version", version: "18446744073709551615"},
		thing{cluster: "c2", namespace: "default", name: "plain"},
	)
	// No member gives its objects these, but for some that have no creation time.
	all[0].CreatedAt = time.Time{}
	all[1].CreatedAt = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	put(t, st, all...)
	for _, want := range all {
		checkObject(t, get(t, st, want.Key), want)
	}
	checkStored(t, st, all...)
}

func getReplaced(t *testing.T, st storage.Storage) {
	first := thing{
		resource: deployments, namespace: "default", name: "web", uid: "first", version: "100",
		labels: map[string]string{"app": "web", "old": "yes"}, owners: []string{"a", "b"}, controlled: true,
		body: `"spec":{"replicas":3}`,
	}
	put(t, st, first.object())
	before := get(t, st, first.object().Key)

	change := func(change func(*thing)) thing {
		x := first
		change(&x)
		return x
	}
	for _, next := range []thing{
		change(func(x *thing) { x.version, x.body = "99", `"spec":{"replicas":1}` }),
		change(func(x *thing) { x.deleted = epoch.Add(time.Hour) }),
		change(func(x *thing) { x.deleted = time.Time{} }),
		change(func(x *thing) { x.labels = map[string]string{"app": "db"} }),
		change(func(x *thing) { x.labels = nil }),
		change(func(x *thing) { x.owners = []string{"b"} }),
		change(func(x *thing) { x.owners, x.controlled = nil, false }),
		change(func(x *thing) { x.uid, x.created, x.kind = "second", epoch.Add(time.Hour), "Other" }),
		first,
	} {
		o := next.object()
		put(t, st, o)
		checkStored(t, st, o)
		got := get(t, st, o.Key)
		checkObject(t, got, o)
		if got.SyncedAt.Before(before.SyncedAt) {
			t.Errorf("SyncedAt goes back from %v to %v", before.SyncedAt, got.SyncedAt)
		}
		for _, label := range []string{"app", "old"} {
			value, ok := o.Labels[label]
			q := query.Query{Labels: []query.LabelRequirement{{Key: label, Operator: query.Exists}}}
			if found := len(list(t, st, q)) == 1; found != ok {
				t.Errorf("with the label %s=%q (%t): found by it: %t", label, value, ok, found)
			}
		}
	}
}

func getDeleted(t *testing.T, st storage.Storage) {
	web := thing{namespace: "default", name: "web"}
	others := objects(
		thing{namespace: "default", name: "web-2"},
		thing{namespace: "other", name: "web"},
		thing{name: "web"},
		thing{resource: secrets, namespace: "default", name: "web"},
		thing{resource: widgets, namespace: "default", name: "web"},
		thing{resource: widgetsAlpha, namespace: "default", name: "web"},
		thing{cluster: "c2", namespace: "default", name: "web"},
	)
	put(t, st, append(others, web.object())...)
	apply(t, st, deletes(web.object())...)
	absent(t, st, web.object().Key)
	checkStored(t, st, others...)

	apply(t, st, deletes(web.object(), web.object())...)
	checkStored(t, st, others...)

	put(t, st, web.object())
	checkObject(t, get(t, st, web.object().Key), web.object())
}

func getCopies(t *testing.T, st storage.Storage) {
	x := thing{namespace: "default", name: "web", labels: map[string]string{"app": "web"}, owners: []string{"a", "b"}}
	spoil := func(o *object.Object) {
		clear(o.JSON)
		o.Owners[0] = "spoilt"
		if o.Labels != nil {
			o.Labels["app"] = "spoilt"
		}
	}
	written := x.object()
	written.Labels = map[string]string{"app": "web"}
	put(t, st, written)
	spoil(written)
	got := get(t, st, x.object().Key)
	checkObject(t, got, x.object())
	spoil(got)
	checkStored(t, st, x.object())
}
