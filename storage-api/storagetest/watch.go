package storagetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// testWatch checks a storage layer that is a Watcher.
func testWatch(t *testing.T, s suite) {
	if _, ok := s.start(t).(storage.Watcher); !ok {
		t.Skip("not implemented")
	}
	s.each(t, []test{
		{"each change in its order", watchOrder},
		{"from now on", watchNow},
		{"changes of one batch", watchBatch},
		{"another object of the same key", watchReplaced},
		{"written again as it is", watchRewritten},
		{"resumed behind any event", watchResume},
		{"order and paging are ignored", watchUnordered},
		{"projections", watchProject},
		{"recorded events", watchEvents},
		{"purge", watchPurge},
		{"queries and versions that are refused", watchRefuses},
		{"yield may call everything", watchYield},
		{"an error of yield", watchYieldError},
		{"concurrent writers", watchConcurrent},
		{"a slow watch stops nobody", watchSlow},
		{"ends with its context", watchEnds},
	})
	for _, x := range []concern{
		{"from a list", watchLists},
		{"filters", watchFilters},
		{"random queries", watchRandom},
		{"closed", watchClosed},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s.skip(t)
			x.run(t, s)
		})
	}
}

// watching is a watch that runs in a goroutine of its own.
type watching struct {
	testing.TB
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // once ended is closed

	mu  sync.Mutex
	all []storage.WatchEvent
	// more is sent to when there are more events.
	more chan struct{}
}

// watch starts a watch, which ends with the test.
func watch(t testing.TB, st storage.Storage, q query.Query, since string) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(patience(t))
	w := &watching{TB: t, cancel: cancel, ended: make(chan struct{}), more: make(chan struct{}, 1)}
	go func() {
		defer close(w.ended)
		w.err = watcher(t, st).Watch(ctx, &q, since, func(e storage.WatchEvent) error {
			w.take(e)
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-w.ended
	})
	return w
}

func watcher(t testing.TB, st storage.Storage) storage.Watcher {
	w, ok := st.(storage.Watcher)
	if !ok {
		t.Error("the storage layer is no Watcher any more")
	}
	return w
}

func (w *watching) take(e storage.WatchEvent) {
	if e.Version == "" {
		w.Errorf("the event %s has no version", describeEvent(e))
	}
	if (e.Object == nil) != (e.Type == storage.Bookmark) {
		w.Errorf("the event %s has the object %v", e.Type, e.Object)
		return
	}
	if e.Object != nil {
		e.Object = snapshot(e.Object)
	}
	w.mu.Lock()
	w.all = append(w.all, e)
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// raw returns all events up to now, with the bookmarks.
func (w *watching) raw() []storage.WatchEvent {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.all)
}

// events returns the events up to now, without bookmarks.
func (w *watching) events() []storage.WatchEvent { return withoutBookmarks(w.raw()) }

func withoutBookmarks(all []storage.WatchEvent) []storage.WatchEvent {
	return slices.DeleteFunc(slices.Clone(all), func(e storage.WatchEvent) bool { return e.Type == storage.Bookmark })
}

// until waits until the events are enough, and returns them.
func (w *watching) until(what string, enough func([]storage.WatchEvent) bool) []storage.WatchEvent {
	w.Helper()
	late := time.After(30 * time.Second)
	for {
		if events := w.events(); enough(events) {
			return events
		}
		select {
		case <-w.more:
		case <-w.ended:
			if events := w.events(); enough(events) {
				return events
			}
			w.Fatalf("the watch ends before there is %s: %v; it gave%s", what, w.err, describeEvents(w.events()))
		case <-late:
			w.Fatalf("there is no %s; the watch gave%s", what, describeEvents(w.events()))
		}
	}
}

