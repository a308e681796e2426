package writer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/storage"
)

// TestBudgetIsShared fills the queues of several clusters while nothing is written.
func TestBudgetIsShared(t *testing.T) {
	t.Parallel()
	const one = entryOverhead + 2
	budget := NewBudget(40 * one)
	limits := testLimits()
	down := func(string, []storage.Change) error { return storage.Retryable(errors.New("down")) }
	var all []*fixture
	for i := range 4 {
		f := newFixture(t, limits)
		f.Writer = New(Options{Storage: f.storage, As: storage.Writer{Cluster: fmt.Sprint(i)}, Limits: limits, Observer: f.observer, Logger: f.Logger, Budget: budget})
		f.storage.FailWith(down)
		all = append(all, f)
	}
	// Each gets its part, and none takes everything, whoever comes first.
	pushed, stop := context.WithCancel(t.Context())
	var pushing sync.WaitGroup
	defer pushing.Wait()
	defer stop()
	for _, f := range all {
		pushing.Go(func() {
			for i := range 100 {
				if f.Enqueue(pushed, put(pods, fmt.Sprint(i), "1")) != nil {
					return // it has stopped
				}
			}
		})
		require.Eventually(t, func() bool { return f.Queued() > 0 }, patience, tick)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, all[0].Enqueue(ctx, put(nodes, "n", "1")), context.DeadlineExceeded)
	require.LessOrEqual(t, budget.Used(), 40*one)
	require.LessOrEqual(t, all[0].Queued(), 20)
	require.Positive(t, all[3].Queued())

	for _, f := range all {
		f.start(t)
	}
	// One that stops gives back what it held.
	all[0].stop()
	require.ErrorIs(t, <-all[0].result, context.Canceled)
	for _, f := range all[1:] {
		f.storage.FailWith(nil)
		f.settle(t)
		require.Eventually(t, func() bool { return len(f.storage.Objects()) == 100 }, patience, tick)
	}
	require.Zero(t, budget.Used())
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, all[0].Enqueue(ctx, put(nodes, "n", "1")), context.DeadlineExceeded)
	require.Zero(t, budget.Used())
}

// TestBudgetTakesOneOfEach has more clusters than there is memory for.
func TestBudgetTakesOneOfEach(t *testing.T) {
	t.Parallel()
	budget := NewBudget(1)
	for range 5 {
		f := newFixture(t, testLimits())
		f.Writer = New(Options{Storage: f.storage, As: f.As, Limits: f.Limits, Observer: f.observer, Logger: f.Logger, Budget: budget})
		f.start(t)
		for i := range 20 {
			f.enqueue(t, put(pods, fmt.Sprint(i), "1"))
		}
		f.settle(t)
		require.Len(t, f.storage.Objects(), 20)
	}
	require.Zero(t, budget.Used())
}

// TestReplacementsAreBounded replaces queued changes with larger ones.
func TestReplacementsAreBounded(t *testing.T) {
	t.Parallel()
	const large = 64 << 10
	grown := func(name string) Change {
		c := put(pods, name, "2")
		c.Put.JSON = make([]byte, large)
		return c
	}
	for name, tc := range map[string]struct{ queue, budget int }{
		"by the queue":  {queue: 4 * large, budget: 1 << 30},
		"by the budget": {queue: 1 << 30, budget: 8 * large},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := testLimits()
			limits.QueueBytes, limits.BatchBytes = tc.queue, tc.queue
			budget := NewBudget(tc.budget)
			f := newFixture(t, limits)
			f.queue = newQueue(limits, budget)
			// One alone always fits, and what does not grow.
			f.enqueue(t, put(pods, "0", "1"))
			huge := put(pods, "0", "2")
			huge.Put.JSON = make([]byte, 10*large)
			f.enqueue(t, huge, put(pods, "0", "3"))

			for i := range 40 {
				f.enqueue(t, put(pods, fmt.Sprint(i), "1"))
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			var err error
			for i := 0; i < 40 && err == nil; i++ {
				err = f.Enqueue(ctx, grown(fmt.Sprint(i)))
			}
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.LessOrEqual(t, budget.Used(), 4*large+40*(entryOverhead+2))

			// Those who wait get on when there is room.
			var pushing sync.WaitGroup
			for i := range 40 {
				pushing.Go(func() { f.enqueue(t, grown(fmt.Sprint(i))) })
			}
			f.start(t)
			pushing.Wait()
			f.settle(t)
			for _, o := range f.storage.Objects() {
				require.Equal(t, "2", o.ResourceVersion)
			}
			require.Eventually(t, func() bool { return budget.Used() == 0 }, patience, tick)
		})
	}
}
