package synchro

import (
	"math/rand/v2"
	"sync"
	"time"
)

// retryDelay is how long to wait after a number of failures in a row: soon for what
// is over in a moment, and rarely for a member that is gone for days.
func retryDelay(failures int) time.Duration {
	delays := []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 15 * time.Second}
	if failures <= len(delays) {
		return delays[max(failures, 1)-1]
	}
	return time.Minute + rand.N(time.Minute)
}

// limiter is a workqueue.TypedRateLimiter.
type limiter struct {
	delay func(failures int) time.Duration

	mu       sync.Mutex
	failures map[string]int
}

// When implements workqueue.TypedRateLimiter.
func (l *limiter) When(item string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures[item]++
	return l.delay(l.failures[item])
}

// Forget implements workqueue.TypedRateLimiter.
func (l *limiter) Forget(item string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.failures, item)
}

// NumRequeues implements workqueue.TypedRateLimiter.
func (l *limiter) NumRequeues(item string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failures[item]
}