// through waits for an event of the object at this or a later revision.
func (w *watching) through(o *object.Object) []storage.WatchEvent {
	w.Helper()
	return w.until("event of "+describeState(o), func(events []storage.WatchEvent) bool {
		return slices.ContainsFunc(events, func(e storage.WatchEvent) bool {
			return e.Object.Key == o.Key && query.VersionNumber(e.Object.ResourceVersion) >= query.VersionNumber(o.ResourceVersion)
		})
	})
}

// stop ends the watch and returns its error.
func (w *watching) stop() error {
	w.cancel()
	<-w.ended
	return w.err
}

// now returns the version of a list of q.
func now(t testing.TB, st storage.Storage, q query.Query) string {
	t.Helper()
	_, page := listPage(t, st, q)
	if page.Version == "" {
		t.Fatal("the list of a Watcher has no version")
	}
	return page.Version
}

func describeState(o *object.Object) string { return o.Key.String() + " at " + o.ResourceVersion }

func describeEvent(e storage.WatchEvent) string {
	if e.Object == nil {
		return string(e.Type)
	}
	return string(e.Type) + " " + describeState(e.Object)
}

func describeEvents(events []storage.WatchEvent) string {
	if len(events) == 0 {
		return " nothing"
	}
	var text strings.Builder
	if over := len(events) - 30; over > 0 {
		fmt.Fprintf(&text, " %d events, and then", over)
		events = events[over:]
	}
	for _, e := range events {
		text.WriteString("\n\t" + describeEvent(e))
	}
	return text.String()
}

// wanted is an event that must come.
type wanted struct {
	kind  storage.WatchEventType
	state *object.Object
	// version is the resource version of the change that took the object away, if it
	// has one.
	version string
}

func added(o *object.Object) wanted    { return wanted{kind: storage.Added, state: o} }
func modified(o *object.Object) wanted { return wanted{kind: storage.Modified, state: o} }

// deleted is the event of an object that is gone, or no longer satisfies the query
// because of a change of that resource version.
func deleted(o *object.Object, version ...string) wanted {
	return wanted{kind: storage.Deleted, state: o, version: strings.Join(version, "")}
}

// check reports what is wrong with an event that ought to be the wanted one.
func (x wanted) check(e storage.WatchEvent) error {
	if e.Type != x.kind || e.Object.Key != x.state.Key || e.Object.UID != x.state.UID {
		return fmt.Errorf("got %s, want %s %s", describeEvent(e), x.kind, describeState(x.state))
	}
	if version := cmp.Or(x.version, x.state.ResourceVersion); e.Object.ResourceVersion != version {
		return fmt.Errorf("got %s, want the version %s", describeEvent(e), version)
	}
	got := string(e.Object.JSON)
	if got == string(x.state.JSON) {
		return nil
	}
	// The document may tell the version of the change too.
	quote := func(version string) string { return fmt.Sprintf(`"resourceVersion":%q`, version) }
	if x.kind == storage.Deleted && strings.Replace(got, quote(e.Object.ResourceVersion), quote(x.state.ResourceVersion), 1) == string(x.state.JSON) {
		return nil
	}
	return fmt.Errorf("%s: got the document\n%.500s\nwant\n%.500s", describeEvent(e), got, x.state.JSON)
}

// checkSeen waits for the wanted events of one cluster, and checks that they, and
// no others, come in their order.
func (w *watching) checkSeen(want ...wanted) {
	w.Helper()
	got := w.until(fmt.Sprintf("%d events", len(want)), func(events []storage.WatchEvent) bool { return len(events) >= len(want) })
	for i, e := range got {
		if i == len(want) {
			w.Fatalf("beyond the %d wanted events there are%s", len(want), describeEvents(got[i:]))
		}
		if err := want[i].check(e); err != nil {
			w.Fatalf("event %d: %v; all are%s", i, err, describeEvents(got))
		}
	}
}

