// Package reconcile calls a function for names that may need work, one call at a time
// for each name, and again after it has failed.
//
// It stands before the data's path, below the controllers of ClusterImportPolicies and
// PediaClusterLifecycles.
package reconcile

import (
	"context"
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

const (
	// firstRetry and lastRetry are the first and the longest pause before another call
	// for a name whose call has failed.
	firstRetry, lastRetry = 2 * time.Second, 10 * time.Second
	// pause is how long a call that must only wait is put off.
	pause = 500 * time.Millisecond
)

// ErrWait is returned by calls that have nothing to do until something else is done.
// The call is made again after a short pause.
var ErrWait = errors.New("not ready yet")

// Loop is a queue of names, and what is called for them.
type Loop struct {
	name  string
	call  func(context.Context, string) error
	queue workqueue.TypedRateLimitingInterface[string]
}

// New returns a loop that does nothing yet. Its name is for logs and metrics.
func New(name string, call func(ctx context.Context, name string) error) *Loop {
	return &Loop{name: name, call: call, queue: workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstRetry, lastRetry),
		workqueue.TypedRateLimitingQueueConfig[string]{Name: name},
	)}
}

// Add has the function called for a name, soon.
func (l *Loop) Add(name string) { l.queue.Add(name) }

// AddObject has the function called for the name of an object that an informer tells of.
func (l *Loop) AddObject(object any) {
	if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
		l.Add(key)
	}
}

// Written returns what an error of the update of an object means: ErrWait if the cache is
// behind, and nothing if the object is gone.
func Written(err error) error {
	switch {
	case apierrors.IsConflict(err):
		return ErrWait
	case apierrors.IsNotFound(err):
		return nil
	}
	return err
}

// maxMessage bounds a condition's message, in bytes.
const maxMessage = 2048

// Message returns the message of a condition; "" without an error.
func Message(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if len(text) > maxMessage {
		return text[:maxMessage] + "…"
	}
	return text
}

// Run calls the function, for as many names at once as there are workers, until ctx
// ends, and waits for the calls that run.
func (l *Loop) Run(ctx context.Context, workers int) {
	stop := context.AfterFunc(ctx, l.queue.ShutDown)
	defer stop()
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for l.next(ctx) {
			}
		})
	}
	all.Wait()
}

func (l *Loop) next(ctx context.Context) bool {
	name, shutdown := l.queue.Get()
	if shutdown {
		return false
	}
	defer l.queue.Done(name)
	switch err := l.call(ctx, name); {
	case err == nil || ctx.Err() != nil:
		l.queue.Forget(name)
	case errors.Is(err, ErrWait):
		l.queue.AddAfter(name, pause)
	default:
		klog.ErrorS(err, "Cannot reconcile, try again", "controller", l.name, "name", name)
		l.queue.AddRateLimited(name)
	}
	return true
}
