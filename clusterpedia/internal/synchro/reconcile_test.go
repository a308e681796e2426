package synchro

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/synchro/fakemember"
	"clusterpedia.io/storage-api/storage"
)

// TestSharedSelectionAcrossRestart selects everything by a ClusterSyncResources alone: a
// manager that starts must have read it before it takes anything for unselected.
func TestSharedSelectionAcrossRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, nodes)
	w.member.Put(pods, "default", "a", "ua", "")
	w.member.Put(nodes, "", "n", "un", "")
	shared := &v1alpha2.ClusterSyncResources{
		ObjectMeta: metav1.ObjectMeta{Name: "shared"},
		Spec:       v1alpha2.ClusterSyncResourcesSpec{SyncResources: []v1alpha2.ClusterGroupResources{entry("", "pods", "nodes")}},
	}
	_, err := w.host.ClusterV1alpha2().ClusterSyncResources().Create(t.Context(), shared, metav1.CreateOptions{})
	require.NoError(t, err)
	w.create()
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.SyncResourcesRefName = "shared" })
	w.run()
	w.stored("nodes n 102", "pods default/a 101")
	w.stop()
	w.storage.Writes()
	var purges atomic.Int64
	w.storage.FailWith(func(op string, _ []storage.Change) error {
		if op == "purge" {
			purges.Add(1)
		}
		return nil
	})
	w.run()
	w.shows("pods.v1=Syncing/\n", "nodes.v1=Syncing/", "Ready=True")
	puts, deletes := w.storage.Writes()
	require.Zero(t, puts+deletes)
	require.Zero(t, purges.Load())

	// A change of it is a change of all that name it. Its end is none.
	shared.Spec.SyncResources = []v1alpha2.ClusterGroupResources{entry("", "nodes")}
	_, err = w.host.ClusterV1alpha2().ClusterSyncResources().Update(t.Context(), shared, metav1.UpdateOptions{})
	require.NoError(t, err)
	w.stored("nodes n 102")
	require.NoError(t, w.host.ClusterV1alpha2().ClusterSyncResources().Delete(t.Context(), "shared", metav1.DeleteOptions{}))
	w.shows("Validated=True/Validated/" + messageRefNotFound + "; " + messageRefLast)
	w.member.Put(nodes, "", "m", "um", "")
	w.stored("nodes m 103", "nodes n 102")
	w.stop()
	w.run()
	w.member.Put(nodes, "", "m", "um", "")
	w.stored("nodes m 104", "nodes n 102")

	// To name it no more is.
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.SyncResourcesRefName = "" })
	w.stored()
	w.eventually(func() bool { return w.get().Status.SyncResourcesRef == nil }, "still remembered")
}

// TestMemberUpgradeWhileRunning takes the version away that is read, as an upgrade of the
// member does.
func TestMemberUpgradeWhileRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oldBudgets)
	w.member.Put(oldBudgets, "default", "a", "ua", "")
	w.create(entry("policy", "*"))
	w.run()
	w.stored("poddisruptionbudgets default/a 101")
	w.shows("poddisruptionbudgets.v1beta1=Syncing/")
	w.member.FailWith(func(*http.Request) int { return http.StatusServiceUnavailable })
	w.member.CutWatches()
	w.shows("poddisruptionbudgets.v1beta1=Stop/Pause")
	w.member.Serve(newBudgets)
	w.member.Put(newBudgets, "default", "a", "ua", "")
	w.member.Put(newBudgets, "default", "b", "ub", "")
	w.member.FailWith(nil)
	w.shows("poddisruptionbudgets.v1=Syncing/", "Ready=True")
	w.stored("poddisruptionbudgets default/a 102", "poddisruptionbudgets default/b 103")
	require.NotContains(t, w.describe(), "v1beta1")
}

// TestVersionThatIsGone has the member serve one version of a custom resource less: that is
// believed like the end of a resource.
func TestVersionThatIsGone(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		code int
		want []string
	}{
		"its path is gone, too":     {want: []string{"gadgets default/a 102", "gadgets default/b 103"}},
		"its path answers":          {code: http.StatusOK, want: []string{"gadgets default/a 101", "gadgets default/a 102", "gadgets default/b 103"}},
		"its path is not available": {code: http.StatusServiceUnavailable, want: []string{"gadgets default/a 101", "gadgets default/a 102", "gadgets default/b 103"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, gadgets("v1"), gadgets("v1beta1"))
			w.member.Put(gadgets("v1beta1"), "default", "a", "ua", "")
			w.member.Put(gadgets("v1"), "default", "a", "ua", "")
			w.create(entry("example.io", "gadgets"))
			w.run()
			w.stored("gadgets default/a 101", "gadgets default/a 102")
			w.shows("gadgets.v1=Syncing/", "gadgets.v1beta1=Syncing/")
			var asked atomic.Int64
			w.member.FailWith(func(r *http.Request) int {
				if r.URL.Path == "/apis/example.io/v1beta1/gadgets" && r.URL.RawQuery == "limit=1" {
					asked.Add(1)
					return tc.code
				}
				return 0
			})
			w.stop()
			w.member.Serve(gadgets("v1"))
			w.run()
			w.eventually(func() bool { return asked.Load() > 0 }, "not asked")
			w.member.Put(gadgets("v1"), "default", "b", "ub", "")
			w.stored(tc.want...)
			// It is not wanted.
			e := entry("example.io", "gadgets")
			e.Versions = []string{"v1"}
			w.selectOnly(e)
			w.stored("gadgets default/a 102", "gadgets default/b 103")
		})
	}
}

