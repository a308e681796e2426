// Package memory is the reference implementation of the storage contract: it
// keeps the objects of the member clusters in the memory of its process and
// answers queries with query.Match and query.Compare themselves. It stands
// between synchro, which writes, and the apiserver, which reads; as nothing
// outlives the process, both must be one (binding-apiserver).
//
// Everything that a reader can see is immutable. A writer builds new values
// beside the old ones and puts them in place under a lock that is held neither
// while a query is evaluated nor while its answer is given to the caller.
package memory

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// Store is a storage layer in memory. The zero value is not ready: use New.
type Store struct {
	mu       sync.RWMutex
	clusters map[string]*cluster
	closed   atomic.Bool // set under mu
	// history is added to under mu.
	history *history
}

var (
	_ storage.Storage       = (*Store)(nil)
	_ storage.Watcher       = (*Store)(nil)
	_ storage.Prober        = (*Store)(nil)
	_ storage.MetricsWriter = (*Store)(nil)
)

// cluster holds what is stored of one member cluster. It outlives a purge for
// the sake of its epoch.
type cluster struct {
	epoch int64
	// latest is the resource version of the object that was written last; empty if there
	// is none.
	latest string
	// resources holds the objects in the order of namespace and name. The slices
	// and what they point to never change; a write puts another slice in place.
	resources map[object.Resource][]*entry
	// uids finds the objects that an event is about. Several keys with one UID
	// are the same object in several versions.
	uids map[string][]object.Key
}

// entry is one stored object. It never changes.
type entry struct {
	object storage.Object
	// events are ordered by lastSeen, the newest first.
	events []event
}

type event struct {
	uid, resourceVersion string
	lastSeen             int64
	json                 []byte
}

var errClosed = errors.New("the memory storage is closed")

// Open is the Open function of the driver. There is nothing to be set: a
// configuration file is ignored.
func Open(context.Context, storage.Settings) (storage.Storage, error) {
	return New(), nil
}

// New returns an empty Store.
func New() *Store {
	return newStore(defaultLimits())
}

func newStore(l limits) *Store {
	return &Store{clusters: map[string]*cluster{}, history: newHistory(l)}
}

// Get implements storage.Storage.
func (s *Store) Get(ctx context.Context, key storage.Key) (storage.Object, error) {
	found, err := s.get(ctx, key)
	if err != nil {
		return storage.Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	return clone(&found.object), nil
}

func (s *Store) get(ctx context.Context, key storage.Key) (*entry, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if found := s.clusters[key.Cluster].find(key); found != nil {
		return found, nil
	}
	return nil, storage.ErrNotFound
}

// Versions implements storage.Storage.
func (s *Store) Versions(ctx context.Context, clusterName string, yield func(storage.Version) error) error {
	shown, err := s.view(ctx, &query.Query{Clusters: []string{clusterName}}, func(k bucketKey) bool { return k.cluster == clusterName })
	if err != nil {
		return fmt.Errorf("versions of cluster %s: %w", clusterName, err)
	}
	for _, b := range shown.buckets {
		for _, e := range b.entries {
			if err := s.ready(ctx); err != nil {
				return fmt.Errorf("versions of cluster %s: %w", clusterName, err)
			}
			if err := yield(e.version()); err != nil {
				return err
			}
		}
	}
	return nil
}

// Probe implements storage.Prober.
func (s *Store) Probe(ctx context.Context) error {
	return s.ready(ctx)
}

// Close implements storage.Storage. It gives the memory back.
func (s *Store) Close(context.Context) error {
	defer s.history.notify()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed.Store(true)
	s.clusters = nil
	s.history.clear()
	return nil
}

// ready returns an error if the store is closed or ctx has ended.
func (s *Store) ready(ctx context.Context) error {
	if s.closed.Load() {
		return errClosed
	}
	return ctx.Err()
}

// bucketKey names the objects of one resource of one cluster.
type bucketKey struct {
	resource object.Resource
	cluster  string
}

// bucket is a snapshot of these objects, in the default order.
type bucket struct {
	bucketKey
	entries []*entry
}

// view is a snapshot of some buckets, in the default order.
type view struct {
	buckets []bucket
	// position is that of the history at the time.
	position int64
	// seen are the latest resource versions of clusters at the time.
	seen map[string]string
}

// view returns the wanted buckets as they are now.
func (s *Store) view(ctx context.Context, q *query.Query, wanted func(bucketKey) bool) (view, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.ready(ctx); err != nil {
		return view{}, err
	}
	v := view{position: s.history.last(), seen: s.seen(q)}
	for name, c := range s.clusters {
		for resource, entries := range c.resources {
			if k := (bucketKey{resource, name}); wanted(k) {
				v.buckets = append(v.buckets, bucket{k, entries})
			}
		}
	}
	slices.SortFunc(v.buckets, func(a, b bucket) int {
		return cmp.Or(a.resource.Compare(b.resource), strings.Compare(a.cluster, b.cluster))
	})
	return v, nil
}

// find returns the object of that key, nil if it is not stored. c may be nil.
func (c *cluster) find(key object.Key) *entry {
	if c == nil {
		return nil
	}
	entries := c.resources[key.Resource]
	if i, ok := slices.BinarySearchFunc(entries, key, compareToKey); ok {
		return entries[i]
	}
	return nil
}

func compareToKey(e *entry, key object.Key) int {
	return e.object.Key.Compare(key)
}

func (e *entry) version() storage.Version {
	v := storage.Version{Key: e.object.Key, UID: e.object.UID, ResourceVersion: e.object.ResourceVersion}
	if len(e.events) > 0 {
		v.Events = make(map[string]string, len(e.events))
		for _, ev := range e.events {
			v.Events[ev.uid] = ev.resourceVersion
		}
	}
	return v
}

// eventsJSON returns the events as a JSON array, nil if there are none.
func (e *entry) eventsJSON() []byte {
	if len(e.events) == 0 {
		return nil
	}
	documents := make([][]byte, len(e.events))
	for i, ev := range e.events {
		documents[i] = ev.json
	}
	return slices.Concat([]byte("["), bytes.Join(documents, []byte(",")), []byte("]"))
}

// clone returns a copy of o that shares no memory with it but for its texts.
func clone(o *storage.Object) storage.Object {
	c := *o
	c.Owners = slices.Clone(o.Owners)
	c.Labels = maps.Clone(o.Labels)
	c.JSON = bytes.Clone(o.JSON)
	if o.Cells != nil {
		c.Cells = &storage.Cells{Columns: o.Cells.Columns, Values: bytes.Clone(o.Cells.Values)}
	}
	if o.Packed != nil {
		c.Packed = &storage.Packed{Deflate: bytes.Clone(o.Packed.Deflate), CRC32: o.Packed.CRC32, Size: o.Packed.Size}
	}
	return c
}

// now returns the time as the contract wants it in Object.SyncedAt.
func now() time.Time {
	return time.Now().UTC().Truncate(time.Millisecond)
}
