// Package dependents watches the objects of the host cluster that PediaClusters are
// made of: sources and references of any resource, as ClusterImportPolicies name them.
//
// It stands before the data's path, below the controllers of ClusterImportPolicies and
// PediaClusterLifecycles. What it keeps of an object is its name alone: the objects are
// often Secrets, and there may be many. Whoever needs an object's content reads it from
// the API server.
package dependents

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// pageSize is the number of objects in one page of a list.
const pageSize = 200

// Object names an object.
type Object struct {
	schema.GroupVersionResource
	// Namespace is empty for objects of the cluster's scope.
	Namespace, Name string
}

// String returns the object's name for messages.
func (o Object) String() string {
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	if o.Group == "" {
		return fmt.Sprintf("%s/%s %s", o.Version, o.Resource, name)
	}
	return fmt.Sprintf("%s/%s/%s %s", o.Group, o.Version, o.Resource, name)
}

// Watches are the resources that are watched. Each is watched as long as a policy needs
// it.
type Watches struct {
	metadata metadata.Interface
	dynamic  dynamic.Interface
	listener Listener

	begin   func(schema.GroupVersionResource) *watch
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	policies map[string]binding
	watched  map[schema.GroupVersionResource]*watch
}

// binding is what a policy needs.
type binding struct {
	source     schema.GroupVersionResource
	references []schema.GroupVersionResource
}

func (b binding) all() []schema.GroupVersionResource {
	return append([]schema.GroupVersionResource{b.source}, b.references...)
}

// Listener is told what happens.
type Listener struct {
	// Changed is called after every change of an object, but not for those that are there
	// when a watch begins.
	Changed func(Object)
	// Progressed is called when all objects of a resource were read for the first time,
	// and when reading them fails in another way than before, or works again.
	Progressed func(schema.GroupVersionResource)
}

// New returns watches of nothing. They end with ctx; the caller calls Close, which waits
// for that.
func New(ctx context.Context, metadata metadata.Interface, dynamic dynamic.Interface, listener Listener) *Watches {
	w := &Watches{
		metadata: metadata, dynamic: dynamic, listener: listener,
		policies: map[string]binding{}, watched: map[schema.GroupVersionResource]*watch{},
	}
	ctx, w.cancel = context.WithCancel(ctx)
	w.begin = func(resource schema.GroupVersionResource) *watch { return w.watch(ctx, resource) }
	return w
}

// Close ends all watches and waits for their end. Nothing is bound any more.
func (w *Watches) Close() {
	w.cancel()
	w.running.Wait()
}

// Bind sets what a policy needs in place of what it needed before. A resource can be the
// source of one policy only: if another one has it, nothing changes and Bind returns its
// name.
func (w *Watches) Bind(policy string, source schema.GroupVersionResource, references ...schema.GroupVersionResource) (taken string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for other, b := range w.policies {
		if other != policy && b.source == source {
			return other
		}
	}
	w.policies[policy] = binding{source, references}
	w.settle()
	return ""
}

// Release says that a policy needs nothing any more. It reports whether it did.
func (w *Watches) Release(policy string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, bound := w.policies[policy]
	delete(w.policies, policy)
	w.settle()
	return bound
}

// PolicyOf returns the policy whose source a resource is.
func (w *Watches) PolicyOf(source schema.GroupVersionResource) (policy string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for policy, b := range w.policies {
		if b.source == source {
			return policy, true
		}
	}
	return "", false
}

// PoliciesWith returns the policies that need a resource.
func (w *Watches) PoliciesWith(resource schema.GroupVersionResource) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for policy, b := range w.policies {
		if slices.Contains(b.all(), resource) {
			names = append(names, policy)
		}
	}
	return names
}

// settle starts and ends watches, so that what is needed is watched.
func (w *Watches) settle() {
	needed := map[schema.GroupVersionResource]bool{}
	for _, b := range w.policies {
		for _, resource := range b.all() {
			needed[resource] = true
		}
	}
	for _, resource := range slices.Collect(maps.Keys(w.watched)) {
		if !needed[resource] {
			w.watched[resource].cancel()
			delete(w.watched, resource)
		}
	}
	for resource := range needed {
		if w.watched[resource] == nil {
			w.watched[resource] = w.begin(resource)
		}
	}
}

// watch is the watch of one resource.
type watch struct {
	cancel context.CancelFunc
	synced func() bool

	mu sync.Mutex
	// err is why the last attempt to list or to watch failed; nil if it did not.
	err error
}

// attempted notes the result of an attempt, and reports whether it is news.
func (w *watch) attempted(err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	news := (err == nil) != (w.err == nil) || err != nil && err.Error() != w.err.Error()
	w.err = err
	return news
}

