package memory

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// readAhead is the number of changes that a watch holds beside those of the
// history.
const readAhead = 32

// Watch implements storage.Watcher. It reads the history at its own pace and works
// in the caller's goroutine: all that writers do for it is to wake it. It expires
// when the history no longer keeps what it has not read.
//
// A change may move other objects in or out of a query with an owner. An event
// before the last of one change has the version from before the change: who
// resumes there gets all events of the change again.
//
// A watch from now on begins with a bookmark, which says when now is. Others come
// as what the caller has seen becomes old.
func (s *Store) Watch(ctx context.Context, q *query.Query, since string, yield func(storage.WatchEvent) error) error {
	asked := *q
	asked.Order, asked.Limit, asked.Offset, asked.Continue, asked.Count = nil, 0, 0, "", query.CountNone
	if err := asked.Validate(); err != nil {
		return err
	}
	w := &watch{store: s, query: &asked, yield: yield}
	if err := w.start(ctx, since); err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	if since == "" {
		if err := w.bookmark(); err != nil {
			return err
		}
	}
	for {
		r, err := w.read(ctx)
		if err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		if err := w.follow(ctx, r); err != nil {
			return err
		}
	}
}

// watch is a call of Watch.
type watch struct {
	store *Store
	query *query.Query
	yield func(storage.WatchEvent) error
	// position is that behind the last change that was followed, given the last
	// one that the caller knows of.
	position, given int64
	// seen are the latest resource versions of clusters behind the last change.
	seen map[string]string
	// owned is nil for a query without an owner.
	owned *owned

	ahead [readAhead]change
	// outcomes are those of the change that is followed.
	outcomes []outcome
}

// outcome is what a change means to a query, for one object.
type outcome struct {
	kind  storage.WatchEventType
	state *entry
	// resourceVersion is that of the change.
	resourceVersion string
}

// start puts the watch to where it is to begin.
func (w *watch) start(ctx context.Context, since string) error {
	wanted := func(bucketKey) bool { return false }
	if w.query.Owner != nil {
		w.owned = newOwned(w.query)
		wanted = w.owned.wants
	}
	shown, err := w.store.view(ctx, w.query, wanted)
	if err != nil {
		return err
	}
	w.position, w.seen = shown.position, shown.seen
	if since != "" {
		point, seen, err := decode(since)
		if err != nil {
			return err
		}
		if w.position, err = w.store.history.position(point); err != nil {
			return err
		}
		w.seen = seen
	}
	w.given = w.position
	if w.owned == nil {
		return nil
	}
	for _, b := range shown.buckets {
		for _, e := range b.entries {
			w.owned.store(change{after: e})
		}
	}
	return w.rewind(shown.position)
}

// rewind takes the stored objects of w.owned from a later position back to that of
// the watch.
func (w *watch) rewind(from int64) error {
	rewound := map[object.Key]bool{}
	for position := w.position; position < from; {
		r, err := w.store.history.read(position, w.ahead[:min(readAhead, from-position)])
		if err != nil {
			return err
		}
		for _, c := range w.ahead[:r.n] {
			// The first change of an object knows what came before all of them.
			if key := c.key(); !rewound[key] {
				rewound[key] = true
				w.owned.store(change{before: c.after, after: c.before})
			}
		}
		position += int64(r.n)
	}
	clear(w.ahead[:])
	return nil
}

// read reads ahead, and waits until there is something to be read.
func (w *watch) read(ctx context.Context) (reading, error) {
	for {
		r, err := w.store.history.read(w.position, w.ahead[:])
		if err != nil {
			return reading{}, err
		}
		// Close comes before the channel was made, and is seen here, or closes it.
		if err := w.store.ready(ctx); err != nil {
			return reading{}, err
		}
		if r.n > 0 {
			return r, nil
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
		}
	}
}

// follow gives the events of what was read.
func (w *watch) follow(ctx context.Context, r reading) error {
	for i := range r.n {
		c := w.ahead[i]
		w.ahead[i] = change{}
		if c.after != nil && about(w.query, c.after.object.Cluster) {
			w.seen[c.after.object.Cluster] = c.after.object.ResourceVersion
		}
		w.judge(c)
		for j, o := range w.outcomes {
			if err := w.store.ready(ctx); err != nil {
				return fmt.Errorf("watch: %w", err)
			}
			w.given = w.position
			if j == len(w.outcomes)-1 {
				w.given++
			}
			if err := w.give(o); err != nil {
				return err
			}
		}
		clear(w.outcomes) // of old states
		w.position++
	}
	if w.given < r.middle && w.position >= r.middle {
		return w.bookmark()
	}
	return nil
}

// judge sets w.outcomes to what the change means to the query.
func (w *watch) judge(c change) {
	w.outcomes = w.outcomes[:0]
	switch {
	case c.eventsOnly && !w.query.Events:
	case w.owned != nil:
		w.outcomes = w.owned.follow(c, w.outcomes)
	default:
		w.outcomes = appendOutcome(w.outcomes, c, satisfies(w.query, c.before, nil), satisfies(w.query, c.after, nil))
	}
}

func satisfies(q *query.Query, e *entry, owners query.OwnerSet) bool {
	return e != nil && query.Match(q, &e.object, owners)
}

// appendOutcome appends the outcome of a change of an object that did or did not
// satisfy the query before, and does or does not behind it.
func appendOutcome(all []outcome, c change, before, after bool) []outcome {
	switch {
	case before && after:
		return append(all, outcome{storage.Modified, c.after, c.after.object.ResourceVersion})
	case after:
		return append(all, outcome{storage.Added, c.after, c.after.object.ResourceVersion})
	case before && c.after != nil:
		return append(all, outcome{storage.Deleted, c.before, c.after.object.ResourceVersion})
	case before:
		return append(all, outcome{storage.Deleted, c.before, c.before.object.ResourceVersion})
	}
	return all
}

func (w *watch) give(o outcome) error {
	answer, err := project(w.query, o.state)
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	answer.ResourceVersion = o.resourceVersion
	return w.yield(storage.WatchEvent{Type: o.kind, Object: answer, Version: encode(w.store.history.version(w.given), w.seen)})
}

// bookmark tells the caller how far the watch is.
func (w *watch) bookmark() error {
	w.given = w.position
	return w.yield(storage.WatchEvent{Type: storage.Bookmark, Version: encode(w.store.history.version(w.given), w.seen)})
}

func (c change) key() object.Key {
	if c.after != nil {
		return c.after.object.Key
	}
	return c.before.object.Key
}

// differences returns what the step from one stored state to another means to
// watches. A new object under the key of another is two changes, since neither is a
// state of the other. What differs by the time of the write alone is none.
func differences(before, after *entry) []change {
	switch {
	case before == nil && after == nil:
		return nil
	case before == nil || after == nil:
		return []change{{before: before, after: after}}
	case before.object.UID != after.object.UID:
		return []change{{before: before}, {after: after}}
	case !sameObject(before, after):
		return []change{{before: before, after: after}}
	case !sameEvents(before, after):
		return []change{{before: before, after: after, eventsOnly: true}}
	}
	return nil
}

func sameObject(a, b *entry) bool {
	return a.object.ResourceVersion == b.object.ResourceVersion && bytes.Equal(a.object.JSON, b.object.JSON)
}

func sameEvents(a, b *entry) bool {
	return slices.EqualFunc(a.events, b.events, func(a, b event) bool {
		return a.uid == b.uid && a.resourceVersion == b.resourceVersion && a.lastSeen == b.lastSeen
	})
}
