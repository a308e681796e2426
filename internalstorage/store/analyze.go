package store

import (
	"context"
	"sync/atomic"
)

// A table that has just been filled is one that the database knows nothing of: it would
// take any index for as good as the others until it looks by itself, in a minute or so.
// So it is told to look when this process has written analyzeFirst rows, and whenever
// there are analyzeAgain times as many: it looks into the labels of as many as 30,000 each time.
const (
	analyzeFirst = 2000
	analyzeAgain = 4
)

// growth counts what is written.
type growth struct {
	written, next atomic.Int64
	// due holds a value when it is time to look.
	due chan struct{}
}

func newGrowth() *growth {
	g := &growth{due: make(chan struct{}, 1)}
	g.next.Store(analyzeFirst)
	return g
}

func (g *growth) wrote(rows int) {
	written, next := g.written.Add(int64(rows)), g.next.Load()
	if written < next || !g.next.CompareAndSwap(next, analyzeAgain*written) {
		return
	}
	select {
	case g.due <- struct{}{}:
	default: // it is about to look
	}
}

// analyze has the database look, whenever it is time, until ctx ends.
func (s *Store) analyze(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.growth.due:
		}
		if err := s.writer.WithContext(ctx).Exec(s.dialect().Analyze()).Error; err != nil && ctx.Err() == nil {
			s.log.Warn("The database could not be told to look at the table of objects", "err", err)
		}
	}
}
