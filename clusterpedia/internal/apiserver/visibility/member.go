package visibility

import (
	"context"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// nonResource is what reviews call paths that are those of no resource.
const nonResource = "nonresourceurls"

// Member returns a Status with code 403 unless the caller may do in a member cluster
// what a request to it would do.
func (c *Checker) Member(ctx context.Context, cluster string, info *request.RequestInfo) error {
	s := &search{Checker: c, verb: info.Verb, subresource: info.Subresource}
	r, namespace := schema.GroupResource{Group: info.APIGroup, Resource: info.Resource}, info.Namespace
	switch {
	case !info.IsResourceRequest && discloses(info.Path):
		return nil
	case !info.IsResourceRequest:
		r, namespace = schema.GroupResource{Resource: nonResource}, ""
	case r == schema.GroupResource{Resource: "namespaces"}:
		namespace = "" // a namespace is not in itself
	case s.subresource == "exec", s.subresource == "attach", s.subresource == "portforward":
		s.verb = "create" // also by GET, as WebSockets have it
	}
	if s.verb == "" {
		s.verb = "options" // the one method of those passed on that has no verb
	}
	return s.check(ctx, r, cluster, namespace)
}

// discloses reports whether a path tells only what a server is and can do.
func discloses(path string) bool {
	first, rest, _ := strings.Cut(strings.Trim(path, "/"), "/")
	if slices.Contains([]string{"version", "healthz", "livez", "readyz"}, first) {
		return rest == ""
	}
	return slices.Contains([]string{"api", "apis", "openapi"}, first)
}
