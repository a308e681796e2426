package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Types of the conditions in a PediaClusterLifecycle's status.
const (
	// LifecycleCreatedCondition says whether the PediaCluster was created.
	LifecycleCreatedCondition = "Created"

	// LifecycleUpdatingCondition says whether the PediaCluster is kept up to
	// date.
	LifecycleUpdatingCondition = "Updating"
)

// PediaClusterLifecycle makes the PediaCluster of the same name from one source
// object, and keeps its connection fields up to date. It is made by a
// ClusterImportPolicy, which owns it.
//
// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:resource:path=pediaclusterlifecycles,singular=pediaclusterlifecycle,scope=Cluster
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Created",type=string,JSONPath=".status.conditions[?(@.type == 'Created')].reason"
// +kubebuilder:printcolumn:name="Updating",type=string,JSONPath=".status.conditions[?(@.type == 'Updating')].reason"
type PediaClusterLifecycle struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which object the PediaCluster is made of, and how.
	// +optional
	Spec PediaClusterLifecycleSpec `json:"spec,omitzero"`

	// status is written by controller-manager.
	// +optional
	Status PediaClusterLifecycleStatus `json:"status,omitzero"`
}

// PediaClusterLifecycleList is a list of PediaClusterLifecycles.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type PediaClusterLifecycleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []PediaClusterLifecycle `json:"items"`
}

// PediaClusterLifecycleSpec says which object a PediaCluster is made of, and how.
type PediaClusterLifecycleSpec struct {
	// source is the object that stands for the cluster.
	// +required
	Source DependentResource `json:"source"`

	// references are further objects that the templates need, found one after
	// the other: a template sees those before its own.
	// +optional
	// +listType=map
	// +listMapKey=key
	References []ReferenceResourceTemplate `json:"references,omitempty"`

	Policy `json:",inline"`
}

// ReferenceResourceTemplate is a reference to an object in a known version.
type ReferenceResourceTemplate struct {
	BaseReferenceResourceTemplate `json:",inline"`

	// version is the version that the object is read in.
	// +required
	Version string `json:"version"`
}

// DependentResource is one object that a PediaCluster is made of.
type DependentResource struct {
	// group is the API group, "" for the core group.
	// +required
	Group string `json:"group"`

	// version is the version that the object is read in.
	// +required
	Version string `json:"version"`

	// resource is the plural name of the resource.
	// +required
	Resource string `json:"resource"`

	// namespace is the object's namespace, empty if it is cluster-scoped.
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// name is the object's name.
	// +required
	Name string `json:"name"`
}

// PediaClusterLifecycleStatus is how far a PediaClusterLifecycle is.
type PediaClusterLifecycleStatus struct {
	// conditions are Created and Updating.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// references are the objects that spec.references stand for, up to the
	// first one that could not be read.
	// +optional
	References []DependentResource `json:"references,omitempty"`
}
