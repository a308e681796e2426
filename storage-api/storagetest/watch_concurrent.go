package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// scribe writes objects of its own, which nobody else does, to one cluster.
type scribe struct {
	cluster string
	prefix  string // of the objects' names
	changes []storage.Change
	want    []wanted // what a watch of everything is told of
}

// newScribe plans changes of a few objects that come, change and go; each second
// one has the label app=web at its even versions only.
func newScribe(cluster string, number, rounds int) *scribe {
	s := &scribe{cluster: cluster, prefix: fmt.Sprintf("object-%d-", number)}
	version := 0
	state := func(i int) *object.Object {
		version++
		labels := map[string]string{"app": "db"}
		if i%2 == 0 && version%2 == 0 {
			labels["app"] = "web"
		}
		return thing{cluster: cluster, namespace: "default", name: s.prefix + fmt.Sprint(i), version: fmt.Sprint(version), labels: labels}.object()
	}
	stored := map[int]*object.Object{}
	for round := range rounds {
		i := (round * 7) % 5
		before := stored[i]
		if before != nil && round%4 == 3 {
			s.changes, s.want = append(s.changes, deletes(before)...), append(s.want, deleted(before))
			delete(stored, i)
			continue
		}
		o := state(i)
		stored[i] = o
		s.changes = append(s.changes, puts(o)...)
		if before == nil {
			s.want = append(s.want, added(o))
		} else {
			s.want = append(s.want, modified(o))
		}
	}
	return s
}

// run writes the changes, alone or a few at once.
func (s *scribe) run(ctx context.Context, t testing.TB, st storage.Storage) {
	changes := s.changes
	for i := 0; len(changes) > 0; i++ {
		n := min(len(changes), 1)
		if i%5 == 0 { // these are changes of different objects
			n = min(len(changes), 3)
		}
		write(ctx, t, st, storage.Writer{Cluster: s.cluster}, changes[:n]...)
		changes = changes[n:]
	}
}

// wantOf returns what a watch is told whose query asks for some of the states.
func (s *scribe) wantOf(q query.Query) []wanted {
	var all []wanted
	last := map[object.Key]*object.Object{} // the last state if it satisfies q
	for _, x := range s.want {
		before := last[x.state.Key]
		delete(last, x.state.Key)
		gone := x.kind == storage.Deleted
		switch is := !gone && query.Match(&q, x.state, nil); {
		case is && before != nil:
			all = append(all, modified(x.state))
		case is:
			all = append(all, added(x.state))
		case before != nil && gone:
			all = append(all, deleted(before))
		case before != nil:
			all = append(all, deleted(before, x.state.ResourceVersion))
		}
		if !gone && query.Match(&q, x.state, nil) {
			last[x.state.Key] = x.state
		}
	}
	return all
}

// scribes returns writers of two clusters, two for each.
func scribes(rounds int) []*scribe {
	var all []*scribe
	for i, cluster := range []string{"c1", "c2", "c1", "c2"} {
		all = append(all, newScribe(cluster, i, rounds))
	}
	return all
}

// writing returns functions that run the scribes.
func writing(ctx context.Context, t testing.TB, st storage.Storage, all []*scribe) []func() {
	var run []func()
	for _, s := range all {
		run = append(run, func() { s.run(ctx, t, st) })
	}
	return run
}

// putEnds puts the last object of each cluster, which every watch is to see.
func putEnds(t testing.TB, st storage.Storage) []*object.Object {
	ends := objects(
		thing{cluster: "c1", namespace: "default", name: "end", labels: map[string]string{"app": "web"}},
		thing{cluster: "c2", namespace: "default", name: "end", labels: map[string]string{"app": "web"}},
	)
	put(t, st, ends...)
	return ends
}

