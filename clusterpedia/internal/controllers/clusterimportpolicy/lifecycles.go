package clusterimportpolicy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"clusterpedia.io/api/policy/v1alpha1"
	"clusterpedia.io/clusterpedia/internal/controllers/reconcile"
)

// converge creates, changes and deletes lifecycles, so that there is one for each name
// that is wanted. Wait says that it has to be called again.
func (c *Controller) converge(ctx context.Context, policy *v1alpha1.ClusterImportPolicy, s *state, owned map[string]*v1alpha1.PediaClusterLifecycle, wanted map[string]types.NamespacedName) (wait bool, all failures) {
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		switch err := c.ensure(ctx, policy, s.plan, name, wanted[name]); {
		case errors.Is(err, reconcile.ErrWait):
			wait = true
		case err != nil:
			all = append(all, fmt.Errorf("PediaClusterLifecycle %s: %w", name, err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(owned)) {
		lifecycle := owned[name]
		if _, ok := wanted[name]; ok || lifecycle.DeletionTimestamp != nil {
			continue
		}
		// A source whose templates fail, or whose name another one has, has not said that it
		// wants no cluster: to delete the lifecycle would delete everything that was copied
		// from it.
		if one, ok := s.sources[sourceOf(lifecycle)]; ok && (one.err != nil || wanted[one.name] != sourceOf(lifecycle)) {
			continue
		}
		err := c.client.PolicyV1alpha1().PediaClusterLifecycles().Delete(ctx, name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(lifecycle.UID))})
		if err != nil && !apierrors.IsNotFound(err) {
			all = append(all, fmt.Errorf("PediaClusterLifecycle %s: %w", name, err))
		}
	}
	return wait, all
}

// owned returns the lifecycles that a policy controls.
func (c *Controller) owned(policy *v1alpha1.ClusterImportPolicy) (map[string]*v1alpha1.PediaClusterLifecycle, error) {
	objects, err := c.lifecycles.ByIndex(byPolicy, policy.Name)
	if err != nil {
		return nil, err
	}
	owned := map[string]*v1alpha1.PediaClusterLifecycle{}
	for _, object := range objects {
		if lifecycle, ok := object.(*v1alpha1.PediaClusterLifecycle); ok && metav1.IsControlledBy(lifecycle, policy) {
			owned[lifecycle.Name] = lifecycle
		}
	}
	return owned, nil
}

// assign gives each name to one source: to the one that has it already, or else to the
// first. The others are failures.
func assign(s sources, owned map[string]*v1alpha1.PediaClusterLifecycle) (map[string]types.NamespacedName, failures) {
	wanted := map[string]types.NamespacedName{}
	for name, lifecycle := range owned {
		if source := sourceOf(lifecycle); s[source].err == nil && s[source].name == name {
			wanted[name] = source
		}
	}
	var all failures
	for _, key := range s.sorted() {
		one := s[key]
		if one.err != nil {
			continue
		}
		if other, ok := wanted[one.name]; ok && other != key {
			all = append(all, fmt.Errorf("%s: spec.nameTemplate renders to %q, as for %s", display(key), one.name, display(other)))
			continue
		}
		wanted[one.name] = key
	}
	return wanted, all
}

func sourceOf(lifecycle *v1alpha1.PediaClusterLifecycle) types.NamespacedName {
	return types.NamespacedName{Namespace: lifecycle.Spec.Source.Namespace, Name: lifecycle.Spec.Source.Name}
}

// ensure creates a lifecycle, or brings it to what it should be.
func (c *Controller) ensure(ctx context.Context, policy *v1alpha1.ClusterImportPolicy, p plan, name string, source types.NamespacedName) error {
	spec := v1alpha1.PediaClusterLifecycleSpec{
		Source: v1alpha1.DependentResource{
			Group: p.source.Group, Version: p.source.Version, Resource: p.source.Resource, Namespace: source.Namespace, Name: source.Name,
		},
		References: p.references,
		Policy:     policy.Spec.Policy,
	}
	owner := *metav1.NewControllerRef(policy, v1alpha1.GroupVersion.WithKind("ClusterImportPolicy"))
	client := c.client.PolicyV1alpha1().PediaClusterLifecycles()
	object, exists, err := c.lifecycles.GetByKey(name)
	if err != nil {
		return err
	}
	lifecycle, ok := object.(*v1alpha1.PediaClusterLifecycle)
	if !exists || !ok {
		_, err := client.Create(ctx, &v1alpha1.PediaClusterLifecycle{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{owner}}, Spec: spec}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return reconcile.ErrWait // for the cache
		}
		return err
	}
	if lifecycle.DeletionTimestamp != nil {
		return reconcile.ErrWait
	}
	if other := metav1.GetControllerOf(lifecycle); other != nil && other.UID != policy.UID {
		return fmt.Errorf("the %s %s controls it", other.Kind, other.Name)
	}
	if equality.Semantic.DeepEqual(lifecycle.Spec, spec) && metav1.IsControlledBy(lifecycle, policy) {
		return nil
	}
	next := lifecycle.DeepCopy()
	next.Spec = spec
	if !metav1.IsControlledBy(lifecycle, policy) {
		next.OwnerReferences = append(next.OwnerReferences, owner)
	}
	_, err = client.Update(ctx, next, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return reconcile.ErrWait
	}
	return err
}

// rival returns another policy that has a better right to a source; "" if none has. A
// resource is the source of one policy only: of the one that has made lifecycles of it,
// and among equals of the oldest. So it is the same one after a restart.
func (c *Controller) rival(policy *v1alpha1.ClusterImportPolicy, source schema.GroupVersionResource) string {
	// The lister reads from memory and cannot fail.
	all, _ := c.policies.List(labels.Everything())
	best := policy
	for _, other := range all {
		if other.Name == policy.Name || other.DeletionTimestamp != nil {
			continue
		}
		if _, err := parse(&other.Spec); err != nil && !c.hasMade(other, source) {
			continue // it has never worked
		}
		asked := other.Spec.Source
		if found, err := c.version("spec.source", asked.Group, asked.Resource, asked.Versions); err == nil && found == source && c.precedes(other, best, source) {
			best = other
		}
	}
	if best == policy {
		return ""
	}
	return best.Name
}

func (c *Controller) precedes(a, b *v1alpha1.ClusterImportPolicy, source schema.GroupVersionResource) bool {
	if has := c.hasMade(a, source); has != c.hasMade(b, source) {
		return has
	}
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.Name < b.Name
}

// hasMade reports whether a policy controls lifecycles of a source.
func (c *Controller) hasMade(policy *v1alpha1.ClusterImportPolicy, source schema.GroupVersionResource) bool {
	owned, err := c.owned(policy)
	if err != nil {
		return false // of the index: cannot happen
	}
	for _, lifecycle := range owned {
		if from := lifecycle.Spec.Source; from.Group == source.Group && from.Resource == source.Resource {
			return true
		}
	}
	return false
}
