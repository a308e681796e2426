package v1alpha2

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// PediaCluster is one member cluster: how to reach it, what to copy of it into
// the storage layer, and how that goes. Its name is the cluster's name in every
// search.
//
// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:resource:path=pediaclusters,singular=pediacluster,scope=Cluster
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=".status.conditions[?(@.type == 'Ready')].status"
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=".status.version"
// +kubebuilder:printcolumn:name="APIServer",type=string,JSONPath=".status.apiserver"
// +kubebuilder:printcolumn:name="Validated",type=string,JSONPath=".status.conditions[?(@.type == 'Validated')].reason",priority=10
// +kubebuilder:printcolumn:name="SynchroRunning",type=string,JSONPath=".status.conditions[?(@.type == 'SynchroRunning')].reason",priority=10
// +kubebuilder:printcolumn:name="ClusterHealthy",type=string,JSONPath=".status.conditions[?(@.type == 'ClusterHealthy')].reason",priority=10
// +kubebuilder:printcolumn:name="ShardingName",type=string,JSONPath=".status.shardingName",priority=10
type PediaCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says how to reach the member cluster and what to copy of it.
	// +optional
	Spec ClusterSpec `json:"spec,omitzero"`

	// status is written by the clustersynchro-manager that owns the cluster.
	// +optional
	Status ClusterStatus `json:"status,omitzero"`
}

// PediaClusterList is a list of PediaClusters.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type PediaClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []PediaCluster `json:"items"`
}

// ClusterSpec is what a user wants of a member cluster.
//
// The connection is chosen in this order: kubeconfig; apiserver with tokenData
// or with certData and keyData; authenticationFrom, if none of these is given.
type ClusterSpec struct {
	// kubeconfig is a whole kubeconfig file, of which the current context is
	// used. It wins over every other connection field.
	// +optional
	Kubeconfig []byte `json:"kubeconfig,omitempty"`

	// apiserver is the URL of the member's API server. It is needed unless a
	// kubeconfig is given.
	// +optional
	APIServer string `json:"apiserver,omitempty"`

	// tokenData is a bearer token.
	// +optional
	TokenData []byte `json:"tokenData,omitempty"`

	// caData is the PEM bundle that the API server's certificate is verified
	// with. Without it the certificate is not verified.
	// +optional
	CAData []byte `json:"caData,omitempty"`

	// certData is a client certificate in PEM. It is used together with keyData.
	// +optional
	CertData []byte `json:"certData,omitempty"`

	// keyData is the PEM key of certData.
	// +optional
	KeyData []byte `json:"keyData,omitempty"`

	// authenticationFrom names Secrets that hold the connection's data, in the
	// namespace that Clusterpedia runs in.
	// +optional
	AuthenticationFrom *ClusterAuthentication `json:"authenticationFrom,omitempty"`

	// syncResources selects what is copied. It may be empty.
	// +required
	SyncResources []ClusterGroupResources `json:"syncResources"`

	// syncAllCustomResources selects all custom resources. It needs the feature
	// gate AllowSyncAllCustomResources, and is ignored without it.
	// +optional
	SyncAllCustomResources bool `json:"syncAllCustomResources,omitempty"`

	// syncResourcesRefName names a ClusterSyncResources object, whose selection
	// is added to syncResources.
	// +optional
	SyncResourcesRefName string `json:"syncResourcesRefName,omitempty"`

	SyncExclusions `json:",inline"`

	// shardingName names the clustersynchro-manager that shall own the cluster.
	// +optional
	ShardingName string `json:"shardingName,omitempty"`
}

// ClusterAuthentication names the Secrets that hold a connection's data.
type ClusterAuthentication struct {
	// kubeconfig refers to a whole kubeconfig file. It wins over the others.
	// +optional
	KubeConfig *SecretKeySelector `json:"kubeconfig,omitempty"`

	// ca refers to the PEM bundle that the API server's certificate is
	// verified with.
	// +optional
	CA *SecretKeySelector `json:"ca,omitempty"`

	// cert refers to a client certificate. It is used together with key.
	// +optional
	Cert *SecretKeySelector `json:"cert,omitempty"`

	// key refers to the key of cert.
	// +optional
	Key *SecretKeySelector `json:"key,omitempty"`

	// token refers to a bearer token.
	// +optional
	Token *SecretKeySelector `json:"token,omitempty"`
}

// SecretKeySelector refers to one entry of a Secret's data.
type SecretKeySelector struct {
	// name is the Secret's name.
	// +required
	Name string `json:"name"`

	// key is the key in the Secret's data.
	// +required
	Key string `json:"key"`
}

// ClusterGroupResources selects resources of one API group.
type ClusterGroupResources struct {
	// group is the API group: "" for the core group, "*" for all groups, which
	// needs the feature gate AllowSyncAllResources.
	// +required
	Group string `json:"group"`

	// versions are the versions of custom resources to copy, "*" being all that
	// the member cluster serves. Without any, the first three are copied. It has
	// no effect on the kinds that Kubernetes itself defines.
	// +optional
	Versions []string `json:"versions,omitempty"`

	// resources are names of resources, plural or singular. "*" selects all
	// resources of the group.
	// +required
	// +kubebuilder:validation:MinItems=1
	Resources []string `json:"resources"`

	// eventsInvolvedResources are those of the resources whose Events are
	// kept with them, spelled as in resources, or "*" for all.
	// +optional
	EventsInvolvedResources []string `json:"eventsInvolvedResources,omitempty"`
}

