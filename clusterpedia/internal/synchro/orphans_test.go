package synchro

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/synchro/fakemember"
	"clusterpedia.io/clusterpedia/internal/synchro/faulty"
	"clusterpedia.io/storage-api/storage"
)

// leave stores an object of a cluster that has no PediaCluster.
func (w *world) leave(cluster string) {
	w.t.Helper()
	key := storage.Key{Cluster: cluster, Resource: storage.Resource{Version: "v1", Resource: "pods"}, Namespace: "default", Name: "left"}
	require.NoError(w.t, w.storage.Apply(w.t.Context(), storage.Writer{Cluster: cluster}, []storage.Change{{Put: &storage.Object{Key: key, ResourceVersion: "1"}}}))
}

// bystander makes a PediaCluster that is never synced: where there is none at all, nothing
// is removed.
func (w *world) bystander() {
	w.t.Helper()
	_, err := w.host.ClusterV1alpha2().PediaClusters().Create(w.t.Context(), &v1alpha2.PediaCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "bystander", UID: "uid-bystander"},
		Spec:       v1alpha2.ClusterSpec{ShardingName: "of nobody"},
	}, metav1.CreateOptions{})
	require.NoError(w.t, err)
}

// runBesideBystander has a manager sync a pod, with a bystander.
func (w *world) runBesideBystander() *Manager {
	w.t.Helper()
	w.bystander()
	w.member.Put(pods, "default", "a", "ua", "")
	w.create(entry("", "pods"))
	m := w.run()
	w.stored("pods default/a 101")
	return m
}

// vanish takes the PediaCluster away without waiting for its finalizer.
func (w *world) vanish() {
	w.t.Helper()
	require.NoError(w.t, w.host.ClusterV1alpha2().PediaClusters().Delete(w.t.Context(), "one", metav1.DeleteOptions{}))
}

// remains checks that what is stored doesn't change for much longer than orphans wait.
func (w *world) remains(want ...string) {
	w.t.Helper()
	require.Never(w.t, func() bool { return !slices.Equal(want, w.storage.Names()) }, 10*testTuning().OrphanDelay, tick)
}

// anonymous is a storage layer that doesn't name its clusters.
type anonymous struct{ storage.Storage }

// TestForcedDeletion takes a PediaCluster away below a running manager: by force, or since
// the host cluster was set up anew.
func TestForcedDeletion(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change  func(w *world)
		alone   bool
		removed bool
	}{
		"removed":                              {removed: true},
		"removed where clusters have no names": {change: func(w *world) { w.options.Storage = anonymous{w.storage} }, removed: true},
		"not at once":                          {change: func(w *world) { w.options.Tuning.OrphanDelay = time.Hour }},
		"kept if that is wanted":               {change: func(w *world) { w.options.RemoveOrphans = OrphansNone }},
		"kept by an empty host cluster":        {alone: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, pods)
			if tc.change != nil {
				tc.change(w)
			}
			if !tc.alone {
				w.bystander()
			}
			w.member.Put(pods, "default", "a", "ua", "")
			w.create(entry("", "pods"))
			m := w.run()
			w.stored("pods default/a 101")
			w.vanish()
			w.eventually(func() bool { return m.running("one") == nil }, "not stopped")
			w.member.Put(pods, "default", "b", "ub", "")
			if tc.removed {
				w.stored()
				return
			}
			w.remains("pods default/a 101")
		})
	}
}

// TestForcedDeletionDuringAnOutage removes the finalizer by force, since the storage layer is
// away and the deletion waits for it.
func TestForcedDeletionDuringAnOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	m := w.runBesideBystander()
	var attempts atomic.Int64
	w.storage.FailWith(func(op string, _ []storage.Change) error {
		if op != "clusters" {
			attempts.Add(1)
		}
		return storage.Retryable(errors.New("connection refused"))
	})
	w.update(func(p *v1alpha2.PediaCluster) { p.DeletionTimestamp = &metav1.Time{Time: time.Now()} })
	w.eventually(func() bool { return attempts.Load() > 0 }, "not purged")
	w.vanish()
	w.eventually(func() bool { _, err := m.clusterLister.Get("one"); return err != nil }, "it is still there")
	w.storage.FailWith(nil)
	w.stored()
}

