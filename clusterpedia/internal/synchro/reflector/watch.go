package reflector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/watch"

	"clusterpedia.io/clusterpedia/internal/membercluster"
	"clusterpedia.io/clusterpedia/internal/synchro/document"
	"clusterpedia.io/clusterpedia/internal/synchro/stream"
)

const (
	// The member ends a watch after a time between minWatch and twice that.
	minWatch = 5 * time.Minute
	// watchGrace is how much longer it may take before the watch counts as lost.
	watchGrace = 30 * time.Second
)

// watch follows the changes behind the version until the watch ends, and moves the
// version forward. The error is nil if the watch has just ended.
func (r *Reflector) watch(ctx context.Context) error {
	duration := minWatch + rand.N(minWatch)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lost := time.AfterFunc(duration+watchGrace, func() { cancel(fmt.Errorf("%w: it didn't end the watch in time", errOutOfReach)) })
	defer lost.Stop()
	query := r.query()
	query.Set("watch", "true")
	query.Set("allowWatchBookmarks", "true")
	query.Set("timeoutSeconds", strconv.Itoa(int(duration.Seconds())))
	if r.version != "" {
		query.Set("resourceVersion", r.version)
	}
	silent := time.AfterFunc(r.Stall, func() { cancel(fmt.Errorf("the member didn't answer within %s", r.Stall)) })
	response, err := r.Client.Get(ctx, membercluster.Request{Path: r.Path, Query: query})
	silent.Stop()
	if err != nil {
		return fmt.Errorf("watch %s: %w", r.Path, causeOf(ctx, err))
	}
	defer response.Body.Close()
	r.followed = true
	r.setWatching(true)
	defer r.setWatching(false)
	r.Sink.Watching()

	ended := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-r.relist:
			cancel(errRelist)
		case <-ended:
		}
	}()
	err = r.events(ctx, stream.NewReader(response.Body))
	close(ended)
	<-stopped
	if errors.Is(context.Cause(ctx), errRelist) {
		return errRelist // also if the stream has just ended by itself
	}
	if err = causeOf(ctx, err); err != nil {
		err = fmt.Errorf("watch %s: %w", r.Path, err)
	}
	return err
}

func (r *Reflector) setWatching(watching bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watching = watching
	if !watching {
		r.broken = time.Now()
	}
}

func (r *Reflector) events(ctx context.Context, events *stream.Reader) error {
	for {
		event, err := events.Next()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && utilnet.IsHTTP2ConnectionLost(err):
			// It was silent for so long that the connection was given up.
			return fmt.Errorf("%w: %w", errOutOfReach, err)
		case err != nil && cut(err):
			return nil
		case err != nil:
			return err
		}
		if watch.EventType(event.Type) == watch.Error {
			if err := membercluster.StatusError(event.Object); err != nil {
				return err
			}
			return fmt.Errorf("the member reports an error that isn't a Status: %.200q", event.Object)
		}
		head, err := document.ReadHead(event.Object)
		if err != nil {
			r.Sink.Unreadable(err)
			continue
		}
		switch watch.EventType(event.Type) {
		case watch.Added, watch.Modified:
			err = r.Sink.Changed(ctx, head, event.Object)
		case watch.Deleted:
			err = r.Sink.Deleted(ctx, head)
		case watch.Bookmark:
			r.Sink.Bookmark()
		default:
			err = fmt.Errorf("unknown type of event %.50q", event.Type)
		}
		if err != nil {
			return err
		}
		if head.ResourceVersion != "" {
			r.reached(head.ResourceVersion)
		}
	}
}

// cut reports whether a stream ended as those of a member that goes away do. What
// follows tells whether anything is wrong.
func cut(err error) bool {
	return utilnet.IsProbableEOF(err) || utilnet.IsTimeout(err) || errors.Is(err, io.ErrUnexpectedEOF)
}
