package synchro

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/synchro/fakemember"
	"clusterpedia.io/storage-api/storage"
)

var memberEvents = fakemember.Resource{GroupVersion: schema.GroupVersion{Version: "v1"}, Name: "events", Kind: "Event", Namespaced: true}

// putEvent puts an Event of a pod that happened just now.
func (w *world) putEvent(name, apiVersion, pod, uid string) {
	w.member.Put(memberEvents, "default", name, "uid-"+name, fmt.Sprintf(`"creationTimestamp":%q},"involvedObject":{"apiVersion":%q,"kind":"Pod","namespace":"default","name":%q,"uid":%q`,
		time.Now().UTC().Format(time.RFC3339), apiVersion, pod, uid))
}

// recorded returns the Events that were written, as INVOLVED EVENT VERSION, in their
// order.
func (w *world) recorded() []string {
	all := []string{}
	for _, batch := range w.storage.Batches() {
		for _, c := range batch {
			if c.Event != nil {
				all = append(all, c.Event.Involved+" "+c.Event.UID+" "+c.Event.ResourceVersion)
			}
		}
	}
	return all
}

func TestEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, memberEvents)
	w.member.Put(pods, "default", "p0", "u0", "")
	w.putEvent("first", "v1", "p0", "u0")
	w.putEvent("foreign", "other.io/v1", "p0", "u0")
	w.putEvent("nobodys", "v1", "p0", "")
	with := func(names ...string) v1alpha2.ClusterGroupResources {
		e := entry("", "pods")
		e.EventsInvolvedResources = names
		return e
	}
	w.create(with("pods"))
	w.run()
	eventually := func(want ...string) {
		t.Helper()
		w.eventually(func() bool { return slices.Equal(want, w.recorded()) }, "%q are recorded", want)
	}
	eventually("u0 uid-first 102")
	require.NotEmpty(t, w.member.Requests("/api/v1/events?fieldSelector=involvedObject.kind%3DPod"))

	// It happens again. Then one comes before its object.
	w.putEvent("first", "", "p0", "u0")
	eventually("u0 uid-first 102", "u0 uid-first 105")
	w.putEvent("early", "v1", "p1", "u1")
	w.member.Put(pods, "default", "p1", "u1", "")
	eventually("u0 uid-first 102", "u0 uid-first 105", "u1 uid-early 106")
	// The member forgets it: what is recorded stays.
	w.member.Delete(memberEvents, "default", "first")
	w.putEvent("last", "v1", "p0", "u0")
	eventually("u0 uid-first 102", "u0 uid-first 105", "u1 uid-early 106", "u0 uid-last 109")

	var stored map[string]any
	for _, batch := range w.storage.Batches() {
		for _, c := range batch {
			if c.Event != nil && c.Event.UID == "uid-last" {
				require.NoError(t, json.Unmarshal(c.Event.JSON, &stored))
				require.InDelta(t, time.Now().Unix(), c.Event.LastSeen, 60)
			}
		}
	}
	require.Equal(t, "Event", stored["kind"])

	// Not wanted any more, and wanted again.
	w.selectOnly(with())
	w.selectOnly(with("*"))
	w.putEvent("again", "v1", "p0", "u0")
	w.eventually(func() bool { return slices.Contains(w.recorded(), "u0 uid-again 110") }, "it is recorded")
}

// TestRejectedEventIsRecordedLater has the storage layer refuse an Event for a while.
func TestRejectedEventIsRecordedLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, memberEvents)
	w.member.Put(pods, "default", "p0", "u0", "")
	w.putEvent("first", "v1", "p0", "u0")
	w.storage.FailWith(func(_ string, changes []storage.Change) error {
		if slices.ContainsFunc(changes, func(c storage.Change) bool { return c.Event != nil }) {
			return errors.New("value too long")
		}
		return nil
	})
	e := entry("", "pods")
	e.EventsInvolvedResources = []string{"pods"}
	w.create(e)
	w.run()
	w.eventually(func() bool { return w.counters.RejectedChanges.Load() > 1 }, "it is not tried again")
	w.storage.FailWith(nil)
	w.eventually(func() bool { return slices.Equal(w.recorded(), []string{"u0 uid-first 102"}) }, "it is not recorded")
}

// TestEventsAfterRestart has a manager start anew: it knows which Events are recorded.
func TestEventsAfterRestart(t *testing.T) {
	t.Parallel()
	w := podsWithEvents(t)
	w.heardEvent("first")
	w.stop()
	before := w.recorded()
	require.Len(t, before, 1)
	w.run()
	w.shows("Ready=True", "pods.v1=Syncing/")
	w.heardEvent("second")
	require.Len(t, w.recorded(), 2, "the first is recorded again")

	k := newKnown()
	k.addEvents(map[string]string{"a": "1"})
	k.addEvents(map[string]string{"b": "2"})
	require.Equal(t, map[string]string{"a": "1", "b": "2"}, k.takeEvents())
	require.Nil(t, k.takeEvents())
}
