package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

func testApply(t *testing.T, s suite) {
	s.each(t, []test{
		{"changes happen in their order", applyOrder},
		{"an empty batch is no error", func(t *testing.T, st storage.Storage) { apply(t, st) }},
		{"twice is the same as once", applyTwice},
		{"a thousand changes", applyThousand},
		{"a big object", applyBig},
	})
	t.Run("all or nothing", func(t *testing.T) {
		t.Parallel()
		testAllOrNothing(t, s)
	})
}

func applyOrder(t *testing.T, st storage.Storage) {
	version := func(name, v string) *object.Object { return thing{name: name, version: v}.object() }
	a1, a2, a3, b1, c1, c2, d1 := version("a", "1"), version("a", "2"), version("a", "3"),
		version("b", "1"), version("c", "1"), version("c", "2"), version("d", "1")
	put(t, st, c1, d1)
	apply(t, st, slices.Concat(
		puts(a3, a1), deletes(a1), puts(a2, a3, a2),
		puts(b1), deletes(b1, b1),
		deletes(c1), puts(c2),
		puts(d1), deletes(d1), puts(d1), deletes(d1),
	)...)
	checkStored(t, st, a2, c2)
}

func applyTwice(t *testing.T, st storage.Storage) {
	gone, kept, twice := thing{name: "gone"}.object(), thing{name: "kept"}.object(), thing{name: "twice", version: "1"}.object()
	again := thing{name: "twice", version: "2"}.object()
	put(t, st, gone)
	batch := slices.Concat(
		deletes(gone), puts(kept, twice, again),
		[]storage.Change{recorded(kept, "event-1", 1), recorded(kept, "event-2", 2), forgotten(kept, "event-1")},
	)
	var before []storage.Version
	for i := range 3 {
		apply(t, st, batch...)
		checkStored(t, st, kept, again)
		after := versions(t, st, "c1")
		if i > 0 && !reflect.DeepEqual(before, after) {
			t.Errorf("the versions change when a batch is applied again:\nfrom %v\nto   %v", before, after)
		}
		before = after
	}
}

func applyThousand(t *testing.T, st storage.Storage) {
	var all []*object.Object
	for i := range 1000 {
		all = append(all, thing{
			resource: []object.Resource{pods, deployments, widgets}[i%3], namespace: fmt.Sprint("ns-", i%7),
			name: fmt.Sprint("object-", i), labels: map[string]string{"number": fmt.Sprint(i)}, owners: []string{fmt.Sprint("owner-", i%10)},
		}.object())
	}
	apply(t, st, puts(all...)...)
	checkStored(t, st, all...)
	apply(t, st, slices.Concat(deletes(all[500:]...), puts(all[:500]...))...)
	checkStored(t, st, all[:500]...)
	apply(t, st, deletes(all...)...)
	checkStored(t, st)
}

// applyBig stores an object as big as the biggest that etcd takes.
func applyBig(t *testing.T, st storage.Storage) {
	text := strings.Repeat(`All work and no play \"makes\" \\Jack\\ a dull bőy.\n`, 1_500_000/51)
	big := thing{namespace: "default", name: "big", body: `"data":{"text":"` + text + `"}`}.object()
	small := thing{namespace: "default", name: "small"}.object()
	put(t, st, big, small)
	checkObject(t, get(t, st, big.Key), big)
	checkStored(t, st, big, small)
	for _, o := range list(t, st, query.Query{Projection: query.Metadata}) {
		if len(o.JSON) > 10_000 {
			t.Errorf("the metadata of %s has %d bytes", o.Key, len(o.JSON))
		}
	}
}

// testAllOrNothing gives the storage batches with one object that it may not be
// able to store, and checks that it stores the batch or nothing of it.
func testAllOrNothing(t *testing.T, s suite) {
	for _, x := range []struct {
		name string
		bad  func(*object.Object)
	}{
		{"the document is cut", func(o *object.Object) { o.JSON = o.JSON[:len(o.JSON)/2] }},
		{"the document is empty", func(o *object.Object) { o.JSON = nil }},
		{"the document is not UTF-8", func(o *object.Object) { o.JSON = bytes.Replace(o.JSON, []byte("bad"), []byte("b\xffd"), 1) }},
		{"the document has a zero character", func(o *object.Object) {
			o.JSON = bytes.Replace(o.JSON, []byte("{"), []byte(`{"text":"a\u0000b",`), 1)
		}},
		{"the document has half a surrogate pair", func(o *object.Object) {
			o.JSON = bytes.Replace(o.JSON, []byte("{"), []byte(`{"text":"a\ud800b",`), 1)
		}},
		{"the kind is empty", func(o *object.Object) { o.Kind = "" }},
		{"the name has a zero character", func(o *object.Object) { o.Name = "b\x00d" }},
		{"the name is not UTF-8", func(o *object.Object) { o.Name = "b\xffd" }},
		{"the name is too long for anything", func(o *object.Object) { o.Name = strings.Repeat("n", 70_000) }},
		{"the UID is too long for anything", func(o *object.Object) { o.UID = strings.Repeat("u", 70_000) }},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			st := s.start(t)
			stored, good1, bad, good2 := thing{name: "stored"}.object(), thing{name: "good-1"}.object(), thing{name: "bad"}.object(), thing{name: "good-2"}.object()
			x.bad(bad)
			put(t, st, stored)

			batch := slices.Concat(deletes(stored), puts(good1, bad, good2))
			err := st.Apply(t.Context(), storage.Writer{Cluster: "c1"}, batch)
			if err == nil {
				checkStored(t, st, good1, bad, good2)
				return
			}
			checkStored(t, st, stored)
			if storage.IsRetryable(err) {
				t.Errorf("the error is retryable, so that the writer would try for ever: %v", err)
			}
			if invalid := (*storage.InvalidObjectError)(nil); errors.As(err, &invalid) && invalid.Key != bad.Key {
				t.Errorf("the error blames %s, want %s: %v", invalid.Key, bad.Key, err)
			}
			apply(t, st, puts(good1, good2)...)
			checkStored(t, st, stored, good1, good2)
		})
	}
}

// recorded is the change that records an event of an object, seen that many
// seconds after the epoch.
func recorded(o *object.Object, uid string, seen int64) storage.Change {
	return recordedVersion(o, uid, "1", seen)
}

func recordedVersion(o *object.Object, uid, version string, seen int64) storage.Change {
	document := fmt.Sprintf(`{"apiVersion":"v1","kind":"Event","metadata":{"name":%q,"namespace":"default","uid":%q,"resourceVersion":%q},`+
		`"reason":"Tested","count":%d,"involvedObject":{"uid":%q}}`, "name-"+uid, uid, version, seen, o.UID)
	return storage.Change{Event: &storage.Event{
		Involved: o.UID, UID: uid, ResourceVersion: version, LastSeen: epoch.Unix() + seen, JSON: []byte(document),
	}}
}

// forgotten is the change that takes an event away.
func forgotten(o *object.Object, uid string) storage.Change {
	return storage.Change{Event: &storage.Event{Involved: o.UID, UID: uid}}
}
