package writer

import (
	"context"
	"slices"
	"sync"
	"time"

	"clusterpedia.io/storage-api/storage"
)

// entryOverhead is what an entry takes beside its JSON, about, in bytes.
const entryOverhead = 512

// key is what changes are joined by: that of the object, or the event's.
type key struct {
	storage.Key
	involved, event string
}

func (k key) String() string {
	if k.event != "" {
		return "the Event " + k.event + " of " + k.involved
	}
	return k.Key.String()
}

func keyOf(c storage.Change) key {
	switch {
	case c.Put != nil:
		return key{Key: c.Put.Key}
	case c.Delete != nil:
		return key{Key: *c.Delete}
	default:
		return key{involved: c.Event.Involved, event: c.Event.UID}
	}
}

type entry struct {
	key    key
	change Change
	size   int
	// number grows with the place in the queue.
	number uint64
}

func sizeOf(c storage.Change) int {
	switch {
	case c.Put != nil:
		size := entryOverhead + len(c.Put.JSON)
		if c.Put.Cells != nil {
			size += len(c.Put.Cells.Values)
		}
		return size
	case c.Event != nil:
		return entryOverhead + len(c.Event.JSON)
	default:
		return entryOverhead
	}
}

// queue holds the newest change of each object, in the order in which the objects
// first came. Any number of goroutines may push, only one may take.
type queue struct {
	limits Limits
	budget *Budget
	// ready wakes the taker.
	ready chan struct{}

	mu      sync.Mutex
	entries []*entry
	byKey   map[key]*entry
	bytes   int
	// held is what was taken of the budget: for entries, for taken ones, and for those that
	// are kept aside.
	held int
	// closed says that nothing is taken any more, so that nothing is added either.
	closed bool
	// next is the number of the next entry.
	next uint64
	// room is closed, and made anew, when entries leave the queue.
	room chan struct{}
	// taken are the entries between take and done; idle is closed at done.
	taken []*entry
	idle  chan struct{}
	// barriers are in the order of their numbers.
	barriers []barrier
	// aside is what was taken and will be written later. Nothing waits for it.
	aside aside
}

type barrier struct {
	// below is the number below which all entries must be gone.
	below uint64
	done  func()
}

func newQueue(limits Limits, budget *Budget) *queue {
	return &queue{
		limits: limits,
		budget: budget,
		ready:  make(chan struct{}, 1),
		byKey:  map[key]*entry{},
		room:   make(chan struct{}),
		aside:  newAside(),
	}
}

func (q *queue) push(ctx context.Context, c Change) error {
	e := &entry{key: keyOf(c.Change), change: c, size: sizeOf(c.Change)}
	for {
		room := q.tryPush(e)
		if room == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-room:
		}
	}
}

// tryPush adds the entry and returns nil, or returns a channel that is closed when
// there may be room.
func (q *queue) tryPush(e *entry) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return q.room
	}
	n := len(q.entries)
	if old := q.byKey[e.key]; old != nil {
		// A replacement takes no more room, but for what it grows. If it has to wait, what
		// is there is written first.
		grown := e.size - old.size
		if n > 1 && grown > 0 && q.bytes+grown > q.limits.QueueBytes {
			return q.room
		}
		if grown <= 0 {
			q.budget.add(grown)
		} else if more := q.budget.take(grown, q.held, n == 1); more != nil {
			return more
		}
		q.bytes += grown
		q.held += grown
		// What was to be created, or deleted, is still not there, or still there.
		e.change.New = old.change.New && e.change.Put != nil
		old.change, old.size = e.change, e.size
		if grown > 0 && q.full() {
			q.wake()
		}
		return nil
	}
	if n > 0 && (n >= q.limits.QueueChanges || q.bytes+e.size > q.limits.QueueBytes) {
		return q.room
	}
	// An empty queue always takes one, so that no cluster waits for others for ever.
	if more := q.budget.take(e.size, q.held, n == 0); more != nil {
		return more
	}
	q.held += e.size
	e.number = q.next
	q.next++
	q.entries = append(q.entries, e)
	q.byKey[e.key] = e
	q.bytes += e.size
	if n == 0 || q.full() {
		q.wake()
	}
	return nil
}

// hold changes what is held of the budget; nothing is when the queue is closed.
func (q *queue) hold(bytes int) {
	if q.closed {
		return
	}
	q.held += bytes
	q.budget.add(bytes)
}

