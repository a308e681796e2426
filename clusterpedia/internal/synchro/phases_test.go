package synchro

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestFirstFailureIsOnlyTold has a member fail one health check, and then more.
func TestFirstFailureIsOnlyTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.options.Tuning.HealthInterval = 100 * time.Millisecond
	w.member.Put(pods, "default", "a", "ua", "")
	var failing atomic.Bool
	var failures atomic.Int64
	second := make(chan struct{})
	t.Cleanup(func() { close(second) })
	w.member.FailWith(func(r *http.Request) int {
		if r.URL.Path != "/readyz" || !failing.Load() {
			return 0
		}
		if failures.Add(1) == 2 {
			select {
			case <-second:
			case <-r.Context().Done():
			}
		}
		return http.StatusInternalServerError
	})
	w.create(entry("", "pods"))
	w.run()
	w.shows("ClusterHealthy=True/Healthy", "pods.v1=Syncing/")
	failing.Store(true)
	w.shows("ClusterHealthy=False/NotReachable", "Ready=False", "pods.v1=Syncing/")
	w.member.Put(pods, "default", "b", "ub", "")
	w.stored("pods default/a 101", "pods default/b 102")
	second <- struct{}{}
	w.shows("ClusterHealthy=False/NotReachable", "pods.v1=Stop/Pause")
	failing.Store(false)
	w.shows("ClusterHealthy=True/Healthy", "Ready=True", "pods.v1=Syncing/")
}

// TestInitialListPhase has the first list take long: the status says so until all is
// stored.
func TestInitialListPhase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	for _, name := range []string{"a", "b", "c"} {
		w.member.Put(pods, "default", name, "u"+name, "")
	}
	second := make(chan struct{})
	w.member.FailWith(func(r *http.Request) int {
		if r.URL.Query().Get("continue") != "" {
			select {
			case <-second:
			case <-r.Context().Done():
			}
		}
		return 0
	})
	w.create(entry("", "pods"))
	w.run()
	w.shows("pods.v1=Pending//initial")
	close(second)
	w.stored("pods default/a 101", "pods default/b 102", "pods default/c 103")
	w.eventually(func() bool { return strings.HasSuffix(w.describe(), "pods.v1=Syncing/") }, "it says initial for ever")
}
