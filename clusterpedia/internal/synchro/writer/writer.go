// Package writer writes the changes of one member cluster to the storage layer.
//
// It is the last step of the synchro: the resources of a cluster enqueue what they
// read, the queue keeps the newest change of each object, and one goroutine writes
// batches of them, across resources, in order. A full queue makes its callers wait,
// and they stop reading from the member: nothing is dropped.
package writer

import (
	"context"
	"errors"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	"clusterpedia.io/storage-api/storage"
)

// Change is a change on its way to the storage layer.
type Change struct {
	storage.Change
	// OrDelete says of a Put that, if the object can never be stored, what is stored of it
	// is deleted.
	OrDelete bool
	// New says of a Put that, as far as is known, the storage layer has no such object.
	New bool
	// Rejected, if it is not nil, is called if the change is given up: the storage layer
	// can never take it, or does not now, and takes others. It must not wait.
	Rejected func(error)
	// Written, if it is not nil, is called when the change is written, and that may be
	// after Rejected. It must not wait.
	Written func()
}

// Observer is told what becomes of changes. Its methods must not wait; they are
// called from many goroutines.
type Observer interface {
	// Written tells that a batch was written, and how long that took.
	Written(cluster string, changes []Change, took time.Duration)
	// Failed tells that one attempt to write a batch failed.
	Failed(cluster string, changes []Change, err error)
	// Rejected tells that a change was given up, which the storage layer refuses.
	Rejected(cluster string, change storage.Change, err error)
	// Postponed tells that a change is not written now, but may be later.
	Postponed(cluster string, change storage.Change, err error)
}

// Limits bound the queue and the batches. Sizes are in bytes.
type Limits struct {
	QueueChanges, QueueBytes int
	BatchChanges, BatchBytes int
	// Linger is how long a batch that isn't full waits for more.
	Linger time.Duration
	// Timeout bounds one attempt to write a batch.
	Timeout time.Duration
	// Backoff is the wait between attempts.
	Backoff wait.Backoff
}

// DefaultLimits suit SQL databases.
func DefaultLimits() Limits {
	return Limits{
		QueueChanges: 5000,
		QueueBytes:   16 << 20,
		BatchChanges: 500,
		BatchBytes:   2 << 20,
		Linger:       20 * time.Millisecond,
		Timeout:      30 * time.Second,
		Backoff:      wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 32, Cap: 15 * time.Second},
	}
}

const (
	// troubleAfter is the number of failures in a row from which on the storage
	// layer counts as being in trouble.
	troubleAfter = 5
	// doubtAfter is the number of changes rejected in a row, nothing being written
	// in between, from which on the fault is looked for in the storage layer: each
	// further attempt waits.
	doubtAfter = 10
	// splitAfter is the number of failures in a row of one batch, of a kind that may pass,
	// from which on the fault is looked for in single changes, if the storage layer
	// answers otherwise; aloneAfter is that of a single change. Changes that time out are
	// not tried again in line.
	splitAfter = 3
	aloneAfter = 3
)

// Options are what a Writer is made from.
type Options struct {
	Storage storage.Storage
	// As is the cluster and the epoch to write with.
	As       storage.Writer
	Limits   Limits
	Observer Observer
	// Trouble is called with an error when the storage layer fails for a while, and
	// with nil when it works again. It must not wait. It may be nil.
	Trouble func(error)
	// Budget is the memory that the queues of several writers share; nil: no bound but
	// that of Limits.
	Budget *Budget
	Logger klog.Logger
}

// Writer writes the changes of one cluster. Run must be running for the other
// methods to get on.
type Writer struct {
	Options
	queue *queue

	// The fields below belong to Run.

	backoff wait.Backoff
	// failures and rejected count those since the last success.
	failures, rejected int
	// pace is how long each change took of the last batch, or part of one.
	pace time.Duration
	// spare is for the changes that were postponed: they are kept aside, and written alone
	// when there is time.
	spare spare
}

// New returns a writer with an empty queue.
func New(o Options) *Writer {
	return &Writer{
		Options: o,
		queue:   newQueue(o.Limits, o.Budget),
		backoff: o.Limits.Backoff,
		spare:   spare{backoff: o.Limits.Backoff, crowded: map[key]bool{}},
	}
}

// Enqueue adds a change, in place of one of the same object that isn't written yet.
// It waits while the queue is full. The change's JSON must not be changed any more.
func (w *Writer) Enqueue(ctx context.Context, c Change) error { return w.queue.push(ctx, c) }

// WhenWritten calls done when all changes that were enqueued before are written or
// rejected; not if Run ends before. done must not wait.
func (w *Writer) WhenWritten(done func()) { w.queue.barrier(done) }

// Drop forgets the changes of a resource that aren't written yet, and waits until
// none of them is being written.
func (w *Writer) Drop(ctx context.Context, resource storage.Resource) error {
	return w.queue.drop(ctx, resource)
}

