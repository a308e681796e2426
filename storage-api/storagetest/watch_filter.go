package storagetest

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// story is a sequence of changes, each written on its own, and what a watch of a
// query makes of it.
type story struct {
	name    string
	query   query.Query
	before  []*object.Object // stored when the watch begins
	changes []storage.Change
	want    []wanted
}

func testStory(t *testing.T, s suite, x story) {
	t.Run(x.name, func(t *testing.T) {
		t.Parallel()
		st := s.start(t)
		put(t, st, x.before...)
		since := now(t, st, x.query)
		live := watch(t, st, x.query, since)
		for _, change := range x.changes {
			key := change.Delete
			if change.Put != nil {
				key = &change.Put.Key
			}
			write(t.Context(), t, st, storage.Writer{Cluster: key.Cluster}, change)
		}
		live.checkSeen(x.want...)
		// A watch that begins when all is written gives the same.
		watch(t, st, x.query, since).checkSeen(x.want...)
	})
}

func watchFilters(t *testing.T, s suite) {
	for _, x := range slices.Concat(filterStories(), ownerStories()) {
		testStory(t, s, x)
	}
}

// filterStories move objects in and out of conditions. The last change of each is
// one that the query asks for.
func filterStories() []story {
	label := func(version, value string) *object.Object {
		return thing{name: "a", version: version, labels: map[string]string{"app": value}}.object()
	}
	phase := func(version, value string) *object.Object {
		return thing{name: "a", version: version, body: fmt.Sprintf(`"status":{"phase":%q}`, value)}.object()
	}
	in1, in2, out3, out4, in5 := label("1", "web"), label("2", "web"), label("3", "db"), label("4", "db"), label("5", "web")
	run1, run2, end3, run4 := phase("1", "Running"), phase("2", "Running"), phase("3", "Failed"), phase("4", "Running")
	web := query.Query{Labels: []query.LabelRequirement{{Key: "app", Operator: query.In, Values: []string{"web"}}}}
	here, there := thing{cluster: "c2", namespace: "default", name: "a"}.object(), thing{namespace: "other", name: "b"}.object()
	node, widget := thing{resource: nodes, name: "a"}.object(), thing{resource: widgets, namespace: "default", name: "a"}.object()
	old, young := thing{name: "old"}.object(), thing{name: "young", created: epoch.Add(time.Hour)}.object()
	every := slices.Concat(puts(there, node, widget, old, young, here), deletes(there, node, widget, old, young, here))
	one := func(o *object.Object) []wanted { return []wanted{added(o), deleted(o)} }
	last := func(q query.Query, o *object.Object) story {
		return story{query: q, changes: slices.Concat(every, puts(o)), want: append(one(o), added(o))}
	}
	named := func(name string, x story) story { x.name = name; return x }
	return []story{
		{
			name: "a label comes and goes", query: web,
			changes: slices.Concat(puts(out3, in1, in2, out3, out4), deletes(out4), puts(out4, in5), deletes(in5), puts(in1)),
			want:    []wanted{added(in1), modified(in2), deleted(in2, "3"), added(in5), deleted(in5), added(in1)},
		},
		{
			name: "a label of what is stored", query: web, before: []*object.Object{in2},
			changes: slices.Concat(puts(out3), deletes(out3), puts(in5)),
			want:    []wanted{deleted(in2, "3"), added(in5)},
		},
		{
			name: "a label of what is stored, which has none", query: web, before: []*object.Object{out3},
			changes: puts(out4, in5), want: []wanted{added(in5)},
		},
		{
			name: "a field", query: field("status.phase", query.In, "Running"), before: []*object.Object{run1},
			changes: slices.Concat(puts(run2, end3), deletes(end3), puts(run4)),
			want:    []wanted{modified(run2), deleted(run2, "3"), added(run4)},
		},
		named("a cluster", last(query.Query{Clusters: []string{"c2", "c9"}}, here)),
		named("a namespace", last(query.Query{Namespaces: []string{"other"}}, there)),
		named("no namespace, by type", last(query.Query{Namespaces: []string{""}, Types: []query.Type{typeOf(nodes)}}, node)),
		named("a type", last(query.Query{Types: []query.Type{typeOf(widgets)}}, widget)),
		named("a name", last(query.Query{Names: []string{"b", "c"}}, there)),
		named("a part of the name", last(query.Query{NameContains: []string{"l"}}, old)),
		named("created since", last(query.Query{Since: epoch.Add(time.Minute)}, young)),
		named("created before, by name", last(query.Query{Before: epoch.Add(time.Minute), Names: []string{"old", "young"}}, old)),
		named("visible", last(query.Query{Visible: &query.Visibility{Scopes: []query.Scope{
			{Clusters: []string{"c1"}, Namespaces: []string{"other"}}, {Clusters: []string{"c3"}},
		}}}, there)),
		named("visible and asked for", last(query.Query{Clusters: []string{"c1"}, Visible: &query.Visibility{Scopes: []query.Scope{
			{Clusters: []string{"c2"}}, {Types: []query.Type{typeOf(nodes)}},
		}}}, node)),
	}
}

