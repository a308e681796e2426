// Package pediaclusterlifecycle makes a PediaCluster from the source object of each
// PediaClusterLifecycle and from the objects that it refers to, and keeps the
// PediaCluster's connection up to date.
//
// It stands before the data's path: clustersynchro-manager starts from the PediaClusters
// that it makes.
//
//   - controller.go: what a lifecycle is reconciled for, and in which order;
//   - registry.go: which lifecycles depend on which objects;
//   - pediacluster.go: the PediaCluster that a lifecycle's template renders to.
package pediaclusterlifecycle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"clusterpedia.io/api/client/clientset/versioned"
	"clusterpedia.io/api/client/informers/externalversions"
	clusterlisters "clusterpedia.io/api/client/listers/cluster/v1alpha2"
	listers "clusterpedia.io/api/client/listers/policy/v1alpha1"
	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/api/policy/v1alpha1"
	"clusterpedia.io/clusterpedia/internal/controllers/clusterimportpolicy"
	"clusterpedia.io/clusterpedia/internal/controllers/dependents"
	"clusterpedia.io/clusterpedia/internal/controllers/reconcile"
	"clusterpedia.io/clusterpedia/internal/controllers/templates"
)

// Finalizer holds back the end of a lifecycle until its objects are forgotten.
const Finalizer = "clusterpedia.io/pediacluster-lifecycle-controller"

// Controller reconciles PediaClusterLifecycles.
type Controller struct {
	client     versioned.Interface
	lifecycles listers.PediaClusterLifecycleLister
	clusters   clusterlisters.PediaClusterLister
	watches    *dependents.Watches
	registry   *registry
	loop       *reconcile.Loop
}

// New returns a controller that does nothing yet. The watches tell it of changes, by
// ObjectChanged.
func New(client versioned.Interface, factory externalversions.SharedInformerFactory, watches *dependents.Watches) (*Controller, error) {
	lifecycles, clusters := factory.Policy().V1alpha1().PediaClusterLifecycles(), factory.Cluster().V1alpha2().PediaClusters()
	c := &Controller{
		client: client, lifecycles: lifecycles.Lister(), clusters: clusters.Lister(), watches: watches, registry: newRegistry(),
	}
	c.loop = reconcile.New("pediaclusterlifecycle", c.reconcile)
	_, err := lifecycles.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: c.loop.AddObject,
		UpdateFunc: func(before, after any) {
			b, _ := before.(*v1alpha1.PediaClusterLifecycle)
			a, _ := after.(*v1alpha1.PediaClusterLifecycle)
			if b.Generation != a.Generation || b.DeletionTimestamp.IsZero() != a.DeletionTimestamp.IsZero() || b.UID != a.UID ||
				!slices.Equal(b.Finalizers, a.Finalizers) || !equality.Semantic.DeepEqual(b.OwnerReferences, a.OwnerReferences) {
				c.loop.AddObject(after)
			}
		},
		DeleteFunc: c.loop.AddObject,
	})
	if err != nil {
		return nil, err
	}
	// A lifecycle and its PediaCluster have the same name.
	_, err = clusters.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: c.loop.AddObject,
		UpdateFunc: func(before, after any) {
			b, _ := before.(*v1alpha2.PediaCluster)
			a, _ := after.(*v1alpha2.PediaCluster)
			if b.UID != a.UID || !sameConnection(&b.Spec, &a.Spec) || !equality.Semantic.DeepEqual(b.OwnerReferences, a.OwnerReferences) {
				c.loop.AddObject(after)
			}
		},
		DeleteFunc: c.loop.AddObject,
	})
	return c, err
}

// ObjectChanged tells the controller of a change of any watched object.
func (c *Controller) ObjectChanged(o dependents.Object) {
	for _, name := range c.registry.dependingOn(o) {
		c.loop.Add(name)
	}
}

// Progressed tells the controller that the objects of a resource can be read now, or
// cannot be any more.
func (c *Controller) Progressed(resource schema.GroupVersionResource) {
	// The lister reads from memory and cannot fail.
	all, _ := c.lifecycles.List(labels.Everything())
	for _, lifecycle := range all {
		if slices.Contains(needed(&lifecycle.Spec), resource) {
			c.loop.Add(lifecycle.Name)
		}
	}
}

