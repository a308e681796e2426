package discovery

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apidiscovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
)

// orAggregated returns a handler that answers with all groups, versions and resources
// at once if the client asks for that, and with the classic document otherwise.
func (h *Handler) orAggregated(classic http.Handler, groups []metav1.APIGroup, view *View) http.Handler {
	return aggregated.WrapAggregatedDiscoveryToHandler(classic, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		list := &apidiscovery.APIGroupDiscoveryList{Items: []apidiscovery.APIGroupDiscovery{}}
		for _, group := range groups {
			doc := apidiscovery.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: group.Name}}
			for _, v := range group.Versions {
				gv := schema.GroupVersion{Group: group.Name, Version: v.Version}
				doc.Versions = append(doc.Versions, apidiscovery.APIVersionDiscovery{
					Version: v.Version, Freshness: apidiscovery.DiscoveryFreshnessCurrent,
					Resources: aggregate(gv, h.resources(view, gv)),
				})
			}
			list.Items = append(list.Items, doc)
		}
		text, err := json.Marshal(list)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError) // of plain data: cannot happen
			return
		}
		aggregated.ServeHTTPWithETag(list, fmt.Sprintf("%X", sha256.Sum256(text)), apidiscovery.SchemeGroupVersion, h.aggregated, w, req)
	}), nil)
}

// aggregatedCodecs writes aggregated documents.
func aggregatedCodecs() runtime.NegotiatedSerializer {
	scheme := runtime.NewScheme()
	utilruntime.Must(apidiscovery.AddToScheme(scheme)) // fails only if a kind has two types
	return serializer.NewCodecFactory(scheme)
}

// coreGroups returns the core group, if anything of it is stored.
func coreGroups(view *View) []metav1.APIGroup {
	if len(view.groups[""]) == 0 {
		return nil
	}
	group := metav1.APIGroup{}
	for _, version := range view.groups[""] {
		group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{GroupVersion: version, Version: version})
	}
	return []metav1.APIGroup{group}
}

// aggregate returns the resources of a version as the aggregated document has them:
// subresources below their resource.
func aggregate(gv schema.GroupVersion, resources []metav1.APIResource) []apidiscovery.APIResourceDiscovery {
	var docs []apidiscovery.APIResourceDiscovery
	for _, r := range resources {
		kind := &metav1.GroupVersionKind{Group: gv.Group, Version: gv.Version, Kind: r.Kind}
		parent, subresource, ok := strings.Cut(r.Name, "/")
		if ok {
			if i := slices.IndexFunc(docs, func(d apidiscovery.APIResourceDiscovery) bool { return d.Resource == parent }); i >= 0 {
				docs[i].Subresources = append(docs[i].Subresources, apidiscovery.APISubresourceDiscovery{Subresource: subresource, ResponseKind: kind, Verbs: r.Verbs})
			}
			continue
		}
		doc := apidiscovery.APIResourceDiscovery{
			Resource: r.Name, ResponseKind: kind, Scope: apidiscovery.ScopeCluster, SingularResource: r.SingularName,
			Verbs: r.Verbs, ShortNames: r.ShortNames, Categories: r.Categories,
		}
		if r.Namespaced {
			doc.Scope = apidiscovery.ScopeNamespace
		}
		docs = append(docs, doc)
	}
	return docs
}
