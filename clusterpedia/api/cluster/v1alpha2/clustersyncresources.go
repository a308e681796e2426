package v1alpha2

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ClusterSyncResources is a selection of resources that several PediaClusters
// share by naming it in spec.syncResourcesRefName. A change of it takes effect in
// all of them. Deleting it is never blocked, and changes nothing: what it said last
// stays in force where it is named.
//
// +genclient
// +genclient:nonNamespaced
// +genclient:noStatus
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:resource:path=clustersyncresources,singular=clustersyncresources,scope=Cluster
type ClusterSyncResources struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the selection.
	// +optional
	Spec ClusterSyncResourcesSpec `json:"spec,omitzero"`
}

// ClusterSyncResourcesList is a list of ClusterSyncResources.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type ClusterSyncResourcesList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ClusterSyncResources `json:"items"`
}

// ClusterSyncResourcesSpec is the selection of a ClusterSyncResources.
type ClusterSyncResourcesSpec struct {
	// syncResources selects what is copied. It may be empty.
	// +required
	SyncResources []ClusterGroupResources `json:"syncResources"`

	SyncExclusions `json:",inline"`
}
