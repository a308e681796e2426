package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ListOptions are the options of a search, as they stand in the URL of a list:
// the JSON names of the fields are the keys of the URL query. Values are texts,
// which the apiserver alone parses; lists are separated by commas, without
// spaces. Clients write a URL by runtime.ParameterCodec, which leaves the fields
// of embedded structs out: metav1.ListOptions is therefore not embedded.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type ListOptions struct {
	metav1.TypeMeta `json:",inline"`

	// labelSelector limits the labels of the objects. It may also hold search
	// labels.
	// +optional
	LabelSelector string `json:"labelSelector,omitempty"`

	// fieldSelector limits the fields of the objects. It reaches every field,
	// for example spec.template.metadata.labels['app'] in (a, b).
	// +optional
	FieldSelector string `json:"fieldSelector,omitempty"`

	// limit is the greatest number of objects in the answer, 0 for no limit.
	// +optional
	Limit int64 `json:"limit,omitempty"`

	// continue is the token of the answer before, or a decimal number of objects
	// to skip.
	// +optional
	Continue string `json:"continue,omitempty"`

	// timeoutSeconds limits the time of the request.
	// +optional
	TimeoutSeconds *int64 `json:"timeoutSeconds,omitempty"`

	// watch asks for changes in place of a list, if the storage layer can.
	// +optional
	Watch bool `json:"watch,omitempty"`

	// resourceVersion is where a watch starts.
	// +optional
	ResourceVersion string `json:"resourceVersion,omitempty"`

	// names are the names of the objects.
	// +optional
	Names string `json:"names,omitempty"`

	// clusters are the member clusters to search in.
	// +optional
	Clusters string `json:"clusters,omitempty"`

	// namespaces are the namespaces to search in.
	// +optional
	Namespaces string `json:"namespaces,omitempty"`

	// orderby are the fields to order by, each "field" or "field desc".
	// +optional
	OrderBy string `json:"orderby,omitempty"`

	// ownerUID finds what the object of this UID owns. It wins over ownerName.
	// It needs exactly one cluster.
	// +optional
	OwnerUID string `json:"ownerUID,omitempty"`

	// ownerName finds what objects of this name own. It needs exactly one
	// cluster.
	// +optional
	OwnerName string `json:"ownerName,omitempty"`

	// ownerGR limits ownerName to a resource, as "resource.group".
	// +optional
	OwnerGroupResource string `json:"ownerGR,omitempty"`

	// ownerSeniority is the number of generations between the owner and what is
	// found: 0 finds what it owns itself, 1 what that owns in turn.
	// +optional
	OwnerSeniority int `json:"ownerSeniority,omitempty"`

	// since is the earliest creation time: RFC 3339, "2006-01-02 15:04:05" or
	// "2006-01-02" in UTC, or a Unix time in seconds or milliseconds.
	// +optional
	Since string `json:"since,omitempty"`

	// before is the end of the creation times, itself not included, written
	// like since.
	// +optional
	Before string `json:"before,omitempty"`

	// withContinue asks for a decimal continue in the answer.
	// +optional
	WithContinue *bool `json:"withContinue,omitempty"`

	// withRemainingCount asks for remainingItemCount in the answer. Counting
	// costs time on large storages.
	// +optional
	WithRemainingCount *bool `json:"withRemainingCount,omitempty"`

	// injectEvents asks for the objects' Events, in ShadowAnnotationEvents.
	// +optional
	InjectEvents bool `json:"injectEvents,omitempty"`

	// onlyMetadata leaves everything but apiVersion, kind and metadata out of
	// the answer.
	// +optional
	OnlyMetadata bool `json:"onlyMetadata,omitempty"`

	// groups are the API groups to search in, each "group" or "group/version",
	// or "*" for all. Only the collection resource "any" uses it.
	// +optional
	Groups string `json:"groups,omitempty"`

	// resources are the resources to search, each "group/resource" or
	// "group/version/resource", added to those of groups. Only the collection
	// resource "any" uses it.
	// +optional
	Resources string `json:"resources,omitempty"`

	// whereSQL is a condition in SQL. Like the three fields after it, it needs a
	// feature gate of the storage layer.
	// +optional
	WhereSQL string `json:"whereSQL,omitempty"`

	// whereSQLStatement is a condition in SQL with placeholders. It wins over
	// whereSQL.
	// +optional
	WhereSQLStatement string `json:"whereSQLStatement,omitempty"`

	// whereSQLParam are the values of the placeholders, one for each time that
	// the key is in the URL.
	// +optional
	WhereSQLParams []string `json:"whereSQLParam,omitempty"`

	// whereSQLJSONParams are the values of the placeholders as a JSON array in
	// base64. It wins over whereSQLParam.
	// +optional
	WhereSQLJSONParams string `json:"whereSQLJSONParams,omitempty"`
}
