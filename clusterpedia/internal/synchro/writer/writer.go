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
	// New says of a Put that, as far as is known, the storage layer has no such object.
	New bool
	// Rejected, if it is not nil, is called if the storage layer can never take the
	// change. It must not wait.
	Rejected func(error)
}

// Observer is told what becomes of changes. Its methods must not wait; they are
// called from many goroutines.
type Observer interface {
	// Written tells that a batch was written, and how long that took.
	Written(cluster string, changes []Change, took time.Duration)
	// Failed tells that one attempt to write a batch failed.
	Failed(cluster string, changes []Change, err error)
	// Rejected tells that a change was given up.
	Rejected(cluster string, change storage.Change, err error)
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
	Logger  klog.Logger
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
}

// New returns a writer with an empty queue.
func New(o Options) *Writer {
	return &Writer{Options: o, queue: newQueue(o.Limits), backoff: o.Limits.Backoff}
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
	for {
		batch, err := w.queue.take(ctx)
		if err != nil {
			return err
		}
		if err := w.write(ctx, batch); err != nil {
			return err
		}
		w.queue.done()
	}
}

// write writes all changes of a batch or rejects them one by one. It returns an
// error only if Run must end.
func (w *Writer) write(ctx context.Context, batch []*entry) error {
	for len(batch) > 0 {
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
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			if err := w.wait(ctx, err); err != nil {
				return err
			}
			// Perhaps the batch is too much to be written in time.
			if batch, err = w.writeHalf(ctx, batch); err != nil {
				return err
			}
		case storage.IsRetryable(err):
			if err := w.wait(ctx, err); err != nil {
				return err
			}
		default:
			if batch, err = w.reject(ctx, batch, err); err != nil {
				return err
			}
		}
	}
	return nil
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
	if w.failures >= troubleAfter {
		w.Logger.Info("Writing to the storage layer works again", "failures", w.failures)
		w.trouble(nil)
	}
	w.failures, w.rejected, w.backoff = 0, 0, w.Limits.Backoff
	return nil
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

// writeHalf writes the first half of a batch and returns the rest. A single change
// is left for another attempt.
func (w *Writer) writeHalf(ctx context.Context, batch []*entry) ([]*entry, error) {
	half := len(batch) / 2
	if err := w.write(ctx, batch[:half]); err != nil {
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
			w.giveUp(batch[i], cause)
			return slices.Concat(batch[:i], batch[i+1:]), nil
		}
	}
	if len(batch) == 1 {
		w.giveUp(batch[0], cause)
		return nil, nil
	}
	return w.writeHalf(ctx, batch)
}

func (w *Writer) giveUp(e *entry, cause error) {
	w.rejected++
	w.Logger.Error(cause, "The storage layer refuses an object", "object", e.key.String())
	w.Observer.Rejected(w.As.Cluster, e.change.Change, cause)
	if e.change.Rejected != nil {
		e.change.Rejected(cause)
	}
}
