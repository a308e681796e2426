package memory

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"clusterpedia.io/storage-api/storage"
)

// limits bound what a history keeps. Whatever is beyond one of them goes with the
// next change.
type limits struct {
	// changes is the number of changes, a power of two.
	changes int64
	// bytes is the size of the replaced and deleted states.
	bytes int64
	age   time.Duration
}

// defaultLimits let a client resume after minutes, and take 70 MiB at most.
func defaultLimits() limits {
	return limits{changes: 1 << 17, bytes: 64 << 20, age: 10 * time.Minute}
}

// change is a change of one object. It never changes itself.
type change struct {
	// before is nil for an object that was not stored, after for one that no
	// longer is. Both have the same UID.
	before, after *entry
	// eventsOnly says that both differ by their recorded events alone.
	eventsOnly bool
}

// history keeps the latest changes, for watches. Changes are numbered from 1; the
// position n is the point behind the change n.
//
// Writers add to it while they hold the store's lock, so that positions have the
// order of the writes. It never waits for a watch.
type history struct {
	limits
	// origin is the version of position 0.
	origin int64

	mu sync.Mutex
	// ring holds the changes from first up to but not including next, each at its
	// number modulo the length, which is a power of two.
	ring        []record
	first, next int64
	bytesKept   int64
	// wake is closed when there is more to read; nil if nobody waits.
	wake chan struct{}
}

type record struct {
	change
	size int64
	at   time.Time
}

// versionStep is the distance between the versions of neighboring positions.
const versionStep = 1000

// newHistory returns an empty history.
//
// Its versions are growing decimal numbers: that is what clients take the resource
// versions of Kubernetes for, to tell which of two states is newer. They begin at
// the wall clock in nanoseconds, and so a later process begins above all that an
// earlier one has given, unless that one saw more than a change per microsecond.
// The remainder by the step is left to chance: it tells apart the versions of
// processes that run side by side.
func newHistory(l limits) *history {
	return &history{
		limits: l,
		//nolint:gosec // nothing depends on it being hard to guess
		origin: time.Now().UnixMicro()*versionStep + rand.Int64N(versionStep),
		ring:   make([]record, min(l.changes, 1024)),
		first:  1,
		next:   1,
	}
}

// version returns the text that stands for a position.
func (h *history) version(position int64) string {
	return strconv.FormatInt(h.origin+position*versionStep, 10)
}

// position is the inverse of version. It returns an error that wraps ErrExpired for
// a text that cannot be a version of this history; whether the position is still
// there, read tells.
func (h *history) position(version string) (int64, error) {
	n, err := strconv.ParseInt(version, 10, 64)
	if err != nil || n < h.origin || (n-h.origin)%versionStep != 0 || strconv.FormatInt(n, 10) != version {
		return 0, fmt.Errorf("%q is no version of this process: %w", version, storage.ErrExpired)
	}
	return (n - h.origin) / versionStep, nil
}

// last returns the position behind all changes.
func (h *history) last() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.next - 1
}

// add appends changes. The writer calls notify when it has released its lock.
func (h *history) add(changes []change) {
	if len(changes) == 0 {
		return
	}
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range changes {
		r := record{c, c.size(), now}
		if h.next-h.first == int64(len(h.ring)) {
			h.makeRoom()
		}
		*h.at(h.next) = r
		h.next++
		h.bytesKept += r.size
		for h.first < h.next && (h.bytesKept > h.bytes || now.Sub(h.at(h.first).at) > h.age) {
			h.forget()
		}
	}
}

func (h *history) at(n int64) *record {
	return &h.ring[n&int64(len(h.ring)-1)]
}

// clear gives the memory back.
func (h *history) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.ring)
	h.first, h.bytesKept = h.next, 0
}

// forget drops the oldest change.
func (h *history) forget() {
	h.bytesKept -= h.at(h.first).size
	*h.at(h.first) = record{}
	h.first++
}

// makeRoom makes a full ring longer, or drops the oldest change.
func (h *history) makeRoom() {
	if int64(len(h.ring)) == h.changes {
		h.forget()
		return
	}
	longer := &history{ring: make([]record, 2*len(h.ring))}
	for n := h.first; n < h.next; n++ {
		*longer.at(n) = *h.at(n)
	}
	h.ring = longer.ring
}

// notify wakes all that wait for changes.
func (h *history) notify() {
	h.mu.Lock()
	wake := h.wake
	h.wake = nil
	h.mu.Unlock()
	if wake != nil {
		close(wake)
	}
}

// reading is the result of read.
type reading struct {
	// n is the number of changes that were copied.
	n int
	// wake is closed when there is more; nil unless n is 0.
	wake <-chan struct{}
	// middle is the position in the middle of what is kept: earlier ones will
	// expire before long.
	middle int64
}

// read copies the changes behind a position, as many as buffer takes. It returns an
// error that wraps ErrExpired if they are no longer kept, or if nothing has come as
// far as the position yet.
func (h *history) read(position int64, buffer []change) (reading, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case position < h.first-1:
		return reading{}, fmt.Errorf("what follows %s is no longer kept: %w", h.version(position), storage.ErrExpired)
	case position >= h.next:
		return reading{}, fmt.Errorf("%s is no version of this process: %w", h.version(position), storage.ErrExpired)
	}
	r := reading{n: int(min(int64(len(buffer)), h.next-1-position)), middle: h.first + (h.next-h.first)/2}
	for i := range r.n {
		buffer[i] = h.at(position + 1 + int64(i)).change
	}
	if r.n == 0 {
		if h.wake == nil {
			h.wake = make(chan struct{})
		}
		r.wake = h.wake
	}
	return r, nil
}

// entryOverhead stands for what an entry takes beside its documents, in bytes.
const entryOverhead = 1024

// size is the number of bytes that the history alone keeps: the state before the
// change, which is no longer stored.
func (c change) size() int64 {
	if c.before == nil {
		return 0
	}
	size := entryOverhead
	for _, ev := range c.before.events {
		size += len(ev.json)
	}
	if c.eventsOnly {
		return int64(size) // the object is shared with the state behind it
	}
	o := &c.before.object
	size += len(o.JSON)
	if o.Packed != nil {
		size += len(o.Packed.Deflate)
	}
	if o.Cells != nil {
		size += len(o.Cells.Values)
	}
	return int64(size)
}
