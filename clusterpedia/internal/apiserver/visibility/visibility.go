// Package visibility limits a search to what its caller may see. It stands between the
// request and the query on the data's path: the host cluster is asked by
// SubjectAccessReviews, and what it allows becomes a condition of the query, so that
// nothing else is ever read.
//
// The review is about group search.clusterpedia.io, the resource as PLURAL or
// PLURAL.GROUP, the namespace of the objects, and the cluster as the name. It is made
// for everything first, then for all clusters, for the whole of one, and for single
// namespaces only if that is denied.
package visibility

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"clusterpedia.io/api/client/listers/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/apiserver/discovery"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// Group is the API group of the reviews.
const Group = "search.clusterpedia.io"

// Config holds what a Checker is made of.
type Config struct {
	// Authorizer makes the reviews. It need not remember their answers.
	Authorizer authorizer.UnconditionalAuthorizer
	// AllowedFor and DeniedFor are how long answers are remembered.
	AllowedFor, DeniedFor time.Duration
	Clusters              v1alpha2.PediaClusterLister
	Catalog               *discovery.Catalog
	Storage               storage.Storage
}

// Checker asks what callers may see. All methods may be called concurrently.
type Checker struct {
	Config
	callers *callers
	// nobody is a name that no cluster has, and no rule can.
	nobody string

	mu         sync.Mutex
	namespaces map[string]known
	listing    singleflight.Group
}

// New returns a checker.
func New(c Config) *Checker {
	return &Checker{Config: c, callers: newCallers(max(c.AllowedFor, c.DeniedFor)), namespaces: map[string]known{}, nobody: "*" + rand.Text()}
}

// Get returns a Status with code 403 unless the caller may get an object.
func (c *Checker) Get(ctx context.Context, r discovery.Resource, cluster, namespace string) error {
	s := &search{Checker: c, verb: "get"}
	return s.check(ctx, r.GroupResource(), cluster, namespace)
}

// Limit limits a query for one resource to what the caller may list or watch; that of one
// who may see everything stays as it is. A caller who may see nothing of the one cluster
// that is asked for gets a Status with code 403.
func (c *Checker) Limit(ctx context.Context, verb string, r discovery.Resource, q *query.Query) error {
	s := &search{Checker: c, verb: verb}
	return s.bounded(r.GroupResource(), q, func() error {
		if all, err := s.allowed(ctx, everything(), everyCluster, ""); err != nil || all {
			return err
		}
		visible := &query.Visibility{}
		err := s.scopes(ctx, r, q, visible, nil, nil)
		if len(q.Clusters) == 1 && (err == nil && len(visible.Scopes) == 0 || errors.Is(err, errTooMany) && !s.some) {
			return s.forbiddenList(ctx, r, q)
		}
		if err != nil {
			return err
		}
		return s.limit(ctx, q, visible)
	})
}

// Nowhere returns a Status with code 403, which says that the caller may see nothing of a
// resource in the clusters that a query asks for, of which it names none.
func (c *Checker) Nowhere(ctx context.Context, verb string, r discovery.Resource, q *query.Query) error {
	s := &search{Checker: c, verb: verb}
	namespace, _ := single(q)
	return apierrors.NewForbidden(r.GroupResource(), "", errors.New(s.reasonIn(ctx, r.GroupResource(), "any of the clusters", namespace)))
}

// Collection limits a query for several resources to what the caller may list; that of one
// who may see everything stays as it is.
func (c *Checker) Collection(ctx context.Context, q *query.Query) error {
	s := &search{Checker: c, verb: "list"}
	return s.bounded(everything(), q, func() error {
		if all, err := s.allowed(ctx, everything(), everyCluster, ""); err != nil || all {
			return err
		}
		visible := &query.Visibility{}
		// Whoever may see all of a place is not asked for each resource.
		places, err := s.places(ctx, q, visible)
		if err != nil {
			return err
		}
		view, _ := c.Catalog.View("")
		_, narrow := single(q) // of which nothing is that belongs to the whole cluster
		stored := slices.DeleteFunc(view.Stored(), func(r discovery.Resource) bool {
			return narrow && !r.Namespaced || !slices.ContainsFunc(q.Types, func(t query.Type) bool { return t.Selects(r.Stored) })
		})
		var everywhere []question
		for _, r := range stored {
			everywhere = append(everywhere, question{resource: r.GroupResource(), clusterName: everyCluster})
		}
		if err := s.askAhead(ctx, everywhere); err != nil {
			return err
		}
		for _, r := range stored {
			types := []query.Type{{Group: r.Stored.Group, Version: r.Stored.Version, Resource: r.Stored.Resource}}
			if err := s.scopes(ctx, r, q, visible, types, places); err != nil {
				return err
			}
		}
		return s.limit(ctx, q, visible)
	})
}

