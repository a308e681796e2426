package memberaccess

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// subresource is a subresource of a resource of the core group.
type subresource struct {
	resource, name string
	namespaced     bool
	methods        []string
	// upgrade says that a request must upgrade its connection.
	upgrade bool
	// options returns what the query is decoded into, to see what is wrong with it.
	options func() runtime.Object
}

func allMethods() []string {
	return []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions}
}

// subresources returns all that can be allowed.
func subresources() []subresource {
	stream := []string{http.MethodGet, http.MethodPost}
	return []subresource{
		{"pods", "proxy", true, allMethods(), false, func() runtime.Object { return &corev1.PodProxyOptions{} }},
		{"pods", "log", true, []string{http.MethodGet}, false, func() runtime.Object { return &corev1.PodLogOptions{} }},
		{"pods", "exec", true, stream, true, func() runtime.Object { return &corev1.PodExecOptions{} }},
		{"pods", "attach", true, stream, true, func() runtime.Object { return &corev1.PodAttachOptions{} }},
		{"pods", "portforward", true, stream, true, func() runtime.Object { return &corev1.PodPortForwardOptions{} }},
		{"nodes", "proxy", false, allMethods(), false, func() runtime.Object { return &corev1.NodeProxyOptions{} }},
		{"services", "proxy", true, allMethods(), false, func() runtime.Object { return &corev1.ServiceProxyOptions{} }},
	}
}

func supported() string {
	var names []string
	for _, s := range subresources() {
		names = append(names, s.String())
	}
	return strings.Join(names, ", ")
}

func (s subresource) String() string { return s.resource + "/" + s.name }

// Subresources are those that are allowed, by RESOURCE/SUBRESOURCE.
type Subresources map[string]subresource

// ParseSubresources reads the values of --allowed-proxy-subresources.
func ParseSubresources(values []string) (Subresources, error) {
	allowed := Subresources{}
	var errs []error
	for _, value := range values {
		resource, name, both := strings.Cut(strings.TrimSpace(value), "/")
		if !both {
			resource, name = "", resource
		}
		if strings.Contains(name, "/") {
			errs = append(errs, fmt.Errorf("--allowed-proxy-subresources: invalid format %q: give RESOURCE/SUBRESOURCE or SUBRESOURCE", value))
			continue
		}
		if name == "portfowrd" { // so spelled by earlier releases
			name = "portforward"
		}
		found := false
		for _, s := range subresources() {
			if s.name == name && (!both || s.resource == resource) {
				allowed[s.String()] = s
				found = true
			}
		}
		if !found {
			errs = append(errs, fmt.Errorf("--allowed-proxy-subresources: unsupported subresources or invalid format %q: supported are %s", value, supported()))
		}
	}
	return allowed, errors.Join(errs...)
}

// Discovery returns the discovery documents of the subresources of a resource of the
// core group, by name.
func (s Subresources) Discovery(resource string) []metav1.APIResource {
	var docs []metav1.APIResource
	for _, sub := range s {
		if sub.resource != resource {
			continue
		}
		doc := metav1.APIResource{Name: sub.String(), Namespaced: sub.namespaced}
		for method, verb := range map[string]string{
			http.MethodGet: "get", http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete",
		} {
			if slices.Contains(sub.methods, method) {
				doc.Verbs = append(doc.Verbs, verb)
			}
		}
		slices.Sort(doc.Verbs)
		docs = append(docs, doc)
	}
	slices.SortFunc(docs, func(a, b metav1.APIResource) int { return strings.Compare(a.Name, b.Name) })
	return docs
}