// watchConcurrent lets several writers change two clusters: each watch gives what
// each of them has written once, and in its order.
func watchConcurrent(t *testing.T, st storage.Storage) {
	since := now(t, st, query.Query{})
	web := []query.LabelRequirement{{Key: "app", Operator: query.In, Values: []string{"web"}}}
	queries := []query.Query{{}, {}, {Labels: web}, {Clusters: []string{"c2"}}, {Clusters: []string{"c1"}, Labels: web}}
	var watches []*watching
	for _, q := range queries {
		watches = append(watches, watch(t, st, q, since))
	}
	all := scribes(400)
	together(writing(t.Context(), t, st, all)...)
	ends := putEnds(t, st)
	// Watches that begin late give the same.
	for _, q := range queries {
		watches = append(watches, watch(t, st, q, since))
	}
	for i, w := range watches {
		q := queries[i%len(queries)]
		for _, end := range ends {
			if query.Match(&q, end, nil) {
				w.through(end)
			}
		}
		events := w.events()
		for _, s := range all {
			var want []wanted
			if len(q.Clusters) == 0 || slices.Contains(q.Clusters, s.cluster) {
				want = s.wantOf(q)
			}
			got := slices.DeleteFunc(slices.Clone(events), func(e storage.WatchEvent) bool { return !strings.HasPrefix(e.Object.Name, s.prefix) })
			checkSequence(t, fmt.Sprintf("watch %d, %s", i, s.prefix), got, want)
		}
	}
}

func checkSequence(t testing.TB, name string, got []storage.WatchEvent, want []wanted) {
	t.Helper()
	for i, e := range got {
		if i == len(want) {
			t.Errorf("%s: %d events are wanted, there are%s", name, len(want), describeEvents(got))
			return
		}
		if err := want[i].check(e); err != nil {
			t.Errorf("%s: event %d: %v; up to there are%s", name, i, err, describeEvents(got[:i]))
			return
		}
	}
	if len(got) < len(want) {
		t.Errorf("%s: %d events of %d are given", name, len(got), len(want))
	}
}

// watchSlow holds a watch in its yield while much is written: neither the writer
// nor other watches wait for it. It then gives all in order, or expires.
func watchSlow(t *testing.T, st storage.Storage) {
	ctx := patience(t)
	since := now(t, st, query.Query{})
	first := thing{name: "counter"}.object()
	put(t, st, first)
	parked, release := make(chan struct{}), make(chan struct{})
	var slow []storage.WatchEvent
	var slowErr error
	end := errors.New("the end was seen")
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		slowErr = watcher(t, st).Watch(ctx, &query.Query{}, since, func(e storage.WatchEvent) error {
			if e.Type == storage.Bookmark {
				return nil
			}
			slow = append(slow, storage.WatchEvent{Type: e.Type, Object: snapshot(e.Object)})
			if len(slow) == 1 {
				close(parked)
				<-release
			}
			if e.Object.Name == "end" {
				return end
			}
			return nil
		})
	})
	freed := sync.OnceFunc(func() { close(release) })
	defer freed()
	select {
	case <-parked:
	case <-ctx.Done():
		t.Fatal("a watch gives nothing")
	}
	fast := watch(t, st, query.Query{}, since)
	want := []wanted{added(first)}
	for i := range 1000 {
		o := thing{name: "counter", version: fmt.Sprint(i + 2)}.object()
		write(ctx, t, st, writer(0), puts(o)...)
		want = append(want, modified(o))
	}
	last := thing{name: "end"}.object()
	write(ctx, t, st, writer(0), puts(last)...)
	fast.through(last)
	fast.checkSeen(append(want, added(last))...)

	freed()
	running.Wait()
	switch {
	case asItIs(slowErr, end):
		checkSequence(t, "the slow watch", slow, append(want, added(last)))
	case errors.Is(slowErr, storage.ErrExpired):
		checkSequence(t, "the slow watch", slow, want[:min(len(slow), len(want))])
	default:
		t.Errorf("the slow watch ends with %v", slowErr)
	}
}