func watchOrder(t *testing.T, st storage.Storage) {
	state := func(name, version string) *object.Object { return thing{name: name, version: version}.object() }
	old := state("old", "1")
	put(t, st, old)
	w := watch(t, st, query.Query{}, now(t, st, query.Query{}))
	a1, a2, a5, b3, b4 := state("a", "1"), state("a", "2"), state("a", "5"), state("b", "3"), state("b", "4")
	for _, change := range slices.Concat(puts(a1, a2, b3), deletes(old, a2, a2), puts(b4, a5), deletes(b4)) {
		apply(t, st, change)
	}
	w.checkSeen(added(a1), modified(a2), added(b3), deleted(old), deleted(a2), modified(b4), added(a5), deleted(b4))
	end := state("end", "6")
	put(t, st, end)
	w.through(end)
	w.checkSeen(added(a1), modified(a2), added(b3), deleted(old), deleted(a2), modified(b4), added(a5), deleted(b4), added(end))
	if err := w.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("the watch ends with %v", err)
	}
}

// watchNow watches without a version: what was written before is not given, and
// from the first change on each one is.
func watchNow(t *testing.T, st storage.Storage) {
	put(t, st, manyPods("c1", 20)...)
	w := watch(t, st, query.Query{}, "")
	end := thing{name: "end"}.object()
	written := int64(0)
	for beat := time.NewTicker(5 * time.Millisecond); len(w.events()) == 0; written++ {
		if written > 6000 {
			t.Fatal("a watch from now on gives nothing")
		}
		put(t, st, thing{name: "counter", version: fmt.Sprint(written + 1)}.object())
		<-beat.C
	}
	put(t, st, end)
	events := w.through(end)
	first := query.VersionNumber(events[0].Object.ResourceVersion)
	for i, e := range events[:len(events)-1] {
		if version := fmt.Sprint(first + int64(i)); e.Object.Name != "counter" || e.Object.ResourceVersion != version {
			t.Errorf("event %d is %s, want version %s of the counter", i, describeEvent(e), version)
		}
	}
	if got, want := int64(len(events)-1), written-first+1; got != want {
		t.Errorf("%d changes of the counter were given, want %d", got, want)
	}
}

// watchBatch writes objects several times in one batch: each may be reported once
// for all, with what the batch leaves.
func watchBatch(t *testing.T, st storage.Storage) {
	state := func(name, version string) *object.Object { return thing{name: name, version: version}.object() }
	a1, a2, a3, b1, b2, c1, d1, end := state("a", "1"), state("a", "2"), state("a", "3"),
		state("b", "1"), state("b", "2"), state("c", "1"), state("d", "1"), state("end", "1")
	put(t, st, b1, c1)
	w := watch(t, st, query.Query{}, now(t, st, query.Query{}))
	apply(t, st, slices.Concat(puts(a1, a2), deletes(b1), puts(b2, d1), deletes(c1, d1), puts(a3, end))...)
	events := w.through(end)
	possible := map[string][]wanted{
		"a": {added(a1), modified(a2), modified(a3)}, "b": {deleted(b1), added(b2)}, "c": {deleted(c1)},
		"d": {added(d1), deleted(d1)}, "end": {added(end)},
	}
	joined := map[string][]wanted{"a": {added(a3)}, "b": {modified(b2)}, "c": {deleted(c1)}, "end": {added(end)}}
	for name := range possible {
		var got []storage.WatchEvent
		for _, e := range events {
			if e.Object.Name == name {
				got = append(got, e)
			}
		}
		if !sameEvents(got, possible[name]) && !sameEvents(got, joined[name]) {
			t.Errorf("object %s: got%s", name, describeEvents(got))
		}
	}
}

// sameEvents reports whether the events are the wanted ones.
func sameEvents(events []storage.WatchEvent, want []wanted) bool {
	return slices.EqualFunc(events, want, func(e storage.WatchEvent, x wanted) bool { return x.check(e) == nil })
}

