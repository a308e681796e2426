package membercluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

const (
	// refreshInterval is the time between two looks at what the member serves,
	// up to half of it being added at random.
	refreshInterval = 30 * time.Second
	// A new CustomResourceDefinition or APIService takes a moment to appear in
	// what the member says that it serves: after a change of one the looks are
	// quick for a while.
	settleDelay    = 300 * time.Millisecond
	settleInterval = 2 * time.Second
	settleTime     = 10 * time.Second
)

var (
	customResourceDefinitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	apiServices               = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}
)

// Monitor keeps up with what a member serves. It looks at intervals, and at once
// when a CustomResourceDefinition or an APIService changes, as far as the member
// lets these be watched.
type Monitor struct {
	client     *Client
	discoverer *discoverer
	metadata   metadata.Interface
	log        klog.Logger
	// wake asks for a look at once.
	wake chan struct{}

	mu sync.Mutex
	// definitions are the CustomResourceDefinitions; nil before the first Run.
	definitions cache.SharedIndexInformer
	// customGroups is what was last read from definitions.
	customGroups map[string]bool
}

// NewMonitor returns a monitor that does nothing yet.
func NewMonitor(client *Client, log klog.Logger) (*Monitor, error) {
	m, err := metadata.NewForConfigAndClient(client.Config(), client.HTTP())
	if err != nil {
		return nil, fmt.Errorf("make a metadata client: %w", err)
	}
	return &Monitor{
		client:     client,
		discoverer: newDiscoverer(client),
		metadata:   m,
		log:        log,
		wake:       make(chan struct{}, 1),
	}, nil
}

// Look asks the member now. An error means that nothing was learned; what single
// versions fail to tell is taken from earlier looks. It must not be called while
// Run runs.
func (m *Monitor) Look(ctx context.Context) (*Served, error) {
	served, err := m.discoverer.fetch(ctx)
	if err != nil {
		return nil, err
	}
	served.CustomGroups = m.lookAtDefinitions()
	return served, nil
}

// Run looks again and again and calls yield with each answer, also with one that
// is like the last, until ctx ends. Failures are logged. It can be called again
// when it has returned.
func (m *Monitor) Run(ctx context.Context, yield func(*Served)) {
	var watchers sync.WaitGroup
	defer watchers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, resource := range []schema.GroupVersionResource{customResourceDefinitions, apiServices} {
		watchers.Go(func() { m.watch(ctx, resource) })
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	due, settled := time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
			settled = time.Now().Add(settleTime)
			if time.Until(due) > settleDelay {
				due = time.Now().Add(settleDelay)
				timer.Reset(settleDelay)
			}
			continue
		case <-timer.C:
		}
		served, err := m.Look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			m.log.Info("Cannot find out what the member serves, keep to what is known", "err", err)
		default:
			yield(served)
		}
		interval := refreshInterval + rand.N(refreshInterval/2)
		if time.Now().Before(settled) {
			interval = settleInterval
		}
		due = time.Now().Add(interval)
		timer.Reset(interval)
	}
}

// LookSoon has Run look at once, and more often for a while.
func (m *Monitor) LookSoon() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// watch follows the objects of one resource until ctx ends. A member that doesn't
// permit it is looked at in intervals only.
func (m *Monitor) watch(ctx context.Context, resource schema.GroupVersionResource) {
	informer := metadatainformer.NewFilteredMetadataInformer(m.metadata, resource, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { m.LookSoon() },
		UpdateFunc: func(any, any) { m.LookSoon() },
		DeleteFunc: func(any) { m.LookSoon() },
	}
	quiet := func(_ context.Context, _ *cache.Reflector, err error) {
		m.log.V(2).Info("Cannot watch", "resource", resource.GroupResource().String(), "err", err)
	}
	for _, err := range []error{
		informer.SetTransform(bareMetadata),
		informer.SetWatchErrorHandlerWithContext(quiet),
	} {
		if err != nil {
			m.log.Error(err, "Cannot watch", "resource", resource.GroupResource().String())
			return
		}
	}
	if _, err := informer.AddEventHandler(handler); err != nil {
		m.log.Error(err, "Cannot watch", "resource", resource.GroupResource().String())
		return
	}
	if resource == customResourceDefinitions {
		m.mu.Lock()
		m.definitions = informer
		m.mu.Unlock()
	}
	informer.RunWithContext(ctx)
}

// lookAtDefinitions returns the groups that CustomResourceDefinitions define, nil
// if these were never seen. The name of one is "<resource>.<group>".
func (m *Monitor) lookAtDefinitions() map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.definitions == nil || !m.definitions.HasSynced() {
		return m.customGroups
	}
	m.customGroups = map[string]bool{}
	for _, name := range m.definitions.GetStore().ListKeys() {
		if _, group, ok := strings.Cut(name, "."); ok {
			m.customGroups[group] = true
		}
	}
	return m.customGroups
}

// bareMetadata keeps only the names, which is all that is looked at.
func bareMetadata(o any) (any, error) {
	if object, ok := o.(*metav1.PartialObjectMetadata); ok {
		object.ObjectMeta = metav1.ObjectMeta{Name: object.Name, ResourceVersion: object.ResourceVersion, UID: object.UID}
	}
	return o, nil
}
