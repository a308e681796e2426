package writer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/clusterpedia/internal/synchro/faulty"
	"clusterpedia.io/storage-api/storage"
)

// locking is a storage layer in which somebody has locked the objects that are called
// "locked...": a write waits for them.
type locking struct {
	*faulty.Storage
	unlocked chan struct{}
}

func isLocked(c storage.Change) bool { return c.Put != nil && strings.HasPrefix(c.Put.Name, "locked") }

func (l *locking) Apply(ctx context.Context, w storage.Writer, changes []storage.Change) error {
	if slices.ContainsFunc(changes, isLocked) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.unlocked:
		}
	}
	return l.Storage.Apply(ctx, w, changes)
}

func newLocking(t *testing.T, limits Limits) (*fixture, *locking) {
	f := newFixture(t, limits)
	l := &locking{Storage: f.storage, unlocked: make(chan struct{})}
	f.Writer = New(Options{Storage: l, As: f.As, Limits: limits, Observer: f.observer, Logger: f.Logger})
	return f, l
}

// await is settle where time is not the clock's.
func (f *fixture) await() {
	done := make(chan struct{})
	f.WhenWritten(func() { close(done) })
	<-done
}

// TestLockedObjectsHoldUpLittle measures how long others wait for objects that are locked.
func TestLockedObjectsHoldUpLittle(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 32, 500} {
		for _, locked := range []int{1, 4, 12, 100} {
			if locked > size {
				continue
			}
			t.Run(fmt.Sprintf("%d of %d", locked, size), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { testLocked(t, locked, size) })
			})
		}
	}
}

func testLocked(t *testing.T, locked, size int) {
	limits := DefaultLimits()
	f, l := newLocking(t, limits)
	lockedOnes := func(version string) {
		for i := range locked {
			f.enqueue(t, put(pods, fmt.Sprintf("locked%d", i), version))
		}
	}
	// They are spread over the batch.
	for i := range size {
		name := fmt.Sprintf("good%d", i)
		if i*locked/size != (i+1)*locked/size {
			name = fmt.Sprintf("locked%d", i*locked/size)
		}
		f.enqueue(t, put(pods, name, "1"))
	}
	start := time.Now()
	f.start(t)
	synctest.Wait()
	f.enqueue(t, put(pods, "behind", "1"))
	f.await()
	names := f.storage.Names()
	require.Len(t, names, size-locked+1)
	halvings := math.Ceil(math.Log2(float64(size + 1)))
	// Parts that are smaller than the least share of time take a little more, and so does
	// doubt.
	most := limits.Timeout * time.Duration(halvings+1)
	least := limits.Timeout / leastShare * time.Duration(locked) * 5
	if locked <= 12 {
		require.LessOrEqual(t, time.Since(start), most+least)
	}

	// Later they stand before nothing, when they come again or not.
	for i := range 100 {
		if i%10 == 0 {
			lockedOnes(fmt.Sprint(i + 2))
		}
		<-time.After(7 * time.Second)
		start := time.Now()
		f.enqueue(t, put(pods, "later", fmt.Sprint(i)))
		f.await()
		require.LessOrEqual(t, time.Since(start), limits.Timeout/leastShare+2*limits.Linger)
	}
	// They are written as soon as they can be.
	close(l.unlocked)
	<-time.After(rarely*limits.Timeout/leastShare + limits.Timeout)
	for i := range locked {
		require.Contains(t, f.storage.Names(), fmt.Sprintf("pods locked%d 92", i))
	}
	require.Zero(t, f.queue.asides())
	f.stop()
	require.ErrorIs(t, <-f.result, context.Canceled)
}

// TestManyRetryableFailures has more objects in a row that the storage layer does not take
// now than make it doubted, and others behind them.
func TestManyRetryableFailures(t *testing.T) {
	t.Parallel()
	for _, n := range []int{doubtAfter - 1, doubtAfter + 2, 3 * doubtAfter} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, testLimits())
			f.storage.FailWith(func(_ string, changes []storage.Change) error {
				if slices.ContainsFunc(changes, isLocked) {
					return storage.Retryable(errors.New("lock wait timeout exceeded"))
				}
				return nil
			})
			for i := range n {
				f.enqueue(t, put(pods, fmt.Sprintf("locked%d", i), "1"))
			}
			for i := range 20 {
				f.enqueue(t, put(pods, fmt.Sprintf("good%d", i), "1"))
			}
			f.start(t)
			f.settle(t)
			require.Len(t, f.storage.Objects(), 20)
			f.storage.FailWith(nil)
			require.Eventually(t, func() bool { return len(f.storage.Objects()) == 20+n }, patience, tick)
		})
	}
}

