package discovery

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/builtin"
)

// Catalog keeps the View of every cluster, and of all together, in step with the
// PediaClusters.
type Catalog struct {
	scheme *builtin.Scheme

	mu       sync.RWMutex
	clusters map[string]*View
	// all is the union, nil after a change: it is made when somebody asks.
	all *View

	host atomic.Pointer[map[schema.GroupResource]metav1.APIResource]
}

// NewCatalog returns an empty catalog. It must be given the events of the
// PediaCluster informer.
func NewCatalog(scheme *builtin.Scheme) *Catalog {
	return &Catalog{scheme: scheme, clusters: map[string]*View{}}
}

// Handler returns the event handler that keeps the catalog in step.
func (c *Catalog) Handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if cluster, ok := obj.(*v1alpha2.PediaCluster); ok {
				c.set(cluster)
			}
		},
		UpdateFunc: func(before, after any) {
			was, ok := before.(*v1alpha2.PediaCluster)
			is, ok2 := after.(*v1alpha2.PediaCluster)
			if !ok || !ok2 {
				return
			}
			// The status changes with every health check, what is synced hardly ever.
			if is.DeletionTimestamp.IsZero() && sameResources(was, is) {
				return
			}
			c.set(is)
		},
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if cluster, ok := obj.(*v1alpha2.PediaCluster); ok {
				c.remove(cluster.Name)
			}
		},
	}
}

// sameResources reports whether two states of a cluster give the same View.
func sameResources(a, b *v1alpha2.PediaCluster) bool {
	return equality.Semantic.DeepEqual(servedParts(a.Status.SyncResources), servedParts(b.Status.SyncResources))
}

// servedParts drops from a status what a View does not show.
func servedParts(groups []v1alpha2.ClusterGroupResourcesStatus) []v1alpha2.ClusterGroupResourcesStatus {
	parts := make([]v1alpha2.ClusterGroupResourcesStatus, 0, len(groups))
	for _, group := range groups {
		part := v1alpha2.ClusterGroupResourcesStatus{Group: group.Group}
		for _, r := range group.Resources {
			conditions := r.SyncConditions
			r.SyncConditions = nil
			for _, condition := range conditions {
				r.SyncConditions = append(r.SyncConditions, v1alpha2.ClusterResourceSyncCondition{Version: condition.Version})
			}
			part.Resources = append(part.Resources, r)
		}
		parts = append(parts, part)
	}
	return parts
}

func (c *Catalog) set(cluster *v1alpha2.PediaCluster) {
	if !cluster.DeletionTimestamp.IsZero() {
		c.remove(cluster.Name)
		return
	}
	view := newView(c.scheme, cluster.Status.SyncResources)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clusters[cluster.Name] = view
	c.all = nil
}

func (c *Catalog) remove(cluster string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.clusters, cluster)
	c.all = nil
}

// View returns what can be asked of a cluster, or of all for the empty name;
// false if the cluster is not known.
func (c *Catalog) View(cluster string) (*View, bool) {
	c.mu.RLock()
	view, ok := c.clusters[cluster]
	if cluster == "" {
		view, ok = c.all, c.all != nil
	}
	c.mu.RUnlock()
	if ok || cluster != "" {
		return view, ok
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = union(c.scheme, c.clusters)
	}
	return c.all, true
}

// hostRefresh is how often the host cluster is asked for its resources.
const hostRefresh = 10 * time.Minute

// FollowHost keeps the short names and categories of the host cluster's
// resources until ctx ends. While the host cannot be asked, documents lack them.
func (c *Catalog) FollowHost(ctx context.Context, client discovery.DiscoveryInterface) {
	retry := wait.Backoff{Duration: time.Second, Factor: 2, Steps: 6, Jitter: 0.1}
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		err := wait.ExponentialBackoffWithContext(ctx, retry, func(context.Context) (bool, error) {
			err := c.askHost(client)
			if err != nil {
				klog.V(2).InfoS("The host cluster's discovery is not complete", "err", err)
			}
			return err == nil, nil
		})
		if err != nil && ctx.Err() == nil {
			klog.InfoS("Serving discovery without some short names of the host cluster", "err", err)
		}
	}, hostRefresh)
}

func (c *Catalog) askHost(client discovery.DiscoveryInterface) error {
	_, lists, err := client.ServerGroupsAndResources()
	if len(lists) == 0 && err != nil {
		return fmt.Errorf("discover the host cluster's resources: %w", err)
	}
	host := map[schema.GroupResource]metav1.APIResource{}
	for _, list := range lists {
		gv, parseErr := schema.ParseGroupVersion(list.GroupVersion)
		if parseErr != nil {
			continue
		}
		for _, r := range list.APIResources {
			host[schema.GroupResource{Group: gv.Group, Resource: r.Name}] = r
		}
	}
	c.host.Store(&host)
	if err != nil {
		return fmt.Errorf("discover some of the host cluster's resources: %w", err)
	}
	return nil
}

func (c *Catalog) hostResources() map[schema.GroupResource]metav1.APIResource {
	if host := c.host.Load(); host != nil {
		return *host
	}
	return nil
}