// watchLists lists and watches from there on, again and again while others write:
// what the list shows, changed by what the watch gives, is what is stored in the
// end.
func watchLists(t *testing.T, s suite) {
	t.Run("written in yield", func(t *testing.T) {
		t.Parallel()
		s.skip(t)
		watchListed(t, s.start(t))
	})
	st := s.start(t)
	web := query.Query{Labels: []query.LabelRequirement{{Key: "app", Operator: query.In, Values: []string{"web"}}}}
	var mu sync.Mutex
	var replicas []*replica
	join := func(q query.Query) {
		r := &replica{states: map[object.Key]*object.Object{}, exact: s.ExactVersion, query: q}
		page, err := st.List(t.Context(), &q, func(o *object.Object) error {
			r.states[o.Key] = snapshot(o)
			return nil
		})
		if err != nil {
			t.Errorf("list: %v", err)
			return
		}
		r.watching = watch(t, st, q, page.Version)
		mu.Lock()
		defer mu.Unlock()
		replicas = append(replicas, r)
	}
	writers := writing(t.Context(), t, st, scribes(600))
	together(append(writers, func() {
		for i := range 40 {
			join([]query.Query{{}, web, {Order: []query.Order{{By: query.ByName}}}}[i%3])
		}
	})...)
	ends := putEnds(t, st)
	for i, r := range replicas {
		for _, end := range ends {
			r.through(end)
		}
		for _, e := range r.events() {
			if err := r.apply(e); err != nil {
				t.Fatalf("replica %d: %v", i, err)
			}
		}
		want := list(t, st, r.query)
		if len(r.states) != len(want) {
			t.Errorf("replica %d has %d objects, want %d", i, len(r.states), len(want))
		}
		for _, o := range want {
			if got := r.states[o.Key]; got == nil || got.ResourceVersion != o.ResourceVersion || string(got.JSON) != string(o.JSON) {
				t.Errorf("replica %d lacks %s", i, describeState(o))
			}
		}
	}
}

// watchListed writes while a list is given: its version is not later than what it
// shows, also for each of several pages.
func watchListed(t *testing.T, st storage.Storage) {
	put(t, st, manyPods("c1", 20)...)
	for i, q := range []query.Query{{}, {Limit: 5}, {Order: []query.Order{{By: query.ByName}}}} {
		late := thing{namespace: "default", name: fmt.Sprint("late-", i)}.object()
		shown := 0
		page, err := st.List(t.Context(), &q, func(*object.Object) error {
			if shown++; shown == 1 {
				write(t.Context(), t, st, writer(0), puts(late)...)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		watch(t, st, q, page.Version).through(late)
		if page.Continue == "" {
			continue
		}
		q.Continue = page.Continue
		_, page = listPage(t, st, q)
		after := thing{namespace: "default", name: fmt.Sprint("after-", i)}.object()
		put(t, st, after)
		watch(t, st, q, page.Version).through(after)
	}
}

// replica holds what a list showed and what its watch makes of it.
type replica struct {
	*watching
	query  query.Query
	states map[object.Key]*object.Object
	// exact says that no event may repeat what the list showed.
	exact bool
}

func (r *replica) apply(e storage.WatchEvent) error {
	before := r.states[e.Object.Key]
	known := e.Type == storage.Modified || e.Type == storage.Deleted
	newer := before == nil || query.VersionNumber(e.Object.ResourceVersion) > query.VersionNumber(before.ResourceVersion)
	if r.exact && (known != (before != nil) || e.Type == storage.Modified && !newer) {
		if before == nil {
			return fmt.Errorf("%s of what is not there", describeEvent(e))
		}
		return fmt.Errorf("%s of what is there as %s", describeEvent(e), before.ResourceVersion)
	}
	if e.Type == storage.Deleted {
		delete(r.states, e.Object.Key)
	} else {
		r.states[e.Object.Key] = e.Object
	}
	return nil
}
