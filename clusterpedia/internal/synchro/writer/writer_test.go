package writer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	"clusterpedia.io/clusterpedia/internal/synchro/faulty"
	"clusterpedia.io/storage-api/storage"
)

const (
	patience = 30 * time.Second
	tick     = 2 * time.Millisecond
)

type observer struct {
	mu                                        sync.Mutex
	written, failed, rejected, postponed, new int
}

func (o *observer) Written(_ string, changes []Change, _ time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.written += len(changes)
	for _, change := range changes {
		if change.New {
			o.new++
		}
	}
}

func (o *observer) Failed(string, []Change, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed++
}

func (o *observer) Rejected(string, storage.Change, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rejected++
}

func (o *observer) Postponed(string, storage.Change, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.postponed++
}

func (o *observer) counts() (written, failed, rejected int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written, o.failed, o.rejected
}

type fixture struct {
	*Writer
	storage  *faulty.Storage
	observer *observer
	trouble  chan error
	result   chan error
	stop     context.CancelFunc
}

func testLimits() Limits {
	l := DefaultLimits()
	l.Linger = time.Millisecond
	l.Backoff = wait.Backoff{Duration: time.Millisecond, Factor: 1.5, Steps: 10, Cap: 5 * time.Millisecond}
	return l
}

func newFixture(t *testing.T, limits Limits) *fixture {
	t.Helper()
	f := &fixture{storage: &faulty.Storage{}, observer: &observer{}, trouble: make(chan error, 100), result: make(chan error, 1)}
	f.Writer = New(Options{
		Storage: f.storage, As: storage.Writer{Cluster: "one", Epoch: 5}, Limits: limits, Observer: f.observer,
		Trouble: func(err error) { f.trouble <- err }, Logger: klog.Background(),
	})
	return f
}

func (f *fixture) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f.stop = cancel
	var running sync.WaitGroup
	running.Go(func() { f.result <- f.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
}

var (
	pods  = storage.Resource{Version: "v1", Resource: "pods"}
	nodes = storage.Resource{Version: "v1", Resource: "nodes"}
)

func keyNamed(r storage.Resource, name string) storage.Key {
	return storage.Key{Cluster: "one", Resource: r, Name: name}
}

func put(r storage.Resource, name, version string) Change {
	return Change{Change: storage.Change{Put: &storage.Object{Key: keyNamed(r, name), ResourceVersion: version, JSON: []byte(`{}`)}}}
}

func remove(r storage.Resource, name string) Change {
	k := keyNamed(r, name)
	return Change{Change: storage.Change{Delete: &k}}
}

func (f *fixture) enqueue(t *testing.T, changes ...Change) {
	t.Helper()
	for _, c := range changes {
		require.NoError(t, f.Enqueue(t.Context(), c))
	}
}

func (f *fixture) settle(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	f.WhenWritten(func() { close(done) })
	select {
	case <-done:
	case <-time.After(patience):
		require.Fail(t, "nothing was written in time")
	}
}

func TestCoalesces(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testLimits())
	f.enqueue(t, put(pods, "a", "1"), put(nodes, "a", "1"), put(pods, "b", "1"), put(pods, "a", "2"), remove(pods, "b"), put(pods, "c", "1"))
	require.Equal(t, 4, f.Queued())
	f.start(t)
	f.settle(t)
	require.Equal(t, []string{"nodes a 1", "pods a 2", "pods c 1"}, f.storage.Names())
	require.Len(t, f.storage.Batches(), 1)
	f.enqueue(t, remove(pods, "c"), put(pods, "c", "9"), remove(pods, "a"))
	f.settle(t)
	require.Equal(t, []string{"nodes a 1", "pods c 9"}, f.storage.Names())
	require.Zero(t, f.Queued())
}

// TestNew checks that a change which takes the place of another says whether the storage
// layer has the object, as the first of them does.
func TestNew(t *testing.T) {
	t.Parallel()
	isNew := func(c Change) Change { c.New = true; return c }
	for name, tc := range map[string]struct {
		changes []Change
		want    int
	}{
		"created":              {[]Change{isNew(put(pods, "a", "1"))}, 1},
		"created and updated":  {[]Change{isNew(put(pods, "a", "1")), put(pods, "a", "2")}, 1},
		"created and deleted":  {[]Change{isNew(put(pods, "a", "1")), remove(pods, "a")}, 0},
		"updated twice":        {[]Change{put(pods, "a", "1"), put(pods, "a", "2")}, 0},
		"deleted and created":  {[]Change{remove(pods, "a"), isNew(put(pods, "a", "2"))}, 0},
		"two that are created": {[]Change{isNew(put(pods, "a", "1")), isNew(put(pods, "b", "2"))}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, testLimits())
			f.enqueue(t, tc.changes...)
			f.start(t)
			f.settle(t)
			f.observer.mu.Lock()
			defer f.observer.mu.Unlock()
			require.Equal(t, tc.want, f.observer.new)
		})
	}
}