// limit sets what is visible of a query.
func (s *search) limit(ctx context.Context, q *query.Query, visible *query.Visibility) error {
	visible.Scopes = merge(visible.Scopes)
	if tooMany(visible.Scopes) {
		return errTooMany
	}
	q.Visible = visible
	return s.owner(ctx, q)
}

// Events reports whether the caller may also list the Events of all objects that a query
// was limited to.
func (c *Checker) Events(ctx context.Context, q *query.Query) (allowed bool, err error) {
	s := &search{Checker: c, verb: "list"}
	scopes := []query.Scope{{}}
	if q.Visible != nil {
		scopes = q.Visible.Scopes
	}
	events := schema.GroupResource{Resource: "events"}
	err = s.bounded(events, q, func() error {
		for _, r := range []schema.GroupResource{everything(), events} {
			if allowed, err = s.allowed(ctx, r, everyCluster, ""); err != nil || allowed {
				return err
			}
		}
		for _, scope := range scopes {
			if len(scope.Clusters) == 0 && len(scope.Namespaces) > 0 {
				if allowed, err = s.allowedInEach(ctx, events, everyCluster, scope.Namespaces); err != nil {
					return err
				} else if allowed {
					continue
				}
			}
			clusters := scope.Clusters
			if len(clusters) == 0 {
				if clusters, err = s.clusters(q); err != nil {
					return err
				}
			}
			for some := range slices.Chunk(clusters, maxAtOnce) { // one denial is enough
				if err := s.askAhead(ctx, inClusters(events, some)); err != nil {
					return err
				}
				for _, cluster := range some {
					if allowed, err = s.allowedInAll(ctx, events, cluster, scope.Namespaces); err != nil || !allowed {
						return err
					}
				}
			}
		}
		allowed = true
		return nil
	})
	return allowed && err == nil, err
}

// allowedInAll asks for a whole cluster, and if that is denied for each of the namespaces.
func (s *search) allowedInAll(ctx context.Context, r schema.GroupResource, cluster string, namespaces []string) (bool, error) {
	allowed, err := s.allowed(ctx, r, cluster, "")
	if err != nil || allowed || len(namespaces) == 0 {
		return allowed, err
	}
	return s.allowedInEach(ctx, r, cluster, namespaces)
}

// allowedInEach asks for namespaces of a cluster until one is denied.
func (s *search) allowedInEach(ctx context.Context, r schema.GroupResource, cluster string, namespaces []string) (bool, error) {
	for some := range slices.Chunk(namespaces, maxAtOnce) {
		if err := s.askAhead(ctx, inNamespaces(r, cluster, some)); err != nil {
			return false, err
		}
		for _, namespace := range some {
			if allowed, err := s.allowed(ctx, r, cluster, namespace); err != nil || !allowed {
				return false, err
			}
		}
	}
	return true, nil
}

// check returns a Status with code 403 unless the verb is allowed in one namespace of a
// cluster, or in the whole cluster.
func (s *search) check(ctx context.Context, r schema.GroupResource, cluster, namespace string) error {
	allowed, err := s.allowedAt(ctx, r, cluster, namespace)
	if err != nil || allowed {
		return err
	}
	return s.forbidden(ctx, r, cluster, namespace)
}

// allowedAt asks for a whole cluster, and if that is denied for one namespace of it.
func (s *search) allowedAt(ctx context.Context, r schema.GroupResource, cluster, namespace string) (bool, error) {
	allowed, err := s.allowed(ctx, r, cluster, "")
	if err == nil && !allowed && namespace != "" {
		allowed, err = s.allowed(ctx, r, cluster, namespace)
	}
	return allowed, err
}

// clusters returns those that a query asks for, by name.
func (s *search) clusters(q *query.Query) ([]string, error) {
	if len(q.Clusters) > 0 {
		return q.Clusters, nil
	}
	all, err := s.Clusters.List(labels.Everything())
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	names := make([]string, 0, len(all))
	for _, cluster := range all {
		names = append(names, cluster.Name)
	}
	slices.Sort(names)
	return names, nil
}

