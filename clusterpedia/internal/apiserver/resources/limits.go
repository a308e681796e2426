package resources

import (
	"context"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"clusterpedia.io/clusterpedia/internal/apiserver/discovery"
	"clusterpedia.io/clusterpedia/internal/apiserver/visibility"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// recheckWatches is how often what a running watch may show is asked again. Answers may be
// remembered as long as --authorization-webhook-cache-authorized-ttl says.
const recheckWatches = 15 * time.Second

// limits are what a caller may see of a resource, which may change while a watch runs. A nil
// limits has none.
type limits struct {
	checker  *visibility.Checker
	resource discovery.Resource
	// asked is the query before it was limited.
	asked query.Query
	// seen tells apart what the caller may list and watch: empty for everything. To watch
	// alone would not do: answers about both may be remembered for different times.
	seen string
}

// What stands in limits.seen for what may be listed and not watched, or the reverse, and
// for what takes too many reviews to find out.
const (
	notAtAll = "-"
	tooMany  = "~"
)

// applyLimits limits a query to what the caller may list or watch. If the storage layer
// can be watched, it also finds out what the caller may do of the other.
func applyLimits(ctx context.Context, checker *visibility.Checker, r discovery.Resource, verb string, q *query.Query, watchable bool) (*limits, error) {
	l := &limits{checker: checker, resource: r, asked: *q}
	if err := checker.Limit(ctx, verb, r, q); err != nil {
		return nil, err
	}
	if verb == "watch" && seesNothing(q) {
		if err := l.refuseDead(ctx); err != nil {
			return nil, err
		}
	}
	if err := WithoutForbiddenEvents(ctx, checker, q); err != nil {
		return nil, err
	}
	if !watchable {
		return l, nil
	}
	var err error
	if l.seen, err = l.sees(ctx, verb, visibility.Fingerprint(q)); visibility.TooMany(err) {
		err = nil // of the verb that was not asked for
	}
	return l, err
}

// seesNothing reports whether a query has been limited to nothing.
func seesNothing(q *query.Query) bool { return q.Visible != nil && len(q.Visible.Scopes) == 0 }

// refuseDead returns a Status with code 403 for a watch that shows nothing of what its caller
// may list: he would wait for changes in vain. One who may list nothing either gets as
// little of both.
func (l *limits) refuseDead(ctx context.Context) error {
	listed := l.asked
	switch err := l.checker.Limit(ctx, "list", l.resource, &listed); {
	case visibility.TooMany(err):
		return nil // he may not list that way
	case err != nil:
		return err
	case seesNothing(&listed):
		return nil
	}
	return l.checker.Nowhere(ctx, "watch", l.resource, &l.asked)
}

// sees asks what the caller may list and watch now. Of one verb it may be known. If one of
// them takes too many reviews, it returns that error beside the others' answer.
func (l *limits) sees(ctx context.Context, knownVerb, known string) (string, error) {
	var parts []string
	var unknown error
	for _, verb := range []string{"list", "watch"} {
		part := known
		if verb != knownVerb {
			var err error
			if part, err = l.seesBy(ctx, verb); visibility.TooMany(err) {
				unknown = err
			} else if err != nil {
				return "", err
			}
		}
		parts = append(parts, part)
	}
	if seen := strings.Join(parts, "."); seen != "." {
		return seen, unknown
	}
	return "", nil
}

func (l *limits) seesBy(ctx context.Context, verb string) (string, error) {
	q := l.asked
	switch err := l.checker.Limit(ctx, verb, l.resource, &q); {
	case visibility.TooMany(err):
		return tooMany, err
	case apierrors.IsForbidden(err):
		return notAtAll, nil
	case err != nil:
		return "", err
	}
	if q.Events {
		var err error
		if q.Events, err = l.checker.Events(ctx, &q); visibility.TooMany(err) {
			return tooMany, err
		} else if err != nil {
			return "", err
		}
	}
	return visibility.Fingerprint(&q), nil
}

// The version of a list or event tells what its reader could see, if that was not all:
// a watch that resumes there with other rights would miss objects, or leave some behind.

// mark adds that to a version.
func (l *limits) mark(version string) string {
	if l == nil || l.seen == "" || version == "" {
		return version
	}
	return version + "." + l.seen
}

// unmark returns the storage layer's version, or storage.ErrExpired for one that was read
// with other rights.
func (l *limits) unmark(version string) (string, error) {
	if l == nil || l.seen == "" || version == "" {
		return version, nil
	}
	version, ok := strings.CutSuffix(version, "."+l.seen)
	if !ok {
		return "", storage.ErrExpired
	}
	return version, nil
}

// listMeta marks the version of a list.
func (l *limits) listMeta(of func(query.Page, int64) metav1.ListMeta) func(query.Page, int64) metav1.ListMeta {
	return func(page query.Page, items int64) metav1.ListMeta {
		page.Version = l.mark(page.Version)
		return of(page, items)
	}
}

// awaitChange returns when the caller may see something else than at first, or nobody
// can say so, with the reason. It returns nil when ctx ends.
//
// What takes too many reviews by now, as of a cluster with many new namespaces, is no
// change yet: it is looked at once more, soon, and ends the watch only then, with an error
// that names a narrower path.
func (l *limits) awaitChange(ctx context.Context, every time.Duration) error {
	if l == nil {
		return nil
	}
	next := every
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait.Jitter(next, 0.2)):
		}
		now, err := l.sees(ctx, "", "")
		again := next < every
		next = every
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it is the context's
		case err != nil && !visibility.TooMany(err):
			return err
		case now == l.seen:
		case strings.Count(now, tooMany) <= strings.Count(l.seen, tooMany):
			return apierrors.NewResourceExpired("what you may see has changed: list again")
		case again:
			return err
		default:
			next = every / 2 // within the time after which a revoked right shows nothing
		}
	}
}
