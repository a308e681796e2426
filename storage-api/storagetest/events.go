package storagetest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

func testEvents(t *testing.T, s suite) {
	s.each(t, []test{
		{"recorded, replaced and removed", eventsRecorded},
		{"the documents come back", eventsDocuments},
		{"dropped for what is not stored", eventsDropped},
		{"of one cluster and UID", eventsOfOne},
		{"go with their object", eventsDeleted},
		{"the newest are kept", eventsNewest},
	})
}

// checkEvents checks what List and Versions know of an object's events, written
// as by eventsOf.
func checkEvents(t testing.TB, st storage.Storage, o *object.Object, want string) {
	t.Helper()
	if got := eventsOf(t, st, o); got != want {
		t.Errorf("events of %s: got %q, want %q", o.Key, got, want)
	}
	for _, v := range versions(t, st, o.Cluster) {
		if v.Key != o.Key {
			continue
		}
		var texts []string
		for uid, version := range v.Events {
			texts = append(texts, uid+"/"+version)
		}
		if got := joinEvents(texts); got != want {
			t.Errorf("events in the versions of %s: got %q, want %q", o.Key, got, want)
		}
	}
}

func eventsRecorded(t *testing.T, st storage.Storage) {
	x := thing{namespace: "default", name: "web", uid: "web"}
	o, other := x.object(), thing{namespace: "default", name: "other"}.object()
	put(t, st, o, other)
	checkEvents(t, st, o, "")
	for _, step := range []struct {
		change storage.Change
		want   string
	}{
		{recordedVersion(o, "a", "10", 1), "a/10"},
		{recordedVersion(o, "b", "11", 2), "a/10 b/11"},
		{recordedVersion(o, "A", "12", 2), "A/12 a/10 b/11"},
		{recordedVersion(o, "a", "13", 3), "A/12 a/13 b/11"},
		{recordedVersion(o, "a", "9", 0), "A/12 a/9 b/11"},
		{forgotten(o, "none"), "A/12 a/9 b/11"},
		{forgotten(o, "a"), "A/12 b/11"},
		{forgotten(o, "a"), "A/12 b/11"},
		{recordedVersion(o, "a", "14", 4), "A/12 a/14 b/11"},
		{storage.Change{Put: o}, "A/12 a/14 b/11"},
		{storage.Change{Put: thing{namespace: "default", name: "web", uid: "web", version: "2"}.object()}, "A/12 a/14 b/11"},
		{forgotten(o, "b"), "A/12 a/14"},
		{forgotten(o, "A"), "a/14"},
		{forgotten(o, "a"), ""},
	} {
		for range 2 {
			apply(t, st, step.change)
			checkEvents(t, st, o, step.want)
		}
	}
	checkEvents(t, st, other, "")
	if got := get(t, st, o.Key); got.Events != nil {
		t.Errorf("get returns events, though nobody asked: %s", got.Events)
	}
}

