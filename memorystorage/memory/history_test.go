package memory

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"clusterpedia.io/storage-api/storage"
)

// replaced is a change that leaves an old state of that many bytes behind.
func replaced(bytes int) change {
	return change{before: &entry{object: storage.Object{JSON: make([]byte, bytes-entryOverhead)}}, after: &entry{}}
}

func TestHistoryBounds(t *testing.T) {
	t.Parallel()
	wide := limits{changes: 1 << 12, bytes: 1 << 30, age: time.Hour}
	for name, x := range map[string]struct {
		limits limits
		add    func(h *history)
		kept   int64
	}{
		"nothing":            {wide, func(h *history) { h.add(nil) }, 0},
		"fewer than allowed": {wide, func(h *history) { h.add(make([]change, 3000)) }, 3000},
		"many, one by one": {wide, func(h *history) {
			for range 10_000 {
				h.add(make([]change, 1))
			}
		}, 1 << 12},
		"many at once":            {wide, func(h *history) { h.add(make([]change, 10_000)) }, 1 << 12},
		"a ring that starts full": {limits{changes: 8, bytes: 1, age: time.Hour}, func(h *history) { h.add(make([]change, 50)) }, 8},
		"as big as allowed": {limits{changes: 8, bytes: 9000, age: time.Hour}, func(h *history) {
			h.add([]change{replaced(3000), replaced(3000), replaced(3000)})
		}, 3},
		"bigger": {limits{changes: 8, bytes: 9000, age: time.Hour}, func(h *history) {
			h.add([]change{replaced(3000), replaced(3000), replaced(2000), {after: &entry{}}, replaced(2000)})
		}, 4},
		"one that is too big": {limits{changes: 8, bytes: 9000, age: time.Hour}, func(h *history) {
			h.add([]change{replaced(2000), replaced(9001)})
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(x.limits)
			x.add(h)
			checkHistory(t, h, x.kept)
		})
	}
}

// checkHistory checks that the history keeps that many changes and no memory beyond.
func checkHistory(t *testing.T, h *history, kept int64) {
	t.Helper()
	if got := h.next - h.first; got != kept {
		t.Errorf("%d changes are kept, want %d", got, kept)
	}
	var used, size int64
	for _, r := range h.ring {
		if r.at.IsZero() {
			continue
		}
		used++
		size += r.size
	}
	if used != kept || size != h.bytesKept {
		t.Errorf("the ring has %d changes of %d bytes, want %d of %d", used, size, kept, h.bytesKept)
	}
	last := h.last()
	for _, x := range []struct {
		position int64
		n        int64
		expired  bool
	}{
		{last, 0, false},
		{last - kept, kept, false},
		{last - kept - 1, 0, true},
		{last + 1, 0, true},
		{-1, 0, true},
	} {
		r, err := h.read(x.position, make([]change, kept+1))
		if errors.Is(err, storage.ErrExpired) != x.expired || err != nil && !x.expired || int64(r.n) != x.n {
			t.Errorf("%d changes behind %d of %d, with the error %v, want %d", r.n, x.position, last, err, x.n)
		}
	}
}

func TestHistoryAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(limits{changes: 16, bytes: 1 << 20, age: time.Minute})
		for range 5 {
			h.add(make([]change, 2))
			time.Sleep(25 * time.Second) //nolint:forbidigo // of a clock of its own
		}
		checkHistory(t, h, 6) // 75, 50 and 25 seconds ago, of which the last change saw the first as 50
		time.Sleep(time.Hour) //nolint:forbidigo // of a clock of its own
		h.add(make([]change, 1))
		checkHistory(t, h, 1)
	})
}

func TestHistoryEventsAreSmall(t *testing.T) {
	t.Parallel()
	e := &entry{object: storage.Object{JSON: make([]byte, 10_000), Packed: &storage.Packed{Deflate: make([]byte, 5000)}, Cells: &storage.Cells{Values: make([]byte, 500)}}, events: []event{{json: make([]byte, 100)}}}
	for _, x := range []struct {
		change change
		want   int64
	}{
		{change{after: e}, 0},
		{change{before: e}, entryOverhead + 15_600},
		{change{before: e, after: e}, entryOverhead + 15_600},
		{change{before: e, after: e, eventsOnly: true}, entryOverhead + 100},
	} {
		if got := x.change.size(); got != x.want {
			t.Errorf("size %d, want %d", got, x.want)
		}
	}
}

func TestHistoryVersions(t *testing.T) {
	t.Parallel()
	before := time.Now().UnixNano()
	h := newHistory(limits{changes: 8, bytes: 1, age: time.Hour})
	if h.origin < before-1000 || h.origin > time.Now().UnixNano()+1000 {
		t.Errorf("the versions begin at %d, now is %d", h.origin, before)
	}
	for _, position := range []int64{0, 1, 2, 999, 1 << 40} {
		got, err := h.position(h.version(position))
		if err != nil || got != position {
			t.Errorf("the position %d comes back as %d, %v", position, got, err)
		}
	}
	v := h.version(5)
	for _, unknown := range []string{"", "0", "1", "-1", "+" + v, "0" + v, v + "0", v[1:], v + ".0", " " + v, fmt.Sprint(h.origin - versionStep), fmt.Sprint(h.origin + 1), "eyJtZW0tMSI6IjEwMDMifQ", "99999999999999999999"} {
		if got, err := h.position(unknown); !errors.Is(err, storage.ErrExpired) && (err != nil || got <= h.last()) {
			t.Errorf("%q is the position %d, %v", unknown, got, err)
		}
	}
}

func TestHistoryWakes(t *testing.T) {
	t.Parallel()
	h := newHistory(limits{changes: 8, bytes: 1, age: time.Hour})
	var wakes []<-chan struct{}
	for range 3 {
		r, err := h.read(0, make([]change, 1))
		if err != nil {
			t.Fatal(err)
		}
		wakes = append(wakes, r.wake)
	}
	h.add(make([]change, 1))
	h.notify()
	h.notify()
	for _, wake := range wakes {
		<-wake
	}
	if r, err := h.read(0, make([]change, 1)); err != nil || r.n != 1 || r.wake != nil {
		t.Errorf("got %+v, %v", r, err)
	}
}
