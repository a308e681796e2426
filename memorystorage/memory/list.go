package memory

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"slices"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// List implements storage.Storage. The answer is that of one point in time.
//
// In the default order, objects are matched one by one as they are given out, and
// a page costs no more than the objects up to its end. Any other order has to
// match and sort all of them first.
func (s *Store) List(ctx context.Context, q *query.Query, yield func(*storage.Object) error) (storage.Page, error) {
	if err := q.Validate(); err != nil {
		return storage.Page{}, err
	}
	shown, err := s.view(ctx, q, func(k bucketKey) bool { return q.Owner != nil || mayHold(q, k) })
	if err != nil {
		return storage.Page{}, fmt.Errorf("list: %w", err)
	}
	found, most := s.search(ctx, q, shown.buckets)
	var (
		page   = storage.Page{Version: encode(s.history.version(shown.position), shown.seen)}
		last   *entry
		skip   = q.Offset
		given  int64
		behind int64
	)
	for e, err := range found {
		switch {
		case err != nil:
			return storage.Page{}, fmt.Errorf("list: %w", err)
		case skip > 0:
			skip--
		case q.Limit == 0 || given < q.Limit:
			answer, err := project(q, e)
			if err != nil {
				return storage.Page{}, fmt.Errorf("list: %w", err)
			}
			if err := yield(answer); err != nil {
				return storage.Page{}, err
			}
			given++
			last = e
		default:
			behind++
		}
		if behind > most {
			break
		}
	}
	if behind > 0 {
		page.Continue = q.ContinueAfter(&last.object)
	}
	if q.Count != query.CountNone && behind <= most {
		page.Remaining = &behind
	}
	return page, nil
}

// cheapCount is how many objects behind a page are counted for whoever did not ask for
// it.
const cheapCount = 10_000

// search returns the objects that satisfy q, behind its position and in its
// order, and up to how many of them behind the page are to be counted: all if the query
// asks for it, or if the number costs nothing.
func (s *Store) search(ctx context.Context, q *query.Query, buckets []bucket) (found iter.Seq2[*entry, error], most int64) {
	switch {
	case q.Count == query.CountNone:
	case q.Count == query.CountExact || len(q.Order) > 0:
		most = math.MaxInt64
	default:
		most = cheapCount
	}
	if len(q.Order) == 0 {
		return s.match(ctx, q, buckets), most
	}
	sorted := func(give func(*entry, error) bool) {
		var all []*entry
		for e, err := range s.match(ctx, q, buckets) {
			if err != nil {
				give(nil, err)
				return
			}
			all = append(all, e)
		}
		slices.SortFunc(all, func(a, b *entry) int { return query.Compare(q, &a.object, &b.object) })
		for _, e := range all {
			if err := s.ready(ctx); err != nil {
				give(nil, err)
				return
			}
			if !give(e, nil) {
				return
			}
		}
	}
	return sorted, most
}

// match returns the objects that satisfy q, behind its position, in the default
// order.
func (s *Store) match(ctx context.Context, q *query.Query, buckets []bucket) iter.Seq2[*entry, error] {
	return func(give func(*entry, error) bool) {
		var position *object.Object
		if q.Continue != "" {
			var err error
			if position, err = q.Position(); err != nil {
				give(nil, err)
				return
			}
		}
		var owners query.OwnerSet
		if q.Owner != nil {
			owners = query.FindOwners(q, objects(buckets))
		}
		for _, b := range buckets {
			if !mayHold(q, b.bucketKey) {
				continue
			}
			for _, e := range b.behind(q, position) {
				if err := s.ready(ctx); err != nil {
					give(nil, err)
					return
				}
				if query.Match(q, &e.object, owners) && !give(e, nil) {
					return
				}
			}
		}
	}
}

// mayHold reports whether a bucket can hold what q asks for.
func mayHold(q *query.Query, k bucketKey) bool {
	return (len(q.Clusters) == 0 || slices.Contains(q.Clusters, k.cluster)) &&
		(len(q.Types) == 0 || slices.ContainsFunc(q.Types, func(t query.Type) bool { return t.Selects(k.resource) }))
}

// behind returns the entries that q puts behind the position, which may be nil.
func (b bucket) behind(q *query.Query, position *object.Object) []*entry {
	if position == nil {
		return b.entries
	}
	if len(q.Order) == 0 {
		i, found := slices.BinarySearchFunc(b.entries, position.Key, compareToKey)
		if found {
			i++
		}
		return b.entries[i:]
	}
	var behind []*entry
	for _, e := range b.entries {
		if query.Compare(q, position, &e.object) < 0 {
			behind = append(behind, e)
		}
	}
	return behind
}

func objects(buckets []bucket) iter.Seq[*object.Object] {
	return func(give func(*object.Object) bool) {
		for _, b := range buckets {
			for _, e := range b.entries {
				if !give(&e.object) {
					return
				}
			}
		}
	}
}

// project returns as much of the object as q asks for. Its parts are shared with
// what is stored.
func project(q *query.Query, e *entry) (*storage.Object, error) {
	o := e.object
	cells := q.Projection == query.Cells && o.Cells != nil && o.Cells.Columns == q.Columns
	if !cells {
		o.Cells = nil
	}
	switch {
	case q.Projection == query.KeyOnly:
		o = storage.Object{Key: o.Key, Kind: o.Kind, UID: o.UID, ResourceVersion: o.ResourceVersion}
	case q.Projection == query.Metadata || cells:
		document, err := metadataOf(o.JSON)
		if err != nil {
			return nil, fmt.Errorf("metadata of %s: %w", o.Key, err)
		}
		o.JSON, o.Packed = document, nil
	case q.Packed && o.Packed != nil:
		o.JSON = nil
	default:
		o.Packed = nil
	}
	if q.Events {
		o.Events = e.eventsJSON()
	}
	return &o, nil
}

// metadataOf returns the document without what is not metadata.
func metadataOf(document []byte) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(document, &members); err != nil {
		return nil, err
	}
	for name := range members {
		if name != "apiVersion" && name != "kind" && name != "metadata" {
			delete(members, name)
		}
	}
	return json.Marshal(members)
}
