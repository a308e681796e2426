package clusterimportpolicy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"clusterpedia.io/api/policy/v1alpha1"
	"clusterpedia.io/clusterpedia/internal/controllers/dependents"
	"clusterpedia.io/clusterpedia/internal/controllers/templates"
)

// sources are the selected source objects of a policy, with the names that they render
// to, or why they don't.
type sources map[types.NamespacedName]rendered

type rendered struct {
	name string
	err  error
}

// read brings the sources up to date: all of them, or those that have changed.
func (s *sources) read(ctx context.Context, watches *dependents.Watches, spec *v1alpha1.ClusterImportPolicySpec, resource schema.GroupVersionResource, changed map[types.NamespacedName]bool, all bool) error {
	if all {
		next := sources{}
		if err := watches.Each(ctx, resource, func(object *unstructured.Unstructured) { next.render(spec, object) }); err != nil {
			return fmt.Errorf("list %s: %w", resource.GroupResource(), err)
		}
		*s = next
		return nil
	}
	for name := range changed {
		object, err := watches.Get(ctx, dependents.Object{GroupVersionResource: resource, Namespace: name.Namespace, Name: name.Name})
		if errors.Is(err, dependents.ErrNotFound) {
			delete(*s, name)
			continue
		}
		if err != nil {
			return fmt.Errorf("get %s %s: %w", resource.GroupResource(), display(name), err)
		}
		s.render(spec, object)
	}
	return nil
}

// render notes what an object renders to.
func (s sources) render(spec *v1alpha1.ClusterImportPolicySpec, object *unstructured.Unstructured) {
	key := types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
	name, err := nameOf(spec, object)
	if err == nil && name == "" {
		delete(s, key)
		return
	}
	s[key] = rendered{name, err}
}

// nameOf returns the name that an object renders to; "" if it is not selected.
func nameOf(spec *v1alpha1.ClusterImportPolicySpec, object *unstructured.Unstructured) (string, error) {
	data := templates.Data{Source: object.Object}
	if text := string(spec.Source.SelectorTemplate); text != "" {
		selected, err := templates.IsTrue("spec.source.selectorTemplate", text, data)
		if err != nil || !selected {
			return "", err
		}
	}
	name, err := templates.Render("spec.nameTemplate", string(spec.NameTemplate), data)
	if err != nil {
		return "", err
	}
	if name == "" {
		return "", errors.New("spec.nameTemplate renders to nothing")
	}
	if wrong := validation.NameIsDNSSubdomain(name, false); len(wrong) > 0 {
		return "", fmt.Errorf("spec.nameTemplate renders to %q: %s", name, wrong[0])
	}
	return name, nil
}

// failures tells which sources render to no name.
func (s sources) failures() failures {
	var all failures
	for _, key := range s.sorted() {
		if err := s[key].err; err != nil {
			all = append(all, fmt.Errorf("%s: %w", display(key), err))
		}
	}
	return all
}

func (s sources) sorted() []types.NamespacedName {
	return slices.SortedFunc(maps.Keys(s), func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
}

// display returns a name for messages.
func display(name types.NamespacedName) string {
	if name.Namespace == "" {
		return name.Name
	}
	return name.String()
}