// close gives back what is held of the budget. Whoever pushes waits for its context, which
// is about to end.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.hold(-q.held)
	q.closed = true
	// Nobody writes it any more, and whoever holds the writer may do so for long. It must not
	// pass for written.
	q.entries, q.taken, q.byKey, q.bytes, q.aside, q.barriers = nil, nil, nil, 0, newAside(), nil
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// full reports whether there is enough for a batch.
func (q *queue) full() bool {
	return len(q.entries) >= q.limits.BatchChanges || q.bytes >= q.limits.BatchBytes
}

// take removes a batch from the queue. It waits for the first entry, and then a
// little for more. done must be called before the next take. It returns no entry if other
// work is due before the first comes.
func (q *queue) take(ctx context.Context, due <-chan time.Time) ([]*entry, error) {
	var linger <-chan time.Time
	lingered := false
	for {
		batch, empty := q.tryTake(lingered)
		switch {
		case batch != nil:
			return batch, nil
		case empty:
			linger, lingered = nil, false
		case linger == nil:
			linger = time.After(q.limits.Linger)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-q.ready:
		case <-linger:
			lingered = true
		case <-due:
			if q.length() == 0 {
				return nil, nil
			}
			due = nil
		}
	}
}

// tryTake returns a batch if there is a full one, or any if the time for more has
// passed; else whether the queue is empty.
func (q *queue) tryTake(lingered bool) (batch []*entry, empty bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.entries) == 0 {
		return nil, true
	}
	if !lingered && !q.full() {
		return nil, false
	}
	n, size := 0, 0
	for n < len(q.entries) && n < q.limits.BatchChanges {
		if next := q.entries[n].size; n > 0 && size+next > q.limits.BatchBytes {
			break
		}
		size += q.entries[n].size
		delete(q.byKey, q.entries[n].key)
		n++
	}
	q.taken = slices.Clone(q.entries[:n])
	q.idle = make(chan struct{})
	q.entries = slices.Delete(q.entries, 0, n)
	q.bytes -= size
	q.madeRoom()
	return q.taken, false
}

func (q *queue) madeRoom() {
	close(q.room)
	q.room = make(chan struct{})
}

// done says that the entries of the last take are dealt with.
func (q *queue) done() {
	q.mu.Lock()
	size := 0
	for _, e := range q.taken {
		size += e.size
	}
	q.hold(-size)
	q.taken = nil
	close(q.idle)
	q.idle = nil
	q.shrink()
	reached := q.reached()
	q.mu.Unlock()
	for _, b := range reached {
		b.done()
	}
}

// keptEntries is how many entries an empty queue keeps room for.
const keptEntries = 64

// shrink gives back the room that an empty queue has had for many entries: nearly all
// queues are empty nearly always.
func (q *queue) shrink() {
	if len(q.entries) == 0 && cap(q.entries) > keptEntries {
		q.entries, q.byKey = nil, map[key]*entry{}
	}
}

// reached removes the barriers that nothing stands before any more.
func (q *queue) reached() []barrier {
	first := q.next
	switch {
	case len(q.taken) > 0:
		first = q.taken[0].number
	case len(q.entries) > 0:
		first = q.entries[0].number
	}
	n := 0
	for n < len(q.barriers) && q.barriers[n].below <= first {
		n++
	}
	reached := slices.Clone(q.barriers[:n])
	q.barriers = slices.Delete(q.barriers, 0, n)
	return reached
}

func (q *queue) barrier(done func()) {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return
	}
	q.barriers = append(q.barriers, barrier{below: q.next, done: done})
	reached := q.reached()
	q.mu.Unlock()
	for _, b := range reached {
		b.done()
	}
}

func (q *queue) drop(ctx context.Context, resource storage.Resource) error {
	q.mu.Lock()
	q.entries = slices.DeleteFunc(q.entries, func(e *entry) bool {
		if e.key.Resource != resource {
			return false
		}
		delete(q.byKey, e.key)
		q.bytes -= e.size
		q.hold(-e.size)
		return true
	})
	q.madeRoom()
	reached := q.reached()
	idle := q.idle
	if !slices.ContainsFunc(q.taken, func(e *entry) bool { return e.key.Resource == resource }) {
		idle = nil
	}
	q.mu.Unlock()
	for _, b := range reached {
		b.done()
	}
	if err := await(ctx, idle); err != nil {
		return err
	}
	// What was being written may have been set aside.
	return await(ctx, q.dropAside(resource))
}

// await waits until a channel is closed; nil is as if it was.
func await(ctx context.Context, closed <-chan struct{}) error {
	if closed == nil {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-closed:
		return nil
	}
}

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.entries) + len(q.taken)
}
