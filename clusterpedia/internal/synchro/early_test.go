package synchro

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/clusterpedia/internal/synchro/document"
	"clusterpedia.io/storage-api/storage"
)

// podsWithEvents runs a world whose Events of pods are recorded, and that has the pod p0.
func podsWithEvents(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, pods, memberEvents)
	w.member.Put(pods, "default", "p0", "u0", "")
	e := entry("", "pods")
	e.EventsInvolvedResources = []string{"pods"}
	w.create(e)
	w.run()
	w.stored("pods default/p0 101")
	return w
}

// heardEvent puts an Event of p0, and waits until it is recorded: all before it were read.
func (w *world) heardEvent(name string) {
	const uid = "u0"
	w.putEvent(name, "v1", "p0", uid)
	w.eventually(func() bool {
		return slices.ContainsFunc(w.recorded(), func(s string) bool { return s[:len(uid+" uid-"+name)] == uid+" uid-"+name })
	}, "%s is not recorded", name)
}

// written returns the puts and Events of an object, in their order.
func (w *world) written(uid string) (order []string) {
	for _, batch := range w.storage.Batches() {
		for _, c := range batch {
			switch {
			case c.Event != nil && c.Event.Involved == uid:
				order = append(order, "event")
			case c.Put != nil && c.Put.UID == uid:
				order = append(order, "put")
			}
		}
	}
	return order
}

// TestEventWaitsForItsObject has Events that come before their objects are stored, for
// several reasons. The storage layer would drop them.
func TestEventWaitsForItsObject(t *testing.T) {
	t.Parallel()
	isP1 := func(c storage.Change) bool { return c.Put != nil && c.Put.Name == "p1" }
	for name, tc := range map[string]struct {
		pod     string
		failure error
	}{
		"its object is created":                  {pod: "p1"},
		"its object is created anew":             {pod: "p0"},
		"its object is locked":                   {pod: "p1", failure: storage.Retryable(errors.New("lock wait timeout"))},
		"its object is refused by the storage":   {pod: "p1", failure: errors.New("value too long")},
		"its object is invalid, for the storage": {pod: "p1", failure: &storage.InvalidObjectError{Reason: "value too long"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := podsWithEvents(t)
			object := func() { w.member.Put(pods, "default", tc.pod, "u1", "") }
			if tc.failure != nil {
				w.storage.FailWith(func(_ string, changes []storage.Change) error {
					if slices.ContainsFunc(changes, isP1) {
						return tc.failure
					}
					return nil
				})
				object()
				w.eventually(func() bool {
					return w.counters.RejectedChanges.Load()+w.counters.PostponedChanges.Load() > 0
				}, "it is not given up")
			}
			w.putEvent("scheduled", "v1", tc.pod, "u1")
			w.heardEvent("other")
			require.Equal(t, []string{"put", "event"}, w.written("u0"))
			require.Empty(t, w.written("u1"))
			w.storage.FailWith(nil)
			if tc.failure == nil {
				object()
			}
			w.eventually(func() bool { return slices.Contains(w.written("u1"), "event") }, "it is not recorded")
			require.Equal(t, "put", w.written("u1")[0])
		})
	}
}

// TestEventsOfWhatIsGone has young Events of objects that are gone, as where Jobs run. The
// next Event that comes before its object is recorded with it all the same.
func TestEventsOfWhatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, memberEvents)
	w.options.Tuning.RejectedDelay = time.Hour // no list helps
	w.member.Put(pods, "default", "p0", "u0", "")
	e := entry("", "pods")
	e.EventsInvolvedResources = []string{"pods"}
	w.create(e)
	w.run()
	w.stored("pods default/p0 101")
	for i := range 60 {
		w.putEvent(fmt.Sprintf("gone%d", i), "v1", fmt.Sprintf("gone%d", i), fmt.Sprintf("g%d", i))
	}
	w.putEvent("early", "v1", "p1", "u1")
	w.heardEvent("other")
	require.Empty(t, w.written("u1"))
	w.member.Put(pods, "default", "p1", "u1", "")
	w.eventually(func() bool { return slices.Equal(w.written("u1"), []string{"put", "event"}) }, "it is not recorded")
}

func TestEarlyIsBounded(t *testing.T) {
	t.Parallel()
	event := func(uid, version string, size int) earlyEvent {
		return earlyEvent{Event: &storage.Event{UID: uid, Involved: "u", ResourceVersion: version, JSON: make([]byte, size)}}
	}
	var w early
	for i := range maxEarly {
		require.Empty(t, w.add(event(fmt.Sprint(i), "1", 1)))
	}
	// A newer version takes the place of another.
	require.Empty(t, w.add(event("0", "2", 1)))
	require.Equal(t, maxEarly, w.bytes)
	dropped := w.add(event("new", "1", 1))
	require.Len(t, dropped, 1)
	require.Equal(t, "1", dropped[0].UID)
	// One alone always waits.
	require.Len(t, w.add(event("large", "1", 2*maxEarlyBytes)), maxEarly)
	require.Len(t, w.entries, 1)
	require.Equal(t, map[string]int{"u": 1}, w.involved)
	w.sort(func(earlyEvent) bool { return true })
	require.Zero(t, w.bytes)
	require.Empty(t, w.involved)
}

