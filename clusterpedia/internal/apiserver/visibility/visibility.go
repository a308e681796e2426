// Package visibility limits a search to what its caller may see. It stands between the
// request and the query on the data's path: the host cluster is asked by
// SubjectAccessReviews, and what it allows becomes a condition of the query, so that
// nothing else is ever read.
//
// The review is about group search.clusterpedia.io, the resource as PLURAL or
// PLURAL.GROUP, the namespace of the objects, and the cluster as the name. It is made
// for the whole cluster first, and for single namespaces only if that is denied.
package visibility

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"clusterpedia.io/api/client/listers/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/apiserver/discovery"
	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// Group is the API group of the reviews.
const Group = "search.clusterpedia.io"

const (
	// maxReviews bounds the reviews of one search.
	maxReviews = 1000
	// namespacesFor is how long the names of a cluster's namespaces are remembered.
	namespacesFor = 10 * time.Second
	// maxKnown bounds the clusters whose namespaces are remembered.
	maxKnown = 10_000
)

// Checker asks what callers may see. Its reviews are cached by the authorizer.
type Checker struct {
	Authorizer authorizer.UnconditionalAuthorizer
	Clusters   v1alpha2.PediaClusterLister
	Catalog    *discovery.Catalog
	Storage    storage.Storage

	mu         sync.Mutex
	namespaces map[string]known
}

// known are the namespaces of a cluster.
type known struct {
	names []string
	until time.Time
}

// Get returns a Status with code 403 unless the caller may get an object.
func (c *Checker) Get(ctx context.Context, r discovery.Resource, cluster, namespace string) error {
	s := &search{Checker: c, verb: "get"}
	return s.check(ctx, r.GroupResource(), cluster, namespace)
}

// Limit limits a query for one resource to what the caller may list or watch. A caller
// who may see nothing of the one cluster that is asked for gets a Status with code 403.
func (c *Checker) Limit(ctx context.Context, verb string, r discovery.Resource, q *query.Query) error {
	s := &search{Checker: c, verb: verb}
	visible := &query.Visibility{}
	if err := s.scopes(ctx, r, q, visible, nil); err != nil {
		return err
	}
	if len(visible.Scopes) == 0 && len(q.Clusters) == 1 {
		namespace := ""
		if len(q.Namespaces) == 1 {
			namespace = q.Namespaces[0]
		}
		return s.forbidden(ctx, r.GroupResource(), q.Clusters[0], namespace)
	}
	q.Visible = visible
	return nil
}

// Collection limits a query for several resources to what the caller may list.
func (c *Checker) Collection(ctx context.Context, q *query.Query) error {
	s := &search{Checker: c, verb: "list"}
	visible := &query.Visibility{}
	view, _ := c.Catalog.View("")
	for _, r := range view.Stored() {
		if !slices.ContainsFunc(q.Types, func(t query.Type) bool { return t.Selects(r.Stored) }) {
			continue
		}
		types := []query.Type{{Group: r.Stored.Group, Version: r.Stored.Version, Resource: r.Stored.Resource}}
		if err := s.scopes(ctx, r, q, visible, types); err != nil {
			return err
		}
	}
	q.Visible = visible
	return nil
}

// Events reports whether the caller may also list the Events of all objects that a query
// was limited to.
func (c *Checker) Events(ctx context.Context, q *query.Query) (bool, error) {
	s := &search{Checker: c, verb: "list"}
	events := schema.GroupResource{Resource: "events"}
	for _, scope := range q.Visible.Scopes {
		for _, cluster := range scope.Clusters {
			allowed, err := s.allowed(ctx, events, cluster, "")
			for i := 0; err == nil && !allowed && i < len(scope.Namespaces); i++ {
				var one bool
				if one, err = s.allowed(ctx, events, cluster, scope.Namespaces[i]); !one {
					break
				}
				allowed = i == len(scope.Namespaces)-1
			}
			if err != nil || !allowed {
				return false, err
			}
		}
	}
	return true, nil
}

// search is one search, whose reviews are counted.
type search struct {
	*Checker
	verb, subresource string
	reviews           int
}

// check returns a Status with code 403 unless the verb is allowed in one namespace of a
// cluster, or in the whole cluster.
func (s *search) check(ctx context.Context, r schema.GroupResource, cluster, namespace string) error {
	allowed, err := s.allowed(ctx, r, cluster, "")
	if err == nil && !allowed && namespace != "" {
		allowed, err = s.allowed(ctx, r, cluster, namespace)
	}
	if err != nil || allowed {
		return err
	}
	return s.forbidden(ctx, r, cluster, namespace)
}

