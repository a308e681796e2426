package storagetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

func testConcurrent(t *testing.T, s suite) {
	s.each(t, []test{
		{"writers of different clusters", concurrentClusters},
		{"writers of one cluster", concurrentWriters},
		{"writers of the same objects", concurrentSame},
		{"writers that overtake one another", concurrentFence},
		{"writers that begin together", concurrentClaim},
		{"yield may call everything", concurrentYield},
		{"waiting readers stop nobody", concurrentParked},
		{"purge and writers", concurrentPurge},
	})
}

// together runs the functions at the same time and waits for all.
func together(run ...func()) {
	var running sync.WaitGroup
	for _, f := range run {
		running.Go(f)
	}
	running.Wait()
}

// write applies changes and reports an error, from any goroutine.
func write(ctx context.Context, t testing.TB, st storage.Storage, w storage.Writer, changes ...storage.Change) {
	if err := applyRetrying(ctx, st, w, changes...); err != nil {
		t.Errorf("apply %d changes to cluster %s: %v", len(changes), w.Cluster, err)
	}
}

// read lists everything until done is closed, and checks that each answer is in
// order.
func read(t testing.TB, st storage.Storage, done <-chan struct{}) {
	for {
		var last *object.Object
		q := query.Query{Projection: query.Metadata}
		_, err := st.List(t.Context(), &q, func(o *object.Object) error {
			if last != nil && query.Compare(&q, last, o) >= 0 {
				return fmt.Errorf("%s comes behind %s", o.Key, last.Key)
			}
			last = snapshot(o)
			return nil
		})
		if err != nil {
			t.Errorf("list while others write: %v", err)
			return
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// withReaders runs the writers while two readers list.
func withReaders(t testing.TB, st storage.Storage, writers ...func()) {
	done := make(chan struct{})
	together(
		func() { read(t, st, done) },
		func() { read(t, st, done) },
		func() { defer close(done); together(writers...) },
	)
}

func concurrentClusters(t *testing.T, st storage.Storage) {
	var want []*object.Object
	var writers []func()
	for i := range 6 {
		cluster := fmt.Sprint("c", i)
		all := manyPods(cluster, 120)
		want = append(want, all[:60]...)
		writers = append(writers, func() {
			w := storage.Writer{Cluster: cluster, Epoch: int64(1 + i)}
			for part := range slices.Chunk(all, 20) {
				write(t.Context(), t, st, w, puts(part...)...)
			}
			for part := range slices.Chunk(all[60:], 30) {
				write(t.Context(), t, st, w, deletes(part...)...)
			}
		})
	}
	withReaders(t, st, writers...)
	checkStored(t, st, want...)
}

func concurrentWriters(t *testing.T, st storage.Storage) {
	all := manyPods("c1", 400)
	var writers []func()
	for part := range slices.Chunk(all, 100) {
		writers = append(writers, func() {
			for _, o := range part {
				write(t.Context(), t, st, writer(5), puts(o)...)
				write(t.Context(), t, st, writer(5), recorded(o, "event-of-"+o.Name, 1))
			}
			write(t.Context(), t, st, writer(5), deletes(part[50:]...)...)
		})
	}
	withReaders(t, st, writers...)
	var want []*object.Object
	for part := range slices.Chunk(all, 100) {
		want = append(want, part[:50]...)
	}
	checkStored(t, st, want...)
	for _, v := range versions(t, st, "c1") {
		if events := slices.Collect(maps.Keys(v.Events)); len(events) != 1 || events[0] != "event-of-"+v.Name {
			t.Errorf("%s has the events %v", v.Key, events)
		}
	}
}

// concurrentSame lets writers put the same objects in different orders: as each
// batch is all or nothing, all objects are of one batch in the end.
func concurrentSame(t *testing.T, st storage.Storage) {
	var writers []func()
	for i := range 4 {
		var all []*object.Object
		for n := range 20 {
			all = append(all, thing{name: fmt.Sprint("pod-", n), labels: map[string]string{"writer": fmt.Sprint(i)}, version: fmt.Sprint(i)}.object())
		}
		if i%2 == 1 {
			slices.Reverse(all)
		}
		writers = append(writers, func() {
			for range 10 {
				write(t.Context(), t, st, writer(0), puts(all...)...)
			}
		})
	}
	withReaders(t, st, writers...)
	got := list(t, st, query.Query{})
	if len(got) != 20 {
		t.Fatalf("%d objects are stored, want 20", len(got))
	}
	for _, o := range got {
		if o.ResourceVersion != got[0].ResourceVersion {
			t.Errorf("%s is of writer %s, %s of writer %s", o.Key, o.ResourceVersion, got[0].Key, got[0].ResourceVersion)
		}
		q := query.Query{Names: []string{o.Name}, Labels: []query.LabelRequirement{{Key: "writer", Operator: query.In, Values: []string{o.ResourceVersion}}}}
		if len(list(t, st, q)) != 1 {
			t.Errorf("%s of writer %s is not found by its label", o.Key, o.ResourceVersion)
		}
	}
}

// concurrentFence lets a writer take over from others that write all the time:
// once it has written, nothing of theirs may follow.
func concurrentFence(t *testing.T, st storage.Storage) {
	for round := range int64(30) {
		lower, higher := writer(2*round+1), writer(2*round+2)
		before, after := thing{name: "leader", version: "before"}.object(), thing{name: "leader", version: "after"}.object()
		busy := make(chan struct{})
		var once sync.Once
		untilFenced := func() {
			defer once.Do(func() { close(busy) })
			for {
				err := applyRetrying(t.Context(), st, lower, puts(before)...)
				if errors.Is(err, storage.ErrFenced) {
					return
				}
				if err != nil {
					t.Errorf("apply with epoch %d: %v", lower.Epoch, err)
					return
				}
				once.Do(func() { close(busy) })
			}
		}
		together(untilFenced, untilFenced, func() {
			<-busy
			write(t.Context(), t, st, higher, puts(after)...)
		})
		checkStored(t, st, after)
	}
}

// concurrentClaim lets two writers begin at once on a cluster that is not known: if
// the higher one has written, the lower one is fenced from then on.
func concurrentClaim(t *testing.T, st storage.Storage) {
	for round := range 40 {
		cluster := fmt.Sprint("claimed-", round)
		lower, higher := storage.Writer{Cluster: cluster, Epoch: 5}, storage.Writer{Cluster: cluster, Epoch: 7}
		o := thing{cluster: cluster, name: "a"}.object()
		together(
			func() {
				if err := applyRetrying(t.Context(), st, lower, puts(o)...); err != nil && !errors.Is(err, storage.ErrFenced) {
					t.Errorf("apply with epoch %d: %v", lower.Epoch, err)
				}
			},
			func() { write(t.Context(), t, st, higher, puts(o)...) },
		)
		fenced(t, st, lower, deletes(o)...)
	}
}

func concurrentYield(t *testing.T, st storage.Storage) {
	all := manyPods("c1", 30)
	put(t, st, all...)
	ctx := patience(t)
	nested := 0
	_, err := st.List(ctx, &query.Query{}, func(o *object.Object) error {
		if nested++; nested > 3 {
			return nil
		}
		key := o.Key
		write(ctx, t, st, writer(0), puts(thing{name: fmt.Sprint("new-", nested)}.object())...)
		write(ctx, t, st, writer(0), deletes(all[29])...)
		write(ctx, t, st, storage.Writer{Cluster: "c2", Epoch: 3}, puts(thing{cluster: "c2", name: "a"}.object())...)
		if err := st.Purge(ctx, storage.Writer{Cluster: "c2"}, nil); err != nil {
			return fmt.Errorf("purge: %w", err)
		}
		if _, err := st.Get(ctx, key); err != nil {
			return fmt.Errorf("get: %w", err)
		}
		if _, err := st.List(ctx, &query.Query{Limit: 5}, func(*object.Object) error { return nil }); err != nil {
			return fmt.Errorf("list: %w", err)
		}
		if err := st.Versions(ctx, "c1", func(storage.Version) error { return nil }); err != nil {
			return fmt.Errorf("versions: %w", err)
		}
		return nil
	})
	if err != nil {
		t.Errorf("list: %v", err)
	}
}

// concurrentParked holds many lists in their yield, as slow clients do, while
// others read and write: no connection and no lock may be missing.
func concurrentParked(t *testing.T, st storage.Storage) {
	const waiting = 60
	all := manyPods("c1", 30)
	put(t, st, all...)
	ctx := patience(t)
	var parked sync.WaitGroup
	parked.Add(waiting)
	release := make(chan struct{})
	var readers []func()
	for i := range waiting {
		readers = append(readers, func() {
			given := 0
			q := query.Query{}
			if i%2 == 1 {
				q.Order = []query.Order{{By: query.ByName}}
			}
			_, err := st.List(ctx, &q, func(*object.Object) error {
				if given++; given == 1 {
					parked.Done()
					<-release
				}
				return nil
			})
			if err != nil {
				t.Errorf("list: %v", err)
			}
			if given == 0 {
				parked.Done()
			}
		})
	}
	readers = append(readers, func() {
		defer close(release)
		parked.Wait()
		write(ctx, t, st, writer(0), puts(thing{name: "new"}.object())...)
		write(ctx, t, st, writer(0), deletes(all[29])...)
		if _, err := st.Get(ctx, all[0].Key); err != nil {
			t.Errorf("get while others wait: %v", err)
		}
		if _, err := st.List(ctx, &query.Query{}, func(*object.Object) error { return nil }); err != nil {
			t.Errorf("list while others wait: %v", err)
		}
	})
	together(readers...)
	checkStored(t, st, append(all[:29], thing{name: "new"}.object())...)
}

func concurrentPurge(t *testing.T, st storage.Storage) {
	put(t, st, manyPods("c1", 1500)...)
	kept := manyPods("c2", 200)
	withReaders(t, st,
		func() {
			if err := st.Purge(t.Context(), writer(2), nil); err != nil {
				t.Errorf("purge: %v", err)
			}
		},
		func() {
			for part := range slices.Chunk(kept, 20) {
				write(t.Context(), t, st, storage.Writer{Cluster: "c2", Epoch: 1}, puts(part...)...)
			}
		},
	)
	checkStored(t, st, kept...)
}