// needed returns the resources of a lifecycle's source and references.
func needed(spec *v1alpha1.PediaClusterLifecycleSpec) []schema.GroupVersionResource {
	all := []schema.GroupVersionResource{object(spec.Source).GroupVersionResource}
	for _, r := range spec.References {
		all = append(all, schema.GroupVersionResource{Group: r.Group, Version: r.Version, Resource: r.Resource})
	}
	return all
}

// Run reconciles until ctx ends. The informers of the factory have synced.
func (c *Controller) Run(ctx context.Context, workers int) { c.loop.Run(ctx, workers) }

func (c *Controller) reconcile(ctx context.Context, name string) error {
	lifecycle, err := c.lifecycles.Get(name)
	if apierrors.IsNotFound(err) {
		c.registry.set(name)
		return nil
	}
	if err != nil {
		return err
	}
	if lifecycle.DeletionTimestamp != nil {
		c.registry.set(name)
		return c.setFinalizers(ctx, lifecycle, slices.DeleteFunc(slices.Clone(lifecycle.Finalizers), func(f string) bool { return f == Finalizer }))
	}
	if !slices.Contains(lifecycle.Finalizers, Finalizer) {
		return c.setFinalizers(ctx, lifecycle, append(slices.Clone(lifecycle.Finalizers), Finalizer)) // leads back here
	}
	next := lifecycle.DeepCopy()
	result := c.keep(ctx, next)
	if equality.Semantic.DeepEqual(lifecycle.Status, next.Status) {
		return result
	}
	_, err = c.client.PolicyV1alpha1().PediaClusterLifecycles().UpdateStatus(ctx, next, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return errors.Join(result, reconcile.ErrWait) // for the cache
	}
	return errors.Join(result, err)
}

func (c *Controller) setFinalizers(ctx context.Context, lifecycle *v1alpha1.PediaClusterLifecycle, finalizers []string) error {
	if slices.Equal(lifecycle.Finalizers, finalizers) {
		return nil
	}
	next := lifecycle.DeepCopy()
	next.Finalizers = finalizers
	_, err := c.client.PolicyV1alpha1().PediaClusterLifecycles().Update(ctx, next, metav1.UpdateOptions{})
	return reconcile.Written(err)
}

// failure is why there is no PediaCluster, or why it is not up to date.
type failure struct {
	// reason is that of the condition.
	reason string
	err    error
	// idle says that only another change can mend it.
	idle bool
}

// keep brings the PediaCluster of a lifecycle to what it should be, and writes into the
// lifecycle's status, but not to the API server, how far that is.
func (c *Controller) keep(ctx context.Context, lifecycle *v1alpha1.PediaClusterLifecycle) error {
	cluster, err := c.clusters.Get(lifecycle.Name)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	data, failed := c.read(ctx, lifecycle)
	exists := err == nil
	conditions := &lifecycle.Status.Conditions
	if !exists {
		meta.RemoveStatusCondition(conditions, v1alpha1.LifecycleUpdatingCondition)
		if failed == nil {
			failed = c.create(ctx, lifecycle, data)
		}
		if failed == nil {
			set(lifecycle, v1alpha1.LifecycleCreatedCondition, metav1.ConditionTrue, "PediaClusterCreated", nil)
			return nil
		}
		return c.report(lifecycle, v1alpha1.LifecycleCreatedCondition, failed)
	}
	if !meta.IsStatusConditionTrue(*conditions, v1alpha1.LifecycleCreatedCondition) {
		set(lifecycle, v1alpha1.LifecycleCreatedCondition, metav1.ConditionTrue, "PediaClusterExisted", nil)
	}
	changed := false
	if failed == nil {
		changed, failed = c.update(ctx, lifecycle, cluster, data)
	}
	if failed != nil {
		return c.report(lifecycle, v1alpha1.LifecycleUpdatingCondition, failed)
	}
	// Nothing to do is no news, but after a failure.
	if changed || meta.IsStatusConditionFalse(*conditions, v1alpha1.LifecycleUpdatingCondition) {
		set(lifecycle, v1alpha1.LifecycleUpdatingCondition, metav1.ConditionTrue, "PediaClusterUpdated", nil)
	}
	return nil
}

func (c *Controller) report(lifecycle *v1alpha1.PediaClusterLifecycle, condition string, f *failure) error {
	if errors.Is(f.err, reconcile.ErrWait) {
		return f.err
	}
	// A process that has just begun need not say that it must read everything again.
	if !dependents.JustBegun(f.err) || len(lifecycle.Status.Conditions) == 0 {
		set(lifecycle, condition, metav1.ConditionFalse, f.reason, f.err)
	}
	if f.idle {
		return nil
	}
	return f.err
}

