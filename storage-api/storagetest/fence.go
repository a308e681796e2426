package storagetest

import (
	"errors"
	"testing"

	"clusterpedia.io/storage-api/storage"
)

func testFence(t *testing.T, s suite) {
	s.each(t, []test{
		{"apply", fenceApply},
		{"purge", fencePurge},
		{"clusters have epochs of their own", fenceClusters},
		{"the epoch outlives a purge", fenceAfterPurge},
		{"a writer without an epoch", fenceZero},
		{"a batch without changes", fenceEmpty},
	})
}

func writer(epoch int64) storage.Writer {
	return storage.Writer{Cluster: "c1", Epoch: epoch}
}

func applyAs(t testing.TB, st storage.Storage, w storage.Writer, changes ...storage.Change) {
	t.Helper()
	if err := st.Apply(t.Context(), w, changes); err != nil {
		t.Fatalf("apply with epoch %d: %v", w.Epoch, err)
	}
}

func fenced(t testing.TB, st storage.Storage, w storage.Writer, changes ...storage.Change) {
	t.Helper()
	err := st.Apply(t.Context(), w, changes)
	var refusal *storage.FencedError
	if !errors.Is(err, storage.ErrFenced) || !errors.As(err, &refusal) {
		t.Errorf("apply with epoch %d: want a *FencedError, got %v", w.Epoch, err)
	} else if refusal.Writer != w || refusal.Seen <= w.Epoch {
		t.Errorf("apply with epoch %d: the error says that %v was overtaken by %d", w.Epoch, refusal.Writer, refusal.Seen)
	}
	if storage.IsRetryable(err) {
		t.Errorf("apply with epoch %d: the error is retryable: %v", w.Epoch, err)
	}
}

func fenceApply(t *testing.T, st storage.Storage) {
	a, b := thing{name: "a"}.object(), thing{name: "b"}.object()
	applyAs(t, st, writer(7), puts(a)...)
	for _, epoch := range []int64{6, 1, -1} {
		fenced(t, st, writer(epoch), puts(b)...)
		fenced(t, st, writer(epoch), deletes(a)...)
		fenced(t, st, writer(epoch), recorded(a, "event", 1))
	}
	checkStored(t, st, a)
	if got := eventsOf(t, st, a); got != "" {
		t.Errorf("a fenced writer recorded the event %s", got)
	}

	applyAs(t, st, writer(7), puts(b)...)
	applyAs(t, st, writer(1<<62), deletes(a)...)
	fenced(t, st, writer(7), puts(a)...)
	fenced(t, st, writer(1<<62-1), puts(a)...)
	checkStored(t, st, b)
}

func fencePurge(t *testing.T, st storage.Storage) {
	a, b := thing{name: "a"}.object(), thing{resource: nodes, name: "b"}.object()
	applyAs(t, st, writer(7), puts(a, b)...)
	for _, resource := range []*storage.Resource{nil, &pods} {
		if err := st.Purge(t.Context(), writer(6), resource); !errors.Is(err, storage.ErrFenced) {
			t.Errorf("purge %v with epoch 6: want ErrFenced, got %v", resource, err)
		}
	}
	checkStored(t, st, a, b)

	purge(t, st, writer(7), &nodes)
	checkStored(t, st, a)
	purge(t, st, writer(8), &pods)
	checkStored(t, st)
	fenced(t, st, writer(7), puts(a)...)
	purge(t, st, writer(0), nil)
	checkStored(t, st)
}

func fenceClusters(t *testing.T, st storage.Storage) {
	a, other := thing{name: "a"}.object(), thing{cluster: "c2", name: "a"}.object()
	upper := thing{cluster: "C1", name: "a"}.object()
	applyAs(t, st, writer(7), puts(a)...)
	applyAs(t, st, storage.Writer{Cluster: "c2", Epoch: 3}, puts(other)...)
	applyAs(t, st, storage.Writer{Cluster: "C1", Epoch: 1}, puts(upper)...)
	fenced(t, st, writer(6), puts(a)...)
	fenced(t, st, storage.Writer{Cluster: "c2", Epoch: 2}, puts(other)...)
	checkStored(t, st, a, other, upper)
}

func fenceAfterPurge(t *testing.T, st storage.Storage) {
	a := thing{name: "a"}.object()
	applyAs(t, st, writer(7), puts(a)...)
	purge(t, st, writer(7), nil)
	fenced(t, st, writer(6), puts(a)...)
	checkStored(t, st)
	applyAs(t, st, writer(7), puts(a)...)
	purge(t, st, writer(0), nil)
	fenced(t, st, writer(6), puts(a)...)
	checkStored(t, st)
}

// fenceEmpty claims a cluster, known or not, with nothing to write.
func fenceEmpty(t *testing.T, st storage.Storage) {
	a := thing{name: "a"}.object()
	applyAs(t, st, writer(7))
	fenced(t, st, writer(6), puts(a)...)
	applyAs(t, st, writer(7), puts(a)...)
	applyAs(t, st, writer(8))
	fenced(t, st, writer(7), deletes(a)...)
	fenced(t, st, writer(7))
	purge(t, st, writer(9), &nodes)
	fenced(t, st, writer(8), deletes(a)...)
	checkStored(t, st, a)
}

func fenceZero(t *testing.T, st storage.Storage) {
	a, b, c := thing{name: "a"}.object(), thing{name: "b"}.object(), thing{name: "c"}.object()
	applyAs(t, st, writer(0), puts(a)...)
	applyAs(t, st, writer(7), puts(b)...)
	applyAs(t, st, writer(0), puts(c)...)
	checkStored(t, st, a, b, c)
	fenced(t, st, writer(6), puts(a)...)
	applyAs(t, st, writer(7), deletes(a, b, c)...)
	checkStored(t, st)
}
