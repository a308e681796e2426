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
	// can never take it, or did not in several attempts, and takes others. It must not
	// wait.
	Rejected func(error)
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
	// Postponed tells that a change was given up, which may be written another time.
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
	// answers otherwise; aloneAfter is that of a single change. It is more, for a storage
	// layer that fails at random.
	splitAfter = 3
	aloneAfter = 6
	// maxSlow is how many slow objects are remembered.
	maxSlow = 1000
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
	// slow are the keys whose changes were postponed. They are written alone, behind the
	// others, with one attempt each time.
	slow map[key]bool
}

// New returns a writer with an empty queue.
func New(o Options) *Writer {
	return &Writer{Options: o, queue: newQueue(o.Limits, o.Budget), backoff: o.Limits.Backoff, slow: map[key]bool{}}
}

// Enqueue adds a change, in place of one of the same object that isn't written yet.
// It waits while the queue is full. The change's JSON must not be changed any more.
func (w *Writer) Enqueue(ctx context.Context, c Change) error { return w.queue.push(ctx, c) }

// WhenWritten calls done when all changes that were enqueued before are written or
// rejected. done must not wait.
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
		batch, err := w.queue.take(ctx)
		if err != nil {
			return err
		}
		if err := w.writeAll(ctx, batch); err != nil {
			return err
		}
		w.queue.done()
	}
}

// writeAll deals with a batch, in which slow objects hold up no others.
func (w *Writer) writeAll(ctx context.Context, batch []*entry) error {
	var quick, slow []*entry
	for _, e := range batch {
		if w.slow[e.key] {
			slow = append(slow, e)
		} else {
			quick = append(quick, e)
		}
	}
	if err := w.write(ctx, quick, aloneAfter); err != nil {
		return err
	}
	for _, e := range slow {
		if err := w.write(ctx, []*entry{e}, 1); err != nil {
			return err
		}
	}
	return nil
}

// write writes all changes of a batch, or gives up single ones: those that the storage
// layer refuses, and those that have failed alone a number of times while it answers. It
// returns an error only if Run must end.
func (w *Writer) write(ctx context.Context, batch []*entry, alone int) error {
	for failed := 0; len(batch) > 0; {
		err := w.try(ctx, batch)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, storage.ErrFenced):
			return err
		}
		w.Observer.Failed(w.As.Cluster, changesOf(batch), err)
		timeout := errors.Is(err, context.DeadlineExceeded)
		switch {
		case timeout || storage.IsRetryable(err):
			failed++
			if err := w.wait(ctx, err); err != nil {
				return err
			}
			// Perhaps the batch is too much to be written in time, or one of its changes
			// waits for what others hold.
			enough := splitAfter
			switch {
			case len(batch) == 1:
				enough = alone
			case timeout:
				enough = 0
			}
			if failed < enough || enough > 0 && !w.answers(ctx) {
				continue
			}
			if batch, err = w.divide(ctx, batch, err); err != nil {
				return err
			}
			failed = 0
		default:
			if batch, err = w.reject(ctx, batch, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// answers reports whether the storage layer takes a batch without changes.
func (w *Writer) answers(ctx context.Context) bool {
	attempt, cancel := context.WithTimeout(ctx, w.Limits.Timeout)
	defer cancel()
	return w.Storage.Apply(attempt, w.As, nil) == nil
}

// divide writes the first half of a batch that has failed for a reason which may pass, and
// returns the rest. A single change is given up, unless that happened to many in a row:
// then it is left for another attempt.
func (w *Writer) divide(ctx context.Context, batch []*entry, cause error) ([]*entry, error) {
	if len(batch) > 1 {
		return w.writeHalf(ctx, batch)
	}
	if w.rejected >= doubtAfter {
		return batch, nil
	}
	e := batch[0]
	w.rejected++
	if len(w.slow) >= maxSlow {
		clear(w.slow)
	}
	w.slow[e.key] = true
	w.recovered()
	w.Logger.Error(cause, "The storage layer does not take an object now, while it takes others", "object", e.key.String())
	w.Observer.Postponed(w.As.Cluster, e.change.Change, cause)
	if e.change.Rejected != nil {
		e.change.Rejected(cause)
	}
	return nil, nil
}

func (w *Writer) try(ctx context.Context, batch []*entry) error {
	changes := make([]storage.Change, len(batch))
	for i, e := range batch {
		changes[i] = e.change.Change
	}
	attempt, cancel := context.WithTimeout(ctx, w.Limits.Timeout)
	defer cancel()
	start := time.Now()
	if err := w.Storage.Apply(attempt, w.As, changes); err != nil {
		return err
	}
	w.Observer.Written(w.As.Cluster, changesOf(batch), time.Since(start))
	for _, e := range batch {
		delete(w.slow, e.key)
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
func (w *Writer) writeHalf(ctx context.Context, batch []*entry) ([]*entry, error) {
	half := len(batch) / 2
	if err := w.write(ctx, batch[:half], aloneAfter); err != nil {
		return nil, err
	}
	return batch[half:], nil
}

// reject deals with a batch that failed for good, of which one change or several
// are the cause: it returns what is left to be written.
func (w *Writer) reject(ctx context.Context, batch []*entry, cause error) ([]*entry, error) {
	if w.rejected >= doubtAfter {
		if err := w.wait(ctx, cause); err != nil {
			return nil, err
		}
	}
	var invalid *storage.InvalidObjectError
	if errors.As(cause, &invalid) {
		named := func(e *entry) bool { return e.change.Put != nil && e.change.Put.Key == invalid.Key }
		if i := slices.IndexFunc(batch, named); i >= 0 {
			return slices.Concat(batch[:i], w.giveUp(batch[i], cause), batch[i+1:]), nil
		}
	}
	if len(batch) == 1 {
		return w.giveUp(batch[0], cause), nil
	}
	return w.writeHalf(ctx, batch)
}

// giveUp tells of a change that is given up, and returns what is written in its place.
func (w *Writer) giveUp(e *entry, cause error) []*entry {
	w.rejected++
	w.Logger.Error(cause, "The storage layer refuses an object", "object", e.key.String())
	w.Observer.Rejected(w.As.Cluster, e.change.Change, cause)
	if e.change.Rejected != nil {
		e.change.Rejected(cause)
	}
	if _, invalid := errors.AsType[*storage.InvalidObjectError](cause); !invalid || !e.change.OrDelete {
		return nil
	}
	instead := *e
	instead.change = Change{Change: storage.Change{Delete: &e.change.Put.Key}}
	return []*entry{&instead}
}
