package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"clusterpedia.io/testbed/sample"
)

// load changes a member all the time: it creates, changes and deletes objects, also
// some that were deleted before, which then have another UID.
type load struct {
	member *member
	stop   func()
	// changing is locked for reading by each request, and otherwise by who holds them back.
	changing sync.RWMutex

	created, updated, deleted, failed atomic.Int64
}

const (
	loadWorkers = 4
	loadNames   = 60
	// loadPrefix begins the names of all objects that are changed.
	loadPrefix = "load-"
	// loadPause is how long each worker waits between two requests.
	loadPause = 60 * time.Millisecond
	// requestLimit bounds one request to a member that may be down.
	requestLimit = 5 * time.Second
)

// startLoad begins to change a member until stop is called or the test ends.
func startLoad(t *testing.T, m *member) *load {
	t.Helper()
	l := &load{member: m}
	ctx, cancel := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	for worker := range loadWorkers {
		workers.Go(func() { l.work(ctx, worker) })
	}
	l.stop = func() { cancel(); workers.Wait() }
	t.Cleanup(l.stop)
	return l
}

func (l *load) work(ctx context.Context, worker int) {
	tick := time.NewTicker(loadPause)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !l.changing.TryRLock() {
			continue
		}
		// Its end must not leave it open what has become of a request.
		request, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestLimit)
		if err := l.change(request, worker, n); err != nil {
			l.failed.Add(1)
		}
		cancel()
		l.changing.RUnlock()
	}
}

// change makes one change.
func (l *load) change(ctx context.Context, worker, n int) error {
	gvr := []schema.GroupVersionResource{configMaps, secrets, sample.Widgets}[rand.N(3)]
	client := l.member.client.Resource(gvr).Namespace([]string{"default", "kube-system", "team-1"}[rand.N(3)])
	name := fmt.Sprintf(loadPrefix+"%d-%d", worker, rand.N(loadNames))
	value := fmt.Sprintf("%d %s", n, strings.Repeat("x", rand.N(2000)))
	if rand.N(4) == 0 {
		err := client.Delete(ctx, name, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return count(err, &l.deleted)
	}
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"value":%q}}}`, value)
	_, err := client.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	if !apierrors.IsNotFound(err) {
		return count(err, &l.updated)
	}
	_, err = client.Create(ctx, object(gvr, name, value), metav1.CreateOptions{})
	return count(err, &l.created)
}

// object makes an object of one of the resources that the load changes.
func object(gvr schema.GroupVersionResource, name, value string) *unstructured.Unstructured {
	kind := map[string]string{"configmaps": "ConfigMap", "secrets": "Secret", "widgets": "Widget"}[gvr.Resource]
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": gvr.GroupVersion().String(), "kind": kind,
		"metadata": map[string]any{"name": name, "annotations": map[string]any{"value": value}},
	}}
}

func count(err error, counter *atomic.Int64) error {
	if err == nil {
		counter.Add(1)
	}
	return err
}

func (l *load) String() string {
	return fmt.Sprintf("%d created, %d updated, %d deleted, %d refused", l.created.Load(), l.updated.Load(), l.deleted.Load(), l.failed.Load())
}
