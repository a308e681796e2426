package synchro

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	client "clusterpedia.io/api/client/clientset/versioned/typed/cluster/v1alpha2"
	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/membercluster"
	"clusterpedia.io/clusterpedia/internal/synchro/negotiation"
	"clusterpedia.io/storage-api/storage"
)

// Finalizer holds back the end of a PediaCluster until its objects are removed from
// the storage layer.
const Finalizer = "clusterpedia.io/cluster-synchro-controller"

// reconcile brings one cluster, and the status of its PediaCluster, to what they
// should be. It is called after every change of either, and does nothing if nothing
// is to be done.
func (m *Manager) reconcile(ctx context.Context, name string) error {
	pediacluster, err := m.clusterLister.Get(name)
	if apierrors.IsNotFound(err) {
		return m.vanished(ctx, name)
	}
	if err != nil {
		return err
	}
	if c := m.running(name); c != nil && c.uid != string(pediacluster.UID) {
		m.stop(name)
	}
	m.present(pediacluster)
	switch {
	case !m.owns(pediacluster):
		m.purges.stop(name)
		if m.stop(name) != nil {
			m.Metrics.Gone(name)
		}
		return nil
	case pediacluster.DeletionTimestamp != nil:
		return m.deleted(ctx, pediacluster)
	case pediacluster.Spec.ShardingName != m.ShardingName:
		return m.handOver(ctx, pediacluster)
	}
	m.purges.stop(name)
	if !slices.Contains(pediacluster.Finalizers, Finalizer) {
		next := pediacluster.DeepCopy()
		next.Finalizers = append(next.Finalizers, Finalizer)
		_, err := m.pediaclusters().Update(ctx, next, metav1.UpdateOptions{})
		return settled(err) // the change leads back here
	}
	return m.keep(ctx, pediacluster)
}

