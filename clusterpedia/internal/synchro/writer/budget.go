package writer

import "sync"

// Budget bounds the memory of the queues that share it. A queue may grow to as much as is
// left for all: so none takes everything, n of them get about the same, a part in n+1, and
// there is something left for one more. A nil Budget has no bound.
type Budget struct {
	limit int

	mu   sync.Mutex
	used int
	// more is closed, and made anew, when memory was given back, if somebody waits.
	more   chan struct{}
	waited bool
}

// NewBudget returns a budget of so many bytes.
func NewBudget(limit int) *Budget { return &Budget{limit: limit, more: make(chan struct{})} }

// Used returns how many bytes are taken.
func (b *Budget) Used() int {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// take takes bytes for a queue that holds some already, and returns nil; or, unless it must
// have them, a channel that is closed when there may be more.
func (b *Budget) take(bytes, held int, must bool) <-chan struct{} {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !must && held+bytes > b.limit-b.used {
		b.waited = true
		return b.more
	}
	b.used += bytes
	return nil
}

// add takes bytes in any case, or gives them back if there are less than none.
func (b *Budget) add(bytes int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += bytes
	if bytes < 0 && b.waited {
		close(b.more)
		b.more, b.waited = make(chan struct{}), false
	}
}
