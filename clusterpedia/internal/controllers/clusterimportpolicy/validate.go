package clusterimportpolicy

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"clusterpedia.io/api/policy/v1alpha1"
	"clusterpedia.io/clusterpedia/internal/controllers/reconcile"
	"clusterpedia.io/clusterpedia/internal/controllers/templates"
)

// Reasons of the condition Validated. Users know and search for these texts.
const (
	reasonName      = "FailedParseLifecycleName"
	reasonSelector  = "FailedParseSourceSelector"
	reasonPolicy    = "InvalaidPolicy"
	reasonSource    = "FailedNegotiateSourceResource"
	reasonReference = "FailedNegotiateReferenceResource"
	reasonSuccess   = "Success"
)

// validated returns the state of a policy, with the plan of its spec; nil if the spec
// is not valid before somebody mends it. The error is one that may mend itself.
func (c *Controller) validated(policy *v1alpha1.ClusterImportPolicy) (*state, error) {
	c.mu.Lock()
	s := c.states[policy.Name]
	if s == nil || s.uid != policy.UID {
		s = &state{uid: policy.UID, changed: map[types.NamespacedName]bool{}}
		c.states[policy.Name] = s
	}
	c.mu.Unlock()
	if s.generation == policy.Generation {
		return s, nil
	}
	// Until the spec is mended, what it was before keeps the source.
	if reason, err := parse(&policy.Spec); err != nil {
		invalid(policy, reason, err)
		return nil, nil
	}
	next, reason, err := c.negotiate(&policy.Spec)
	if err != nil {
		c.mapper.Reset() // what is missing may come
		invalid(policy, reason, err)
		return nil, err
	}
	s.plan, s.generation = next, policy.Generation
	s.sources = sources{}
	c.mu.Lock()
	s.all = true
	c.mu.Unlock()
	meta.SetStatusCondition(&policy.Status.Conditions, metav1.Condition{
		Type: v1alpha1.PolicyValidatedCondition, Status: metav1.ConditionTrue, Reason: reasonSuccess, ObservedGeneration: policy.Generation,
	})
	return s, nil
}

// parse checks the templates of a spec. Those of references are left to the lifecycles,
// which say what is wrong with them.
func parse(spec *v1alpha1.ClusterImportPolicySpec) (reason string, err error) {
	for _, one := range []struct{ field, text, reason string }{
		{"nameTemplate", string(spec.NameTemplate), reasonName},
		{"source.selectorTemplate", string(spec.Source.SelectorTemplate), reasonSelector},
		{"template", spec.Template, reasonPolicy},
		{"creationCondition", spec.CreationCondition, reasonPolicy},
	} {
		if err := templates.Parse("spec."+one.field, one.text); err != nil {
			return one.reason, err
		}
	}
	return "", nil
}

// negotiate finds the versions of all resources.
func (c *Controller) negotiate(spec *v1alpha1.ClusterImportPolicySpec) (p plan, reason string, err error) {
	if p.source, err = c.version("spec.source", spec.Source.Group, spec.Source.Resource, spec.Source.Versions); err != nil {
		return p, reasonSource, err
	}
	for i, reference := range spec.References {
		found, err := c.version(fmt.Sprintf("spec.references[%d]", i), reference.Group, reference.Resource, reference.Versions)
		if err != nil {
			return p, reasonReference, err
		}
		concrete := v1alpha1.ReferenceResourceTemplate{BaseReferenceResourceTemplate: reference.BaseReferenceResourceTemplate, Version: found.Version}
		concrete.Group, concrete.Resource = found.Group, found.Resource
		p.references = append(p.references, concrete)
	}
	return p, "", nil
}

// version finds the first acceptable version of a resource in the order of the API
// server.
func (c *Controller) version(field, group, resource string, acceptable []string) (schema.GroupVersionResource, error) {
	found, err := c.mapper.ResourcesFor(schema.GroupVersionResource{Group: group, Resource: resource})
	if err != nil {
		return schema.GroupVersionResource{}, fmt.Errorf("%s: %w", field, err)
	}
	var served []string
	for _, one := range found {
		// No group means all groups to the mapper.
		if group == "" && one.Group != "" {
			continue
		}
		if len(acceptable) == 0 || slices.Contains(acceptable, one.Version) {
			return one, nil
		}
		served = append(served, one.Version)
	}
	if len(served) > 0 {
		return schema.GroupVersionResource{}, fmt.Errorf("%s.versions: the host cluster serves %s in %q only", field, schema.GroupResource{Group: group, Resource: resource}, served)
	}
	return schema.GroupVersionResource{}, fmt.Errorf("%s: the host cluster has no resource %s", field, schema.GroupResource{Group: group, Resource: resource})
}

// invalid leaves the one condition that says what is wrong with a spec.
func invalid(policy *v1alpha1.ClusterImportPolicy, reason string, err error) {
	policy.Status.Conditions = slices.DeleteFunc(policy.Status.Conditions, func(c metav1.Condition) bool { return c.Type != v1alpha1.PolicyValidatedCondition })
	meta.SetStatusCondition(&policy.Status.Conditions, metav1.Condition{
		Type: v1alpha1.PolicyValidatedCondition, Status: metav1.ConditionFalse, Reason: reason, Message: reconcile.Message(err), ObservedGeneration: policy.Generation,
	})
}

// reconciling sets the condition Reconciling.
func reconciling(policy *v1alpha1.ClusterImportPolicy, reason string, err error) {
	status := metav1.ConditionTrue
	if err != nil {
		status = metav1.ConditionFalse
	}
	meta.SetStatusCondition(&policy.Status.Conditions, metav1.Condition{
		Type: v1alpha1.PolicyReconcilingCondition, Status: status, Reason: reason, Message: reconcile.Message(err), ObservedGeneration: policy.Generation,
	})
}

// failures is an error of many, of which the message tells the first.
type failures []error

const told = 3

// Error implements error.
func (f failures) Error() string {
	text := errors.Join(f[:min(len(f), told)]...).Error()
	if len(f) > told {
		text += fmt.Sprintf("\nand %d more", len(f)-told)
	}
	return text
}

// Unwrap returns all errors.
func (f failures) Unwrap() []error { return f }
