package synchro

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"clusterpedia.io/api/client/informers/externalversions"
	listers "clusterpedia.io/api/client/listers/cluster/v1alpha2"
	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/membercluster"
)

const (
	// cacheTimeout bounds the first reading of the host cluster's objects.
	cacheTimeout = time.Minute
	// farewellTimeout bounds the writing of the last status of all clusters.
	farewellTimeout = 15 * time.Second
)

// Manager runs a cluster for each PediaCluster that it owns.
type Manager struct {
	Options
	factory       externalversions.SharedInformerFactory
	secretFactory informers.SharedInformerFactory
	synced        []cache.InformerSynced
	clusterLister listers.PediaClusterLister
	sharedLister  listers.ClusterSyncResourcesLister
	secrets       membercluster.Secrets
	queue         workqueue.TypedRateLimitingInterface[string]
	purges        *purges

	mu       sync.Mutex
	clusters map[string]*owned
	// ours are the clusters of which this manager, or one before it, may have stored
	// something, with the epochs with which those that have stopped were written; 0: none is
	// known.
	ours map[string]int64
	// orphans are the clusters that were found to have no PediaCluster.
	orphans map[string]*orphan
}

// owned is the cluster of one PediaCluster.
type owned struct {
	*cluster
	// uid is the PediaCluster's.
	uid string
	// shared is what its spec refers to, as it was last used. It belongs to keep.
	shared *v1alpha2.ClusterSyncResources
}

// New returns a manager that does nothing yet.
func New(o Options) (*Manager, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	factory := externalversions.NewSharedInformerFactory(o.Clusterpedia, 0)
	api := factory.Cluster().V1alpha2()
	m := &Manager{
		Options:       o,
		factory:       factory,
		clusterLister: api.PediaClusters().Lister(),
		sharedLister:  api.ClusterSyncResources().Lister(),
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			&limiter{delay: o.Tuning.RetryDelay, failures: map[string]int{}},
			workqueue.TypedRateLimitingQueueConfig[string]{Name: "pediacluster"},
		),
		clusters: map[string]*owned{},
		ours:     map[string]int64{},
		orphans:  map[string]*orphan{},
	}
	m.inheritRecord(o.Before)
	m.purges = newPurges(o.Tuning.Purges, m.queue.Add)
	if err := m.handle(api.PediaClusters().Informer(), m.clusterChanged); err != nil {
		return nil, err
	}
	if err := m.handle(api.ClusterSyncResources().Informer(), m.sharedChanged); err != nil {
		return nil, err
	}
	if !o.Gates.ClusterAuthenticationFromSecret {
		return m, nil
	}
	m.secretFactory = informers.NewSharedInformerFactoryWithOptions(o.Kubernetes, 0, informers.WithNamespace(o.Namespace))
	secrets := m.secretFactory.Core().V1().Secrets()
	m.secrets = membercluster.SecretLister{SecretNamespaceLister: secrets.Lister().Secrets(o.Namespace)}
	return m, m.handle(secrets.Informer(), m.secretChanged)
}

func (m *Manager) handle(informer cache.SharedIndexInformer, changed func(any)) error {
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    changed,
		UpdateFunc: func(_, after any) { changed(after) },
		DeleteFunc: func(object any) {
			if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = tombstone.Obj
			}
			changed(object)
		},
	})
	if err != nil {
		return fmt.Errorf("watch the host cluster: %w", err)
	}
	m.synced = append(m.synced, registration.HasSynced)
	return nil
}

// clusterChanged reconciles a PediaCluster after any change: what others write into
// the status is put right.
func (m *Manager) clusterChanged(object any) {
	if pediacluster, ok := object.(*v1alpha2.PediaCluster); ok {
		m.queue.Add(pediacluster.Name)
	}
}

func (m *Manager) sharedChanged(object any) {
	if shared, ok := object.(*v1alpha2.ClusterSyncResources); ok {
		m.addAll(func(spec *v1alpha2.ClusterSpec) bool { return spec.SyncResourcesRefName == shared.Name })
	}
}

