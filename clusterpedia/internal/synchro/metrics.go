package synchro

import (
	"sync/atomic"
	"time"

	"clusterpedia.io/clusterpedia/internal/synchro/writer"
	"clusterpedia.io/storage-api/storage"
)

// Metrics is told what the synchro does. Its methods must not wait; they are called
// from many goroutines.
type Metrics interface {
	writer.Observer
	// Unchanged tells that an object was listed that is stored already.
	Unchanged(cluster string, resource storage.Resource)
	// Invalid tells that an object was left out because of what it holds.
	Invalid(cluster string, resource storage.Resource)
	// Gone tells that a cluster isn't this manager's any more.
	Gone(cluster string)
}

// Counters is a Metrics that counts, over all clusters. The zero value is ready.
type Counters struct {
	// Puts, Deletes and Events count the changes that were written, Batches the
	// calls that wrote them.
	Puts, Deletes, Events, Batches atomic.Int64
	// FailedAttempts counts the attempts to write a batch that failed.
	FailedAttempts atomic.Int64
	// RejectedChanges counts the changes that the storage layer never takes.
	RejectedChanges atomic.Int64
	// PostponedChanges counts those that it did not take although it takes others.
	PostponedChanges atomic.Int64
	// UnchangedObjects and InvalidObjects count the calls of the methods.
	UnchangedObjects, InvalidObjects atomic.Int64
}

// Written implements Metrics.
func (c *Counters) Written(_ string, changes []writer.Change, _ time.Duration) {
	for _, change := range changes {
		switch {
		case change.Put != nil:
			c.Puts.Add(1)
		case change.Delete != nil:
			c.Deletes.Add(1)
		default:
			c.Events.Add(1)
		}
	}
	c.Batches.Add(1)
}

// Failed implements Metrics.
func (c *Counters) Failed(string, []writer.Change, error) { c.FailedAttempts.Add(1) }

// Rejected implements Metrics.
func (c *Counters) Rejected(string, storage.Change, error) { c.RejectedChanges.Add(1) }

// Postponed implements Metrics.
func (c *Counters) Postponed(string, storage.Change, error) { c.PostponedChanges.Add(1) }

// Unchanged implements Metrics.
func (c *Counters) Unchanged(string, storage.Resource) { c.UnchangedObjects.Add(1) }

// Invalid implements Metrics.
func (c *Counters) Invalid(string, storage.Resource) { c.InvalidObjects.Add(1) }

// Gone implements Metrics.
func (c *Counters) Gone(string) {}