// place is what a caller may see of a cluster, whatever the resource.
type place struct {
	whole      bool
	namespaces []string
}

// places adds, and returns by cluster, where the caller may see all resources.
func (s *search) places(ctx context.Context, q *query.Query, visible *query.Visibility) (map[string]place, error) {
	all, err := s.clusters(q)
	if err != nil {
		return nil, err
	}
	clusters := slices.DeleteFunc(slices.Clone(all), s.missing)
	places := map[string]place{}
	if namespace, ok := single(q); ok && len(clusters) > 1 {
		if everywhere, err := s.allowed(ctx, everything(), everyCluster, namespace); err != nil {
			return nil, err
		} else if everywhere {
			for _, cluster := range clusters {
				places[cluster] = place{namespaces: []string{namespace}}
			}
			visible.Scopes = append(visible.Scopes, query.Scope{Namespaces: []string{namespace}})
			return places, nil
		}
	}
	if places, err = s.within(ctx, everything(), true, clusters, q, nil); err != nil {
		return nil, err
	}
	visible.Scopes = append(visible.Scopes, scopesOf(clusters, places, nil)...)
	return places, nil
}

// scopes adds what the caller may see of one resource, beyond the places where that is
// everything.
func (s *search) scopes(ctx context.Context, r discovery.Resource, q *query.Query, visible *query.Visibility, types []query.Type, places map[string]place) error {
	if all, err := s.allowed(ctx, r.GroupResource(), everyCluster, ""); err != nil {
		return err
	} else if all {
		visible.Scopes = append(visible.Scopes, query.Scope{Types: types})
		return nil
	}
	all, err := s.clusters(q)
	if err != nil {
		return err
	}
	// Of what there is not nothing is asked, nor remembered.
	clusters := slices.DeleteFunc(slices.Clone(all), func(cluster string) bool {
		return places[cluster].whole || len(all) > 1 && s.missing(cluster)
	})
	if namespace, ok := single(q); ok && r.Namespaced && len(clusters) > 1 {
		if everywhere, err := s.allowed(ctx, r.GroupResource(), everyCluster, namespace); err != nil {
			return err
		} else if everywhere {
			visible.Scopes = append(visible.Scopes, query.Scope{Namespaces: []string{namespace}, Types: types})
			return nil
		}
	}
	found, err := s.within(ctx, r.GroupResource(), r.Namespaced, clusters, q, places)
	if err != nil {
		return err
	}
	visible.Scopes = append(visible.Scopes, scopesOf(clusters, found, types)...)
	return nil
}

// scopesOf returns the scopes of places, those of whole clusters last.
func scopesOf(clusters []string, places map[string]place, types []query.Type) []query.Scope {
	var scopes []query.Scope
	var whole []string
	for _, cluster := range clusters {
		switch p := places[cluster]; {
		case p.whole:
			whole = append(whole, cluster)
		case len(p.namespaces) > 0:
			scopes = append(scopes, query.Scope{Clusters: []string{cluster}, Namespaces: p.namespaces, Types: types})
		}
	}
	if len(whole) > 0 {
		scopes = append(scopes, query.Scope{Clusters: whole, Types: types})
	}
	return scopes
}

// single returns the namespace of a query that asks for one alone.
func single(q *query.Query) (string, bool) {
	if len(q.Namespaces) != 1 || q.Namespaces[0] == "" {
		return "", false
	}
	return q.Namespaces[0], true
}

func (s *search) missing(cluster string) bool {
	_, err := s.Clusters.Get(cluster)
	return err != nil
}