// ownerStories move objects in and out of what an owner owns, by changes of the
// objects, of the owner, and of those between.
func ownerStories() []story {
	child := func(name, version string, owners ...string) *object.Object {
		return thing{namespace: "default", name: name, version: version, owners: owners}.object()
	}
	set := func(version string, owners ...string) *object.Object {
		return thing{resource: replicasets, namespace: "default", name: "set", uid: "set", version: version, owners: owners}.object()
	}
	deployment := func(uid string) *object.Object {
		return thing{resource: deployments, namespace: "default", name: "web", uid: uid, version: "1"}.object()
	}
	a1, a2, a3, b1 := child("a", "1", "set"), child("a", "2", "other", "set"), child("a", "3", "other"), child("b", "1", "set")
	elsewhere := thing{cluster: "c2", namespace: "default", name: "a", owners: []string{"set"}}.object()
	named := query.Owner{Name: "web", Group: "apps", Resource: "deployments", Seniority: 1}
	end := child("end", "1", "end-set")
	endSet := thing{resource: replicasets, namespace: "default", name: "end", uid: "end-set", owners: []string{"web-2"}}.object()
	return []story{
		{
			name: "an owner that is not stored", query: query.Query{Clusters: []string{"c1"}, Owner: &query.Owner{UID: "set"}},
			before: []*object.Object{a3}, changes: slices.Concat(puts(a1, elsewhere, a2, a3), deletes(a3), puts(b1)),
			want: []wanted{added(a1), modified(a2), deleted(a2, "3"), added(b1)},
		},
		{
			name: "what is between comes and goes", query: query.Query{Owner: &query.Owner{UID: "web", Seniority: 1}},
			before:  []*object.Object{a1, elsewhere},
			changes: slices.Concat(puts(set("1", "web"), set("2", "web", "x"), set("3", "x"), set("4", "web")), deletes(set("4")), puts(set("5"), set("6", "web"))),
			want:    []wanted{added(a1), deleted(a1), added(a1), deleted(a1), added(a1)},
		},
		{
			name: "what is between goes before what it owns", query: query.Query{Owner: &query.Owner{UID: "web", Seniority: 1}},
			before: []*object.Object{set("1", "web"), a1}, changes: slices.Concat(deletes(set("1"), a1), puts(set("2", "web"), b1)),
			want: []wanted{deleted(a1), added(b1)},
		},
		{
			name: "the owner of that name is another", query: query.Query{Types: []query.Type{typeOf(pods)}, Owner: &named},
			before: []*object.Object{set("1", "web-1"), a1, end, endSet},
			changes: slices.Concat(
				puts(deployment("web-3")), deletes(deployment("web-3")), puts(deployment("web-1")), deletes(deployment("web-1")), deletes(a1, set("1")), puts(deployment("web-2")),
			),
			want: []wanted{added(a1), deleted(a1), added(end)},
		},
		{
			name: "an owner by its name, with a label", query: query.Query{
				Owner:  &query.Owner{Name: "set"},
				Labels: []query.LabelRequirement{{Key: "none", Operator: query.NotExists}},
			},
			before: []*object.Object{a1}, changes: slices.Concat(puts(set("1")), deletes(a1), puts(b1)),
			want: []wanted{added(a1), deleted(a1), added(b1)},
		},
	}
}

const (
	randomWrites  = 300
	randomWatches = 150
)

