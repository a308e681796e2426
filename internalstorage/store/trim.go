package store

import (
	"context"
	"time"

	"clusterpedia.io/internalstorage/dialect"
)

// trimInterval is how long more connections than maxIdleConns may stay idle. To close
// them at once, as database/sql would, has whoever asks with a few more at a time open
// connections all the time, and each costs a server more than a list.
const trimInterval = 30 * time.Second

// trim closes the idle connections that are more than are kept, at each interval, until
// ctx ends.
func (s *Store) trim(ctx context.Context, keep int, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, pool := range s.pools() {
			dialect.Trim(pool, keep)
		}
	}
}
