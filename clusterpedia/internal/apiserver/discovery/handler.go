package discovery

import (
	"net"
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/discovery"
)

// Handler serves the discovery documents of one cluster or of all.
type Handler struct {
	catalog    *Catalog
	serializer runtime.NegotiatedSerializer
	aggregated runtime.NegotiatedSerializer
	verbs      []string
	// subresources returns those of a resource of the core group, by name.
	subresources func(resource string) []metav1.APIResource
}

// NewHandler returns a handler. All resources have the same verbs, those of the
// storage layer; subresources returns what stands below one of the core group.
func NewHandler(catalog *Catalog, serializer runtime.NegotiatedSerializer, verbs []string, subresources func(resource string) []metav1.APIResource) *Handler {
	return &Handler{catalog: catalog, serializer: serializer, aggregated: aggregatedCodecs(), verbs: verbs, subresources: subresources}
}

// ServeHTTP answers the request for path, which is what follows the root of the
// cluster: /api, /apis, /api/v1, /apis/GROUP or /apis/GROUP/VERSION. The first two are
// also served as aggregated documents. What is not stored is a plain 404.
func (h *Handler) ServeHTTP(w http.ResponseWriter, req *http.Request, cluster, path string) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	view, ok := h.catalog.View(cluster)
	if len(parts) == 1 && parts[0] == "api" {
		var handler http.Handler = discovery.NewLegacyRootAPIHandler(noAddresses{}, h.serializer, "/api")
		if ok { // this document alone is there for a cluster that is not
			handler = h.orAggregated(handler, coreGroups(view), view)
		}
		handler.ServeHTTP(w, req)
		return
	}
	if !ok {
		NotFound(w)
		return
	}
	switch {
	case len(parts) == 1 && parts[0] == "apis":
		root := discovery.NewRootAPIsHandler(noAddresses{}, h.serializer)
		groups := view.apiGroups()
		for _, group := range groups {
			root.AddGroup(group)
		}
		h.orAggregated(root, groups, view).ServeHTTP(w, req)
	case len(parts) == 2 && parts[0] == "api":
		h.serveVersion(w, req, view, schema.GroupVersion{Version: parts[1]})
	case len(parts) == 2 && parts[0] == "apis":
		group, ok := view.apiGroup(parts[1])
		if !ok {
			NotFound(w)
			return
		}
		discovery.NewAPIGroupHandler(h.serializer, group).ServeHTTP(w, req)
	case len(parts) == 3 && parts[0] == "apis" && parts[1] != "":
		h.serveVersion(w, req, view, schema.GroupVersion{Group: parts[1], Version: parts[2]})
	default:
		NotFound(w)
	}
}

func (h *Handler) serveVersion(w http.ResponseWriter, req *http.Request, view *View, gv schema.GroupVersion) {
	resources := h.resources(view, gv)
	if len(resources) == 0 {
		NotFound(w)
		return
	}
	lister := discovery.APIResourceListerFunc(func() []metav1.APIResource { return resources })
	discovery.NewAPIVersionHandler(h.serializer, gv, lister).ServeHTTP(w, req)
}

// resources returns the resources of a version, and what stands below them, by name.
func (h *Handler) resources(view *View, gv schema.GroupVersion) []metav1.APIResource {
	resources := view.apiResources(gv, h.verbs, h.catalog.hostResources())
	if gv.Group != "" {
		return resources
	}
	for _, r := range slices.Clone(resources) {
		resources = append(resources, h.subresources(r.Name)...)
	}
	slices.SortFunc(resources, func(a, b metav1.APIResource) int { return strings.Compare(a.Name, b.Name) })
	return resources
}

// NotFound answers as a Kubernetes API server does for a path it doesn't know.
func NotFound(w http.ResponseWriter) {
	http.Error(w, "404 page not found", http.StatusNotFound)
}

// noAddresses leaves serverAddressByClientCIDRs null: members are not to be
// reached by the clients of this server.
type noAddresses struct{}

// ServerAddressByClientCIDRs implements discovery.Addresses.
func (noAddresses) ServerAddressByClientCIDRs(net.IP) []metav1.ServerAddressByClientCIDR {
	return nil
}
