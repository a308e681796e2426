package visibility

import (
	"context"
	"errors"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// What reviews call paths that are those of no resource: those that tell what a server
// is and can do, and all others.
const (
	discoveryPaths = "discoveryurls"
	otherPaths     = "nonresourceurls"
)

// Member returns a Status with code 403 unless the caller may do in a member cluster
// what a request to it would do, whether there is such a cluster or not.
func (c *Checker) Member(ctx context.Context, cluster string, info *request.RequestInfo) error {
	s, r, namespace := c.action(info)
	return s.check(ctx, r, cluster, namespace)
}

// Reach returns a Status with code 403 unless the caller may do what a request wants in a
// cluster or, if it wants all of it, in one of its namespaces: of those that are wanted, if
// the request names any beside its path. It comes before everything that tells whether there
// is such a cluster.
func (c *Checker) Reach(ctx context.Context, cluster string, info *request.RequestInfo, wanted ...string) error {
	s, r, namespace := c.action(info)
	if namespace != "" || info.Subresource != "" || info.Verb != "list" && info.Verb != "watch" {
		return s.check(ctx, r, cluster, namespace)
	}
	allowed, err := s.allowed(ctx, r, cluster, "")
	if allowed || err != nil {
		return err
	}
	view, _ := c.Catalog.View("") // not that of the cluster, of which it would tell
	known, ok := view.Resource(r.WithVersion(info.APIVersion))
	// There are any number of names of resources that no cluster has: to ask for each
	// namespace would cost others a lot, and tell by its time that there is such a cluster.
	if !ok || !known.Namespaced {
		return s.forbidden(ctx, r, cluster, "")
	}
	if len(wanted) > 0 {
		allowed, err = s.allowedInOne(ctx, r, cluster, wanted)
	} else if !s.missing(cluster) {
		var namespaces []string
		if namespaces, err = s.knownNamespaces(ctx, cluster); err == nil {
			allowed, err = s.allowedInOne(ctx, r, cluster, namespaces)
		}
	}
	if allowed || err != nil && !errors.Is(err, errTooMany) {
		return err
	}
	return s.forbiddenEverywhere(ctx, r, cluster)
}

// allowedInOne asks for namespaces of a cluster until one is allowed.
func (s *search) allowedInOne(ctx context.Context, r schema.GroupResource, cluster string, namespaces []string) (bool, error) {
	for some := range slices.Chunk(namespaces, maxAtOnce) {
		if err := s.askAhead(ctx, inNamespaces(r, cluster, some)); err != nil {
			return false, err
		}
		for _, namespace := range some {
			allowed, err := s.allowed(ctx, r, cluster, namespace)
			if err != nil || allowed {
				return allowed, err
			}
		}
	}
	return false, nil
}

// Discover reports whether the caller may see what a cluster can be asked for.
func (c *Checker) Discover(ctx context.Context, cluster string) (bool, error) {
	s := &search{Checker: c, verb: "get"}
	return s.allowed(ctx, schema.GroupResource{Resource: discoveryPaths}, cluster, "")
}

// action returns what is to be asked of a request.
func (c *Checker) action(info *request.RequestInfo) (*search, schema.GroupResource, string) {
	s := &search{Checker: c, verb: info.Verb, subresource: info.Subresource}
	r, namespace := schema.GroupResource{Group: info.APIGroup, Resource: info.Resource}, info.Namespace
	switch {
	case !info.IsResourceRequest && discloses(info.Path):
		r, namespace = schema.GroupResource{Resource: discoveryPaths}, ""
	case !info.IsResourceRequest:
		r, namespace = schema.GroupResource{Resource: otherPaths}, ""
	case r == schema.GroupResource{Resource: "namespaces"}:
		namespace = "" // a namespace is not in itself
	case s.subresource == "exec", s.subresource == "attach", s.subresource == "portforward":
		s.verb = "create" // also by GET, as WebSockets have it
	}
	if s.verb == "" {
		s.verb = "options" // the one method of those passed on that has no verb
	}
	return s, r, namespace
}

// discloses reports whether a path tells only what a server is and can do.
func discloses(path string) bool {
	first, rest, _ := strings.Cut(strings.Trim(path, "/"), "/")
	if slices.Contains([]string{"version", "healthz", "livez", "readyz"}, first) {
		return rest == ""
	}
	return slices.Contains([]string{"api", "apis", "openapi"}, first)
}