// eventsDocuments records events with texts that are hard to store.
func eventsDocuments(t *testing.T, st storage.Storage) {
	o := thing{name: "web"}.object()
	want := map[string]any{}
	changes := puts(o)
	for i, text := range []string{`it's`, `"x"`, `a\b`, "$.a", "a.b", "?", "%", "{a,b}", "É😀", "a\nb"} {
		document := `{"kind":"Event","metadata":{"uid":` + quoted(text) + `,"resourceVersion":"1"},"note":` + quoted(text) + `,"v":[1.50,null,{}],"a":"\u003c"}`
		changes = append(changes, storage.Change{Event: &storage.Event{
			Involved: o.UID, UID: text, ResourceVersion: text, LastSeen: int64(i), JSON: []byte(document),
		}})
		want[text] = decode(t, []byte(document))
	}
	apply(t, st, changes...)
	found := list(t, st, query.Query{Events: true})
	if len(found) != 1 {
		t.Fatalf("found %d objects", len(found))
	}
	got := map[string]any{}
	events, _ := decode(t, slices.Concat([]byte(`{"events":`), found[0].Events, []byte(`}`)))["events"].([]any)
	for _, event := range events {
		members, _ := event.(map[string]any)
		note, _ := members["note"].(string)
		got[note] = event
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	for uid, version := range versions(t, st, "c1")[0].Events {
		if want[uid] == nil || version != uid {
			t.Errorf("the versions have the event %q with version %q", uid, version)
		}
	}
}

func eventsDropped(t *testing.T, st storage.Storage) {
	o := thing{name: "web"}.object()
	before, after := thing{name: "again", uid: "before"}.object(), thing{name: "again", uid: "after"}.object()
	apply(t, st, recorded(o, "early", 1))
	apply(t, st, recorded(o, "too-early", 1), storage.Change{Put: o}, recorded(o, "in-time", 1))
	checkEvents(t, st, o, "in-time/1")
	apply(t, st, forgotten(thing{name: "unknown"}.object(), "event"))

	// The object that has the key now is another one.
	put(t, st, before)
	apply(t, st, recorded(before, "old", 1))
	put(t, st, after)
	checkEvents(t, st, after, "")
	apply(t, st, recorded(before, "old", 1), recorded(after, "new", 1))
	checkEvents(t, st, after, "new/1")
	apply(t, st, storage.Change{Put: before}, recorded(before, "old", 1), storage.Change{Put: after}, recorded(before, "old", 1), recorded(after, "new", 1))
	checkEvents(t, st, after, "new/1")
}

func eventsOfOne(t *testing.T, st storage.Storage) {
	a, upper := thing{name: "a", uid: "uid-a"}.object(), thing{name: "A", uid: "UID-A"}.object()
	restored := thing{cluster: "c2", name: "a", uid: "uid-a"}.object()
	put(t, st, a, upper, restored)
	apply(t, st, recorded(a, "event", 1))
	checkEvents(t, st, a, "event/1")
	checkEvents(t, st, upper, "")
	checkEvents(t, st, restored, "")
	apply(t, st, recorded(upper, "event", 1), forgotten(a, "event"))
	checkEvents(t, st, a, "")
	checkEvents(t, st, upper, "event/1")
}

func eventsDeleted(t *testing.T, st storage.Storage) {
	o := thing{name: "web"}.object()
	put(t, st, o)
	apply(t, st, recorded(o, "event", 1))
	apply(t, st, deletes(o)...)
	put(t, st, o)
	checkEvents(t, st, o, "")

	apply(t, st, recorded(o, "event", 1))
	apply(t, st, slices.Concat(deletes(o), puts(o))...)
	checkEvents(t, st, o, "")
	apply(t, st, slices.Concat([]storage.Change{recorded(o, "event", 1)}, deletes(o), puts(o), []storage.Change{recorded(o, "again", 2)})...)
	checkEvents(t, st, o, "again/1")
}

// eventsNewest records more events than a storage layer has to keep, in no order,
// and expects the newest 10. It may keep others too.
func eventsNewest(t *testing.T, st storage.Storage) {
	o := thing{name: "web"}.object()
	var changes []storage.Change
	for i := range int64(40) {
		seen := (i * 27) % 40
		changes = append(changes, recorded(o, fmt.Sprint("event-", seen), seen))
	}
	apply(t, st, puts(o)...)
	apply(t, st, changes[:20]...)
	for _, change := range changes[20:] {
		apply(t, st, change)
	}
	got := strings.Fields(eventsOf(t, st, o))
	for seen := range 40 {
		text := fmt.Sprintf("event-%d/1", seen)
		if seen >= 30 && !slices.Contains(got, text) {
			t.Errorf("%s is missing in %v", text, got)
		}
	}
	if slices.Sort(got); len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("events are kept twice: %v", got)
	}
	checkEvents(t, st, o, joinEvents(got))
}

// eventsOf returns the recorded events of a stored object as "uid/version",
// sorted and separated by blanks.
func eventsOf(t testing.TB, st storage.Storage, o *object.Object) string {
	t.Helper()
	q := query.Query{
		Types: []query.Type{typeOf(o.Resource)}, Clusters: []string{o.Cluster}, Namespaces: []string{o.Namespace}, Names: []string{o.Name},
		Events: true,
	}
	found := list(t, st, q)
	if len(found) != 1 {
		t.Fatalf("listed %s, found %d objects", o.Key, len(found))
	}
	if found[0].Events == nil {
		return ""
	}
	var events []struct {
		Metadata struct{ UID, ResourceVersion string }
	}
	if err := json.Unmarshal(found[0].Events, &events); err != nil || len(events) == 0 {
		t.Fatalf("the events of %s are no filled JSON array: %q: %v", o.Key, found[0].Events, err)
	}
	var texts []string
	for _, e := range events {
		texts = append(texts, e.Metadata.UID+"/"+e.Metadata.ResourceVersion)
	}
	return joinEvents(texts)
}

func joinEvents(texts []string) string {
	return strings.Join(slices.Sorted(slices.Values(texts)), " ")
}