func set(lifecycle *v1alpha1.PediaClusterLifecycle, condition string, status metav1.ConditionStatus, reason string, err error) {
	meta.SetStatusCondition(&lifecycle.Status.Conditions, metav1.Condition{
		Type: condition, Status: status, Reason: reason, Message: reconcile.Message(err), ObservedGeneration: lifecycle.Generation,
	})
}

// read reads the source and the references, one after the other: the names of a
// reference can be made of those before.
func (c *Controller) read(ctx context.Context, lifecycle *v1alpha1.PediaClusterLifecycle) (data templates.Data, f *failure) {
	if clusterimportpolicy.Owner(lifecycle) == nil {
		c.registry.set(lifecycle.Name)
		if metav1.GetControllerOf(lifecycle) == nil {
			return data, &failure{"OrphanLifecycle", errors.New("not found owner controller"), true}
		}
		return data, &failure{"OrphanLifecycle", errors.New("owner controller is not policy.ClusterImportPolicy"), true}
	}
	source := object(lifecycle.Spec.Source)
	if err := c.watches.Ready(needed(&lifecycle.Spec)...); err != nil {
		return data, &failure{"WaitDependentResourceSynced", err, true} // progress leads back here
	}
	lifecycle.Status.References = nil
	// Registered before it is read, so that no change in between is missed.
	depends := []dependents.Object{source}
	c.registry.set(lifecycle.Name, depends...)
	got, err := c.watches.Get(ctx, source)
	if err != nil {
		return data, notFound("SourceResourceNotFound", err)
	}
	data = templates.Data{Source: got.Object, References: map[string]any{}}
	for _, reference := range lifecycle.Spec.References {
		o, err := resolve(reference, data)
		if err != nil {
			return data, &failure{"FailedReferenceResourceParse", err, true}
		}
		lifecycle.Status.References = append(lifecycle.Status.References, v1alpha1.DependentResource{
			Group: o.Group, Version: o.Version, Resource: o.Resource, Namespace: o.Namespace, Name: o.Name,
		})
		depends = append(depends, o)
		c.registry.set(lifecycle.Name, depends...)
		got, err := c.watches.Get(ctx, o)
		if err != nil {
			return data, notFound("ReferenceResourceNotFound", fmt.Errorf("%s: %w", o, err))
		}
		data.References[reference.Key] = got.Object
	}
	return data, nil
}

// notFound is a failure that ends when the object comes; any other error may end any
// time.
func notFound(reason string, err error) *failure {
	return &failure{reason, err, errors.Is(err, dependents.ErrNotFound)}
}

func object(d v1alpha1.DependentResource) dependents.Object {
	return dependents.Object{
		GroupVersionResource: schema.GroupVersionResource{Group: d.Group, Version: d.Version, Resource: d.Resource},
		Namespace:            d.Namespace, Name: d.Name,
	}
}

// resolve renders which object a reference means.
func resolve(r v1alpha1.ReferenceResourceTemplate, data templates.Data) (dependents.Object, error) {
	o := dependents.Object{GroupVersionResource: schema.GroupVersionResource{Group: r.Group, Version: r.Version, Resource: r.Resource}}
	var err error
	if o.Namespace, err = templates.Render("namespaceTemplate", r.NamespaceTemplate, data); err == nil {
		o.Name, err = templates.Render("nameTemplate", r.NameTemplate, data)
	}
	what := r.Group + "/" + r.Version + "/" + r.Resource
	if r.NamespaceTemplate != "" {
		what += "/" + r.NamespaceTemplate
	}
	what += "/" + r.NameTemplate
	if err != nil {
		return o, fmt.Errorf("failed to resolve %s namespace and name: %w", what, err)
	}
	if o.Name == "" {
		return o, fmt.Errorf("%s resource name is empty", what)
	}
	return o, nil
}

// sameConnection reports whether two specs lead to the same member, with the same
// credentials.
func sameConnection(a, b *v1alpha2.ClusterSpec) bool {
	return a.APIServer == b.APIServer && bytes.Equal(a.Kubeconfig, b.Kubeconfig) && bytes.Equal(a.CAData, b.CAData) &&
		bytes.Equal(a.TokenData, b.TokenData) && bytes.Equal(a.CertData, b.CertData) && bytes.Equal(a.KeyData, b.KeyData)
}
