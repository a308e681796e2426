package synchro

import (
	"context"
	"slices"
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

// TestOrphansAreRemoved removes the finalizer of a PediaCluster by force while no manager
// runs.
func TestOrphansAreRemoved(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		keep, without bool
		want          []string
	}{
		"removed":                  {want: []string{"pods default/a 101"}},
		"kept if that is wanted":   {keep: true, want: []string{"pods default/a 101", "pods default/left 1"}},
		"kept by an empty cluster": {without: true, want: []string{"pods default/left 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, pods)
			w.member.Put(pods, "default", "a", "ua", "")
			w.leave("ghost")
			w.options.KeepOrphans = tc.keep
			if !tc.without {
				w.create(entry("", "pods"))
			}
			w.run()
			w.eventually(func() bool { return len(w.storage.Names()) == len(tc.want) }, "wanted %q", tc.want)
			w.stored(tc.want...)
			require.Never(t, func() bool { return !slices.Equal(tc.want, w.storage.Names()) }, 5*w.options.Tuning.OrphanDelay, tick)
		})
	}
}

// TestCacheIsNotBelieved has the cache miss a PediaCluster that there is.
func TestCacheIsNotBelieved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.create(entry("", "pods"))
	w.leave("one")
	m, err := New(w.options)
	require.NoError(t, err)
	m.orphans["one"] = 0
	require.NoError(t, m.vanished(t.Context(), "one"))
	m.purges.wait()
	require.NoError(t, m.vanished(t.Context(), "one"))
	require.Empty(t, m.orphans)
	w.stored("pods default/left 1")
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
	w.run()
	w.stored("pods default/a 101")
	require.NoError(t, w.host.ClusterV1alpha2().PediaClusters().Delete(t.Context(), "one", metav1.DeleteOptions{}))
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
