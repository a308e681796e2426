package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Resources is the kind of the resource "resources", below whose path the
// apiserver serves the copied objects like a Kubernetes API server of its own:
// those of all clusters, or at resources/clusters/NAME those of one.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type Resources struct {
	metav1.TypeMeta `json:",inline"`
}

// CollectionResource is the answer to one search across several resource types.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type CollectionResource struct {
	metav1.TypeMeta `json:",inline"`

	// metadata holds the name of the collection.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// resourceTypes are, in a list of collections, the types that the
	// collection has; in an answer, those of its items, in order of first
	// appearance.
	// +required
	ResourceTypes []CollectionResourceType `json:"resourceTypes"`

	// items are the objects found, in the version they are stored in.
	// +optional
	Items []runtime.RawExtension `json:"items,omitempty"`

	// continue is the token that asks for the next page.
	// +optional
	Continue string `json:"continue,omitempty"`

	// remainingItemCount is the number of objects after this page.
	// +optional
	RemainingItemCount *int64 `json:"remainingItemCount,omitempty"`
}

// CollectionResourceType is one resource type of a collection. Only with a
// resource it is a single type; without one it is all of the group.
type CollectionResourceType struct {
	// group is the API group, "" for the core group.
	// +required
	Group string `json:"group"`

	// version is the version that objects are stored in, "" for any.
	// +required
	Version string `json:"version"`

	// kind is the kind of the objects.
	// +optional
	Kind string `json:"kind,omitempty"`

	// resource is the plural name of the resource, "" for all of the group.
	// +required
	Resource string `json:"resource"`
}

// CollectionResourceList is a list of the collections that can be asked for.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type CollectionResourceList struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is that of every list.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// items are the collections, without objects.
	// +required
	Items []CollectionResource `json:"items"`
}