// TestOrphanComesBack has a PediaCluster come back, for whatever manager: nothing is left of
// what was noted of its absence.
func TestOrphanComesBack(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(p *v1alpha2.PediaCluster)
		ours   bool
	}{
		"as it was":         {change: func(*v1alpha2.PediaCluster) {}, ours: true},
		"for another":       {change: func(p *v1alpha2.PediaCluster) { p.Spec.ShardingName = "b" }},
		"to be handed over": {change: func(p *v1alpha2.PediaCluster) { p.Spec.ShardingName, p.Status.ShardingName = "b", new(string) }, ours: true},
		"to be deleted": {change: func(p *v1alpha2.PediaCluster) {
			p.DeletionTimestamp, p.Finalizers = &metav1.Time{Time: time.Now()}, []string{"example.io/other"}
		}, ours: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, pods)
			p := &v1alpha2.PediaCluster{ObjectMeta: metav1.ObjectMeta{Name: "one", UID: "uid-one"}}
			tc.change(p)
			m, err := New(w.options)
			require.NoError(t, err)
			m.ours["one"], m.orphans["one"] = 7, &orphan{due: true}
			require.NoError(t, m.factory.Cluster().V1alpha2().PediaClusters().Informer().GetStore().Add(p))
			_ = m.reconcile(t.Context(), "one") // the host cluster may miss it
			require.Empty(t, m.orphans)
			_, ours := m.ours["one"]
			require.Equal(t, tc.ours, ours)
		})
	}
}

// TestOrphansAreRemoved removes the finalizer of a PediaCluster by force while no manager
// runs.
func TestOrphansAreRemoved(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		policy  OrphanPolicy
		without bool
		want    []string
	}{
		"removed":                       {policy: OrphansAll, want: []string{"pods default/a 101"}},
		"kept, as another host's":       {want: []string{"pods default/a 101", "pods default/left 1"}},
		"kept if that is wanted":        {policy: OrphansNone, want: []string{"pods default/a 101", "pods default/left 1"}},
		"kept by an empty host cluster": {policy: OrphansAll, without: true, want: []string{"pods default/left 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, pods)
			w.member.Put(pods, "default", "a", "ua", "")
			w.leave("ghost")
			w.options.RemoveOrphans = tc.policy
			if !tc.without {
				w.create(entry("", "pods"))
			}
			w.run()
			w.stored(tc.want...)
			w.remains(tc.want...)
		})
	}
}

// TestOrphanByAPediaCluster makes a PediaCluster to get rid of what is stored under its name.
func TestOrphanByAPediaCluster(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.leave("one")
	w.create()
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec = v1alpha2.ClusterSpec{} })
	w.run()
	w.eventually(func() bool { return len(w.get().Finalizers) == 1 }, "finalizer")
	w.update(func(p *v1alpha2.PediaCluster) { p.DeletionTimestamp = &metav1.Time{Time: time.Now()} })
	w.stored()
}

// TestNameOfAnotherHost has another host cluster take the name of a cluster that vanished
// before anything was stored.
func TestNameOfAnotherHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.bystander()
	w.create(entry("", "pods"))
	m := w.run()
	w.shows("Ready=True", "pods.v1=Syncing/")
	w.vanish()
	w.eventually(func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.ours) == 0
	}, "not forgotten")
	w.leave("one")
	w.remains("pods default/left 1")
}

// TestCacheIsNotBelieved has the cache miss a PediaCluster that there is.
func TestCacheIsNotBelieved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.create(entry("", "pods"))
	w.leave("one")
	m, err := New(w.options)
	require.NoError(t, err)
	m.orphans["one"] = &orphan{due: true}
	require.NoError(t, m.vanished(t.Context(), "one"))
	m.purges.wait()
	require.NoError(t, m.vanished(t.Context(), "one"))
	require.Empty(t, m.orphans)
	w.stored("pods default/left 1")
}

