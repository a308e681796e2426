// Package clusterimportpolicy makes a PediaClusterLifecycle of every object that a
// ClusterImportPolicy selects, and deletes those whose object is gone.
//
// It stands before the data's path: package pediaclusterlifecycle makes PediaClusters
// of the lifecycles, which clustersynchro-manager starts from.
//
//   - controller.go: what a policy is reconciled for, and in which order;
//   - sources.go: which names the source objects render to;
//   - lifecycles.go: the lifecycles that follow from them.
package clusterimportpolicy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"clusterpedia.io/api/client/clientset/versioned"
	"clusterpedia.io/api/client/informers/externalversions"
	listers "clusterpedia.io/api/client/listers/policy/v1alpha1"
	"clusterpedia.io/api/policy/v1alpha1"
	"clusterpedia.io/clusterpedia/internal/controllers/dependents"
	"clusterpedia.io/clusterpedia/internal/controllers/reconcile"
)

// Finalizer holds back the end of a policy until its sources are no longer watched.
const Finalizer = "clusterpedia.io/cluster-import-policy-controller"

// Mapper finds the versions of resources that the host cluster serves.
type Mapper interface {
	meta.RESTMapper
	// Reset makes it forget what it knows.
	Reset()
}

// Controller reconciles ClusterImportPolicies.
type Controller struct {
	client     versioned.Interface
	policies   listers.ClusterImportPolicyLister
	lifecycles cache.Indexer
	mapper     Mapper
	watches    *dependents.Watches
	loop       *reconcile.Loop

	mu     sync.Mutex
	states map[string]*state
}

// state is what is known of a policy between two calls.
type state struct {
	// Of which object, and of which spec.
	uid        types.UID
	generation int64
	plan       plan
	// planned is the generation whose resources are watched.
	planned int64

	sources sources

	// Guarded by the controller's mutex: which source objects have changed since they
	// were read; all of them if nothing was read yet.
	all     bool
	changed map[types.NamespacedName]bool
	// Guarded too: whether another policy has the source.
	refused bool
}

// plan is what a valid policy asks for.
type plan struct {
	source     schema.GroupVersionResource
	references []v1alpha1.ReferenceResourceTemplate
}

func (p plan) referenced() []schema.GroupVersionResource {
	var all []schema.GroupVersionResource
	for _, r := range p.references {
		all = append(all, schema.GroupVersionResource{Group: r.Group, Version: r.Version, Resource: r.Resource})
	}
	return all
}

// byPolicy is the index of lifecycles by the policy that controls them.
const byPolicy = "policy"

// New returns a controller that does nothing yet. The watches tell it of changes, by
// ObjectChanged.
func New(client versioned.Interface, factory externalversions.SharedInformerFactory, mapper Mapper, watches *dependents.Watches) (*Controller, error) {
	api := factory.Policy().V1alpha1()
	c := &Controller{
		client: client, policies: api.ClusterImportPolicies().Lister(), lifecycles: api.PediaClusterLifecycles().Informer().GetIndexer(),
		mapper: mapper, watches: watches, states: map[string]*state{},
	}
	c.loop = reconcile.New("clusterimportpolicy", c.reconcile)
	if err := api.PediaClusterLifecycles().Informer().AddIndexers(cache.Indexers{byPolicy: policyOf}); err != nil {
		return nil, err
	}
	_, err := api.ClusterImportPolicies().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: c.loop.AddObject,
		UpdateFunc: func(before, after any) {
			b, _ := before.(*v1alpha1.ClusterImportPolicy)
			a, _ := after.(*v1alpha1.ClusterImportPolicy)
			if b.Generation != a.Generation || b.DeletionTimestamp.IsZero() != a.DeletionTimestamp.IsZero() || b.UID != a.UID || !slices.Equal(b.Finalizers, a.Finalizers) {
				c.loop.AddObject(after)
			}
		},
		DeleteFunc: c.loop.AddObject,
	})
	if err != nil {
		return nil, err
	}
	_, err = api.PediaClusterLifecycles().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: c.lifecycleChanged,
		UpdateFunc: func(before, after any) {
			b, _ := before.(*v1alpha1.PediaClusterLifecycle)
			a, _ := after.(*v1alpha1.PediaClusterLifecycle)
			if b.Generation != a.Generation || !equality.Semantic.DeepEqual(b.OwnerReferences, a.OwnerReferences) {
				c.lifecycleChanged(before)
				c.lifecycleChanged(after)
			}
		},
		DeleteFunc: c.lifecycleChanged,
	})
	return c, err
}

