package reconcile

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var calls, running atomic.Int32
		results := []error{ErrWait, context.DeadlineExceeded, context.DeadlineExceeded, nil}
		var at []time.Duration
		began := time.Now()
		l := New("test", func(context.Context, string) error {
			require.Equal(t, int32(1), running.Add(1), "one call at a time for each name")
			defer running.Add(-1)
			time.Sleep(time.Millisecond) //nolint:forbidigo // of the test's own clock
			at = append(at, time.Since(began).Truncate(100*time.Millisecond))
			return results[calls.Add(1)-1]
		})
		done := make(chan struct{})
		go func() { defer close(done); l.Run(ctx, 3) }()
		l.Add("a")
		l.Add("a")
		time.Sleep(time.Minute) //nolint:forbidigo // of the test's own clock
		synctest.Wait()
		require.Equal(t, []time.Duration{0, pause, pause + firstRetry, pause + 3*firstRetry}, at)
		cancel()
		<-done
		l.Add("a")
		require.Equal(t, int32(4), calls.Load())
	})
}
