package synchro

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"clusterpedia.io/storage-api/storage"
)

// findOrphans looks, until ctx ends, for clusters of which objects are stored and that have
// no PediaCluster: the finalizer of one was removed while no manager ran. A PediaCluster
// that is missing may be about to come back, as when the host cluster is set up anew: it
// must be missing for a while. Where there are none at all, the host cluster is not asked
// about any.
func (m *Manager) findOrphans(ctx context.Context) {
	lister, ok := m.Storage.(storage.ClusterLister)
	if !ok || m.KeepOrphans {
		return
	}
	missing := map[string]time.Time{}
	for {
		if err := m.lookForOrphans(ctx, lister, missing); err != nil && ctx.Err() == nil {
			m.Logger.Info("Cannot look for clusters without a PediaCluster, try again later", "err", err)
		}
		if sleep(ctx, m.Tuning.OrphanInterval) != nil {
			return
		}
	}
}

// lookForOrphans has those removed that have been missing for long enough. missing says
// since when each is.
func (m *Manager) lookForOrphans(ctx context.Context, lister storage.ClusterLister, missing map[string]time.Time) error {
	wanted, err := m.clusterLister.List(labels.Everything())
	if err != nil {
		return err
	}
	if len(wanted) == 0 {
		clear(missing)
		return nil
	}
	stored := map[string]bool{}
	listing, cancel := context.WithTimeout(ctx, m.Tuning.Writer.Timeout)
	defer cancel()
	if err := lister.Clusters(listing, func(name string) error { stored[name] = true; return nil }); err != nil {
		return fmt.Errorf("list the stored clusters: %w", err)
	}
	for _, p := range wanted {
		delete(stored, p.Name)
	}
	for name := range missing {
		if !stored[name] {
			delete(missing, name)
		}
	}
	for name := range stored {
		since, known := missing[name]
		switch {
		case !known:
			m.Logger.Info("Objects are stored of a cluster without a PediaCluster", "cluster", name, "removedAfter", m.Tuning.OrphanDelay)
			missing[name] = time.Now()
		case time.Since(since) >= m.Tuning.OrphanDelay:
			m.mu.Lock()
			m.orphans[name] = max(m.orphans[name], 0)
			m.mu.Unlock()
			m.queue.Add(name)
		}
	}
	return nil
}

// vanished deals with a PediaCluster that is gone without its finalizer having been
// waited for.
func (m *Manager) vanished(ctx context.Context, name string) error {
	if c := m.stop(name); c != nil {
		m.mu.Lock()
		m.orphans[name] = c.as.Epoch
		m.mu.Unlock()
	}
	m.mu.Lock()
	epoch, orphan := m.orphans[name]
	m.mu.Unlock()
	if !orphan {
		return nil
	}
	m.Metrics.Gone(name)
	done, err := m.purges.run(ctx, name, "", func(ctx context.Context) error { return m.purgeOrphan(ctx, name, epoch) })
	if err != nil || !done {
		return err
	}
	m.mu.Lock()
	delete(m.orphans, name)
	m.mu.Unlock()
	return nil
}

// purgeOrphan removes what is stored of a cluster, unless the host cluster, and not the
// cache, has a PediaCluster of that name.
func (m *Manager) purgeOrphan(ctx context.Context, name string, epoch int64) error {
	_, err := m.pediaclusters().Get(ctx, name, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return err // the cache will tell
	}
	err = m.purge(ctx, name, epoch-1)
	// If it is fenced, another manager has taken what has the same name now.
	if errors.Is(err, storage.ErrFenced) {
		m.Logger.Info("Leave what is stored of a cluster to another manager", "cluster", name, "err", err)
		return nil
	}
	return err
}