// TestAsideIsBounded has more locked objects than are kept aside, in number or in bytes.
func TestAsideIsBounded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ bytes, want int }{
		"one fits always": {1, 1},
		"three fit":       {3 * (entryOverhead + 2), 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				limits := DefaultLimits()
				limits.BatchBytes = tc.bytes
				f, l := newLocking(t, limits)
				bring := func() {
					for i := range 5 {
						f.enqueue(t, put(pods, fmt.Sprintf("locked%d", i), "1"))
					}
					f.await()
				}
				f.start(t)
				bring()
				require.Equal(t, tc.want, f.queue.asides())
				// Those for which there is no room hold up nothing when they come again.
				start := time.Now()
				bring()
				require.LessOrEqual(t, time.Since(start), time.Second+limits.Linger*5)
				large := put(pods, "locked0", "2")
				large.Put.JSON = make([]byte, 10*entryOverhead)
				f.enqueue(t, large)
				f.await()
				require.Equal(t, max(tc.want-1, 1), f.queue.asides())

				close(l.unlocked)
				<-time.After(time.Minute)
				for range 5 {
					bring()
					<-time.After(time.Minute)
				}
				require.Len(t, f.storage.Objects(), 5)
				f.stop()
				<-f.result
			})
		})
	}
}

// TestDropForgetsWhatIsAside drops a resource while one of its objects is tried.
func TestDropForgetsWhatIsAside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limits := DefaultLimits()
		f, l := newLocking(t, limits)
		budget := NewBudget(1 << 20)
		f.queue.budget = budget
		f.start(t)
		f.enqueue(t, put(pods, "locked", "1"), put(pods, "locked2", "1"))
		f.await()
		require.Equal(t, 2*(entryOverhead+2), budget.Used())
		require.NoError(t, f.Drop(t.Context(), nodes))
		require.Equal(t, 2, f.queue.asides())
		require.NoError(t, f.Drop(t.Context(), pods))
		require.Zero(t, f.queue.asides())
		require.Zero(t, budget.Used())
		// One that is written for the first time is not set aside behind Drop.
		f.enqueue(t, put(pods, "locked", "1"))
		<-time.After(limits.Timeout / 2)
		require.NoError(t, f.Drop(t.Context(), pods))
		require.Zero(t, f.queue.asides())
		close(l.unlocked)
		<-time.After(time.Minute)
		require.Empty(t, f.storage.Objects())
		f.stop()
		<-f.result
	})
}

// TestStorageThatIsSlow has a storage layer that takes long for anything: the parts of a
// batch get the time that they need.
func TestStorageThatIsSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limits := DefaultLimits()
		f := newFixture(t, limits)
		f.Writer = New(Options{Storage: slowly{f.storage}, As: f.As, Limits: limits, Observer: f.observer, Logger: f.Logger})
		for i := range 20 {
			f.enqueue(t, put(pods, fmt.Sprint(i), "1"))
		}
		f.start(t)
		f.await()
		require.Len(t, f.storage.Objects(), 20)
		require.Zero(t, f.observer.postponed)
		f.stop()
		<-f.result
	})
}

// slowly takes 10 seconds for a batch, and 2 for each change.
type slowly struct{ *faulty.Storage }

func (s slowly) Apply(ctx context.Context, w storage.Writer, changes []storage.Change) error {
	return (&sluggish{s.Storage, 10 * time.Second, 2 * time.Second}).Apply(ctx, w, changes)
}

// sluggish takes so long for a batch, and for each change.
type sluggish struct {
	*faulty.Storage
	batch, change time.Duration
}

func (s *sluggish) Apply(ctx context.Context, w storage.Writer, changes []storage.Change) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.batch + time.Duration(len(changes))*s.change):
	}
	return s.Storage.Apply(ctx, w, changes)
}

// TestPaceOfOne has a single change wait for long: what follows is written as before.
func TestPaceOfOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limits := DefaultLimits()
		f, l := newLocking(t, limits)
		f.enqueue(t, put(pods, "locked", "1"))
		f.start(t)
		<-time.After(limits.Timeout - time.Second)
		close(l.unlocked)
		f.await()
		for i := range limits.BatchChanges {
			f.enqueue(t, put(pods, fmt.Sprint(i), "1"))
		}
		f.await()
		require.Len(t, f.storage.Objects(), limits.BatchChanges+1)
		require.LessOrEqual(t, len(f.storage.Batches()), 3)
		f.stop()
		<-f.result
	})
}

// TestPace measures how long a storage layer takes that is too slow for whole batches, and
// how it is when it has recovered.
func TestPace(t *testing.T) {
	t.Parallel()
	for _, pace := range []time.Duration{time.Millisecond, 50 * time.Millisecond, 70 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond, 900 * time.Millisecond} {
		t.Run(pace.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const n = 3000
				limits := DefaultLimits()
				f := newFixture(t, limits)
				slow := &sluggish{f.storage, time.Millisecond, pace}
				f.Writer = New(Options{Storage: slow, As: f.As, Limits: limits, Observer: f.observer, Logger: f.Logger})
				bring := func(version string) time.Duration {
					for i := range n {
						f.enqueue(t, put(pods, fmt.Sprint(i), version))
					}
					start := time.Now()
					f.await()
					return time.Since(start)
				}
				f.start(t)
				took := bring("1")
				t.Logf("%s for what takes %s", took, n*pace)
				require.LessOrEqual(t, took, n*pace*11/10+3*limits.Timeout)
				slow.change = time.Millisecond
				took = bring("2")
				t.Logf("%s when it has recovered", took)
				require.LessOrEqual(t, took, 2*n*slow.change)
				require.Zero(t, f.observer.postponed)
				f.stop()
				<-f.result
			})
		})
	}
}