// policyOf returns the name of the policy that controls a lifecycle. It never fails:
// client-go ends the process if an index does.
func policyOf(object any) ([]string, error) {
	m, err := meta.Accessor(object)
	if err != nil {
		return nil, nil //nolint:nilerr // see above
	}
	if owner := Owner(m); owner != nil {
		return []string{owner.Name}, nil
	}
	return nil, nil
}

// Owner returns the policy that controls a lifecycle; nil if none does.
func Owner(lifecycle metav1.Object) *metav1.OwnerReference {
	owner := metav1.GetControllerOf(lifecycle)
	if owner == nil || owner.Kind != "ClusterImportPolicy" {
		return nil
	}
	if gv, err := schema.ParseGroupVersion(owner.APIVersion); err != nil || gv.Group != v1alpha1.GroupName {
		return nil
	}
	return owner
}

func (c *Controller) lifecycleChanged(object any) {
	if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = tombstone.Obj
	}
	names, _ := policyOf(object) // never fails
	for _, name := range names {
		c.loop.Add(name)
	}
}

// ObjectChanged tells the controller of a change of any watched object.
func (c *Controller) ObjectChanged(o dependents.Object) {
	policy, ok := c.watches.PolicyOf(o.GroupVersionResource)
	if !ok {
		return
	}
	c.mu.Lock()
	if s := c.states[policy]; s != nil {
		s.changed[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = true
	}
	c.mu.Unlock()
	c.loop.Add(policy)
}

// Progressed tells the controller that the objects of a resource can be read now, or
// cannot be any more.
func (c *Controller) Progressed(resource schema.GroupVersionResource) {
	for _, policy := range c.watches.PoliciesWith(resource) {
		c.loop.Add(policy)
	}
}

// Run reconciles until ctx ends. The informers of the factory have synced.
func (c *Controller) Run(ctx context.Context, workers int) {
	c.loop.Run(ctx, workers)
}

func (c *Controller) reconcile(ctx context.Context, name string) error {
	policy, err := c.policies.Get(name)
	if apierrors.IsNotFound(err) {
		c.forget(name)
		return nil
	}
	if err != nil {
		return err
	}
	if policy.DeletionTimestamp != nil {
		c.forget(name)
		return c.setFinalizers(ctx, policy, slices.DeleteFunc(slices.Clone(policy.Finalizers), func(f string) bool { return f == Finalizer }))
	}
	if !slices.Contains(policy.Finalizers, Finalizer) {
		return c.setFinalizers(ctx, policy, append(slices.Clone(policy.Finalizers), Finalizer)) // leads back here
	}
	next := policy.DeepCopy()
	result := c.keep(ctx, next)
	if equality.Semantic.DeepEqual(policy.Status, next.Status) {
		return result
	}
	_, err = c.client.PolicyV1alpha1().ClusterImportPolicies().UpdateStatus(ctx, next, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return errors.Join(result, reconcile.ErrWait) // for the cache
	}
	return errors.Join(result, err)
}

// forget ends what is done for a policy.
func (c *Controller) forget(name string) {
	c.mu.Lock()
	_, known := c.states[name]
	delete(c.states, name)
	c.mu.Unlock()
	if known {
		c.watches.Release(name)
		c.wake()
	}
}

// release ends the watches of a policy.
func (c *Controller) release(name string) {
	if c.watches.Release(name) {
		c.wake()
	}
}

func (c *Controller) refused(s *state, refused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.refused = refused
}

// wake has those policies try again whose source another policy had.
func (c *Controller) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, s := range c.states {
		if s.refused {
			s.refused = false
			c.loop.Add(name)
		}
	}
}

