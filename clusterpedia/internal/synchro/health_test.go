package synchro

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/membercluster"
)

// TestUnreadyMemberIsNotBelieved has a member that starts name fewer resources than it
// has: nothing is removed before it says that it is ready.
func TestUnreadyMemberIsNotBelieved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, nodes, deployments)
	w.options.Tuning.HealthInterval = 2 * time.Second
	w.member.Put(pods, "default", "a", "ua", "")
	w.member.Put(nodes, "", "n", "un", "")
	w.member.Put(deployments, "default", "web", "ud", "")
	w.create(entry("", "*"), entry("apps", "*"))
	w.run()
	w.stored("deployments default/web 103", "nodes n 102", "pods default/a 101")
	w.stop()
	w.member.Serve(pods, deployments)
	w.run()
	w.stored("deployments default/web 103", "pods default/a 101")
	// After that it is asked often for a while.
	var looks atomic.Int64
	w.member.FailWith(func(r *http.Request) int {
		switch r.URL.Path {
		case "/readyz":
			return http.StatusInternalServerError
		case "/apis":
			looks.Add(1)
		}
		return 0
	})
	w.member.Serve(pods)
	w.shows("ClusterHealthy=False/NotReachable", "pods.v1=Stop/Pause")
	require.Greater(t, looks.Load(), int64(1))
	w.stored("deployments default/web 103", "pods default/a 101")
	w.member.FailWith(nil)
	w.stored("pods default/a 101")
}

func TestVersionFailsWhileHealthy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	var fail atomic.Bool
	w.member.FailWith(func(r *http.Request) int {
		if fail.Load() && r.URL.Path == "/readyz" || fail.Load() && r.URL.Path == "/version" {
			return http.StatusInternalServerError
		}
		return 0
	})
	w.create(entry("", "pods"))
	w.run()
	w.shows("ClusterHealthy=True/Healthy/cluster health responded with ok\n")
	fail.Store(true)
	w.shows("ClusterHealthy=False/NotReachable")
	w.member.FailWith(func(r *http.Request) int {
		if r.URL.Path == "/version" {
			return http.StatusInternalServerError
		}
		return 0
	})
	w.shows("ClusterHealthy=True/Healthy/cluster health responded with ok, but get server version: get version: ", "Ready=True")
	require.Equal(t, "v1.37.2", w.get().Status.Version, "what was known stays")
}

// TestHangingHealthCheck has a member that doesn't answer: that is a failure, and the
// next check is made.
func TestHangingHealthCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	var hang atomic.Bool
	w.member.FailWith(func(r *http.Request) int {
		if hang.Load() && r.URL.Path == "/readyz" {
			<-r.Context().Done()
		}
		return 0
	})
	w.create(entry("", "pods"))
	w.run()
	w.shows("Ready=True")
	hang.Store(true)
	start := time.Now()
	w.shows("ClusterHealthy=False/NotReachable", "deadline exceeded")
	require.Less(t, time.Since(start), 4*membercluster.HealthTimeout)
	hang.Store(false)
	w.shows("Ready=True")
}

// TestConditionTimes checks that a condition's time moves with its status alone, and
// that a condition of earlier releases goes.
func TestConditionTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.create(entry("", "pods"))
	long := metav1.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second))
	w.update(func(p *v1alpha2.PediaCluster) {
		p.Status.Conditions = []metav1.Condition{
			{Type: v1alpha2.ClusterSynchroInitializedCondition, Status: metav1.ConditionTrue, Reason: "Initialized", LastTransitionTime: long}, //nolint:staticcheck // Earlier versions wrote it.
			{Type: v1alpha2.ReadyCondition, Status: metav1.ConditionFalse, Reason: "Other", LastTransitionTime: long},
			{Type: v1alpha2.ValidatedCondition, Status: metav1.ConditionTrue, Reason: "Other", LastTransitionTime: long},
		}
	})
	w.run()
	w.shows("Ready=True/Ready/", "Validated=True/Validated/")
	conditions := w.get().Status.Conditions
	require.Nil(t, meta.FindStatusCondition(conditions, v1alpha2.ClusterSynchroInitializedCondition)) //nolint:staticcheck // As above.
	require.True(t, long.Equal(&meta.FindStatusCondition(conditions, v1alpha2.ValidatedCondition).LastTransitionTime))
	require.False(t, long.Equal(&meta.FindStatusCondition(conditions, v1alpha2.ReadyCondition).LastTransitionTime))
}

// TestDeletionWhileMemberIsDown removes a cluster that cannot be reached.
func TestDeletionWhileMemberIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.member.Put(pods, "default", "a", "ua", "")
	w.create(entry("", "pods"))
	w.run()
	w.stored("pods default/a 101")
	w.member.FailWith(func(*http.Request) int { return http.StatusServiceUnavailable })
	w.member.CutWatches()
	w.shows("ClusterHealthy=False")
	w.update(func(p *v1alpha2.PediaCluster) { p.DeletionTimestamp = &metav1.Time{Time: time.Now()} })
	w.eventually(func() bool { return len(w.get().Finalizers) == 0 }, "finalizer")
	require.Empty(t, w.storage.Names())
}

// TestUpgradeOfHealthyMember has a member be upgraded without failing a health check.
func TestUpgradeOfHealthyMember(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.options.Tuning.VersionInterval = 50 * time.Millisecond
	var upgraded atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" && upgraded.Load() {
			fmt.Fprint(rw, `{"gitVersion":"v1.38.0"}`)
			return
		}
		w.member.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	w.create(entry("", "pods"))
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.APIServer = server.URL })
	w.run()
	w.shows("Ready=True")
	require.Equal(t, "v1.37.2", w.get().Status.Version)
	upgraded.Store(true)
	w.eventually(func() bool { return w.get().Status.Version == "v1.38.0" }, "the new version")
}

// TestLongMessages has messages that the host cluster would refuse, and with them the whole
// status.
func TestLongMessages(t *testing.T) {
	t.Parallel()
	var status v1alpha2.ClusterStatus
	long := validity{v1alpha2.InvalidSyncResourcesReason, strings.Repeat("ü", maxConditionMessage)}
	setConditions(&status, long.condition("a note"))
	require.NotEmpty(t, status.Conditions)
	for _, c := range status.Conditions {
		require.LessOrEqual(t, len(c.Message), maxConditionMessage)
		require.True(t, utf8.ValidString(c.Message))
	}
	before := status.DeepCopy()
	setConditions(&status, long.condition("another note"))
	require.Equal(t, before, &status)
}
