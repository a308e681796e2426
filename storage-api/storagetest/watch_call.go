package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// noEvent is for watches that must give nothing.
func noEvent(t testing.TB) func(storage.WatchEvent) error {
	return func(e storage.WatchEvent) error {
		if e.Type != storage.Bookmark {
			t.Errorf("yield was called with %s", describeEvent(e))
		}
		return nil
	}
}

func watchProject(t *testing.T, st storage.Storage) {
	since := now(t, st, query.Query{})
	o := thing{name: "a", labels: map[string]string{"app": "web"}, body: `"spec":{"text":"long"}`}.object()
	put(t, st, o)
	apply(t, st, deletes(o)...)
	for _, x := range []struct {
		name  string
		query query.Query
		spec  bool
	}{
		{"metadata", query.Query{Projection: query.Metadata}, false},
		{"cells that nobody has", query.Query{Projection: query.Cells, Columns: "none"}, true},
		{"key only", query.Query{Projection: query.KeyOnly}, false},
		{"key only, by a field", query.Query{Projection: query.KeyOnly, Fields: field("spec.text", query.In, "long").Fields}, false},
	} {
		w := watch(t, st, x.query, since)
		events := w.until("two events", func(events []storage.WatchEvent) bool { return len(events) == 2 })
		for i, kind := range []storage.WatchEventType{storage.Added, storage.Deleted} {
			e := events[i]
			if e.Type != kind {
				t.Errorf("%s: event %d is %s, want %s", x.name, i, describeEvent(e), kind)
			}
			checkIdentity(t, e.Object, o)
			if got := bytes.Contains(e.Object.JSON, []byte("spec")); got != x.spec {
				t.Errorf("%s: the document has its spec: %t, want %t", x.name, got, x.spec)
			}
			if (e.Object.JSON == nil) != (x.query.Projection == query.KeyOnly) {
				t.Errorf("%s: the document is %q", x.name, e.Object.JSON)
			}
		}
	}
}

// watchEvents records events of an object. Whether that is a change of it is left
// to the storage layer, but its next change shows them to who asks.
func watchEvents(t *testing.T, st storage.Storage) {
	before, after := thing{name: "a", version: "1"}.object(), thing{name: "a", version: "2"}.object()
	put(t, st, before)
	since := now(t, st, query.Query{})
	apply(t, st, recorded(before, "event-1", 1))
	put(t, st, after)
	apply(t, st, recorded(after, "event-2", 2))
	end := thing{name: "end"}.object()
	put(t, st, end)
	for _, asked := range []bool{false, true} {
		for _, e := range watch(t, st, query.Query{Events: asked}, since).through(end) {
			if e.Object.Key == end.Key {
				continue
			}
			want := modified(before)
			if e.Object.ResourceVersion == after.ResourceVersion {
				want = modified(after)
			}
			if err := want.check(e); err != nil {
				t.Error(err)
			}
			if got := bytes.Contains(e.Object.Events, []byte("event-1")); got != asked {
				t.Errorf("events asked for: %t, %s has them: %t", asked, describeEvent(e), got)
			}
		}
	}
}

// watchPurge removes a cluster, and a resource of another: each object of them comes
// as deleted, once.
func watchPurge(t *testing.T, st storage.Storage) {
	gone := append(manyPods("c1", 1500), thing{resource: nodes, name: "node"}.object(), thing{cluster: "c2", resource: widgets, name: "w"}.object())
	kept := append(manyPods("c2", 50), thing{cluster: "c3", resource: widgets, name: "w"}.object())
	put(t, st, gone...)
	put(t, st, kept...)
	w := watch(t, st, query.Query{}, now(t, st, query.Query{}))
	purge(t, st, storage.Writer{Cluster: "c1"}, nil)
	purge(t, st, storage.Writer{Cluster: "c2"}, &widgets)
	purge(t, st, storage.Writer{Cluster: "c3"}, &pods)
	ends := objects(thing{name: "end"}, thing{cluster: "c2", name: "end"}, thing{cluster: "c3", name: "end"})
	put(t, st, ends...)
	for _, end := range ends {
		w.through(end)
	}
	missing := map[object.Key]*object.Object{}
	for _, o := range gone {
		missing[o.Key] = o
	}
	for _, e := range w.events() {
		o := missing[e.Object.Key]
		switch {
		case e.Object.Name == "end":
		case o == nil:
			t.Errorf("got %s, which was not purged, or twice", describeEvent(e))
		default:
			if err := deleted(o).check(e); err != nil {
				t.Error(err)
			}
			delete(missing, o.Key)
		}
	}
	if len(missing) > 0 {
		t.Errorf("%d purged objects did not come as deleted", len(missing))
	}
}

func watchRefuses(t *testing.T, st storage.Storage) {
	put(t, st, thing{name: "a"}.object())
	since := now(t, st, query.Query{})
	invalid := query.Query{Labels: []query.LabelRequirement{{Key: "", Operator: query.Exists}}}
	err := watcher(t, st).Watch(patience(t), &invalid, since, noEvent(t))
	if e := (*query.InvalidQueryError)(nil); !errors.As(err, &e) || e.Field != "labelSelector" {
		t.Errorf("a query that is not valid: %v", err)
	}
	for _, unknown := range []string{"x", " ", "-", "no version of anything", since + " ", since + "x", "x" + since} {
		err := watcher(t, st).Watch(patience(t), &query.Query{}, unknown, noEvent(t))
		if !errors.Is(err, storage.ErrExpired) {
			t.Errorf("since %q: want ErrExpired, got %v", unknown, err)
		}
	}
}

