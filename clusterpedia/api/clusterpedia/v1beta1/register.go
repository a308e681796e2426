package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of this package.
const GroupName = "clusterpedia.io"

var (
	// GroupVersion is the group and version of the kinds in this package.
	GroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1beta1"}

	// SchemeGroupVersion is GroupVersion under the name that generated clients
	// ask for.
	//
	// Deprecated: use GroupVersion.
	SchemeGroupVersion = GroupVersion

	// SchemeBuilder collects the functions that add this package to a scheme.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds the kinds of this package to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme

	// Install is AddToScheme under the name that API servers use.
	Install = SchemeBuilder.AddToScheme
)

// Resource returns the name of a resource of this group, qualified by it.
func Resource(resource string) schema.GroupResource {
	return GroupVersion.WithResource(resource).GroupResource()
}

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Resources{},
		&CollectionResource{},
		&CollectionResourceList{},
		&ListOptions{},
	)
	// metav1.AddToGroupVersion would add its own ListOptions under the name of
	// ours, so the other kinds that every version has are added one by one.
	scheme.AddKnownTypes(GroupVersion,
		&metav1.GetOptions{},
		&metav1.CreateOptions{},
		&metav1.UpdateOptions{},
		&metav1.PatchOptions{},
		&metav1.DeleteOptions{},
	)
	scheme.AddKnownTypeWithName(GroupVersion.WithKind(metav1.WatchEventKind), &metav1.WatchEvent{})
	return nil
}