// ClusterStatus is what is known of a member cluster.
type ClusterStatus struct {
	// apiserver is the endpoint in use.
	// +optional
	APIServer string `json:"apiserver,omitempty"`

	// version is the member cluster's Kubernetes version.
	// +optional
	Version string `json:"version,omitempty"`

	// conditions are Validated, SynchroRunning, ClusterHealthy and Ready.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// syncResources lists the selected resources and how far each one is. The
	// apiserver serves exactly these.
	// +optional
	SyncResources []ClusterGroupResourcesStatus `json:"syncResources,omitempty"`

	// prunedFields says of which resources stored objects lack fields.
	// +optional
	PrunedFields []PrunedResourceStatus `json:"prunedFields,omitempty"`

	// syncResourcesRef is what the ClusterSyncResources last said that the spec
	// names. It stays in force while that one is missing.
	// +optional
	SyncResourcesRef *SyncResourcesRefStatus `json:"syncResourcesRef,omitempty"`

	// shardingName names the clustersynchro-manager that owns the cluster. It
	// is absent while nobody does, and "" for the manager without a name.
	// +optional
	ShardingName *string `json:"shardingName,omitempty"`
}

// SyncResourcesRefStatus is a ClusterSyncResources as it was last seen.
type SyncResourcesRefStatus struct {
	// name of the ClusterSyncResources.
	// +required
	Name string `json:"name"`

	// spec of the ClusterSyncResources.
	// +required
	Spec ClusterSyncResourcesSpec `json:"spec"`
}

// ClusterGroupResourcesStatus is the state of one API group's resources.
type ClusterGroupResourcesStatus struct {
	// group is the API group.
	// +required
	Group string `json:"group"`

	// resources are the selected resources of the group.
	// +required
	Resources []ClusterResourceStatus `json:"resources"`
}

// ClusterResourceStatus is the state of one resource.
type ClusterResourceStatus struct {
	// name is the plural name of the resource.
	// +required
	Name string `json:"name"`

	// kind is the kind of its objects.
	// +required
	Kind string `json:"kind"`

	// namespaced says whether its objects live in namespaces.
	// +required
	Namespaced bool `json:"namespaced"`

	// syncConditions has one entry for each version. A resource without any is
	// not served.
	// +required
	SyncConditions []ClusterResourceSyncCondition `json:"syncConditions"`
}

// ClusterResourceSyncCondition is the state of one version of a resource.
type ClusterResourceSyncCondition struct {
	// version is the version that was selected.
	// +required
	Version string `json:"version"`

	// syncVersion is the version that is read from the member cluster, if it is
	// not version.
	// +optional
	SyncVersion string `json:"syncVersion,omitempty"`

	// syncResource is the resource that is read from the member cluster, as
	// "resource.group", if it is another one.
	// +optional
	SyncResource string `json:"syncResource,omitempty"`

	// storageVersion is the version that objects are stored in.
	// +optional
	StorageVersion string `json:"storageVersion,omitempty"`

	// storageResource is the resource that objects are stored as, as
	// "resource.group", if it is another one.
	// +optional
	StorageResource string `json:"storageResource,omitempty"`

	// status is one of Pending, Syncing, Stop, Unknown and Error.
	// +required
	Status string `json:"status"`

	// initialListPhase is true until the first list is complete: what is stored
	// may lack objects until then.
	// +optional
	InitialListPhase bool `json:"initialListPhase,omitempty"`

	// reason is a word that says why the status is what it is.
	// +optional
	Reason string `json:"reason,omitempty"`

	// message is a text that says why the status is what it is.
	// +optional
	Message string `json:"message,omitempty"`

	// lastTransitionTime is when the status last changed.
	// +required
	LastTransitionTime metav1.Time `json:"lastTransitionTime"`
}

// SyncGVR returns what is read from the member cluster for the resource gr that
// the condition belongs to: SyncResource and SyncVersion, or gr and Version
// where these are empty. It is empty if there is no version.
func (c ClusterResourceSyncCondition) SyncGVR(gr schema.GroupResource) schema.GroupVersionResource {
	version := c.SyncVersion
	if version == "" {
		version = c.Version
	}
	return resolve(c.SyncResource, gr, version)
}

// StorageGVR returns what is stored for the resource gr that the condition
// belongs to: StorageResource, or gr if it is empty, in StorageVersion. It is
// empty if Version or StorageVersion is, since nothing is stored then.
func (c ClusterResourceSyncCondition) StorageGVR(gr schema.GroupResource) schema.GroupVersionResource {
	if c.Version == "" {
		return schema.GroupVersionResource{}
	}
	return resolve(c.StorageResource, gr, c.StorageVersion)
}

// resolve prefers the resource named "resource.group" over gr.
func resolve(resource string, gr schema.GroupResource, version string) schema.GroupVersionResource {
	if version == "" {
		return schema.GroupVersionResource{}
	}
	if resource != "" {
		gr = schema.ParseGroupResource(resource)
	}
	return gr.WithVersion(version)
}