// Queued returns the number of changes that aren't written yet.
func (w *Writer) Queued() int { return w.queue.length() }

// Run writes until ctx ends, and returns the context's error, or until another
// writer has taken over the cluster, and returns an error that wraps
// storage.ErrFenced.
func (w *Writer) Run(ctx context.Context) error {
	defer w.queue.close()
	for {
		batch, err := w.queue.take(ctx, w.due())
		if err != nil {
			return err
		}
		if len(batch) > 0 {
			if err := w.writeAll(ctx, batch); err != nil {
				return err
			}
			w.queue.done()
		}
		if err := w.writeAside(ctx); err != nil {
			return err
		}
	}
}

// writeAll deals with a batch. Changes of objects of which one is kept aside take its place.
func (w *Writer) writeAll(ctx context.Context, batch []*entry) error {
	var quick []*entry
	for _, e := range batch {
		if w.setAside(e) {
			w.postpone(e, errAside)
		} else {
			quick = append(quick, e)
		}
	}
	return w.write(ctx, quick)
}

// errAside says that a change is not written at once, since an earlier one of its object
// could not be.
var errAside = storage.Retryable(errors.New("the storage layer did not take the object in time, it is tried again"))

// write writes all changes of a batch, or gives up single ones: those that the storage
// layer refuses, and those that have failed alone while it answers. It returns an error
// only if Run must end.
func (w *Writer) write(ctx context.Context, batch []*entry) error {
	return w.writePart(ctx, batch, len(batch))
}

// writePart writes a part of a batch that had a number of changes as a whole. Its attempts
// take no more than that part of the time, or twice what as many changes took before: so
// the search for changes that time out takes, for each halving, about as long as one
// attempt to write the whole. If the storage layer cannot even answer in that time, a part
// gets the time of a whole one.
func (w *Writer) writePart(ctx context.Context, batch []*entry, whole int) error {
	for failed := 0; len(batch) > 0; {
		if n := w.fit(len(batch)); n < len(batch) {
			if err := w.writePart(ctx, batch[:n], n); err != nil {
				return err
			}
			batch, failed = batch[n:], 0
			continue
		}
		n := len(batch)
		share := w.Limits.Timeout * time.Duration(n) / time.Duration(whole)
		limit := min(w.Limits.Timeout, max(share, w.leastTimeout(), 2*time.Duration(n)*w.pace))
		start := time.Now()
		err := w.try(ctx, batch, limit)
		switch {
		case err == nil:
			w.pace = time.Since(start) / time.Duration(n)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, storage.ErrFenced):
			return err
		}
		w.Observer.Failed(w.As.Cluster, changesOf(batch), err)
		if !passes(err) {
			if batch, err = w.reject(ctx, batch, whole, err); err != nil {
				return err
			}
			continue
		}
		failed++
		divide, waitErr := w.blames(ctx, len(batch) == whole, len(batch), failed, limit, err)
		switch {
		case waitErr != nil:
			return waitErr
		case !divide:
			whole = len(batch)
			continue
		}
		if batch, err = w.divide(ctx, batch, whole, err); err != nil {
			return err
		}
		failed = 0
	}
	return nil
}

// fit returns how many of a number of changes are written at once: a storage layer that is
// slow is given no more than it takes in half the time.
func (w *Writer) fit(changes int) int {
	if w.pace <= 0 {
		return changes
	}
	return min(changes, max(1, int(w.Limits.Timeout/2/w.pace)))
}

// passes reports whether the same attempt may succeed later.
func passes(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || storage.IsRetryable(err)
}

// blames reports whether the fault is looked for in the changes of a batch or a part, after
// a number of failures of a kind that may pass; if not, it has waited before the next
// attempt.
func (w *Writer) blames(ctx context.Context, whole bool, changes, failed int, limit time.Duration, cause error) (bool, error) {
	// Perhaps the batch is too much to be written in time, or one of its changes waits for
	// what others hold: to wait for that again is what others wait for, too.
	if errors.Is(cause, context.DeadlineExceeded) {
		if w.answers(ctx, limit) {
			return true, nil
		}
		return false, w.wait(ctx, cause)
	}
	if err := w.wait(ctx, cause); err != nil {
		return false, err
	}
	enough := 1
	switch {
	case w.rejected >= doubtAfter:
	case changes == 1:
		enough = aloneAfter
	case whole:
		enough = splitAfter
	}
	return failed >= enough && w.answers(ctx, w.Limits.Timeout), nil
}

// answers reports whether the storage layer takes a batch without changes in time.
func (w *Writer) answers(ctx context.Context, limit time.Duration) bool {
	attempt, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return w.Storage.Apply(attempt, w.As, nil) == nil
}

