package synchro

import (
	"context"
	"errors"
	"slices"
	"time"

	"clusterpedia.io/storage-api/storage"
)

const (
	// recentEvent is how long ago an Event may have happened for its object to be still on
	// its way, as far as nothing is known of it.
	recentEvent = 10 * time.Minute
	// eventsLast is how long members keep Events, and how long one waits for an object that
	// the storage layer does not take.
	eventsLast = time.Hour
	// maxEarly and maxEarlyBytes bound the Events that wait.
	maxEarly      = 500
	maxEarlyBytes = 256 << 10
)

var (
	errTooManyEarly = storage.Retryable(errors.New("too many Events wait for their objects"))
	errObjectLacks  = errors.New("the object of the Event could not be stored for an hour")
)

// earlyEvent is an Event whose object is not stored yet. The storage layer would drop it.
type earlyEvent struct {
	object objectName
	// since is when it happened, or was first heard of: the member's clock may be wrong.
	since time.Time
	*storage.Event
}

// since returns when an Event happened that was listed, or came just now.
func since(event *storage.Event, listed bool) time.Time {
	now, seen := time.Now(), time.Unix(event.LastSeen, 0)
	if listed && seen.Before(now) {
		return seen
	}
	return now
}

// early holds Events, the first that came being first.
type early struct {
	entries []earlyEvent
	bytes   int
	// involved counts the Events of an object, by its UID.
	involved map[string]int
}

// add adds an Event, in place of an earlier version, and returns those that it leaves no
// room for.
func (w *early) add(e earlyEvent) (dropped []earlyEvent) {
	w.sort(func(other earlyEvent) bool { return other.UID == e.UID })
	w.entries = append(w.entries, e)
	w.bytes += len(e.JSON)
	if w.involved == nil {
		w.involved = map[string]int{}
	}
	w.involved[e.Involved]++
	over := len(w.entries) - maxEarly
	bytes := w.bytes
	return w.sort(func(other earlyEvent) bool {
		tooMany := over > 0 || bytes > maxEarlyBytes
		over--
		bytes -= len(other.JSON)
		return tooMany && other.UID != e.UID
	})
}

// sort removes the Events for which out says so, and returns them.
func (w *early) sort(out func(earlyEvent) bool) (removed []earlyEvent) {
	kept := w.entries[:0]
	for _, e := range w.entries {
		if !out(e) {
			kept = append(kept, e)
			continue
		}
		removed = append(removed, e)
		w.bytes -= len(e.JSON)
		if w.involved[e.Involved]--; w.involved[e.Involved] == 0 {
			delete(w.involved, e.Involved)
		}
	}
	clear(w.entries[len(kept):])
	w.entries = kept
	return removed
}

// overtaken reports whether a newer version has come of an Event that has waited. The lock
// must be held.
func (e *events) overtaken(event *storage.Event) bool {
	_, recorded := e.recorded[event.UID]
	return recorded || slices.ContainsFunc(e.early.entries, func(early earlyEvent) bool { return early.UID == event.UID })
}

// await keeps an Event until its object is stored.
func (e *events) await(event earlyEvent, waited bool) {
	e.mu.Lock()
	if waited && e.overtaken(event.Event) {
		e.mu.Unlock()
		return
	}
	delete(e.recorded, event.UID)
	dropped := e.early.add(event)
	e.missed = e.missed || len(dropped) > 0
	e.mu.Unlock()
	for _, d := range dropped {
		e.resource.metrics.Postponed(e.resource.cluster, storage.Change{Event: d.Event}, errTooManyEarly)
	}
	if len(dropped) > 0 {
		e.log.V(2).Info("Events are left to the next list", "reason", errTooManyEarly, "events", len(dropped))
		e.again.schedule(e.reflector.Relist)
	}
	if e.resource.known.stores(event.object, event.Involved) {
		e.wakeUp() // it came meanwhile
	}
}

// stored says that an object is stored. It does not wait.
func (e *events) stored(uid string) {
	e.mu.Lock()
	awaited := e.early.involved[uid] > 0
	e.mu.Unlock()
	if awaited {
		e.wakeUp()
	}
}

func (e *events) wakeUp() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// release records the Events that waited, as their objects are stored, until ctx ends.
func (e *events) release(ctx context.Context) {
	// Those that were stored for an earlier reader of the resource are told to that one.
	ticker := time.NewTicker(max(e.again.first, time.Second))
	defer ticker.Stop()
	for {
		for _, event := range e.ready() {
			if err := e.record(ctx, event.object, event.Event, true); err != nil {
				e.await(event, true) // for the next run
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-ticker.C:
		}
	}
}

// ready returns the Events whose objects are stored now, and drops those that have waited
// too long.
func (e *events) ready() []earlyEvent {
	known := e.resource.known
	e.mu.Lock()
	ready := e.early.sort(func(event earlyEvent) bool { return known.stores(event.object, event.Involved) })
	old := e.early.sort(func(event earlyEvent) bool { return !e.awaits(event) })
	e.mu.Unlock()
	for _, event := range old {
		if known.awaits(event.object) {
			e.log.Error(errObjectLacks, "An Event of the member is not recorded", "object", event.object.String(), "event", event.UID)
			e.resource.metrics.Rejected(e.resource.cluster, storage.Change{Event: event.Event}, errObjectLacks)
		}
	}
	return ready
}

// awaits reports whether the object of an Event may still come to be stored.
func (e *events) awaits(event earlyEvent) bool {
	age := time.Since(event.since)
	return age < recentEvent || age < eventsLast && e.resource.known.awaits(event.object)
}
