package pediaclusterlifecycle

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/api/policy/v1alpha1"
	"clusterpedia.io/clusterpedia/internal/controllers/reconcile"
	"clusterpedia.io/clusterpedia/internal/controllers/templates"
)

const (
	kindLifecycle = "PediaClusterLifecycle"
	kindCluster   = "PediaCluster"
)

// render renders the PediaCluster of a lifecycle: its labels, annotations and spec.
func render(lifecycle *v1alpha1.PediaClusterLifecycle, data templates.Data) (*v1alpha2.PediaCluster, error) {
	text, err := templates.Render("template", lifecycle.Spec.Template, data)
	if err != nil {
		return nil, err
	}
	var got v1alpha2.PediaCluster
	if err := yaml.Unmarshal([]byte(text), &got); err != nil {
		return nil, fmt.Errorf("the template renders to no PediaCluster: %w", err)
	}
	if got.Kind != "" && got.Kind != kindCluster {
		return nil, fmt.Errorf("the template renders to a %s, want a %s", got.Kind, kindCluster)
	}
	if want := v1alpha2.GroupVersion.String(); got.APIVersion != "" && got.APIVersion != want {
		return nil, fmt.Errorf("the template renders to a PediaCluster of %s, want %s", got.APIVersion, want)
	}
	if got.Spec.SyncResources == nil {
		got.Spec.SyncResources = []v1alpha2.ClusterGroupResources{} // required, but may be empty
	}
	return &v1alpha2.PediaCluster{
		ObjectMeta: metav1.ObjectMeta{Name: lifecycle.Name, Labels: got.Labels, Annotations: got.Annotations},
		Spec:       got.Spec,
	}, nil
}

// create creates the PediaCluster of a lifecycle, once its condition is true.
func (c *Controller) create(ctx context.Context, lifecycle *v1alpha1.PediaClusterLifecycle, data templates.Data) *failure {
	ready, err := templates.IsTrue("creationCondition", lifecycle.Spec.CreationCondition, data)
	if err != nil || !ready {
		return &failure{"WaitCreationCondition", err, true}
	}
	cluster, err := render(lifecycle, data)
	if err != nil {
		return &failure{"FailedResolveAndDecodePediaCluster", err, true}
	}
	// No controller: it does not hold back the lifecycle's end, but goes with it.
	cluster.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: kindLifecycle, Name: lifecycle.Name, UID: lifecycle.UID,
	}}
	_, err = c.client.ClusterV1alpha2().PediaClusters().Create(ctx, cluster, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err):
		return &failure{"CreationFailure", reconcile.ErrWait, false} // for the cache
	case err != nil:
		return &failure{"CreationFailure", err, false}
	}
	return nil
}

// update brings the connection of a PediaCluster to what the template says. All else is
// its users'.
func (c *Controller) update(ctx context.Context, lifecycle *v1alpha1.PediaClusterLifecycle, cluster *v1alpha2.PediaCluster, data templates.Data) (changed bool, f *failure) {
	if cluster.DeletionTimestamp != nil {
		return false, nil // its end leads back here
	}
	if other := otherOwner(lifecycle, cluster); other != nil {
		return false, &failure{"PediaClusterOwnedByOther", fmt.Errorf("the %s %s owns the PediaCluster", other.Kind, other.Name), true}
	}
	wanted, err := render(lifecycle, data)
	if err != nil {
		return false, &failure{"FailedResolveAndDecodePediaCluster", err, true}
	}
	if sameConnection(&wanted.Spec, &cluster.Spec) {
		return false, nil
	}
	patch, err := connectionPatch(&wanted.Spec)
	if err == nil {
		_, err = c.client.ClusterV1alpha2().PediaClusters().Patch(ctx, cluster.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	if err != nil {
		return false, &failure{"FailedPatchPediaCluster", err, false}
	}
	return true, nil
}

// otherOwner returns an owner of the PediaCluster that knows better than this lifecycle
// what its connection is.
func otherOwner(lifecycle *v1alpha1.PediaClusterLifecycle, cluster *v1alpha2.PediaCluster) *metav1.OwnerReference {
	for _, owner := range cluster.OwnerReferences {
		if owner.UID == lifecycle.UID {
			return nil
		}
	}
	for _, owner := range cluster.OwnerReferences {
		if (owner.Controller != nil && *owner.Controller) || owner.Kind == kindLifecycle {
			return &owner
		}
	}
	return nil
}

// connectionPatch is a merge patch of the connection: what the spec lacks is removed.
func connectionPatch(spec *v1alpha2.ClusterSpec) ([]byte, error) {
	fields := map[string]any{}
	for name, value := range map[string][]byte{
		"kubeconfig": spec.Kubeconfig, "caData": spec.CAData, "tokenData": spec.TokenData, "certData": spec.CertData, "keyData": spec.KeyData,
	} {
		fields[name] = nil
		if len(value) > 0 {
			fields[name] = value
		}
	}
	fields["apiserver"] = nil
	if spec.APIServer != "" {
		fields["apiserver"] = spec.APIServer
	}
	return json.Marshal(map[string]any{"spec": fields})
}