// trouble returns why nothing is heard of the resource. A connection that was lost comes
// back by itself; what the API server denies may not.
func (w *watch) trouble() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.synced() && !apierrors.IsNotFound(w.err) && !apierrors.IsForbidden(w.err) && !apierrors.IsMethodNotSupported(w.err) {
		return nil
	}
	return w.err
}

func (w *Watches) watch(ctx context.Context, resource schema.GroupVersionResource) *watch {
	one := &watch{}
	ctx, one.cancel = context.WithCancel(ctx)
	attempted := func(err error) {
		if ctx.Err() == nil && one.attempted(err) {
			w.listener.Progressed(resource)
		}
	}
	client := w.metadata.Resource(resource)
	informer := cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := client.List(ctx, o)
			attempted(err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			running, err := client.Watch(ctx, o)
			attempted(err)
			return running, err
		},
	}, w.metadata), &metav1.PartialObjectMetadata{}, 0, cache.Indexers{})
	_ = informer.SetTransform(nameOnly) // cannot fail: the informer has not begun
	tell := func(object any) {
		if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = tombstone.Obj
		}
		// A watch that was ended may still have something to tell.
		if m, err := meta.Accessor(object); err == nil && ctx.Err() == nil {
			w.listener.Changed(Object{resource, m.GetNamespace(), m.GetName()})
		}
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, initial bool) {
			if !initial {
				tell(object)
			}
		},
		UpdateFunc: func(_, after any) { tell(after) },
		DeleteFunc: tell,
	})
	one.synced = func() bool { return err == nil && registration.HasSynced() }
	w.running.Go(func() {
		klog.InfoS("Watch the objects of policies", "resource", resource)
		informer.RunWithContext(ctx)
	})
	w.running.Go(func() {
		if cache.WaitForCacheSync(ctx.Done(), one.synced) {
			w.listener.Progressed(resource)
		}
	})
	return one
}

// nameOnly leaves of an object what tells it from others, and its versions apart.
func nameOnly(object any) (any, error) {
	m, err := meta.Accessor(object)
	if err != nil {
		return object, nil //nolint:nilerr // a tombstone, which is kept as it is
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: m.GetNamespace(), Name: m.GetName(), UID: m.GetUID(), ResourceVersion: m.GetResourceVersion(),
	}}, nil
}

// NotReadyError says that the objects of a resource are not watched yet.
type NotReadyError struct {
	Resource schema.GroupVersionResource
	// Err is why the last attempt to read them failed; nil if none has failed.
	Err error
}

// Error implements error.
func (e *NotReadyError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s are being read", e.Resource.GroupResource())
	}
	return fmt.Sprintf("%s cannot be read: %v", e.Resource.GroupResource(), e.Err)
}

// Unwrap returns the cause.
func (e *NotReadyError) Unwrap() error { return e.Err }

// JustBegun reports whether an error only says that objects are being read, and that
// nothing speaks against it.
func JustBegun(err error) bool {
	notReady, ok := errors.AsType[*NotReadyError](err)
	return ok && notReady.Err == nil
}

// Ready returns nil if all objects of the resources were read once, so that no change
// of one is missed from now on. Otherwise it returns a *NotReadyError.
func (w *Watches) Ready(resources ...schema.GroupVersionResource) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, resource := range resources {
		one := w.watched[resource]
		if one == nil {
			return &NotReadyError{Resource: resource}
		}
		if err := one.trouble(); err != nil || !one.synced() {
			return &NotReadyError{resource, err}
		}
	}
	return nil
}

// ErrNotFound says that there is no such object.
var ErrNotFound = errors.New("the object does not exist")

// Get reads an object. Its error wraps ErrNotFound only if the API server has the resource
// and lacks the object: one that serves the version no more answers 404 too.
func (w *Watches) Get(ctx context.Context, o Object) (*unstructured.Unstructured, error) {
	got, err := w.dynamic.Resource(o.GroupVersionResource).Namespace(o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
	switch {
	case err == nil:
		return got, nil
	case !apierrors.IsNotFound(err):
		return nil, err
	case apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse):
		return nil, &NotReadyError{o.GroupVersionResource, err}
	}
	return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
}

// Each reads all objects of a resource, page by page, and calls each for them.
func (w *Watches) Each(ctx context.Context, resource schema.GroupVersionResource, each func(*unstructured.Unstructured)) error {
	options := metav1.ListOptions{Limit: pageSize}
	for {
		list, err := w.dynamic.Resource(resource).List(ctx, options)
		if err != nil {
			return err
		}
		for i := range list.Items {
			each(&list.Items[i])
		}
		if options.Continue = list.GetContinue(); options.Continue == "" {
			return nil
		}
	}
}
