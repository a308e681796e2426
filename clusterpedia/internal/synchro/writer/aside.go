package writer

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"clusterpedia.io/storage-api/storage"
)

const (
	// maxAside is how many changes are kept aside, and how many objects are remembered for
	// which there was no room; their bytes are bounded by those of a batch.
	maxAside = 1000
	// leastShare is the part of a timeout that any attempt gets, and that other changes
	// wait, at most, for one that is kept aside.
	leastShare = 32
	// rarely is how many times as long as an attempt that failed nothing is tried of what
	// is kept aside, at least.
	rarely = 10
)

// aside holds the changes that were postponed, the one that was tried last being last. It
// belongs to the queue, and its lock.
type aside struct {
	entries []*entry
	byKey   map[key]*entry
	bytes   int
	// trying is the one that is being written; tried is closed when that ends.
	trying *entry
	tried  chan struct{}
}

func newAside() aside { return aside{byKey: map[key]*entry{}} }

func (a *aside) add(e *entry) {
	a.entries = append(a.entries, e)
	a.byKey[e.key] = e
	a.bytes += e.size
}

// remove removes an entry, and reports whether it was there.
func (a *aside) remove(e *entry) bool {
	if a.byKey[e.key] != e {
		return false
	}
	delete(a.byKey, e.key)
	a.bytes -= e.size
	for i, other := range a.entries {
		if other == e {
			a.entries = append(a.entries[:i], a.entries[i+1:]...)
			break
		}
	}
	return true
}

// fits reports whether there is room for more bytes. There is always for one alone.
func (a *aside) fits(entries, bytes, limit int) bool {
	return entries == 1 || entries <= maxAside && bytes <= limit
}

// keep keeps a change aside, and reports whether there is room for it.
func (q *queue) keep(e *entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.aside.fits(len(q.aside.entries)+1, q.aside.bytes+e.size, q.limits.BatchBytes) {
		return false
	}
	q.aside.add(e)
	q.hold(e.size)
	return true
}

// replace puts a newer change in the place of one that is kept aside. It reports whether
// there is one, and whether there is room for the newer: else none is kept.
func (q *queue) replace(e *entry) (found, kept bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	old := q.aside.byKey[e.key]
	if old == nil {
		return false, false
	}
	e.change.New = old.change.New && e.change.Put != nil
	grown := e.size - old.size
	if grown > 0 && !q.aside.fits(len(q.aside.entries), q.aside.bytes+grown, q.limits.BatchBytes) {
		q.aside.remove(old)
		q.hold(-old.size)
		return true, false
	}
	q.aside.bytes += grown
	q.hold(grown)
	old.change, old.size = e.change, e.size
	return true, true
}

// try returns the change that has been kept aside for longest without an attempt, or nil.
// tried must be called before the next.
func (q *queue) try() *entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.aside.entries) == 0 {
		return nil
	}
	q.aside.trying, q.aside.tried = q.aside.entries[0], make(chan struct{})
	return q.aside.trying
}

// tried says how the attempt ended: a change that was dealt with is kept no longer.
func (q *queue) tried(dealt bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.aside.trying
	if q.aside.remove(e) {
		if dealt {
			q.hold(-e.size)
		} else {
			q.aside.add(e)
		}
	}
	close(q.aside.tried)
	q.aside.trying, q.aside.tried = nil, nil
}

// dropAside forgets what is kept aside of a resource. It returns a channel that is closed
// when none of it is being written any more, or nil.
func (q *queue) dropAside(resource storage.Resource) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range append([]*entry(nil), q.aside.entries...) {
		if e.key.Resource == resource && q.aside.remove(e) {
			q.hold(-e.size)
		}
	}
	if e := q.aside.trying; e != nil && e.key.Resource == resource {
		return q.aside.tried
	}
	return nil
}

// asides is how many changes are kept aside.
func (q *queue) asides() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.aside.entries)
}

// spare is about what is kept aside. It belongs to Run.
type spare struct {
	// next is when something is tried.
	next    time.Time
	backoff wait.Backoff
	// crowded are the keys of changes for which there was no room: they are not written in
	// line when they come again.
	crowded map[key]bool
}

// setAside reports whether a change is not to be written in line, since an earlier one of
// its object could not be. It is kept aside then if there is room.
func (w *Writer) setAside(e *entry) bool {
	found, kept := w.queue.replace(e)
	if !found && w.spare.crowded[e.key] {
		found, kept = true, w.queue.keep(e)
	}
	if found {
		w.crowd(e.key, kept)
	}
	return found
}

// crowd remembers whether there was room for a change.
func (w *Writer) crowd(k key, kept bool) {
	if kept {
		delete(w.spare.crowded, k)
		return
	}
	if len(w.spare.crowded) >= maxAside {
		clear(w.spare.crowded)
	}
	w.spare.crowded[k] = true
}

// due returns a channel that tells when something that is kept aside is to be tried; nil
// if there is nothing.
func (w *Writer) due() <-chan time.Time {
	if w.queue.asides() == 0 {
		return nil
	}
	return time.After(time.Until(w.spare.next))
}

// writeAside tries what is kept aside, if it is time, until an attempt fails or others
// come. It returns an error only if Run must end.
func (w *Writer) writeAside(ctx context.Context) error {
	for !time.Now().Before(w.spare.next) {
		e := w.queue.try()
		if e == nil {
			return nil
		}
		start := time.Now()
		dealt, err := w.tryAside(ctx, e)
		w.queue.tried(dealt)
		switch {
		case err != nil:
			return err
		case !dealt:
			took := min(time.Since(start), w.leastTimeout())
			w.spare.next = time.Now().Add(max(rarely*took, w.spare.backoff.Step()))
			return nil
		}
		w.spare.backoff = w.Limits.Backoff
		if w.Queued() > 0 {
			return nil
		}
	}
	return nil
}

// tryAside makes one attempt to write a change that is kept aside, and reports whether it
// is dealt with.
func (w *Writer) tryAside(ctx context.Context, e *entry) (bool, error) {
	attempt, cancel := context.WithTimeout(ctx, w.Limits.Timeout)
	var yielding sync.WaitGroup
	yielding.Go(func() { w.yield(attempt, cancel) })
	err := w.try(attempt, []*entry{e}, w.Limits.Timeout)
	yielded := attempt.Err() != nil
	cancel()
	yielding.Wait()
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, storage.ErrFenced):
		return false, err
	}
	w.Observer.Failed(w.As.Cluster, changesOf([]*entry{e}), err)
	if yielded || passes(err) {
		w.Logger.V(2).Info("The storage layer still does not take an object", "object", e.key.String(), "err", err)
		return false, nil //nolint:nilerr // it is tried again
	}
	instead := w.giveUp(e, err)
	for _, e := range instead {
		w.queue.replace(e) // that may wait for the same as what it replaces
	}
	return len(instead) == 0, nil
}

// yield ends an attempt, once it has had its share of time, for the sake of others that
// come.
func (w *Writer) yield(attempt context.Context, cancel context.CancelFunc) {
	timer := time.NewTimer(w.leastTimeout())
	defer timer.Stop()
	select {
	case <-attempt.Done():
		return
	case <-timer.C:
	}
	for w.Queued() == 0 {
		select {
		case <-attempt.Done():
			return
		case <-w.queue.ready:
		}
	}
	cancel()
	w.queue.wake() // for the taker
}

func (w *Writer) leastTimeout() time.Duration { return w.Limits.Timeout / leastShare }