func (c *Controller) setFinalizers(ctx context.Context, policy *v1alpha1.ClusterImportPolicy, finalizers []string) error {
	if slices.Equal(policy.Finalizers, finalizers) {
		return nil
	}
	next := policy.DeepCopy()
	next.Finalizers = finalizers
	_, err := c.client.PolicyV1alpha1().ClusterImportPolicies().Update(ctx, next, metav1.UpdateOptions{})
	return reconcile.Written(err)
}

// keep brings the lifecycles of a policy to what they should be, and writes into its
// status, but not to the API server, how far that is.
func (c *Controller) keep(ctx context.Context, policy *v1alpha1.ClusterImportPolicy) error {
	s, err := c.validated(policy)
	if err != nil {
		return err
	}
	if s == nil {
		return nil // not before it is mended
	}
	c.refused(s, true) // before it is: the other one may be released at any time
	other := c.rival(policy, s.plan.source)
	if other == "" {
		if other = c.watches.Bind(policy.Name, s.plan.source, s.plan.referenced()...); other != "" {
			c.loop.Add(other) // it does not know yet that it has to go
		}
	}
	if other != "" {
		c.release(policy.Name)
		reconciling(policy, "SourceResourceInUse", fmt.Errorf("%s are the source of the ClusterImportPolicy %s already, and can be that of one policy only: join the two, or delete one", s.plan.source.GroupResource(), other))
		return nil // leads back here when the other one has it no more
	}
	c.refused(s, false)
	if s.planned != s.generation {
		s.planned = s.generation
		c.wake() // the plan before may have had another source
	}
	if err := c.watches.Ready(append(s.plan.referenced(), s.plan.source)...); err != nil {
		return c.wait(policy, s, err)
	}
	changed, all := c.takeChanged(s)
	if err := s.sources.read(ctx, c.watches, &policy.Spec, s.plan.source, changed, all); err != nil {
		c.putBack(s, changed, all)
		reconciling(policy, "FailedListSourceResources", err)
		c.renegotiate(s, err)
		return err
	}
	owned, err := c.owned(policy)
	if err != nil {
		reconciling(policy, "FailedListLifecycles", err)
		return err
	}
	wanted, clashes := assign(s.sources, owned)
	wait, failed := c.converge(ctx, policy, s, owned, wanted)
	switch all := slices.Concat(s.sources.failures(), clashes, failed); {
	case len(all) > 0:
		reconciling(policy, "FailedReconcile", all)
	case !wait:
		reconciling(policy, "ReconcileSourceResourceAndLifecycle", nil)
	}
	// A change of a source leads back here; what the API server has refused is tried again.
	if len(failed) > 0 {
		return failed
	}
	if wait {
		return reconcile.ErrWait
	}
	return nil
}

// wait says in the status what is waited for.
func (c *Controller) wait(policy *v1alpha1.ClusterImportPolicy, s *state, err error) error {
	// A process that has just begun need not say that it must read everything again.
	if !dependents.JustBegun(err) || meta.FindStatusCondition(policy.Status.Conditions, v1alpha1.PolicyReconcilingCondition) == nil {
		reconciling(policy, "WaitResourceSynced", err)
	}
	if c.renegotiate(s, err) {
		return err
	}
	return nil // progress leads back here
}

// renegotiate has the versions of a policy's resources chosen anew if one is served no
// more, and reports whether that is so.
func (c *Controller) renegotiate(s *state, err error) bool {
	if !apierrors.IsNotFound(err) {
		return false
	}
	c.mapper.Reset()
	s.generation = 0
	return true
}

func (c *Controller) takeChanged(s *state) (changed map[types.NamespacedName]bool, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed, all = s.changed, s.all
	s.changed, s.all = map[types.NamespacedName]bool{}, false
	return changed, all
}

func (c *Controller) putBack(s *state, changed map[types.NamespacedName]bool, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for object := range changed {
		s.changed[object] = true
	}
	s.all = s.all || all
}
