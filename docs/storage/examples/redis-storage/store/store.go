// Package store is the storage layer: it keeps the contract of package storage with
// the entries of a backend. It is small, not fast: a query reads all entries of the
// clusters that it asks for. Let your database do more of the work as you go on; the
// tests of package storagetest tell whether it is still right.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// Store is an open storage layer.
type Store struct {
	backend backend
	closed  atomic.Bool
}

var (
	_ storage.Storage = (*Store)(nil)
	_ storage.Prober  = (*Store)(nil)
)

// The entries of a cluster: its writers' epoch, an object under each key, and under
// each UID the keys of the objects that have it.
const (
	epochEntry   = "epoch"
	objectPrefix = "object/"
	uidPrefix    = "uid/"
)

// record is what is kept of an object.
type record struct {
	Object storage.Object
	Events []event
}

type event struct {
	UID, ResourceVersion string
	LastSeen             int64
	JSON                 json.RawMessage
}

func objectEntry(k storage.Key) string {
	return objectPrefix + strings.Join([]string{k.Group, k.Version, k.Resource.Resource, k.Namespace, k.Name}, "\x00")
}

func decode(text []byte) (*record, error) {
	r := &record{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("a stored record is damaged: %w", err)
	}
	return r, nil
}

var errClosed = errors.New("the storage is closed")

// ready returns an error if the store is closed or ctx has ended.
func (s *Store) ready(ctx context.Context) error {
	if s.closed.Load() {
		return errClosed
	}
	return ctx.Err()
}

// Get implements storage.Storage.
func (s *Store) Get(ctx context.Context, key storage.Key) (storage.Object, error) {
	if err := s.ready(ctx); err != nil {
		return storage.Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	text, err := s.backend.get(ctx, key.Cluster, objectEntry(key))
	if err == nil && text == nil {
		err = storage.ErrNotFound
	}
	if err != nil {
		return storage.Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	r, err := decode(text)
	if err != nil {
		return storage.Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	return r.Object, nil
}

// List implements storage.Storage.
func (s *Store) List(ctx context.Context, q *query.Query, yield func(*storage.Object) error) (storage.Page, error) {
	if err := q.Validate(); err != nil {
		return storage.Page{}, err
	}
	found, err := s.search(ctx, q)
	if err != nil {
		return storage.Page{}, fmt.Errorf("list: %w", err)
	}
	found = found[min(q.Offset, int64(len(found))):]
	given := found
	if q.Limit > 0 {
		given = found[:min(q.Limit, int64(len(found)))]
	}
	for _, r := range given {
		if err := s.ready(ctx); err != nil {
			return storage.Page{}, fmt.Errorf("list: %w", err)
		}
		o, err := project(q, r)
		if err != nil {
			return storage.Page{}, fmt.Errorf("list %s: %w", r.Object.Key, err)
		}
		if err := yield(o); err != nil {
			return storage.Page{}, err
		}
	}
	var page storage.Page
	behind := int64(len(found) - len(given))
	if behind > 0 {
		page.Continue = q.ContinueAfter(&given[len(given)-1].Object)
	}
	if q.Count != query.CountNone {
		page.Remaining = &behind
	}
	return page, nil
}

// search returns the objects that satisfy q, behind its position, in its order.
func (s *Store) search(ctx context.Context, q *query.Query) ([]*record, error) {
	var position *storage.Object
	if q.Continue != "" {
		var err error
		if position, err = q.Position(); err != nil {
			return nil, err
		}
	}
	all, err := s.load(ctx, q.Clusters)
	if err != nil {
		return nil, err
	}
	var owners query.OwnerSet
	if q.Owner != nil {
		owners = query.FindOwners(q, func(give func(*storage.Object) bool) {
			for _, r := range all {
				if !give(&r.Object) {
					return
				}
			}
		})
	}
	found := slices.DeleteFunc(all, func(r *record) bool {
		return !query.Match(q, &r.Object, owners) || position != nil && query.Compare(q, position, &r.Object) >= 0
	})
	slices.SortFunc(found, func(a, b *record) int { return query.Compare(q, &a.Object, &b.Object) })
	return found, nil
}

// load returns all objects of the clusters; none named: of all clusters.
func (s *Store) load(ctx context.Context, clusters []string) ([]*record, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	stored, err := s.backend.clusters(ctx)
	if err != nil {
		return nil, err
	}
	var all []*record
	for _, cluster := range stored {
		if len(clusters) > 0 && !slices.Contains(clusters, cluster) {
			continue
		}
		entries, err := s.backend.all(ctx, cluster)
		if err != nil {
			return nil, err
		}
		for key, text := range entries {
			if !strings.HasPrefix(key, objectPrefix) {
				continue
			}
			if err := s.ready(ctx); err != nil {
				return nil, err
			}
			r, err := decode(text)
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// project returns as much of an object as q asks for.
func project(q *query.Query, r *record) (*storage.Object, error) {
	o := r.Object
	switch q.Projection {
	case query.KeyOnly:
		o = storage.Object{Key: o.Key, Kind: o.Kind, UID: o.UID, ResourceVersion: o.ResourceVersion}
	case query.Metadata:
		var members map[string]json.RawMessage
		if err := json.Unmarshal(o.JSON, &members); err != nil {
			return nil, err
		}
		for name := range members {
			if name != "apiVersion" && name != "kind" && name != "metadata" {
				delete(members, name)
			}
		}
		var err error
		if o.JSON, err = json.Marshal(members); err != nil {
			return nil, err
		}
	}
	if q.Events && len(r.Events) > 0 {
		documents := make([]json.RawMessage, len(r.Events))
		for i, e := range r.Events {
			documents[i] = e.JSON
		}
		var err error
		if o.Events, err = json.Marshal(documents); err != nil {
			return nil, err
		}
	}
	return &o, nil
}

// Versions implements storage.Storage.
func (s *Store) Versions(ctx context.Context, cluster string, yield func(storage.Version) error) error {
	all, err := s.load(ctx, []string{cluster})
	if err != nil {
		return fmt.Errorf("versions of cluster %s: %w", cluster, err)
	}
	slices.SortFunc(all, func(a, b *record) int { return a.Object.Key.Compare(b.Object.Key) })
	for _, r := range all {
		if err := s.ready(ctx); err != nil {
			return fmt.Errorf("versions of cluster %s: %w", cluster, err)
		}
		v := storage.Version{Key: r.Object.Key, UID: r.Object.UID, ResourceVersion: r.Object.ResourceVersion}
		for _, e := range r.Events {
			if v.Events == nil {
				v.Events = map[string]string{}
			}
			v.Events[e.UID] = e.ResourceVersion
		}
		if err := yield(v); err != nil {
			return err
		}
	}
	return nil
}

// Probe implements storage.Prober.
func (s *Store) Probe(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	_, err := s.backend.clusters(ctx)
	return err
}

// Close implements storage.Storage.
func (s *Store) Close(context.Context) error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.backend.close()
}