// scopes adds what the caller may see of one resource.
func (s *search) scopes(ctx context.Context, r discovery.Resource, q *query.Query, visible *query.Visibility, types []query.Type) error {
	clusters := q.Clusters
	if len(clusters) == 0 {
		all, err := s.Clusters.List(labels.Everything())
		if err != nil {
			return apierrors.NewInternalError(err)
		}
		for _, cluster := range all {
			clusters = append(clusters, cluster.Name)
		}
		slices.Sort(clusters)
	}
	var whole []string
	for _, cluster := range clusters {
		// Of what there is not nothing is asked, nor remembered.
		_, missing := s.Clusters.Get(cluster)
		if missing != nil && len(clusters) > 1 {
			continue
		}
		allowed, err := s.allowed(ctx, r.GroupResource(), cluster, "")
		if err != nil {
			return err
		}
		if allowed {
			whole = append(whole, cluster)
			continue
		}
		if !r.Namespaced || missing != nil {
			continue
		}
		namespaces, err := s.allowedNamespaces(ctx, r, cluster, q.Namespaces)
		if err != nil {
			return err
		}
		if len(namespaces) > 0 {
			visible.Scopes = append(visible.Scopes, query.Scope{Clusters: []string{cluster}, Namespaces: namespaces, Types: types})
		}
	}
	if len(whole) > 0 {
		visible.Scopes = append(visible.Scopes, query.Scope{Clusters: whole, Types: types})
	}
	return nil
}

// allowedNamespaces returns those of the wanted namespaces, or of all that are known,
// that the caller may see.
func (s *search) allowedNamespaces(ctx context.Context, r discovery.Resource, cluster string, wanted []string) ([]string, error) {
	if len(wanted) == 0 {
		var err error
		if wanted, err = s.knownNamespaces(ctx, cluster); err != nil {
			return nil, err
		}
	}
	var allowed []string
	for _, namespace := range wanted {
		if namespace == "" {
			continue // objects without one belong to the whole cluster
		}
		ok, err := s.allowed(ctx, r.GroupResource(), cluster, namespace)
		if err != nil {
			return nil, err
		}
		if ok {
			allowed = append(allowed, namespace)
		}
	}
	return allowed, nil
}

// knownNamespaces returns the stored namespaces of a cluster, and those of its stored
// objects if namespaces are not synced.
func (c *Checker) knownNamespaces(ctx context.Context, cluster string) ([]string, error) {
	c.mu.Lock()
	found, ok := c.namespaces[cluster]
	c.mu.Unlock()
	if ok && time.Now().Before(found.until) {
		return found.names, nil
	}
	q := &query.Query{
		Clusters: []string{cluster}, Types: []query.Type{{Version: "v1", Resource: "namespaces"}}, Projection: query.KeyOnly,
	}
	var names []string
	_, err := c.Storage.List(ctx, q, func(o *object.Object) error { names = append(names, o.Name); return nil })
	if err == nil && len(names) == 0 {
		names, err = c.usedNamespaces(ctx, cluster)
	}
	if err != nil {
		return nil, fmt.Errorf("look for the namespaces of cluster %s: %w", cluster, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.namespaces == nil || len(c.namespaces) > maxKnown {
		c.namespaces = map[string]known{} // clusters come and go
	}
	c.namespaces[cluster] = known{names, time.Now().Add(namespacesFor)}
	return names, nil
}

// usedNamespaces steps from namespace to namespace through the objects of a cluster.
func (c *Checker) usedNamespaces(ctx context.Context, cluster string) ([]string, error) {
	q := &query.Query{Clusters: []string{cluster}, Projection: query.KeyOnly}
	seen := map[string]bool{}
	_, err := c.Storage.List(ctx, q, func(o *object.Object) error {
		if o.Namespace != "" {
			seen[o.Namespace] = true
		}
		return nil
	})
	return slices.Sorted(maps.Keys(seen)), err
}

// allowed asks for one namespace of a cluster, or for the whole cluster.
func (s *search) allowed(ctx context.Context, r schema.GroupResource, cluster, namespace string) (bool, error) {
	if s.reviews++; s.reviews > maxReviews {
		return false, apierrors.NewForbidden(r, "", fmt.Errorf(
			"what you may see takes more than %d checks: ask for less, as at …/resources/clusters/%s%s", maxReviews, cluster, narrower(r)))
	}
	caller, ok := apirequest.UserFrom(ctx)
	if !ok {
		return false, apierrors.NewInternalError(errors.New("no user found in the context"))
	}
	decision, _, err := s.Authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: caller, Verb: s.verb, APIGroup: Group, APIVersion: "*", Resource: r.String(), Subresource: s.subresource,
		Namespace: namespace, Name: cluster, ResourceRequest: true,
	})
	if err != nil && decision != authorizer.DecisionAllow {
		return false, apierrors.NewInternalError(fmt.Errorf("ask what the caller may see: %w", err))
	}
	return decision == authorizer.DecisionAllow, nil
}

// narrower is the path of a resource in one namespace.
func narrower(r schema.GroupResource) string {
	if r.Group == "" {
		return "/api/v1/namespaces/NAMESPACE/" + r.Resource
	}
	return "/apis/" + r.Group + "/VERSION/namespaces/NAMESPACE/" + r.Resource
}

// forbidden says what the caller may not do, as Kubernetes says it.
func (s *search) forbidden(ctx context.Context, r schema.GroupResource, cluster, namespace string) error {
	name := ""
	if caller, ok := apirequest.UserFrom(ctx); ok {
		name = caller.GetName()
	}
	where := "of cluster " + cluster
	if namespace != "" {
		where = fmt.Sprintf("in the namespace %q of cluster %s", namespace, cluster)
	}
	resource := strings.TrimSuffix(r.String(), ".")
	if s.subresource != "" {
		resource += "/" + s.subresource
	}
	return apierrors.NewForbidden(r, "", fmt.Errorf("user %q cannot %s resource %q in API group %q %s", name, s.verb, resource, Group, where))
}
