package synchro

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/storage-api/storage"
)

// OrphanPolicy says of which clusters without a PediaCluster is removed what is stored. The
// storage layer doesn't tell which host cluster they belong to.
type OrphanPolicy string

const (
	// OrphansKnown are those that this manager, or the one before, has been responsible for.
	OrphansKnown OrphanPolicy = "known"
	// OrphansAll are all that the storage layer names: no other host cluster may use it.
	OrphansAll OrphanPolicy = "all"
	// OrphansNone keeps everything.
	OrphansNone OrphanPolicy = "none"
)

// Validate returns an error if the policy is none of the above.
func (p OrphanPolicy) Validate() error {
	if slices.Contains([]OrphanPolicy{OrphansKnown, OrphansAll, OrphansNone}, p) {
		return nil
	}
	return fmt.Errorf("remove-orphaned-clusters must be %s, %s or %s, not %q", OrphansKnown, OrphansAll, OrphansNone, string(p))
}

// orphan is a cluster of which objects may be stored, and that has no PediaCluster.
type orphan struct {
	// since is when it was first found to have none.
	since time.Time
	// due says that it has had none for long enough: what is stored is being removed.
	due bool
}

// findOrphans looks, until ctx ends, for clusters of which objects are stored and that have
// no PediaCluster: the finalizer of one was removed by force. A PediaCluster that is missing
// may be about to come back, as when the host cluster is set up anew: it must be missing for
// a while. Where there are none at all, the host cluster is not asked about any.
func (m *Manager) findOrphans(ctx context.Context) {
	if m.RemoveOrphans == OrphansNone {
		return
	}
	for {
		if err := m.lookForOrphans(ctx); err != nil && ctx.Err() == nil {
			m.Logger.Info("Cannot look for clusters without a PediaCluster, try again later", "err", err)
		}
		if sleep(ctx, m.Tuning.OrphanInterval) != nil {
			return
		}
	}
}

// lookForOrphans has those removed that have been missing for long enough.
func (m *Manager) lookForOrphans(ctx context.Context) error {
	stored, err := m.storedClusters(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// What reconcile notes of a PediaCluster, it notes when the lister has it.
	wanted, err := m.clusterLister.List(labels.Everything())
	if err != nil {
		return err
	}
	if len(wanted) == 0 {
		clear(m.orphans)
		return nil
	}
	missing := maps.Clone(m.ours)
	for _, p := range wanted {
		delete(stored, p.Name)
		delete(missing, p.Name)
	}
	for name := range missing {
		if !stored[name] {
			delete(m.ours, name) // what comes under its name later is not ours
		}
	}
	maps.DeleteFunc(m.orphans, func(name string, _ *orphan) bool { return !stored[name] })
	for name := range stored {
		m.foundOrphan(name)
	}
	return nil
}

// foundOrphan notes that a cluster is stored and has no PediaCluster, and has it removed if
// it is time. The lock must be held.
func (m *Manager) foundOrphan(name string) {
	_, known := m.ours[name]
	removed := known || m.RemoveOrphans == OrphansAll
	one := m.orphans[name]
	switch {
	case one == nil && removed:
		m.Logger.Info("Objects are stored of a cluster without a PediaCluster", "cluster", name, "removedAfter", m.Tuning.OrphanDelay)
		m.orphans[name] = &orphan{since: time.Now()}
	case one == nil:
		m.Logger.Info("Keep what is stored of a cluster without a PediaCluster: it may be another host cluster's. --remove-orphaned-clusters=all removes it", "cluster", name)
		m.orphans[name] = &orphan{since: time.Now()}
	case removed && time.Since(one.since) >= m.Tuning.OrphanDelay:
		one.due = true
		m.queue.Add(name)
	}
}

// storedClusters returns the clusters of which something is stored; from a storage layer
// that doesn't name its clusters, those of which this manager may have stored something.
func (m *Manager) storedClusters(ctx context.Context) (map[string]bool, error) {
	stored := map[string]bool{}
	lister, ok := m.Storage.(storage.ClusterLister)
	if !ok {
		m.mu.Lock()
		defer m.mu.Unlock()
		for name := range m.ours {
			stored[name] = true
		}
		return stored, nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.Tuning.Writer.Timeout)
	defer cancel()
	if err := lister.Clusters(ctx, func(name string) error { stored[name] = true; return nil }); err != nil {
		return nil, fmt.Errorf("list the stored clusters: %w", err)
	}
	return stored, nil
}

// present notes that there is a PediaCluster, and whether this manager may store, or have
// stored, something of its cluster.
func (m *Manager) present(p *v1alpha2.PediaCluster) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.orphans, p.Name)
	switch {
	case !m.owns(p):
		delete(m.ours, p.Name)
	case p.DeletionTimestamp == nil, slices.Contains(p.Finalizers, Finalizer):
		m.ours[p.Name] = max(m.ours[p.Name], 0)
	}
}

// claimed notes with which epoch this manager has written, or may have.
func (m *Manager) claimed(as storage.Writer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if epoch, ok := m.ours[as.Cluster]; ok {
		m.ours[as.Cluster] = max(epoch, as.Epoch)
	}
}

// forget notes that nothing is stored of a cluster, or what is stored is another manager's.
func (m *Manager) forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.orphans, name)
	delete(m.ours, name)
}

// vanished deals with a PediaCluster that is gone without its finalizer having been
// waited for, if it was not removed as it should be: its cluster is stopped. What is stored
// stays until findOrphans says otherwise, since the host cluster may have lost it.
func (m *Manager) vanished(ctx context.Context, name string) error {
	m.stop(name)
	m.Metrics.Gone(name)
	m.mu.Lock()
	one, epoch := m.orphans[name], m.ours[name]
	due := one != nil && one.due
	m.mu.Unlock()
	if !due {
		m.purges.stop(name)
		return nil
	}
	done, err := m.purges.run(ctx, name, "", func(ctx context.Context) error { return m.purgeOrphan(ctx, name, epoch) })
	switch {
	case errors.Is(err, errNotOwned): // the cache will tell
		m.mu.Lock()
		delete(m.orphans, name)
		m.mu.Unlock()
		return nil
	case errors.Is(err, storage.ErrFenced):
		m.Logger.Info("Leave what is stored of a cluster to another manager", "cluster", name, "err", err)
	case err != nil, !done:
		return err // the end of the purge leads back here
	}
	m.forget(name)
	return nil
}

// purgeOrphan removes what is stored of a cluster, unless the host cluster, and not the
// cache, has a PediaCluster of that name. It does so with the epoch given, with which this
// manager wrote last: if another one has written since, which may be of another host cluster
// whose epochs are lower than this one's by now, it has taken what has the same name. Where
// this manager has not written, epochs tell nothing: those that are stored may be from before
// the host cluster was restored.
func (m *Manager) purgeOrphan(ctx context.Context, name string, epoch int64) error {
	missing := func(ctx context.Context) error {
		_, err := m.pediaclusters().Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return fmt.Errorf("ask the host cluster for the PediaCluster: %w", err)
		}
		return errNotOwned
	}
	// To claim a cluster disturbs the manager that has it.
	if err := missing(ctx); err != nil {
		return err
	}
	return m.purge(ctx, name, epoch, missing)
}
