package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Types of the conditions in a ClusterImportPolicy's status.
const (
	// PolicyValidatedCondition says whether the spec can be used.
	PolicyValidatedCondition = "Validated"

	// PolicyReconcilingCondition says whether all source objects have their
	// PediaClusterLifecycle.
	PolicyReconcilingCondition = "Reconciling"
)

// ClusterImportPolicy makes a PediaClusterLifecycle, and by it a PediaCluster,
// of every object of one source resource, for example of every Cluster of
// Cluster API.
//
// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:resource:path=clusterimportpolicies,singular=clusterimportpolicy,scope=Cluster
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Validated",type=string,JSONPath=".status.conditions[?(@.type == 'Validated')].reason"
// +kubebuilder:printcolumn:name="Reconciling",type=string,JSONPath=".status.conditions[?(@.type == 'Reconciling')].reason"
type ClusterImportPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which objects PediaClusters are made of, and how.
	// +optional
	Spec ClusterImportPolicySpec `json:"spec,omitzero"`

	// status is written by controller-manager.
	// +optional
	Status ClusterImportPolicyStatus `json:"status,omitzero"`
}

// ClusterImportPolicyList is a list of ClusterImportPolicies.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type ClusterImportPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ClusterImportPolicy `json:"items"`
}

// ClusterImportPolicySpec says which objects PediaClusters are made of, and how.
type ClusterImportPolicySpec struct {
	// source is the resource whose objects stand for clusters.
	// +required
	Source SourceType `json:"source"`

	// references are further objects that the templates need, found one after
	// the other: a template sees those before its own.
	// +optional
	// +listType=map
	// +listMapKey=key
	References []IntendReferenceResourceTemplate `json:"references,omitempty"`

	// nameTemplate renders the name of the PediaClusterLifecycle and of the
	// PediaCluster.
	// +required
	NameTemplate LifecycleNameTemplate `json:"nameTemplate"`

	Policy `json:",inline"`
}

// Policy is how a PediaCluster is made and kept.
type Policy struct {
	// template renders a PediaCluster in YAML or JSON. Its name is replaced.
	// +required
	Template string `json:"template"`

	// creationCondition renders to "true" once the PediaCluster may be created.
	// +required
	CreationCondition string `json:"creationCondition"`
}

// LifecycleNameTemplate is a Go template that renders an object's name. It sees
// the source object and no references.
type LifecycleNameTemplate string

// SelectorTemplate is a Go template that renders to "true" for the source
// objects that are selected. An empty one selects all.
type SelectorTemplate string

// SourceType is a resource whose objects stand for clusters.
type SourceType struct {
	// group is the API group, "" for the core group.
	// +required
	Group string `json:"group"`

	// versions are the acceptable versions. Without any, the API server's
	// preferred one is used.
	// +optional
	Versions []string `json:"versions,omitempty"`

	// resource is the plural name of the resource.
	// +required
	Resource string `json:"resource"`

	// selectorTemplate selects among the objects of the resource.
	// +optional
	SelectorTemplate SelectorTemplate `json:"selectorTemplate,omitempty"`
}

// BaseReferenceResourceTemplate renders which object a reference means.
type BaseReferenceResourceTemplate struct {
	// key is the name of the object in the templates: .references.KEY.
	// +required
	Key string `json:"key"`

	// group is the API group, "" for the core group.
	// +required
	Group string `json:"group"`

	// resource is the plural name of the resource.
	// +required
	Resource string `json:"resource"`

	// namespaceTemplate renders the object's namespace. Without one, the object
	// is cluster-scoped.
	// +optional
	NamespaceTemplate string `json:"namespaceTemplate,omitempty"`

	// nameTemplate renders the object's name.
	// +required
	NameTemplate string `json:"nameTemplate"`
}

// IntendReferenceResourceTemplate is a reference whose version is still open.
type IntendReferenceResourceTemplate struct {
	BaseReferenceResourceTemplate `json:",inline"`

	// versions are the acceptable versions. Without any, the API server's
	// preferred one is used.
	// +optional
	Versions []string `json:"versions,omitempty"`
}

// ClusterImportPolicyStatus is how far a ClusterImportPolicy is.
type ClusterImportPolicyStatus struct {
	// conditions are Validated and Reconciling.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
