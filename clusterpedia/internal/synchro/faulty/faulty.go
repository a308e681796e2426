// Package faulty is a storage layer for the tests of the synchro: it keeps objects
// in memory, counts what is written, and fails when it is told to. It answers no
// queries. Nothing but tests imports it.
package faulty

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// Storage is a storage.Storage. The zero value is empty and doesn't fail.
type Storage struct {
	mu      sync.Mutex
	objects map[storage.Key]storage.Object
	// events are the versions of the Events of stored objects, by the Events' UIDs.
	events  map[storage.Key]map[string]string
	epochs  map[string]int64
	puts    int
	deletes int
	batches [][]storage.Change
	fail    func(op string, changes []storage.Change) error
}

var (
	_ storage.Storage       = (*Storage)(nil)
	_ storage.ClusterLister = (*Storage)(nil)
)

// FailWith makes each call of Apply, Purge, Versions and Clusters fail with what fail
// returns; nil lets it through. A fail of nil ends that.
func (s *Storage) FailWith(fail func(op string, changes []storage.Change) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

// failure is asked without the lock, since the test's function may wait.
func (s *Storage) failure(ctx context.Context, op string, changes []storage.Change) error {
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	if fail != nil {
		if err := fail(op, changes); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Apply implements storage.Storage.
func (s *Storage) Apply(ctx context.Context, w storage.Writer, changes []storage.Change) error {
	if err := s.failure(ctx, "apply", changes); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fence(w); err != nil {
		return err
	}
	if s.objects == nil {
		s.objects, s.events = map[storage.Key]storage.Object{}, map[storage.Key]map[string]string{}
	}
	for _, c := range changes {
		switch {
		case c.Put != nil:
			o := *c.Put
			o.JSON = bytes.Clone(o.JSON)
			if s.objects[o.Key].UID != o.UID {
				delete(s.events, o.Key)
			}
			s.objects[o.Key] = o
			s.puts++
		case c.Delete != nil:
			delete(s.objects, *c.Delete)
			delete(s.events, *c.Delete)
			s.deletes++
		case c.Event != nil:
			s.record(w.Cluster, c.Event)
		}
	}
	s.batches = append(s.batches, slices.Clone(changes))
	return nil
}

// record keeps an Event with its object, if that is stored. The lock must be held.
func (s *Storage) record(cluster string, event *storage.Event) {
	for k, o := range s.objects {
		if k.Cluster != cluster || o.UID != event.Involved {
			continue
		}
		if s.events[k] == nil {
			s.events[k] = map[string]string{}
		}
		s.events[k][event.UID] = event.ResourceVersion
	}
}

// recorded returns the versions of an object's Events.
func (s *Storage) recorded(k storage.Key) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.events[k])
}

func (s *Storage) fence(w storage.Writer) error {
	if w.Epoch == 0 {
		return nil
	}
	if w.Epoch < s.epochs[w.Cluster] {
		return &storage.FencedError{Writer: w, Seen: s.epochs[w.Cluster]}
	}
	if s.epochs == nil {
		s.epochs = map[string]int64{}
	}
	s.epochs[w.Cluster] = w.Epoch
	return nil
}

// Purge implements storage.Storage.
func (s *Storage) Purge(ctx context.Context, w storage.Writer, resource *storage.Resource) error {
	if err := s.failure(ctx, "purge", nil); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fence(w); err != nil {
		return err
	}
	purged := func(k storage.Key) bool {
		return k.Cluster == w.Cluster && (resource == nil || k.Resource == *resource)
	}
	maps.DeleteFunc(s.objects, func(k storage.Key, _ storage.Object) bool { return purged(k) })
	maps.DeleteFunc(s.events, func(k storage.Key, _ map[string]string) bool { return purged(k) })
	return nil
}

// Versions implements storage.Storage.
func (s *Storage) Versions(ctx context.Context, cluster string, yield func(storage.Version) error) error {
	if err := s.failure(ctx, "versions", nil); err != nil {
		return err
	}
	for _, o := range s.Objects() {
		if o.Cluster != cluster {
			continue
		}
		if err := yield(storage.Version{Key: o.Key, UID: o.UID, ResourceVersion: o.ResourceVersion, Events: s.recorded(o.Key)}); err != nil {
			return err
		}
	}
	return nil
}

// Clusters implements storage.ClusterLister.
func (s *Storage) Clusters(ctx context.Context, yield func(string) error) error {
	if err := s.failure(ctx, "clusters", nil); err != nil {
		return err
	}
	names := map[string]bool{}
	for _, o := range s.Objects() {
		names[o.Cluster] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if err := yield(name); err != nil {
			return err
		}
	}
	return nil
}

// Get implements storage.Storage.
func (s *Storage) Get(_ context.Context, key storage.Key) (storage.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	if !ok {
		return storage.Object{}, fmt.Errorf("%s: %w", key, storage.ErrNotFound)
	}
	return o, nil
}

// List implements storage.Storage: it answers nothing.
func (s *Storage) List(context.Context, *query.Query, func(*storage.Object) error) (storage.Page, error) {
	return storage.Page{}, storage.ErrUnsupported
}

// Close implements storage.Storage.
func (s *Storage) Close(context.Context) error { return nil }

// Objects returns what is stored, in the default order.
func (s *Storage) Objects() []storage.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.objects), func(a, b storage.Object) int { return a.Compare(b.Key) })
}

// Names returns "resource namespace/name version" of what is stored, sorted.
func (s *Storage) Names() []string {
	var names []string
	for _, o := range s.Objects() {
		name := o.Name
		if o.Namespace != "" {
			name = o.Namespace + "/" + name
		}
		names = append(names, o.Resource.Resource+" "+name+" "+o.ResourceVersion)
	}
	slices.Sort(names)
	return names
}

// Writes returns how many puts and deletes were written since the last call.
func (s *Storage) Writes() (puts, deletes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	puts, deletes = s.puts, s.deletes
	s.puts, s.deletes = 0, 0
	return puts, deletes
}

// Batches returns all batches that were written.
func (s *Storage) Batches() [][]storage.Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}