// settled returns nil for errors that only say that the cache is behind: what comes
// leads to another try.
func settled(err error) error {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// owns reports whether this manager is responsible for the PediaCluster: it says so
// in its status, or it wants so and nobody has it.
func (m *Manager) owns(p *v1alpha2.PediaCluster) bool {
	if p.Status.ShardingName != nil {
		return *p.Status.ShardingName == m.ShardingName
	}
	return p.Spec.ShardingName == m.ShardingName
}

func (m *Manager) running(name string) *owned {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.clusters[name]
}

// stop stops the cluster of that name, if there is one, and waits for it.
func (m *Manager) stop(name string) *owned {
	m.mu.Lock()
	c := m.clusters[name]
	delete(m.clusters, name)
	m.mu.Unlock()
	if c == nil {
		return nil
	}
	c.stop()
	m.claimed(c.as)
	return c
}

// deleted removes all that is stored of a cluster, and then the finalizer.
func (m *Manager) deleted(ctx context.Context, p *v1alpha2.PediaCluster) error {
	m.stop(p.Name)
	m.Metrics.Gone(p.Name)
	if !slices.Contains(p.Finalizers, Finalizer) {
		return nil
	}
	done, err := m.purges.run(ctx, p.Name, string(p.UID), func(ctx context.Context) error { return m.purgeDeleted(ctx, p) })
	switch {
	case errors.Is(err, errNotOwned):
		return nil
	case err != nil, !done:
		return err // the end of the purge leads back here
	}
	m.forget(p.Name)
	next := p.DeepCopy()
	next.Finalizers = slices.DeleteFunc(next.Finalizers, func(f string) bool { return f == Finalizer })
	_, err = m.pediaclusters().Update(ctx, next, metav1.UpdateOptions{})
	return settled(err)
}

// errNotOwned says that another manager is responsible for what was to be removed.
var errNotOwned = errors.New("another manager is responsible for the cluster")

// purgeDeleted removes what is stored of a PediaCluster that is being deleted, if it is
// still this manager's.
func (m *Manager) purgeDeleted(ctx context.Context, p *v1alpha2.PediaCluster) error {
	return m.purge(ctx, p.Name, 0, func(ctx context.Context) error {
		still, err := m.stillOwns(ctx, p)
		if err == nil && !still {
			err = errNotOwned
		}
		return err
	})
}

// stillOwns asks the host cluster, and not the cache, whether this manager is
// responsible for a PediaCluster. Whoever was fenced must ask before it writes with a
// higher epoch.
func (m *Manager) stillOwns(ctx context.Context, p *v1alpha2.PediaCluster) (bool, error) {
	fresh, err := m.pediaclusters().Get(ctx, p.Name, metav1.GetOptions{})
	if err != nil {
		return false, settled(err)
	}
	return fresh.UID == p.UID && m.owns(fresh) && fresh.Spec.ShardingName == p.Spec.ShardingName, nil
}

// purge removes all that is stored of a cluster, as a writer with an epoch of its own, or
// with the one given, unless may returns an error. That asks the host cluster behind the
// claim: whoever takes the cluster later claims it with a higher epoch, and is not harmed by
// this purge, as late as it may come. A cluster that was claimed with a higher epoch already
// is taken if may agrees, but not with an epoch that was given.
func (m *Manager) purge(ctx context.Context, name string, epoch int64, may func(context.Context) error) error {
	as, err := claim(ctx, &m.Options, name, 0, epoch)
	if fenced, ok := errors.AsType[*storage.FencedError](err); ok && epoch == 0 {
		as = storage.Writer{Cluster: name} // it was not claimed
		if err = may(ctx); err == nil {
			as, err = claim(ctx, &m.Options, name, fenced.Seen, 0)
		}
	}
	if !errors.Is(err, storage.ErrFenced) {
		m.claimed(as) // also if the answer was lost
	}
	if err == nil {
		err = may(ctx)
	}
	if err == nil {
		m.Logger.Info("Remove all that is stored of a cluster", "cluster", name)
		ctx, cancel := context.WithTimeout(ctx, purgeTimeout)
		defer cancel()
		err = m.Storage.Purge(ctx, as, nil)
	}
	if err != nil {
		return fmt.Errorf("remove all that is stored of the cluster: %w", err)
	}
	return nil
}

// handOver leaves a cluster to another manager.
func (m *Manager) handOver(ctx context.Context, p *v1alpha2.PediaCluster) error {
	m.purges.stop(p.Name)
	c := m.stop(p.Name)
	m.Metrics.Gone(p.Name)
	return m.updateStatus(ctx, p, func(status *v1alpha2.ClusterStatus) {
		if c != nil {
			c.writeStatus(status)
		} else {
			// What it says is an earlier manager's, which may have been killed.
			setConditions(status, phase{reason: reasonShutdown, message: messageShutdown}.conditions(health{})...)
		}
		status.ShardingName = nil
	})
}

// keep has a cluster synced as its spec wants.
func (m *Manager) keep(ctx context.Context, p *v1alpha2.PediaCluster) error {
	c := m.running(p.Name)
	shared, err := m.shared(p, c)
	connection, selection, v := m.validate(p, shared, err)
	if !v.ok() && c != nil {
		return m.updateRunning(ctx, p, c, func(status *v1alpha2.ClusterStatus) { setConditions(status, v.condition()) })
	}
	if !v.ok() {
		return m.updateStatus(ctx, p, func(status *v1alpha2.ClusterStatus) {
			setConditions(status, v.condition())
			if p.Spec.APIServer != "" {
				status.APIServer = p.Spec.APIServer
			}
			setConditions(status, withoutSynchro(v)...)
		})
	}
	var above int64
	if c != nil {
		var back bool
		if above, back, err = m.takeBack(ctx, p, c); err != nil || above != 0 && !back {
			return err
		}
	}
	if c == nil || above != 0 || c.fingerprint != connection.Fingerprint {
		fresh, err := newCluster(&m.Options, p.Name, connection, above, func() { m.statusChanged(p.Name) })
		if err != nil {
			return m.updateStatus(ctx, p, func(status *v1alpha2.ClusterStatus) {
				invalid := validity{v1alpha2.InvalidConfigReason, fmt.Sprintf(messageInvalidConfig, err)}
				setConditions(status, invalid.condition())
				if c == nil {
					setConditions(status, withoutSynchro(invalid)...)
				}
			})
		}
		m.stop(p.Name)
		fresh.inherit(c, &p.Status)
		// To claim the cluster comes before the first write to storage.
		claimed, err := m.tryStatus(ctx, p, func(status *v1alpha2.ClusterStatus) {
			status.ShardingName, status.SyncResourcesRef = &m.ShardingName, sharedStatus(shared)
			setConditions(status, v.condition())
			fresh.writeStatus(status)
		})
		if err != nil || !claimed {
			return settledStatus(err)
		}
		c = &owned{cluster: fresh, uid: string(p.UID)}
		m.mu.Lock()
		m.clusters[p.Name] = c
		m.mu.Unlock()
		c.start(context.WithoutCancel(ctx))
	}
	c.shared = shared
	c.choose(selection)
	return m.updateRunning(ctx, p, c, func(status *v1alpha2.ClusterStatus) {
		status.ShardingName, status.SyncResourcesRef = &m.ShardingName, sharedStatus(shared)
		setConditions(status, v.condition(c.notes()...))
	})
}

// updateRunning is updateStatus with what is known of a cluster added, which is told what
// was written.
func (m *Manager) updateRunning(ctx context.Context, p *v1alpha2.PediaCluster, c *owned, build func(*v1alpha2.ClusterStatus)) error {
	var after *v1alpha2.ClusterStatus
	written, err := m.tryStatus(ctx, p, func(status *v1alpha2.ClusterStatus) {
		build(status)
		c.writeStatus(status)
		after = status
	})
	if written {
		c.statusWritten(after.PrunedFields)
		m.announceRunning(p, c, after)
	}
	return settledStatus(err)
}

// takeBack returns the epoch of the manager that has overtaken this one, 0 if none
// has, and whether it is time to take the cluster back. The other one may be the
// cluster's next manager, or have written before the host cluster was restored from a
// backup: the host cluster tells, not the cache.
func (m *Manager) takeBack(ctx context.Context, p *v1alpha2.PediaCluster, c *owned) (above int64, back bool, err error) {
	above, at := c.fenced()
	if above == 0 {
		return 0, false, nil
	}
	if _, err := m.Epoch(ctx); err != nil {
		return above, false, err
	}
	if still, err := m.stillOwns(ctx, p); err != nil || !still {
		return above, false, err
	}
	if left := time.Until(at.Add(m.Tuning.OvertakenDelay)); left > 0 {
		m.queue.AddAfter(p.Name, left)
		return above, false, m.updateStatus(ctx, p, c.writeStatus)
	}
	return above, true, nil
}

// shared returns what a spec refers to. Of what is missing it returns, with the error, what
// it said last, to this process or an earlier one: it may be about to come back, and to lose
// it would remove what it selected, and copy what it left out. Without a name it is what
// nobody has seen.
func (m *Manager) shared(p *v1alpha2.PediaCluster, c *owned) (*v1alpha2.ClusterSyncResources, error) {
	ref := p.Spec.SyncResourcesRefName
	if ref == "" {
		return &v1alpha2.ClusterSyncResources{}, nil
	}
	shared, err := m.sharedLister.Get(ref)
	if !apierrors.IsNotFound(err) {
		return shared, err
	}
	if c != nil && c.shared != nil && c.shared.Name == ref {
		return c.shared, err
	}
	missing := &v1alpha2.ClusterSyncResources{}
	if last := p.Status.SyncResourcesRef; last != nil && last.Name == ref {
		missing.Name, missing.Spec = ref, last.Spec
	}
	return missing, err
}

// sharedStatus returns what the status keeps of what shared returned.
func sharedStatus(shared *v1alpha2.ClusterSyncResources) *v1alpha2.SyncResourcesRefStatus {
	if shared.Name == "" {
		return nil
	}
	status := &v1alpha2.SyncResourcesRefStatus{Name: shared.Name, Spec: *shared.Spec.DeepCopy()}
	if status.Spec.SyncResources == nil {
		status.Spec.SyncResources = []v1alpha2.ClusterGroupResources{} // null is refused
	}
	return status
}

// validate reads a spec, and what shared returned for it. What it returns counts only if
// the validity is ok.
func (m *Manager) validate(p *v1alpha2.PediaCluster, shared *v1alpha2.ClusterSyncResources, sharedErr error) (membercluster.Connection, negotiation.Selection, validity) {
	selection := negotiation.Selection{
		AllCustomResources: p.Spec.SyncAllCustomResources && m.Gates.AllowSyncAllCustomResources,
		IgnoreLeases:       m.Gates.IgnoreSyncLease,
	}
	connection, err := membercluster.Connect(&p.Spec, m.secrets)
	if err != nil {
		return connection, selection, validity{v1alpha2.InvalidConfigReason, fmt.Sprintf(messageInvalidConfig, err)}
	}
	var warnings []string
	selection.Resources = slices.Clone(p.Spec.SyncResources)
	if selection.Exclusions, err = checkExclusions(p.Spec.SyncExclusions); err != nil {
		return connection, selection, validity{v1alpha2.InvalidSyncResourcesReason, fmt.Sprintf(messageExclusions, err)}
	}
	switch {
	case apierrors.IsNotFound(sharedErr) && shared.Name != "":
		warnings = append(warnings, messageRefNotFound, messageRefLast)
	case apierrors.IsNotFound(sharedErr):
		warnings = append(warnings, messageRefNotFound)
	case sharedErr != nil:
		return connection, selection, validity{v1alpha2.InvalidSyncResourcesReason, fmt.Sprintf(messageRefFailed, sharedErr)}
	}
	selection.Resources = append(selection.Resources, shared.Spec.SyncResources...)
	exclusions, err := checkExclusions(shared.Spec.SyncExclusions)
	if err != nil {
		return connection, selection, validity{v1alpha2.InvalidSyncResourcesReason, fmt.Sprintf(messageSharedExclusions, shared.Name, err)}
	}
	selection.Exclusions = joinExclusions(selection.Exclusions, exclusions)
	if selection.AllResources() && !m.Gates.AllowSyncAllResources {
		return connection, selection, validity{v1alpha2.InvalidSyncResourcesReason, messageAllResources}
	}
	if p.Spec.SyncAllCustomResources && !m.Gates.AllowSyncAllCustomResources {
		warnings = append(warnings, messageAllCustom)
	}
	if connection.Insecure {
		warnings = append(warnings, messageInsecure)
	}
	return connection, selection, validity{v1alpha2.ValidatedReason, strings.Join(warnings, messageSeparator)}
}

func (m *Manager) pediaclusters() client.PediaClusterInterface {
	return m.Clusterpedia.ClusterV1alpha2().PediaClusters()
}

// updateStatus writes what build makes of a PediaCluster's status, if that differs.
// If somebody else has changed the PediaCluster, it begins anew with what that one
// left, unless the cluster isn't this manager's any more.
func (m *Manager) updateStatus(ctx context.Context, p *v1alpha2.PediaCluster, build func(*v1alpha2.ClusterStatus)) error {
	_, err := m.tryStatus(ctx, p, build)
	return settledStatus(err)
}

func settledStatus(err error) error {
	if err = settled(err); err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	return nil
}

// tryStatus is updateStatus, and reports whether the status is what build makes of
// it: not if the cluster is no more this manager's.
func (m *Manager) tryStatus(ctx context.Context, p *v1alpha2.PediaCluster, build func(*v1alpha2.ClusterStatus)) (written bool, err error) {
	first := p
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		written = false
		if p.UID != first.UID || !m.owns(p) || p.Spec.ShardingName != first.Spec.ShardingName {
			return nil
		}
		next := p.DeepCopy()
		build(&next.Status)
		if equality.Semantic.DeepEqual(p.Status, next.Status) {
			written = true
			return nil
		}
		_, err := m.pediaclusters().UpdateStatus(ctx, next, metav1.UpdateOptions{})
		if err == nil {
			written = true
			m.announce(p, &p.Status, &next.Status)
		}
		if !apierrors.IsConflict(err) {
			return err
		}
		fresh, getErr := m.pediaclusters().Get(ctx, p.Name, metav1.GetOptions{})
		if getErr != nil {
			return getErr
		}
		p = fresh
		return err
	})
	return written, err
}

// writeFarewell writes the status of a cluster that has stopped.
func (m *Manager) writeFarewell(ctx context.Context, name string, c *owned) error {
	p, err := m.clusterLister.Get(name)
	if err != nil {
		return settled(err)
	}
	return m.updateStatus(ctx, p, c.writeStatus)
}
