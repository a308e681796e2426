package synchro

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRestorationIsPassedOn has a member restored, and give a node the very version that it
// had before. Only the pods, which had higher ones, can see that.
func TestRestorationIsPassedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, nodes)
	w.member.Put(pods, "default", "a", "ua", "")
	w.member.Put(nodes, "", "n", "un", "")
	w.create(entry("", "pods", "nodes"))
	w.run()
	w.stored("nodes n 102", "pods default/a 101")
	w.shows("nodes.v1=Syncing/", "pods.v1=Syncing/")
	for range 8 {
		w.member.Put(pods, "default", "a", "ua", "")
	}
	w.stored("nodes n 102", "pods default/a 110")
	require.Equal(t, []string{"put"}, w.written("un"))
	w.member.Restore(103)
	w.stored("nodes n 102", "pods default/a 102")
	w.eventually(func() bool { return slices.Equal(w.written("un"), []string{"put", "put"}) }, "the node is not written again")
}

// TestDoubtOutlivesItsResource has a resource be read in another way before it could list
// what another one had it doubt.
func TestDoubtOutlivesItsResource(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, memberEvents)
	w.member.Put(pods, "default", "a", "ua", "")
	w.create(entry("", "pods"))
	m := w.run()
	w.stored("pods default/a 101")
	w.shows("pods.v1=Syncing/")
	w.member.FailWith(func(*http.Request) int { return http.StatusInternalServerError })
	w.shows("pods.v1=Stop/Pause")
	c := m.running("one")
	c.memberRestored(time.Time{})
	before := c.synced()[0]
	e := entry("", "pods")
	e.EventsInvolvedResources = []string{"pods"}
	w.selectOnly(e)
	w.eventually(func() bool { return c.synced()[0] != before }, "it is not replaced")
	w.member.FailWith(nil)
	w.eventually(func() bool { return slices.Equal(w.written("ua"), []string{"put", "put"}) }, "the pod is not written again")
}