// divide writes the first half of a batch that has failed for a reason which may pass while
// the storage layer answers, and returns the rest. A single change is kept aside. When that
// has happened to many in a row, each waits: the storage layer may take none.
func (w *Writer) divide(ctx context.Context, batch []*entry, whole int, cause error) ([]*entry, error) {
	if w.rejected < doubtAfter {
		w.recovered()
	}
	if len(batch) > 1 {
		return w.writeHalf(ctx, batch, whole)
	}
	e := batch[0]
	if w.rejected++; w.rejected > doubtAfter {
		if err := w.wait(ctx, cause); err != nil {
			return nil, err
		}
	}
	w.Logger.Error(cause, "The storage layer does not take an object now, while it takes others", "object", e.key.String())
	w.crowd(e.key, w.queue.keep(e))
	w.postpone(e, cause)
	return nil, nil
}

// postpone tells of a change that is not written now.
func (w *Writer) postpone(e *entry, cause error) {
	w.Observer.Postponed(w.As.Cluster, e.change.Change, cause)
	if e.change.Rejected != nil {
		e.change.Rejected(cause)
	}
}

func (w *Writer) try(ctx context.Context, batch []*entry, timeout time.Duration) error {
	changes := make([]storage.Change, len(batch))
	for i, e := range batch {
		changes[i] = e.change.Change
	}
	attempt, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	if err := w.Storage.Apply(attempt, w.As, changes); err != nil {
		return err
	}
	w.Observer.Written(w.As.Cluster, changesOf(batch), time.Since(start))
	for _, e := range batch {
		if e.change.Written != nil {
			e.change.Written()
		}
	}
	w.rejected = 0
	w.recovered()
	return nil
}

// recovered says that the storage layer works.
func (w *Writer) recovered() {
	if w.failures >= troubleAfter {
		w.Logger.Info("Writing to the storage layer works again", "failures", w.failures)
		w.trouble(nil)
	}
	w.failures, w.backoff = 0, w.Limits.Backoff
}

func changesOf(batch []*entry) []Change {
	changes := make([]Change, len(batch))
	for i, e := range batch {
		changes[i] = e.change
	}
	return changes
}

func (w *Writer) trouble(err error) {
	if w.Trouble != nil {
		w.Trouble(err)
	}
}

// wait waits before the next attempt.
func (w *Writer) wait(ctx context.Context, cause error) error {
	w.failures++
	if w.failures == troubleAfter {
		w.trouble(cause)
	}
	delay := w.backoff.Step()
	w.Logger.Info("Cannot write to the storage layer, try again", "err", cause, "failures", w.failures, "delay", delay)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// writeHalf writes the first half of a batch and returns the rest.
func (w *Writer) writeHalf(ctx context.Context, batch []*entry, whole int) ([]*entry, error) {
	half := len(batch) / 2
	if err := w.writePart(ctx, batch[:half], whole); err != nil {
		return nil, err
	}
	return batch[half:], nil
}

// reject deals with a batch that failed for good, of which one change or several
// are the cause: it returns what is left to be written.
func (w *Writer) reject(ctx context.Context, batch []*entry, whole int, cause error) ([]*entry, error) {
	if i := slices.IndexFunc(batch, func(e *entry) bool { return names(cause, e) }); i >= 0 {
		return slices.Concat(batch[:i], w.giveUp(batch[i], cause), batch[i+1:]), nil
	}
	if w.rejected >= doubtAfter {
		if err := w.wait(ctx, cause); err != nil {
			return nil, err
		}
	}
	if len(batch) == 1 {
		return w.giveUp(batch[0], cause), nil
	}
	return w.writeHalf(ctx, batch, whole)
}

// names reports whether an error says of just this change that it can never be stored.
func names(cause error, e *entry) bool {
	invalid, ok := errors.AsType[*storage.InvalidObjectError](cause)
	return ok && e.change.Put != nil && e.change.Put.Key == invalid.Key
}

// giveUp tells of a change that is given up, and returns what is written in its place. A
// storage layer that knows which one is at fault is not to be doubted.
func (w *Writer) giveUp(e *entry, cause error) []*entry {
	if !names(cause, e) {
		w.rejected++
	}
	w.Logger.Error(cause, "The storage layer refuses an object", "object", e.key.String())
	w.Observer.Rejected(w.As.Cluster, e.change.Change, cause)
	if e.change.Rejected != nil {
		e.change.Rejected(cause)
	}
	if _, invalid := errors.AsType[*storage.InvalidObjectError](cause); !invalid || !e.change.OrDelete {
		return nil
	}
	instead := *e
	instead.change = Change{Change: storage.Change{Delete: &e.change.Put.Key}, Rejected: e.change.Rejected}
	instead.size = sizeOf(instead.change.Change)
	return []*entry{&instead}
}