func (m *Manager) secretChanged(object any) {
	if secret, ok := object.(*corev1.Secret); ok {
		m.addAll(func(spec *v1alpha2.ClusterSpec) bool {
			return slices.Contains(membercluster.SecretNames(spec), secret.Name)
		})
	}
}

func (m *Manager) addAll(concerned func(*v1alpha2.ClusterSpec) bool) {
	// The lister reads from memory and cannot fail.
	all, err := m.clusterLister.List(labels.Everything())
	if err != nil {
		m.Logger.Error(err, "Cannot list PediaClusters")
		return
	}
	for _, pediacluster := range all {
		if concerned(&pediacluster.Spec) {
			m.queue.Add(pediacluster.Name)
		}
	}
}

// Run syncs until ctx ends. Then it stops all clusters, says so in their status, and
// returns nil. It returns an error if the host cluster can't be read. It must be
// called only once.
func (m *Manager) Run(ctx context.Context) error {
	defer m.queue.ShutDown()
	informing, stopInforming := context.WithCancel(ctx)
	defer func() {
		stopInforming()
		m.factory.Shutdown()
		if m.secretFactory != nil {
			m.secretFactory.Shutdown()
		}
	}()
	m.factory.StartWithContext(informing)
	if m.secretFactory != nil {
		m.secretFactory.StartWithContext(informing)
	}
	if err := m.waitForCaches(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // to be told to stop is no failure
		}
		return err
	}
	m.Logger.Info("Manage PediaClusters", "shardingName", m.ShardingName)
	var workers sync.WaitGroup
	for range m.Workers {
		workers.Go(func() {
			for m.work(ctx) {
			}
		})
	}
	workers.Go(func() { m.findOrphans(ctx) })
	<-ctx.Done()
	m.queue.ShutDown()
	workers.Wait()
	m.purges.wait()
	m.farewell(context.WithoutCancel(ctx))
	return nil
}

func (m *Manager) waitForCaches(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, cacheTimeout, errors.New("the host cluster's PediaClusters, ClusterSyncResources or Secrets cannot be read: see the log for the reason"))
	defer cancel()
	if !cache.WaitForCacheSync(ctx.Done(), m.synced...) {
		return context.Cause(ctx)
	}
	return nil
}

// work reconciles one PediaCluster, and reports whether to go on.
func (m *Manager) work(ctx context.Context) bool {
	name, shutdown := m.queue.Get()
	if shutdown {
		return false
	}
	defer m.queue.Done(name)
	if err := m.reconcile(ctx, name); err != nil && ctx.Err() == nil {
		m.Logger.Info("Cannot reconcile a PediaCluster, try again", "cluster", name, "err", err)
		m.queue.AddRateLimited(name)
		return true
	}
	m.queue.Forget(name)
	return true
}

// farewell stops all clusters and writes that into their status, unless another manager
// may be at work by now.
func (m *Manager) farewell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, farewellTimeout)
	defer cancel()
	m.mu.Lock()
	clusters := maps.Clone(m.clusters)
	m.mu.Unlock()
	var all sync.WaitGroup
	for name, c := range clusters {
		all.Go(func() {
			c.stop()
			if epoch, _ := c.fenced(); epoch != 0 {
				return
			}
			if _, err := m.Epoch(ctx); err != nil {
				m.Logger.Info("Leave the status to the next manager", "cluster", name, "err", err)
				return
			}
			if err := m.writeFarewell(ctx, name, c); err != nil {
				m.Logger.Info("Cannot write the last status", "cluster", name, "err", err)
			}
		})
	}
	all.Wait()
}

// Stats returns what is measured of all clusters, by their names.
func (m *Manager) Stats() []ClusterStats {
	m.mu.Lock()
	clusters := maps.Clone(m.clusters)
	m.mu.Unlock()
	stats := make([]ClusterStats, 0, len(clusters))
	for _, name := range slices.Sorted(maps.Keys(clusters)) {
		stats = append(stats, clusters[name].stats())
	}
	return stats
}

// statusChanged has the status of a cluster written soon.
func (m *Manager) statusChanged(name string) { m.queue.AddAfter(name, m.Tuning.StatusDelay) }