// watchRandom watches random queries while random objects are written, and
// compares what comes with the reference evaluation of each change.
func watchRandom(t *testing.T, s suite) {
	st := s.start(t)
	r := &random{rand.New(rand.NewPCG(randomSeed(t), 1))}
	stored := map[object.Key]*object.Object{}
	for i := range randomWrites / 3 {
		o := r.state(i)
		put(t, st, o)
		stored[o.Key] = o
	}
	since := now(t, st, query.Query{})
	history := []map[object.Key]*object.Object{stored}
	changed := []object.Key{{}}
	for i := range randomWrites {
		next := map[object.Key]*object.Object{}
		for key, o := range history[i] {
			next[key] = o
		}
		o := r.state(1000 + i)
		if was := history[i][o.Key]; was != nil && r.oneIn(3) {
			write(t.Context(), t, st, storage.Writer{Cluster: o.Cluster}, deletes(was)...)
			delete(next, o.Key)
		} else {
			put(t, st, o)
			next[o.Key] = o
		}
		history, changed = append(history, next), append(changed, o.Key)
	}
	found := 0
	for i := range randomWatches {
		q := r.query()
		want := expected(&q, history, changed)
		if len(want) == 0 {
			continue
		}
		found++
		if !t.Run(fmt.Sprint(i), func(t *testing.T) { checkRandomWatch(t, st, q, since, want) }) {
			t.Fatalf("%s=%d, query %d: %s", SeedVariable, randomSeed(t), i, describe(q))
		}
	}
	if found < randomWatches/4 {
		t.Errorf("%d of %d queries are told something, want a quarter at least", found, randomWatches)
	}
}

// state returns an object whose UID depends on its key, so that no object takes
// the place of another.
func (r *random) state(version int) *object.Object {
	x := r.thing()
	hash := fnv.New32()
	fmt.Fprint(hash, x.key())
	x.uid, x.version = fmt.Sprint("uid-", hash.Sum32()%60), fmt.Sprint(version+1)
	return x.object()
}

// expected returns the events of each change, those of one change in the order of
// their keys.
func expected(q *query.Query, history []map[object.Key]*object.Object, changed []object.Key) [][]wanted {
	var all [][]wanted
	owners := func(stored map[object.Key]*object.Object) query.OwnerSet {
		if q.Owner == nil {
			return nil
		}
		return query.FindOwners(q, func(give func(*object.Object) bool) {
			for _, o := range stored {
				if !give(o) {
					return
				}
			}
		})
	}
	was := owners(history[0])
	for i, after := range history[1:] {
		before, key, is := history[i], changed[i+1], owners(after)
		var events []wanted
		judge := func(key object.Key) {
			from, to := before[key], after[key]
			in, stays := from != nil && query.Match(q, from, was), to != nil && query.Match(q, to, is)
			switch {
			case in && stays && from != to:
				events = append(events, modified(to))
			case stays && !in:
				events = append(events, added(to))
			case in && !stays && to != nil:
				events = append(events, deleted(from, to.ResourceVersion))
			case in && !stays:
				events = append(events, deleted(from))
			}
		}
		judge(key)
		if q.Owner != nil {
			for other := range after {
				if other != key {
					judge(other)
				}
			}
		}
		if len(events) > 0 {
			slices.SortFunc(events, func(a, b wanted) int { return a.state.Key.Compare(b.state.Key) })
			all = append(all, events)
		}
		was = is
	}
	return all
}

// checkRandomWatch checks that the events of each cluster come in the order of its
// changes, those of one change in any order.
func checkRandomWatch(t *testing.T, st storage.Storage, q query.Query, since string, want [][]wanted) {
	total := 0
	wantOf := map[string][][]wanted{}
	for _, events := range want {
		total += len(events)
		cluster := events[0].state.Cluster
		wantOf[cluster] = append(wantOf[cluster], events)
	}
	got := watch(t, st, q, since).until(fmt.Sprintf("%d events", total), func(events []storage.WatchEvent) bool { return len(events) >= total })
	gotOf := map[string][]storage.WatchEvent{}
	for _, e := range got {
		gotOf[e.Object.Cluster] = append(gotOf[e.Object.Cluster], e)
	}
	for cluster, changes := range wantOf {
		rest := gotOf[cluster]
		for i, events := range changes {
			if len(rest) < len(events) {
				t.Fatalf("cluster %s: %d events are given, which are not all", cluster, len(gotOf[cluster]))
			}
			part := rest[:len(events)]
			rest = rest[len(events):]
			slices.SortFunc(part, func(a, b storage.WatchEvent) int {
				return cmp.Or(a.Object.Key.Compare(b.Object.Key), cmp.Compare(a.Type, b.Type))
			})
			for n, x := range events {
				if err := x.check(part[n]); err != nil {
					t.Fatalf("cluster %s, change %d of %d: %v; all are%s", cluster, i, len(changes), err, describeEvents(gotOf[cluster]))
				}
			}
		}
		if len(rest) > 0 {
			t.Errorf("cluster %s: beyond what is wanted there are%s", cluster, describeEvents(rest))
		}
	}
}