// gadgets are a custom resource.
func gadgets(version string) fakemember.Resource {
	return fakemember.Resource{GroupVersion: schema.GroupVersion{Group: "example.io", Version: version}, Name: "gadgets", Kind: "Gadget", Namespaced: true}
}

// TestHandOverAfterAKill has a manager give a cluster away that one before it was copying
// when it was killed: the status does not say any more that it is copied.
func TestHandOverAfterAKill(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.create(entry("", "pods"))
	w.update(func(p *v1alpha2.PediaCluster) {
		p.Finalizers = []string{Finalizer}
		p.Spec.ShardingName, p.Status.ShardingName = "b", new(string)
		for _, kind := range []string{v1alpha2.ValidatedCondition, v1alpha2.SynchroRunningCondition, v1alpha2.ClusterHealthyCondition, v1alpha2.ReadyCondition} {
			meta.SetStatusCondition(&p.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: "Before"})
		}
	})
	w.run()
	w.shows("SynchroRunning=False/Shutdown/"+messageShutdown, "ClusterHealthy=Unknown/MonitorStop/"+messageShutdown, "Ready=False/NotReady")
	require.Nil(t, w.get().Status.ShardingName)
}

// TestDeadMembersHoldNobodyUp has the only worker meet members that take every connection
// and never answer.
func TestDeadMembersHoldNobodyUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.options.Workers = 1
	dead := fakemember.New(pods)
	t.Cleanup(dead.Close)
	dead.FailWith(func(r *http.Request) int {
		<-r.Context().Done()
		return http.StatusServiceUnavailable
	})
	w.member.Put(pods, "default", "a", "ua", "")
	w.run()
	for _, name := range []string{"dead-1", "dead-2", "dead-3"} {
		_, err := w.host.ClusterV1alpha2().PediaClusters().Create(t.Context(), &v1alpha2.PediaCluster{
			ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name)},
			Spec:       v1alpha2.ClusterSpec{APIServer: dead.URL(), TokenData: []byte("token"), SyncResources: []v1alpha2.ClusterGroupResources{entry("", "pods")}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	start := time.Now()
	w.create(entry("", "pods"))
	w.stored("pods default/a 101")
	w.shows("Ready=True")
	require.Less(t, time.Since(start), prepareTimeout/2)
	// They can be deleted, too.
	for _, name := range []string{"dead-1", "dead-2", "dead-3"} {
		require.NoError(t, w.host.ClusterV1alpha2().PediaClusters().Delete(t.Context(), name, metav1.DeleteOptions{}))
	}
	w.stop()
	require.Less(t, time.Since(start), prepareTimeout)
}

// TestDeletionDuringAnOutage deletes a PediaCluster while the storage layer is away for
// longer than any fixed number of attempts would last.
func TestDeletionDuringAnOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.member.Put(pods, "default", "a", "ua", "")
	w.create(entry("", "pods"))
	w.run()
	w.stored("pods default/a 101")
	var attempts atomic.Int64
	w.storage.FailWith(func(op string, _ []storage.Change) error {
		if op == "purge" {
			attempts.Add(1)
			return storage.Retryable(http.ErrServerClosed)
		}
		return nil
	})
	w.update(func(p *v1alpha2.PediaCluster) { p.DeletionTimestamp = &metav1.Time{Time: time.Now()} })
	w.eventually(func() bool { return attempts.Load() > 20 }, "it is given up")
	require.Equal(t, []string{Finalizer}, w.get().Finalizers)
	w.storage.FailWith(nil)
	w.eventually(func() bool { return len(w.get().Finalizers) == 0 }, "finalizer")
	require.Empty(t, w.storage.Names())
}

// TestForeignStatusIsPutRight has somebody else write the status.
func TestForeignStatusIsPutRight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.create(entry("", "pods"))
	w.run()
	w.shows("Ready=True", "pods.v1=Syncing/")
	w.update(func(p *v1alpha2.PediaCluster) {
		meta.SetStatusCondition(&p.Status.Conditions, metav1.Condition{Type: v1alpha2.ReadyCondition, Status: metav1.ConditionFalse, Reason: "Wrong"})
		p.Status.SyncResources = nil
	})
	w.shows("Ready=True/Ready/", "pods.v1=Syncing/")
	require.NotContains(t, w.describe(), "Wrong")
}

// TestFarewellWithoutLease has a manager end that doesn't lead any more: the status is the
// next one's.
func TestFarewellWithoutLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	var lost atomic.Bool
	w.options.Epoch = func(ctx context.Context) (int64, error) {
		if lost.Load() {
			return 0, errors.New("lease lost")
		}
		return w.epoch(ctx)
	}
	w.create(entry("", "pods"))
	w.run()
	w.shows("Ready=True", "pods.v1=Syncing/")
	lost.Store(true)
	w.stop()
	w.shows("SynchroRunning=True", "pods.v1=Syncing/")
}