func TestBatchesAreBounded(t *testing.T) {
	t.Parallel()
	limits := testLimits()
	limits.BatchChanges, limits.BatchBytes = 3, 4*(entryOverhead+2)
	f := newFixture(t, limits)
	for i := range 7 {
		f.enqueue(t, put(pods, fmt.Sprint(i), "1"))
	}
	large := put(pods, "large", "1")
	large.Put.JSON = make([]byte, 3*entryOverhead)
	f.enqueue(t, large, put(pods, "last", "1"))
	f.start(t)
	f.settle(t)
	var sizes []int
	for _, b := range f.storage.Batches() {
		sizes = append(sizes, len(b))
	}
	require.Equal(t, []int{3, 3, 1, 1, 1}, sizes)
}

func TestFullQueueMakesWait(t *testing.T) {
	t.Parallel()
	limits := testLimits()
	limits.QueueChanges, limits.BatchChanges = 2, 2
	f := newFixture(t, limits)
	f.enqueue(t, put(pods, "a", "1"), put(pods, "b", "1"), put(pods, "a", "2"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, f.Enqueue(ctx, put(pods, "c", "1")), context.DeadlineExceeded)
	f.start(t)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() { f.enqueue(t, put(nodes, fmt.Sprint(i), "1")) })
	}
	all.Wait()
	f.settle(t)
	require.Len(t, f.storage.Objects(), 102)

	limits.QueueBytes = 10
	f = newFixture(t, limits)
	f.enqueue(t, put(pods, "a", "1")) // one always fits
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, f.Enqueue(ctx, put(pods, "b", "1")), context.DeadlineExceeded)
}

func TestRetriesForEver(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testLimits())
	down := storage.Retryable(errors.New("connection refused"))
	f.storage.FailWith(func(string, []storage.Change) error { return down })
	f.enqueue(t, put(pods, "a", "1"), put(pods, "b", "1"))
	f.start(t)
	require.ErrorIs(t, <-f.trouble, down)
	f.enqueue(t, put(pods, "a", "2"))
	f.storage.FailWith(nil)
	f.settle(t)
	require.NoError(t, <-f.trouble)
	require.Equal(t, []string{"pods a 2", "pods b 1"}, f.storage.Names())
	_, failed, rejected := f.observer.counts()
	require.GreaterOrEqual(t, failed, troubleAfter)
	require.Zero(t, rejected)
}

func TestTimeoutSplitsTheBatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testLimits())
	f.storage.FailWith(func(_ string, changes []storage.Change) error {
		if len(changes) > 2 {
			return context.DeadlineExceeded
		}
		return nil
	})
	for i := range 7 {
		f.enqueue(t, put(pods, fmt.Sprint(i), "1"))
	}
	f.start(t)
	f.settle(t)
	require.Len(t, f.storage.Objects(), 7)
}

// TestSlowObjectStandsAlone has one object that the storage layer never takes, for a reason
// that may pass: all others are written, those that come later too.
func TestSlowObjectStandsAlone(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{
		"times out": context.DeadlineExceeded,
		"locked":    storage.Retryable(errors.New("lock wait timeout exceeded")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, testLimits())
			f.storage.FailWith(func(_ string, changes []storage.Change) error {
				if slices.ContainsFunc(changes, func(c storage.Change) bool { return c.Put != nil && c.Put.Name == "slow" }) {
					return cause
				}
				return nil
			})
			var postponed atomic.Int64
			slow := put(pods, "slow", "1")
			slow.Rejected = func(err error) {
				if errors.Is(err, cause) {
					postponed.Add(1)
				}
			}
			for i := range 20 {
				f.enqueue(t, put(pods, fmt.Sprint(i), "1"))
			}
			f.enqueue(t, slow)
			for i := range 20 {
				f.enqueue(t, put(nodes, fmt.Sprint(i), "1"))
			}
			f.start(t)
			f.settle(t)
			require.Len(t, f.storage.Objects(), 40)
			require.EqualValues(t, 1, postponed.Load())
			require.Equal(t, 1, f.observer.postponed)

			// From now on others don't wait for it.
			again := put(pods, "slow", "2")
			again.Rejected = func(error) { postponed.Add(1) }
			f.enqueue(t, again, put(pods, "later", "1"))
			f.settle(t)
			require.Len(t, f.storage.Objects(), 41)
			require.EqualValues(t, 2, postponed.Load())
			require.Equal(t, 1, f.queue.asides())

			// It is written as soon as it can be.
			f.storage.FailWith(nil)
			require.Eventually(t, func() bool { return slices.Contains(f.storage.Names(), "pods slow 2") }, patience, tick)
			require.Eventually(t, func() bool { return f.queue.asides() == 0 }, patience, tick)
		})
	}
}

// TestOutageWithAnswers has a storage layer that answers, and takes no changes: nothing is
// lost, and it counts as trouble.
func TestOutageWithAnswers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testLimits())
	full := storage.Retryable(errors.New("disk full"))
	f.storage.FailWith(func(_ string, changes []storage.Change) error {
		if len(changes) > 0 {
			return full
		}
		return nil
	})
	for i := range 3 * doubtAfter {
		f.enqueue(t, put(pods, fmt.Sprint(i), "1"))
	}
	f.start(t)
	require.ErrorIs(t, <-f.trouble, full)
	f.storage.FailWith(nil)
	require.NoError(t, <-f.trouble)
	require.Eventually(t, func() bool { return len(f.storage.Objects()) == 3*doubtAfter }, patience, tick)
}

