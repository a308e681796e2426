package v1alpha2

// SyncExclusions leave out some of what a selection would copy. Those of a PediaCluster
// and of the ClusterSyncResources that it refers to are added up.
type SyncExclusions struct {
	// excludedNamespaces are namespaces whose objects are not copied. A "*" stands
	// for any characters: "kube-*". The Namespaces themselves are copied if they are
	// selected.
	// +optional
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	ExcludedNamespaces []string `json:"excludedNamespaces,omitempty"`

	// excludedResources are not copied, whatever selects them.
	// +optional
	ExcludedResources []ExcludedGroupResources `json:"excludedResources,omitempty"`

	// prunedFields are left out of objects that are copied.
	// +optional
	PrunedFields []PrunedGroupResources `json:"prunedFields,omitempty"`
}

// ExcludedGroupResources are resources of one API group that are not copied.
type ExcludedGroupResources struct {
	// group is the API group: "" for the core group, "*" for all groups.
	// +required
	Group string `json:"group"`

	// resources are names of resources, plural or singular. "*" are all resources of
	// the group.
	// +required
	// +kubebuilder:validation:MinItems=1
	Resources []string `json:"resources"`
}

// PrunedGroupResources are fields that are left out of the objects of resources of one
// API group.
type PrunedGroupResources struct {
	// group is the API group: "" for the core group, "*" for all groups.
	// +required
	Group string `json:"group"`

	// resources are names of resources, plural or singular. "*" are all resources of
	// the group.
	// +required
	// +kubebuilder:validation:MinItems=1
	Resources []string `json:"resources"`

	// fields are paths from the top of an object, such as "spec.template.spec",
	// "data" or "metadata.annotations['example.com/notes']". The way leads through
	// all elements of a list: "spec.containers.env". What identifies an object cannot
	// be left out: apiVersion, kind, and of metadata name, namespace, uid,
	// resourceVersion, creationTimestamp and deletionTimestamp.
	// +required
	// +kubebuilder:validation:MinItems=1
	Fields []string `json:"fields"`
}

// PrunedResourceStatus says which fields are left out of the stored objects of one
// resource. A manager that starts knows by it what must be stored anew.
type PrunedResourceStatus struct {
	// group is the API group.
	// +required
	Group string `json:"group"`

	// version is the version that the objects are stored in.
	// +required
	Version string `json:"version"`

	// resource is the plural name of the resource.
	// +required
	Resource string `json:"resource"`

	// fields are the paths of the fields; there may be none while rewriting is true.
	// +optional
	Fields []string `json:"fields,omitempty"`

	// rewriting is true until all objects are stored without just these fields.
	// Before, others may be missing, or these be there.
	// +optional
	Rewriting bool `json:"rewriting,omitempty"`
}