// TestLatePurgeHarmsNobody has a manager pause in the middle of a purge, whatever it is for,
// while the PediaCluster is made anew for another manager.
func TestLatePurgeHarmsNobody(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		purge func(ctx context.Context, m *Manager, p *v1alpha2.PediaCluster) error
		// ahead is how much higher the epochs of the manager are that pauses.
		ahead int64
		// pause has f called once, in the middle.
		pause func(w *world, o *Options, f func())
	}{
		"an orphan, before the claim":            {purge: purgeOrphan, pause: beforeClaim},
		"an orphan, before a claim that wins":    {purge: purgeOrphan, pause: beforeClaim, ahead: 1000},
		"an orphan, behind the claim":            {purge: purgeOrphan, pause: beforePurge},
		"an orphan, behind a claim that wins":    {purge: purgeOrphan, pause: beforePurge, ahead: 1000},
		"a deletion, before the claim":           {purge: purgeDeleted, pause: beforeClaim},
		"a deletion, before a claim that wins":   {purge: purgeDeleted, pause: beforeClaim, ahead: 1000},
		"a deletion, behind the claim":           {purge: purgeDeleted, pause: beforePurge},
		"a deletion, behind the claim that wins": {purge: purgeDeleted, pause: beforePurge, ahead: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, pods)
			w.member.Put(pods, "default", "a", "ua", "")
			w.leave("one")
			o := w.options
			o.ShardingName = "a"
			o.Epoch = func(ctx context.Context) (int64, error) {
				epoch, err := w.epoch(ctx)
				return epoch + tc.ahead, err
			}
			host := w.host.ClusterV1alpha2().PediaClusters()
			before, err := host.Create(t.Context(), &v1alpha2.PediaCluster{
				ObjectMeta: metav1.ObjectMeta{Name: "one", UID: "uid-before"}, Spec: v1alpha2.ClusterSpec{ShardingName: "a"},
			}, metav1.CreateOptions{})
			require.NoError(t, err)
			tc.pause(w, &o, func() {
				_ = host.Delete(t.Context(), "one", metav1.DeleteOptions{}) // that of an orphan is gone
				w.create(entry("", "pods"))
				w.run()
				w.stored("pods default/a 101")
				w.shows("Ready=True", "pods.v1=Syncing/")
			})
			m, err := New(o)
			require.NoError(t, err)
			require.Error(t, tc.purge(t.Context(), m, before))
			require.Equal(t, []string{"pods default/a 101"}, w.storage.Names())
			// Who was overtaken by the claim finds that out.
			w.member.Put(pods, "default", "b", "ub", "")
			w.stored("pods default/a 101", "pods default/b 102")
			w.shows("Ready=True", "pods.v1=Syncing/")
		})
	}
}

func purgeOrphan(ctx context.Context, m *Manager, p *v1alpha2.PediaCluster) error {
	if err := m.pediaclusters().Delete(ctx, p.Name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	return m.purgeOrphan(ctx, p.Name, 0)
}

func purgeDeleted(ctx context.Context, m *Manager, p *v1alpha2.PediaCluster) error {
	return m.purgeDeleted(ctx, p)
}

func beforeClaim(_ *world, o *Options, f func()) {
	epoch := o.Epoch
	var once sync.Once
	o.Epoch = func(ctx context.Context) (int64, error) {
		once.Do(f)
		return epoch(ctx)
	}
}

func beforePurge(w *world, _ *Options, f func()) {
	var once sync.Once
	w.storage.FailWith(func(op string, _ []storage.Change) error {
		if op == "purge" {
			once.Do(f)
		}
		return nil
	})
}

// TestOrphanAfterRestoration has the host cluster restored from a backup: epochs that are
// stored are higher than all that follow.
func TestOrphanAfterRestoration(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		ours map[string]int64
		want []string
	}{
		"of an earlier manager":       {want: nil},
		"of this one, not written":    {ours: map[string]int64{"ghost": 0}, want: nil},
		"of this one, written":        {ours: map[string]int64{"ghost": 1 << 40}, want: nil},
		"of another since this one's": {ours: map[string]int64{"ghost": 7}, want: []string{"pods default/left 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, pods)
			w.leave("ghost")
			require.NoError(t, w.storage.Apply(t.Context(), storage.Writer{Cluster: "ghost", Epoch: 1 << 40}, nil))
			m, err := New(w.options)
			require.NoError(t, err)
			maps.Copy(m.ours, tc.ours)
			m.orphans["ghost"] = &orphan{due: true}
			require.NoError(t, m.vanished(t.Context(), "ghost"))
			m.purges.wait()
			require.NoError(t, m.vanished(t.Context(), "ghost"))
			require.Equal(t, tc.want, w.storage.Names())
			require.Empty(t, m.orphans)
			require.Empty(t, m.ours)
		})
	}
}

