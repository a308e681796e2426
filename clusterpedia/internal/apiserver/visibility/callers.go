package visibility

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/cache"
)

const (
	// maxAnswers bounds the answers about one caller that are remembered: what a watch of
	// the largest size asks for, by two verbs, and as much again.
	maxAnswers = 4 * maxReviews
	// minIdle is how long a caller is known after his last review, even if no answer is
	// remembered that long. It is longer than reviews take.
	minIdle = time.Minute
)

// callers are known by their names: a name may come with any number of credentials, which
// other attributes tell apart.
type callers struct {
	idle  time.Duration
	mu    sync.Mutex
	known map[string]*caller
	swept time.Time
}

// caller has a room of his own, so that however much he asks, others need not wait for it,
// and what is remembered of them is not forgotten.
type caller struct {
	// answers are those of reviews, by question.
	answers *cache.LRUExpireCache
	// underWay has a place for each review.
	underWay chan struct{}
	used     time.Time // of callers
}

func newCallers(remembered time.Duration) *callers {
	return &callers{idle: max(remembered, minIdle), known: map[string]*caller{}}
}

// get returns the caller of a name.
func (c *callers) get(name string) *caller {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.known[name]
	if !ok {
		found = &caller{answers: cache.NewLRUExpireCache(maxAnswers), underWay: make(chan struct{}, maxAtOnce)}
		c.known[name] = found
	}
	found.used = now
	if now.Sub(c.swept) > c.idle {
		c.swept = now
		for name, other := range c.known {
			if now.Sub(other.used) > c.idle {
				delete(c.known, name)
			}
		}
	}
	return found
}

// answer returns what is remembered.
func (c *caller) answer(asked question) (allowed, found bool) {
	answer, found := c.answers.Get(asked)
	allowed, _ = answer.(bool) // nothing else is kept
	return allowed, found
}

// enter waits until one more review of the caller may be made.
func (c *caller) enter(ctx context.Context) error {
	select {
	case c.underWay <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for other reviews of the same caller: %w", ctx.Err())
	}
}

func (c *caller) leave() { <-c.underWay }
