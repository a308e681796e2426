package v1beta1

// Search labels. A client that can only give a label selector, such as kubectl,
// writes the options of a search as requirements on these keys. The apiserver
// takes them out of the selector. An option in the URL wins over its label, and
// the path over both. The fields of ListOptions tell what each option means.
const (
	// SearchLabelPrefix is the prefix of all search labels.
	SearchLabelPrefix = "search.clusterpedia.io/"

	// SearchLabelNames is the label for ListOptions.Names.
	SearchLabelNames = SearchLabelPrefix + "names"

	// SearchLabelClusters is the label for ListOptions.Clusters.
	SearchLabelClusters = SearchLabelPrefix + "clusters"

	// SearchLabelNamespaces is the label for ListOptions.Namespaces.
	SearchLabelNamespaces = SearchLabelPrefix + "namespaces"

	// SearchLabelOrderBy is the label for ListOptions.OrderBy. Its values are
	// fields, with the suffix "_desc" for the descending order.
	SearchLabelOrderBy = SearchLabelPrefix + "orderby"

	// SearchLabelOwnerUID is the label for ListOptions.OwnerUID.
	SearchLabelOwnerUID = SearchLabelPrefix + "owner-uid"

	// SearchLabelOwnerName is the label for ListOptions.OwnerName.
	SearchLabelOwnerName = SearchLabelPrefix + "owner-name"

	// SearchLabelOwnerGroupResource is the label for
	// ListOptions.OwnerGroupResource.
	SearchLabelOwnerGroupResource = SearchLabelPrefix + "owner-gr"

	// SearchLabelOwnerSeniority is the label for ListOptions.OwnerSeniority.
	SearchLabelOwnerSeniority = SearchLabelPrefix + "owner-seniority"

	// SearchLabelSince is the label for ListOptions.Since.
	SearchLabelSince = SearchLabelPrefix + "since"

	// SearchLabelBefore is the label for ListOptions.Before.
	SearchLabelBefore = SearchLabelPrefix + "before"

	// SearchLabelLimit is the label for ListOptions.Limit.
	SearchLabelLimit = SearchLabelPrefix + "limit"

	// SearchLabelOffset is the label for ListOptions.Continue, as the decimal
	// number of objects to skip.
	SearchLabelOffset = SearchLabelPrefix + "offset"

	// SearchLabelWithContinue is the label for ListOptions.WithContinue.
	SearchLabelWithContinue = SearchLabelPrefix + "with-continue"

	// SearchLabelWithRemainingCount is the label for
	// ListOptions.WithRemainingCount.
	SearchLabelWithRemainingCount = SearchLabelPrefix + "with-remaining-count"

	// SearchLabelInjectEvents is the label for ListOptions.InjectEvents.
	SearchLabelInjectEvents = SearchLabelPrefix + "inject-events"

	// SearchLabelForward asks that the request be answered by the member
	// cluster itself. It has no counterpart in ListOptions.
	SearchLabelForward = SearchLabelPrefix + "forward"

	// SearchLabelFuzzyName finds objects whose name contains each of the values.
	// It has no counterpart in ListOptions, and only the storage layer
	// "internal" has to know it.
	SearchLabelFuzzyName = "internalstorage.clusterpedia.io/fuzzy-name"
)

// Shadow annotations. Clusterpedia adds them to the objects that it serves; the
// objects in the member clusters do not have them.
const (
	// ShadowAnnotationClusterName names the member cluster that the object was
	// copied from. It is stored with the object, so that field selectors can
	// use it.
	ShadowAnnotationClusterName = "shadow.clusterpedia.io/cluster-name"

	// ShadowAnnotationGVR is reserved for the group, version and resource of
	// the object. Nothing writes it yet.
	ShadowAnnotationGVR = "shadow.clusterpedia.io/gvr"

	// ShadowAnnotationEvents holds the Events of the object as a JSON array of
	// core/v1 Events, if the search asked to inject them.
	ShadowAnnotationEvents = "shadow.clusterpedia.io/events"
)