// within returns what the caller may see of a resource in clusters, without the
// namespaces where he may see everything. Whole clusters are asked for first, and of the
// others the namespaces; a search of one namespace asks for nothing but that one, which
// includes what may be seen in all.
func (s *search) within(ctx context.Context, r schema.GroupResource, namespaced bool, clusters []string, q *query.Query, without map[string]place) (map[string]place, error) {
	found := map[string]place{}
	_, narrow := single(q)
	narrow = narrow && namespaced
	if !narrow {
		if err := s.askAhead(ctx, inClusters(r, clusters)); err != nil {
			return nil, err
		}
		for _, cluster := range clusters {
			allowed, err := s.allowed(ctx, r, cluster, "")
			if err != nil {
				return nil, err
			}
			found[cluster] = place{whole: allowed}
		}
	}
	var wanted []question
	for _, cluster := range clusters {
		if found[cluster].whole || !namespaced || !narrow && s.missing(cluster) {
			continue
		}
		namespaces, err := s.namespacesOf(ctx, cluster, q.Namespaces)
		if err != nil {
			return nil, err
		}
		for _, namespace := range namespaces {
			// Objects without a namespace belong to the whole cluster.
			if namespace != "" && !slices.Contains(without[cluster].namespaces, namespace) {
				wanted = append(wanted, question{resource: r, clusterName: cluster, namespace: namespace})
			}
		}
		if len(wanted) > maxReviews {
			break // what follows could not be asked for
		}
	}
	if err := s.askAhead(ctx, wanted); err != nil {
		return nil, err
	}
	for _, w := range wanted {
		allowed, err := s.allowed(ctx, r, w.clusterName, w.namespace)
		if err != nil {
			return nil, err
		}
		if allowed {
			p := found[w.clusterName]
			p.namespaces = append(p.namespaces, w.namespace)
			found[w.clusterName] = p
		}
	}
	if len(wanted) > maxReviews { // though some were none
		return nil, errTooMany
	}
	return found, nil
}

// namespacesOf returns the namespaces that are wanted of a cluster, or all that are known.
func (s *search) namespacesOf(ctx context.Context, cluster string, wanted []string) ([]string, error) {
	if len(wanted) > 0 {
		return wanted, nil
	}
	return s.knownNamespaces(ctx, cluster)
}

// narrower is the path of a resource in one namespace.
func narrower(r schema.GroupResource, cluster string) string {
	path := "…/resources/clusters/" + cluster
	if r.Group == "" {
		return path + "/api/v1/namespaces/NAMESPACE/" + r.Resource
	}
	return path + "/apis/" + r.Group + "/VERSION/namespaces/NAMESPACE/" + r.Resource
}

// forbiddenList says that the caller may see nothing of what a query asks one cluster for.
func (s *search) forbiddenList(ctx context.Context, r discovery.Resource, q *query.Query) error {
	switch {
	case len(q.Namespaces) == 1:
		return s.forbidden(ctx, r.GroupResource(), q.Clusters[0], q.Namespaces[0])
	case !r.Namespaced:
		return s.forbidden(ctx, r.GroupResource(), q.Clusters[0], "")
	}
	return s.forbiddenEverywhere(ctx, r.GroupResource(), q.Clusters[0])
}

// forbiddenEverywhere is forbidden for a whole cluster and for its namespaces. Not all of
// them need have been asked for: so that this tells nothing, the narrower path is always
// named.
func (s *search) forbiddenEverywhere(ctx context.Context, r schema.GroupResource, cluster string) error {
	reason := fmt.Sprintf("%s, nor in those of its namespaces that %d checks reach: ask for less, as at %s",
		s.reason(ctx, r, cluster, ""), maxReviews, narrower(r, cluster))
	return apierrors.NewForbidden(r, "", errors.New(reason))
}

// forbidden says what the caller may not do, as Kubernetes says it. It says the same
// whether there is such a cluster or not.
func (s *search) forbidden(ctx context.Context, r schema.GroupResource, cluster, namespace string) error {
	return apierrors.NewForbidden(r, "", errors.New(s.reason(ctx, r, cluster, namespace)))
}

func (s *search) reason(ctx context.Context, r schema.GroupResource, cluster, namespace string) string {
	return s.reasonIn(ctx, r, "cluster "+cluster, namespace)
}

func (s *search) reasonIn(ctx context.Context, r schema.GroupResource, clusters, namespace string) string {
	name := ""
	if caller, ok := apirequest.UserFrom(ctx); ok {
		name = caller.GetName()
	}
	where := "of " + clusters
	if namespace != "" {
		where = fmt.Sprintf("in the namespace %q of %s", namespace, clusters)
	}
	resource := strings.TrimSuffix(r.String(), ".")
	if s.subresource != "" {
		resource += "/" + s.subresource
	}
	return fmt.Sprintf("user %q cannot %s resource %q in API group %q %s", name, s.verb, resource, Group, where)
}