// watchReplaced puts an object in the place of another: that is a change of one
// key, or the end of one object and the beginning of another.
func watchReplaced(t *testing.T, st storage.Storage) {
	before, after := thing{name: "a", uid: "before", version: "1"}.object(), thing{name: "a", uid: "after", version: "2"}.object()
	end := thing{name: "end"}.object()
	put(t, st, before)
	w := watch(t, st, query.Query{}, now(t, st, query.Query{}))
	put(t, st, after)
	put(t, st, end)
	events := w.through(end)
	if !sameEvents(events, []wanted{modified(after), added(end)}) && !sameEvents(events, []wanted{deleted(before), added(after), added(end)}) {
		t.Errorf("got%s", describeEvents(events))
	}
}

// watchRewritten applies a batch a second time, as after an error that left open
// whether it was written. Whether that is a change is left to the storage layer.
func watchRewritten(t *testing.T, st storage.Storage) {
	a, gone, end := thing{name: "a"}.object(), thing{name: "gone"}.object(), thing{name: "end"}.object()
	put(t, st, gone)
	w := watch(t, st, query.Query{}, now(t, st, query.Query{}))
	for range 3 {
		apply(t, st, slices.Concat(deletes(gone), puts(a))...)
	}
	put(t, st, end)
	events := w.through(end)
	if len(events) < 3 || !sameEvents(events[:2], []wanted{deleted(gone), added(a)}) || added(end).check(events[len(events)-1]) != nil {
		t.Fatalf("got%s", describeEvents(events))
	}
	for _, e := range events[2 : len(events)-1] {
		if err := modified(a).check(e); err != nil {
			t.Error(err)
		}
	}
}

// watchResume resumes a watch behind each of its events, also in the midst of a
// batch: what follows is the same.
func watchResume(t *testing.T, st storage.Storage) {
	state := func(name, version string) *object.Object {
		return thing{name: name, version: version, labels: map[string]string{"app": name[:1]}}.object()
	}
	// Others than those asked for change in between.
	q := query.Query{Labels: []query.LabelRequirement{{Key: "app", Operator: query.In, Values: []string{"a"}}}}
	since := now(t, st, q)
	apply(t, st, puts(state("a-1", "1"), state("b-1", "1"), state("a-2", "1"), state("a-3", "1"))...)
	put(t, st, state("b-2", "1"))
	apply(t, st, slices.Concat(deletes(state("a-2", "1")), puts(state("a-1", "2")), deletes(state("a-3", "1")))...)
	put(t, st, state("b-3", "1"))
	end := state("a-4", "9")
	put(t, st, end)

	w := watch(t, st, q, since)
	events := w.through(end)
	if len(events) != 7 {
		t.Fatalf("got%s\nwant 7 events", describeEvents(events))
	}
	raw := w.raw()
	for i, e := range raw {
		rest := withoutBookmarks(raw[i+1:])
		if len(rest) == 0 {
			break
		}
		got := watch(t, st, q, e.Version).through(end)
		if !slices.EqualFunc(got, rest, func(a, b storage.WatchEvent) bool {
			return a.Version == b.Version && describeEvent(a) == describeEvent(b)
		}) {
			t.Errorf("resumed behind %s: got%s\nwant%s", describeEvent(e), describeEvents(got), describeEvents(rest))
		}
	}
}

func watchUnordered(t *testing.T, st storage.Storage) {
	put(t, st, manyPods("c1", 20)...)
	q := query.Query{Order: []query.Order{{By: query.ByName, Desc: true}}, Limit: 1, Count: query.CountExact}
	_, page := listPage(t, st, q)
	q.Continue = page.Continue
	w := watch(t, st, q, page.Version)
	z, a, b := thing{name: "z"}.object(), thing{name: "a"}.object(), thing{name: "b"}.object()
	put(t, st, z)
	put(t, st, a)
	put(t, st, b)
	w.checkSeen(added(z), added(a), added(b))
	q.Continue, q.Offset = "", 5
	watch(t, st, q, page.Version).checkSeen(added(z), added(a), added(b))
}