// TestOrphanOfTheManagerBefore removes the finalizer of a PediaCluster by force while no
// manager runs, and has the next one know what the one before left.
func TestOrphanOfTheManagerBefore(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(w *world, before string) string
		want   []string
	}{
		"removed":                      {change: func(_ *world, before string) string { return before }},
		"kept if nothing is known":     {change: func(*world, string) string { return "" }, want: []string{"pods default/a 101"}},
		"kept if that cannot be read":  {change: func(*world, string) string { return "{" }, want: []string{"pods default/a 101"}},
		"kept if another has taken it": {change: func(w *world, before string) string { w.take(); return before }, want: []string{"pods default/a 101"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, pods)
			m := w.runBesideBystander()
			w.stop()
			before := m.Record(1000)
			require.JSONEq(t, `{"epochs":{"one":1}}`, before)
			w.vanish()
			w.revision.Store(1000)
			w.options.Before = tc.change(w, before)
			m = w.run()
			w.stored(tc.want...)
			w.remains(tc.want...)
			require.JSONEq(t, `{"epochs":{}}`, m.Record(1000))
		})
	}
}

// take has the manager of another host cluster write to the cluster.
func (w *world) take() {
	w.t.Helper()
	require.NoError(w.t, w.storage.Apply(w.t.Context(), storage.Writer{Cluster: "one", Epoch: 2}, nil))
}

// TestRecordIsBounded has more clusters than there is room for.
func TestRecordIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	m, err := New(w.options)
	require.NoError(t, err)
	for i := range 100 {
		m.ours[fmt.Sprintf("c%02d", i)] = int64(i)
	}
	m.orphans["c98"], m.orphans["c97"] = &orphan{}, &orphan{}
	text := m.Record(47)
	require.JSONEq(t, `{"epochs":{"c01":1,"c02":2,"c97":97,"c98":98}}`, text)
	for most := range 100 {
		require.LessOrEqual(t, len(m.Record(most)), max(most, len(`{"epochs":{}}`)))
	}
	w.options.Before = m.Record(1 << 20)
	next, err := New(w.options)
	require.NoError(t, err)
	delete(m.ours, "c00") // it was never claimed
	require.Equal(t, m.ours, next.ours)
}

// TestOrphanThatAnotherHostTook has another host cluster write under the name of an orphan,
// with an epoch that is lower than those that this host cluster has by now.
func TestOrphanThatAnotherHostTook(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		later int64
		want  []string
	}{
		"taken":     {later: 1, want: []string{"pods default/left 1"}},
		"not taken": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, pods)
			w.bystander()
			w.options.Tuning.OrphanDelay = 200 * time.Millisecond
			w.member.Put(pods, "default", "a", "ua", "")
			w.create(entry("", "pods"))
			m := w.run()
			w.stored("pods default/a 101")
			as := m.running("one").as
			w.vanish()
			w.eventually(func() bool { return m.running("one") == nil }, "not stopped")
			w.revision.Add(1000)
			if tc.later != 0 {
				other := storage.Writer{Cluster: "one", Epoch: as.Epoch + tc.later}
				require.NoError(t, w.storage.Purge(t.Context(), other, nil))
			}
			w.leave("one")
			w.eventually(func() bool {
				m.mu.Lock()
				defer m.mu.Unlock()
				return len(m.ours) == 0
			}, "it is not settled")
			require.Equal(t, tc.want, w.storage.Names())
		})
	}
}