func watchYield(t *testing.T, st storage.Storage) {
	ctx := patience(t)
	since := now(t, st, query.Query{})
	first, second := thing{name: "first"}.object(), thing{name: "second"}.object()
	put(t, st, first)
	seen := errors.New("the change made by yield is seen")
	err := watcher(t, st).Watch(ctx, &query.Query{}, since, func(e storage.WatchEvent) error {
		switch {
		case e.Type == storage.Bookmark:
			return nil
		case e.Object.Key == second.Key:
			return seen
		}
		key := e.Object.Key
		write(ctx, t, st, writer(0), puts(second)...)
		if _, err := st.Get(ctx, key); err != nil {
			return fmt.Errorf("get: %w", err)
		}
		if _, err := st.List(ctx, &query.Query{}, func(*object.Object) error { return nil }); err != nil {
			return fmt.Errorf("list: %w", err)
		}
		if err := st.Purge(ctx, storage.Writer{Cluster: "c2"}, nil); err != nil {
			return fmt.Errorf("purge: %w", err)
		}
		inner := errors.New("the inner watch has seen it")
		err := watcher(t, st).Watch(ctx, &query.Query{Names: []string{second.Name}}, since, func(e storage.WatchEvent) error {
			if e.Type == storage.Bookmark {
				return nil
			}
			return inner
		})
		if !errors.Is(err, inner) {
			return fmt.Errorf("inner watch: %w", err)
		}
		return nil
	})
	if !asItIs(err, seen) {
		t.Errorf("watch: %v", err)
	}
}

func watchYieldError(t *testing.T, st storage.Storage) {
	since := now(t, st, query.Query{})
	put(t, st, manyPods("c1", 10)...)
	for _, want := range []error{
		&yieldError{"the client is gone"},
		fmt.Errorf("wrapped: %w", storage.Retryable(&yieldError{"retryable"})),
		storage.ErrExpired,
		context.Canceled,
	} {
		given := 0
		ctx, cancel := context.WithCancel(patience(t))
		err := watcher(t, st).Watch(ctx, &query.Query{}, since, func(e storage.WatchEvent) error {
			if e.Type == storage.Bookmark {
				return nil
			}
			if given++; given < 3 {
				return nil
			}
			cancel() // counts less than what yield returns
			return want
		})
		cancel()
		if !asItIs(err, want) || given != 3 {
			t.Errorf("yield ran %d times and returned %v, got %v", given, want, err)
		}
	}
}

// watchEnds ends watches in many states by their context.
func watchEnds(t *testing.T, st storage.Storage) {
	o := thing{name: "a", labels: map[string]string{"app": "web"}, owners: []string{"owner"}}.object()
	since := now(t, st, query.Query{})
	put(t, st, o)
	queries := map[string]query.Query{
		"everything": {}, "nothing": {Visible: &query.Visibility{}}, "owned": {Owner: &query.Owner{Name: "none", Seniority: 2}},
	}
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
	defer cancel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, q := range queries {
		for _, version := range []string{"", since} {
			if err := watcher(t, st).Watch(canceled, &q, version, noEvent(t)); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: with a canceled context: %v", name, err)
			}
			if err := watcher(t, st).Watch(late, &q, version, noEvent(t)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: behind its deadline: %v", name, err)
			}
		}
	}
	for name, q := range queries {
		w := watch(t, st, q, since)
		if name == "everything" {
			w.through(o)
		}
		begun := time.Now()
		if err := w.stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: canceled: %v", name, err)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s: a canceled watch takes %v to end", name, took)
		}
	}
	// Nothing is given behind the end, though there is more.
	put(t, st, manyPods("c1", 2000)...)
	ctx, cancel := context.WithCancel(patience(t))
	defer cancel()
	given := 0
	err := watcher(t, st).Watch(ctx, &query.Query{}, since, func(storage.WatchEvent) error {
		given++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || given > 1000 {
		t.Errorf("canceled at the first event: %d were given, and then %v", given, err)
	}
}

// watchClosed closes the storage below watches: they end, and so does every
// goroutine that they have begun.
func watchClosed(t *testing.T, s suite) {
	st := s.open(t)
	put(t, st, thing{name: "a"}.object())
	since := now(t, st, query.Query{})
	var watches []*watching
	label := t.Name()
	// What a goroutine begins has its labels.
	pprof.SetGoroutineLabels(pprof.WithLabels(t.Context(), pprof.Labels("storagetest", label)))
	for _, version := range []string{since, "", since} {
		watches = append(watches, watch(t, st, query.Query{}, version))
	}
	pprof.SetGoroutineLabels(t.Context())
	put(t, st, thing{name: "b"}.object())
	watches[0].through(thing{name: "b"}.object())
	if err := watches[2].stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	closeStorage(t, st)
	for _, w := range watches[:2] {
		select {
		case <-w.ended:
		case <-time.After(30 * time.Second):
			t.Fatal("a watch goes on after Close")
		}
		if w.err == nil || errors.Is(w.err, context.Canceled) || errors.Is(w.err, storage.ErrExpired) {
			t.Errorf("closed: the watch ends with %v", w.err)
		}
	}
	if err := watcher(t, st).Watch(patience(t), &query.Query{}, since, noEvent(t)); err == nil {
		t.Error("Watch succeeds after Close")
	}
	beat := time.NewTicker(10 * time.Millisecond)
	defer beat.Stop()
	for left := 500; ; left-- {
		var text strings.Builder
		if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
			t.Fatal(err)
		}
		stacks := slices.DeleteFunc(strings.Split(text.String(), "\n\n"), func(stack string) bool { return !strings.Contains(stack, label) })
		if len(stacks) == 0 {
			return
		}
		if left == 0 {
			t.Fatalf("goroutines of watches are left:\n%s", strings.Join(stacks, "\n\n"))
		}
		<-beat.C
	}
}