func TestPoisonedObjectsStandAlone(t *testing.T) {
	t.Parallel()
	poison := []string{"3", "4", "11"}
	for name, cause := range map[string]func(k storage.Key) error{
		"unnamed": func(storage.Key) error { return errors.New("value too long") },
		"named":   func(k storage.Key) error { return &storage.InvalidObjectError{Key: k, Reason: "value too long"} },
		"wrongly named": func(storage.Key) error {
			return &storage.InvalidObjectError{Key: storage.Key{Name: "other"}, Reason: "value too long"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, testLimits())
			f.storage.FailWith(func(_ string, changes []storage.Change) error {
				for _, c := range changes {
					if c.Put != nil && slices.Contains(poison, c.Put.Name) {
						return cause(c.Put.Key)
					}
				}
				return nil
			})
			var mu sync.Mutex
			var rejected []string
			for i := range 20 {
				c := put(pods, fmt.Sprint(i), "1")
				c.Rejected = func(error) {
					mu.Lock()
					defer mu.Unlock()
					rejected = append(rejected, c.Put.Name)
				}
				f.enqueue(t, c)
			}
			f.start(t)
			f.settle(t)
			require.Equal(t, poison, rejected)
			require.Len(t, f.storage.Objects(), 17)
			written, _, given := f.observer.counts()
			require.Equal(t, 17, written)
			require.Equal(t, 3, given)
		})
	}
}

func TestDoubtsStorageThatRefusesAll(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testLimits())
	f.storage.FailWith(func(string, []storage.Change) error { return errors.New("no such table") })
	for i := range 2 * doubtAfter {
		f.enqueue(t, put(pods, fmt.Sprint(i), "1"))
	}
	f.start(t)
	require.ErrorContains(t, <-f.trouble, "no such table")
	f.storage.FailWith(nil)
	f.settle(t)
	f.enqueue(t, put(pods, "good", "1"))
	f.settle(t)
	require.Contains(t, f.storage.Names(), "pods good 1")
}

func TestFenced(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testLimits())
	require.NoError(t, f.storage.Apply(t.Context(), storage.Writer{Cluster: "one", Epoch: 6}, nil))
	f.enqueue(t, put(pods, "a", "1"))
	f.start(t)
	require.ErrorIs(t, <-f.result, storage.ErrFenced)
	require.Empty(t, f.storage.Objects())
	require.Zero(t, f.Queued(), "nothing of it is kept")
}

// TestWhatIsLeftIsNotWritten has a writer end before everything is written: nobody is told
// that it is.
func TestWhatIsLeftIsNotWritten(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testLimits())
	f.storage.FailWith(func(string, []storage.Change) error { return storage.Retryable(errors.New("connection refused")) })
	var told atomic.Int64
	tell := func() { told.Add(1) }
	f.enqueue(t, put(pods, "a", "1"))
	f.WhenWritten(tell)
	f.start(t)
	require.Eventually(t, func() bool { _, failed, _ := f.observer.counts(); return failed > 0 }, patience, tick)
	f.stop()
	require.ErrorIs(t, <-f.result, context.Canceled)
	f.WhenWritten(tell)
	require.NoError(t, f.Drop(t.Context(), pods))
	require.Zero(t, told.Load())
}

func TestDrop(t *testing.T) {
	t.Parallel()
	limits := testLimits()
	f := newFixture(t, limits)
	held, release := make(chan struct{}, 1), make(chan struct{})
	f.storage.FailWith(func(string, []storage.Change) error {
		select {
		case held <- struct{}{}:
		default:
		}
		<-release
		return nil
	})
	f.start(t)
	f.enqueue(t, put(pods, "a", "1"))
	<-held
	f.enqueue(t, put(pods, "b", "1"), put(nodes, "a", "1"))
	// Nodes are not being written: dropping them doesn't wait.
	require.NoError(t, f.Drop(t.Context(), nodes))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, f.Drop(ctx, pods), context.DeadlineExceeded)
	close(release)
	require.NoError(t, f.Drop(t.Context(), pods))
	f.settle(t)
	require.Equal(t, []string{"pods a 1"}, f.storage.Names())
}

func TestBarriersInOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t, testLimits())
	called := make(chan int, 3)
	f.WhenWritten(func() { called <- 0 })
	require.Equal(t, 0, <-called) // nothing to wait for
	f.enqueue(t, put(pods, "a", "1"))
	f.WhenWritten(func() { called <- 1 })
	f.enqueue(t, put(pods, "b", "1"))
	f.WhenWritten(func() { called <- 2 })
	require.Empty(t, called)
	f.start(t)
	require.Equal(t, 1, <-called)
	require.Equal(t, 2, <-called)
	f.stop()
	require.Eventually(t, func() bool { return len(f.result) == 1 }, patience, tick)
	require.ErrorIs(t, <-f.result, context.Canceled)
}