// TestEventsDoNotWaitForEver checks how long an Event waits.
func TestEventsDoNotWaitForEver(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		known, stored bool
		age           time.Duration
		want          bool
	}{
		"young":                            {age: recentEvent / 2, want: true},
		"nobody's":                         {age: 2 * recentEvent},
		"of an object that is not stored":  {known: true, age: 2 * recentEvent, want: true},
		"of one that never is":             {known: true, age: 2 * eventsLast},
		"of one that was before the other": {known: true, stored: true, age: 2 * recentEvent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := &events{resource: &resource{known: newKnown()}}
			object := objectName{"default", "p0"}
			if tc.known {
				e.resource.known.put(object, e.resource.known.revision("u0", "1"))
			}
			if tc.stored {
				e.resource.known.stored(object, "u0")
			}
			event := &storage.Event{Involved: "u1", LastSeen: time.Now().Add(-tc.age).Unix()}
			require.Equal(t, tc.want, e.awaits(earlyEvent{object, since(event, true), event}))
		})
	}
}

// TestStoredUIDs checks what is known of the UIDs of stored objects.
func TestStoredUIDs(t *testing.T) {
	t.Parallel()
	k, a := newKnown(), nameOf(document.Head{Namespace: "default", Name: "a"})
	k.stored(a, "u0")
	require.False(t, k.stores(a, "u0"), "it is removed already")
	require.False(t, k.awaits(a))
	k.put(a, k.revision("u0", "1"))
	require.True(t, k.awaits(a))
	k.stored(a, "u0")
	require.True(t, k.stores(a, "u0"))
	require.False(t, k.awaits(a))
	k.put(a, k.revision("u1", "2"))
	require.False(t, k.stores(a, "u1"), "it is on its way")
	k.stored(a, "u1")
	k.stored(a, "")
	require.False(t, k.stores(a, "u1"))
	k.stored(a, "u1")
	k.remove(a)
	require.False(t, k.stores(a, "u1"))
	k.put(a, k.revision("u1", "2"))
	require.False(t, k.stores(a, "u1"), "its number was that of another")
}

// TestNewerEventMeetsAnEarlierOne has a newer version of an Event begin to wait for its
// object while the earlier one, which has waited, is about to be recorded.
func TestNewerEventMeetsAnEarlierOne(t *testing.T) {
	t.Parallel()
	w := podsWithEvents(t)
	e := w.manager.running("one").synced()[0].events
	object := objectName{"default", "p0"}
	event := func(version string) *storage.Event {
		return &storage.Event{Involved: "u0", UID: "twice", ResourceVersion: version, LastSeen: time.Now().Unix(), JSON: []byte("{}")}
	}
	// What await does, but for waking whoever records it.
	e.mu.Lock()
	e.early.add(earlyEvent{object, time.Now(), event("2")})
	e.mu.Unlock()
	require.NoError(t, e.record(t.Context(), object, event("1"), true))
	e.wakeUp()
	last := func() (version string) {
		for _, batch := range w.storage.Batches() {
			for _, c := range batch {
				if c.Event != nil && c.Event.UID == "twice" {
					version = c.Event.ResourceVersion
				}
			}
		}
		return version
	}
	w.eventually(func() bool { return last() == "2" }, "the newer one is lost")
}

// TestEventsThatNobodyWants has Events stored from when they were wanted.
func TestEventsThatNobodyWants(t *testing.T) {
	t.Parallel()
	w := podsWithEvents(t)
	c := w.manager.running("one").cluster
	for _, wanted := range []bool{true, false} {
		spec, k := c.synced()[0].Resource, newKnown()
		spec.Events = wanted
		k.addEvents(map[string]string{"e": "1"})
		r := newResource(c, spec, k)
		require.Nil(t, k.events, "they take memory")
		require.Equal(t, wanted, r.events != nil)
	}
}

// TestEventsOfAnotherTime has a member whose clock is wrong by hours: its Events wait for
// their objects all the same.
func TestEventsOfAnotherTime(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]time.Duration{"slow": -3 * time.Hour, "fast": 3 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := podsWithEvents(t)
			w.heardEvent("before") // so that the next are not listed
			w.member.Put(memberEvents, "default", "early", "uid-early", fmt.Sprintf(
				`"creationTimestamp":%q},"involvedObject":{"apiVersion":"v1","kind":"Pod","namespace":"default","name":"p1","uid":"u1"`,
				time.Now().Add(wrong).UTC().Format(time.RFC3339)))
			w.heardEvent("other")
			require.Empty(t, w.written("u1"))
			w.member.Put(pods, "default", "p1", "u1", "")
			w.eventually(func() bool { return slices.Equal(w.written("u1"), []string{"put", "event"}) }, "it is not recorded")
		})
	}
}
