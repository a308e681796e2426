package store

import "context"

// backend is what the storage layer needs of a database: entries of bytes, by
// cluster and key. An error that may vanish, such as of a lost connection, is
// wrapped by storage.Retryable.
type backend interface {
	// clusters returns the names of the clusters that have entries.
	clusters(ctx context.Context) ([]string, error)
	// all returns the entries of a cluster.
	all(ctx context.Context, cluster string) (map[string][]byte, error)
	// get returns one entry; nil if there is none.
	get(ctx context.Context, cluster, key string) ([]byte, error)
	// update writes what change returns, all or nothing: nil removes an entry. What
	// change reads with get must not have changed by then; update calls it again if it
	// has.
	update(ctx context.Context, cluster string, change func(get func(key string) ([]byte, error)) (map[string][]byte, error)) error
	close() error
}
