package visibility

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"clusterpedia.io/storage-api/query"
)

const (
	// maxReviews bounds the reviews of one search. What is remembered counts, too: the same
	// search would come further each time, and end in another way.
	maxReviews = 1000
	// maxName and maxResource are the lengths of the longest name of a cluster or namespace,
	// and of a resource with its group and subresource. Longer ones are those of nothing, and
	// not to be remembered.
	maxName, maxResource = 253, 1000
)

// everyCluster stands for all clusters: in a review, no name stands for all objects.
const everyCluster = ""

// everything is what reviews call all resources.
func everything() schema.GroupResource { return schema.GroupResource{Resource: "*"} }

// search is one search, whose reviews are counted.
type search struct {
	*Checker
	verb, subresource string
	// asked are the answers to all that it has asked, and some says that one place at least
	// is allowed.
	asked map[question]bool
	some  bool
	// caller identifies who searches, once somebody is asked about.
	caller *identity
}

// question is one review.
type question struct {
	caller                                    identity
	verb, subresource, namespace, clusterName string
	resource                                  schema.GroupResource
}

// errTooMany ends a search that takes too many reviews, or finds too many places.
var errTooMany = errors.New("what the caller may see is in too many places")

// tooManyError is errTooMany as a Status.
type tooManyError struct{ *apierrors.StatusError }

// Is implements what errors.Is asks for.
func (tooManyError) Is(target error) bool { return target == errTooMany }

// TooMany reports whether an error with code 403 only says that it takes too many reviews,
// or places, to find out what the caller may see.
func TooMany(err error) bool { return errors.Is(err, errTooMany) }

// bounded turns errTooMany into a Status with code 403, which names a narrower path. Of
// clusters it names only what the query does.
func (s *search) bounded(r schema.GroupResource, q *query.Query, search func() error) error {
	err := search()
	if !errors.Is(err, errTooMany) {
		return err
	}
	cluster := "CLUSTER"
	if len(q.Clusters) == 1 {
		cluster = q.Clusters[0]
	}
	if r == everything() {
		r.Resource = "RESOURCE"
	}
	return tooManyError{apierrors.NewForbidden(r, "", fmt.Errorf(
		"what you may see takes more than %d checks, or is in too many places: ask for less, as at %s", maxReviews, narrower(r, cluster)))}
}

// allowed asks for one namespace of a cluster, or for the whole cluster, or for all.
func (s *search) allowed(ctx context.Context, r schema.GroupResource, cluster, namespace string) (bool, error) {
	if s.tooLong(question{resource: r, clusterName: cluster, namespace: namespace}) {
		return false, nil
	}
	allowed, err := s.ask(ctx, r, cluster, namespace)
	if cluster == everyCluster && allowed {
		// To RBAC, no name is a name too, which a rule may have among others. Only one for all
		// names allows a name that nobody knows.
		allowed, err = s.ask(ctx, r, s.nobody, namespace)
	}
	s.some = s.some || allowed
	return allowed, err
}

// tooLong reports whether a question is about a name that nothing has.
func (s *search) tooLong(q question) bool {
	return len(q.clusterName) > maxName || len(q.namespace) > maxName || len(q.resource.Group)+len(q.resource.Resource)+len(s.subresource) > maxResource
}

// ask makes one review, unless its answer is remembered. It returns errTooMany for one more
// than a search may take.
func (s *search) ask(ctx context.Context, r schema.GroupResource, name, namespace string) (bool, error) {
	caller, err := s.identify(ctx)
	if err != nil {
		return false, err
	}
	asked := s.question(question{resource: r, clusterName: name, namespace: namespace})
	if allowed, found := s.asked[asked]; found {
		return allowed, nil
	}
	if len(s.asked) >= maxReviews {
		return false, errTooMany
	}
	allowed, err := s.review(ctx, caller, asked)
	if err == nil {
		s.asked[asked] = allowed
	}
	return allowed, err
}

// identify returns who searches.
func (s *search) identify(ctx context.Context) (user.Info, error) {
	caller, ok := apirequest.UserFrom(ctx)
	if !ok {
		return nil, apierrors.NewInternalError(errors.New("no user found in the context"))
	}
	if s.caller == nil {
		id := identify(caller)
		s.caller, s.asked = &id, map[question]bool{}
	}
	return caller, nil
}

// question completes one by what is the same for all of a search, whose caller is known.
func (s *search) question(q question) question {
	q.caller, q.verb, q.subresource = *s.caller, s.verb, s.subresource
	return q
}

// review asks the host cluster, unless its answer is remembered.
func (c *Checker) review(ctx context.Context, caller user.Info, asked question) (bool, error) {
	known := c.callers.get(caller.GetName())
	if allowed, found := known.answer(asked); found {
		return allowed, nil
	}
	if err := known.enter(ctx); err != nil {
		return false, err
	}
	defer known.leave()
	if allowed, found := known.answer(asked); found { // by now
		return allowed, nil
	}
	decision, _, err := c.Authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: caller, Verb: asked.verb, APIGroup: Group, APIVersion: "*", Resource: asked.resource.String(), Subresource: asked.subresource,
		Namespace: asked.namespace, Name: asked.clusterName, ResourceRequest: true,
	})
	if err != nil && decision != authorizer.DecisionAllow {
		return false, apierrors.NewInternalError(fmt.Errorf("ask what the caller may see: %w", err))
	}
	if decision == authorizer.DecisionAllow {
		known.answers.Add(asked, true, c.AllowedFor)
		return true, nil
	}
	known.answers.Add(asked, false, c.DeniedFor)
	return false, nil
}

// identity tells apart callers who may have other rights.
type identity [sha256.Size]byte

func identify(u user.Info) identity {
	var text strings.Builder
	fmt.Fprintf(&text, "%q %q %q", u.GetName(), u.GetUID(), u.GetGroups())
	extra := u.GetExtra()
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		fmt.Fprintf(&text, " %q=%q", key, extra[key])
	}
	return sha256.Sum256([]byte(text.String()))
}
