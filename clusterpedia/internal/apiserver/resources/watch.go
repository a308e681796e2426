package resources

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/registry/rest"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// minWatch is the shortest duration of a watch whose client names none; as in
// Kubernetes it lasts up to twice as long.
const minWatch = 30 * time.Minute

// maxAggregatedWatch is the longest duration of a watch through the host cluster, in whole
// seconds. Its API server takes a request below "resources" for a short one, which it cuts
// off after a minute. One that ends before is resumed by its client without an error.
const maxAggregatedWatch = 50 * time.Second

type aggregatedKey struct{}

// WithAggregator is a filter that remembers which requests came through the host cluster's
// API server. It must stand before authentication, which removes the traces.
func WithAggregator(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		// Whoever lies about that gets shorter watches.
		if req.Header.Get("X-Remote-User") != "" {
			req = req.WithContext(context.WithValue(req.Context(), aggregatedKey{}, true))
		}
		next.ServeHTTP(w, req)
	})
}

// limitWatch sets the duration of a watch that would be cut off otherwise.
func limitWatch(ctx context.Context, values url.Values) {
	if ctx.Value(aggregatedKey{}) == nil {
		return
	}
	limit := int64(maxAggregatedWatch / time.Second)
	wanted, err := strconv.ParseInt(values.Get("timeoutSeconds"), 10, 64)
	if values.Has("timeoutSeconds") && (err != nil || wanted > 0 && wanted <= limit) {
		return // the stock handler says what is wrong
	}
	values.Set("timeoutSeconds", strconv.FormatInt(limit, 10))
}

// watcher follows the changes that a request asks for. The stock handler calls it as
// the rest.Watcher of a resource.
//
// Resource versions of watched objects are points of the storage layer's history, from
// which a client resumes, and not those of the members.
type watcher struct {
	*reader
	source  storage.Watcher
	recheck time.Duration
}

var _ rest.Watcher = watcher{}

// Watch implements rest.Watcher. As in Kubernetes a watch without a resource version, or
// from "0", begins with all objects, unless the client says otherwise.
func (w watcher) Watch(ctx context.Context, o *metainternalversion.ListOptions) (watch.Interface, error) {
	q := *w.options.Query
	q.Order, q.Limit, q.Offset, q.Continue, q.Count = nil, 0, 0, "", query.CountNone
	ctx, cancel := context.WithCancel(ctx)
	running := &watching{events: make(chan watch.Event), cancel: cancel, done: make(chan struct{})}
	since := o.ResourceVersion
	if since == "0" {
		since = ""
	}
	since, expired := w.limits.unmark(since)
	initial := since == ""
	if o.SendInitialEvents != nil {
		initial = *o.SendInitialEvents
	}
	go func() {
		defer close(running.done)
		defer close(running.events)
		err := expired
		if err == nil {
			err = w.followWhileVisible(ctx, &q, since, initial, o, running.send)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		_ = running.send(ctx, watch.Event{Type: watch.Error, Object: w.status(err)}) // the client has gone then
	}()
	return running, nil
}

// followWhileVisible is follow, until the caller may see something else.
func (w watcher) followWhileVisible(ctx context.Context, q *query.Query, since string, initial bool, o *metainternalversion.ListOptions, send func(context.Context, watch.Event) error) error {
	following, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	checked := make(chan struct{})
	var changed error
	go func() {
		defer close(checked)
		changed = safely(func() error { return w.limits.awaitChange(following, w.recheck) })
		if changed != nil {
			stop(changed)
		}
	}()
	err := safely(func() error { return w.follow(following, q, since, initial, o, send) })
	stop(nil)
	<-checked
	if changed != nil {
		return changed
	}
	return err
}

// safely calls fn, after which the process goes on whatever happens: the filter that sees
// to that for other requests knows nothing of a watch's goroutines.
func safely(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return fn()
}

// follow sends what there is, if that is wanted, and what happens after it.
func (w watcher) follow(ctx context.Context, q *query.Query, since string, initial bool, o *metainternalversion.ListOptions, send func(context.Context, watch.Event) error) error {
	if initial {
		page, err := w.storage.List(ctx, q, func(o *storage.Object) error {
			obj, err := w.object(o, "")
			if err != nil {
				return err
			}
			return send(ctx, watch.Event{Type: watch.Added, Object: obj})
		})
		if err != nil {
			return err
		}
		since = page.Version
		if o.SendInitialEvents != nil && o.AllowWatchBookmarks {
			end, err := w.bookmark(w.limits.mark(since))
			if err != nil {
				return err
			}
			if err := meta.NewAccessor().SetAnnotations(end, map[string]string{metav1.InitialEventsAnnotationKey: "true"}); err != nil {
				return err
			}
			if err := send(ctx, watch.Event{Type: watch.Bookmark, Object: end}); err != nil {
				return err
			}
		}
	}
	return w.source.Watch(ctx, q, since, func(e storage.WatchEvent) error {
		var obj runtime.Object
		var err error
		switch {
		case e.Type != storage.Bookmark:
			obj, err = w.object(e.Object, w.limits.mark(e.Version))
		case o.AllowWatchBookmarks:
			obj, err = w.bookmark(w.limits.mark(e.Version))
		default:
			return nil
		}
		if err != nil {
			return err
		}
		return send(ctx, watch.Event{Type: watch.EventType(e.Type), Object: obj})
	})
}

// object returns an object of an event, with its point in the history if it is known.
func (w watcher) object(o *storage.Object, version string) (runtime.Object, error) {
	o = WithEvents(o)
	obj, err := w.scope.read(o.Key, o.JSON)
	if err != nil {
		return nil, err
	}
	if version != "" {
		err = meta.NewAccessor().SetResourceVersion(obj, version)
	}
	return obj, err
}

// bookmark returns an object that tells a point in the history, and nothing else.
func (w watcher) bookmark(version string) (runtime.Object, error) {
	obj, err := w.scope.decode(fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"metadata":{}}`, w.scope.storedVersion(), w.scope.Kind.Kind))
	if err != nil {
		return nil, err
	}
	return obj, meta.NewAccessor().SetResourceVersion(obj, version)
}

// status returns the last event of a watch that has failed.
func (w watcher) status(err error) *metav1.Status {
	if errors.Is(err, storage.ErrExpired) {
		err = apierrors.NewResourceExpired("the resource version to watch from is too old, or is none of this server: list again")
	}
	var status apierrors.APIStatus
	if !errors.As(APIError(err, w.scope.Resource.GroupResource(), ""), &status) {
		status = apierrors.NewInternalError(errors.New("the watch failed"))
	}
	s := status.Status()
	return &s
}

// watching is a watch that runs.
type watching struct {
	events chan watch.Event
	cancel context.CancelFunc
	done   chan struct{}
}

func (w *watching) send(ctx context.Context, e watch.Event) error {
	select {
	case w.events <- e:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ResultChan implements watch.Interface.
func (w *watching) ResultChan() <-chan watch.Event { return w.events }

// Stop implements watch.Interface. It waits for the end.
func (w *watching) Stop() {
	w.cancel()
	<-w.done
}