// TestOrphanAfterAnUnknownClaim has a claim reach the storage layer whose answer is lost: it
// is this manager's all the same.
func TestOrphanAfterAnUnknownClaim(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.bystander()
	w.member.Put(pods, "default", "a", "ua", "")
	w.create(entry("", "pods"))
	w.options.Storage = &deaf{Storage: w.storage}
	m := w.run()
	w.stored("pods default/a 101")
	w.options.Storage.(*deaf).on.Store(true)
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.TokenData = []byte("another") })
	w.shows("SynchroRunning=False/InitialFailed/claim the cluster: no answer")
	w.vanish()
	w.eventually(func() bool { return m.running("one") == nil }, "not stopped")
	w.options.Storage.(*deaf).on.Store(false)
	w.stored()
}

// TestRefusedClaimIsNone has a claim refused, and the cluster be another's: this manager has
// not written with that epoch.
func TestRefusedClaimIsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.leave("one")
	require.NoError(t, w.storage.Apply(t.Context(), storage.Writer{Cluster: "one", Epoch: 1 << 40}, nil))
	m, err := New(w.options)
	require.NoError(t, err)
	m.ours["one"] = 0
	require.ErrorIs(t, m.purge(t.Context(), "one", 0, func(context.Context) error { return errNotOwned }), errNotOwned)
	require.Equal(t, map[string]int64{"one": 0}, m.ours)
	w.stored("pods default/left 1")
}

// deaf is a storage layer whose answers to claims are lost while it is on.
type deaf struct {
	*faulty.Storage
	on atomic.Bool
}

func (d *deaf) Apply(ctx context.Context, w storage.Writer, changes []storage.Change) error {
	err := d.Storage.Apply(ctx, w, changes)
	if err == nil && len(changes) == 0 && d.on.Load() {
		return storage.Retryable(errors.New("no answer"))
	}
	return err
}

// TestPurgesHoldNobodyUp removes a cluster whose purge takes long, with one worker.
func TestPurgesHoldNobodyUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.options.Workers, w.options.Tuning.Purges = 1, 1
	other := fakemember.New(pods)
	t.Cleanup(other.Close)
	other.Put(pods, "default", "b", "ub", "")
	w.member.Put(pods, "default", "a", "ua", "")
	w.create(entry("", "pods"))
	w.run()
	w.stored("pods default/a 101")
	release, purging := make(chan struct{}), atomic.Int64{}
	w.storage.FailWith(func(op string, _ []storage.Change) error {
		if op == "purge" && purging.Add(1) == 1 {
			<-release
		}
		return nil
	})
	w.update(func(p *v1alpha2.PediaCluster) { p.DeletionTimestamp = &metav1.Time{Time: time.Now()} })
	w.eventually(func() bool { return purging.Load() == 1 }, "not purged")
	_, err := w.host.ClusterV1alpha2().PediaClusters().Create(t.Context(), &v1alpha2.PediaCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "two", UID: types.UID("uid-two")},
		Spec:       v1alpha2.ClusterSpec{APIServer: other.URL(), TokenData: []byte("token"), SyncResources: []v1alpha2.ClusterGroupResources{entry("", "pods")}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	w.stored("pods default/a 101", "pods default/b 101")
	require.Equal(t, []string{Finalizer}, w.get().Finalizers)
	close(release)
	w.eventually(func() bool { return len(w.get().Finalizers) == 0 }, "finalizer")
	w.stored("pods default/b 101")
	require.EqualValues(t, 1, purging.Load())
}

// TestPurgeEndsBeforeTheNextCluster makes a PediaCluster anew while its predecessor is
// still being removed.
func TestPurgeEndsBeforeTheNextCluster(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.member.Put(pods, "default", "a", "ua", "")
	w.create(entry("", "pods"))
	slow := &slowPurge{Storage: w.storage, purging: make(chan struct{}, 1)}
	w.options.Storage = slow
	w.bystander()
	w.run()
	w.stored("pods default/a 101")
	w.vanish()
	<-slow.purging
	w.create(entry("", "pods"))
	w.update(func(p *v1alpha2.PediaCluster) { p.UID = "uid-again" })
	w.shows("Ready=True", "pods.v1=Syncing/")
	w.stored("pods default/a 101")
}

// slowPurge has purges last until their contexts end.
type slowPurge struct {
	*faulty.Storage
	purging chan struct{}
}

func (s *slowPurge) Purge(ctx context.Context, w storage.Writer, r *storage.Resource) error {
	select {
	case s.purging <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return ctx.Err()
}
