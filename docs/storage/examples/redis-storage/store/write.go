package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"clusterpedia.io/storage-api/storage"
)

const (
	// maxEvents is the number of events kept of an object, the least that the
	// contract allows.
	maxEvents = 10
	// purgeStep is the number of objects that a purge removes at once.
	purgeStep = 1000
)

// Apply implements storage.Storage.
func (s *Store) Apply(ctx context.Context, w storage.Writer, changes []storage.Change) error {
	for _, c := range changes {
		if err := check(w, c); err != nil {
			return fmt.Errorf("apply to cluster %s: %w", w.Cluster, err)
		}
	}
	err := s.update(ctx, w, func(b *batch) error {
		for _, c := range changes {
			var err error
			switch {
			case c.Put != nil:
				err = b.put(*c.Put)
			case c.Delete != nil:
				err = b.delete(*c.Delete)
			default:
				err = b.record(c.Event)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("apply %d changes to cluster %s: %w", len(changes), w.Cluster, err)
	}
	return nil
}

// check returns an error for a change that must not be stored.
func check(w storage.Writer, c storage.Change) error {
	set := 0
	for _, is := range []bool{c.Put != nil, c.Delete != nil, c.Event != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return fmt.Errorf("a change sets %d of put, delete and event, not one", set)
	case c.Delete != nil && c.Delete.Cluster != w.Cluster:
		return fmt.Errorf("the key %s is not of the writer's cluster", c.Delete)
	case c.Event != nil && c.Event.JSON != nil && !json.Valid(c.Event.JSON):
		return fmt.Errorf("the document of event %s is no valid JSON", c.Event.UID)
	case c.Put == nil:
		return nil
	}
	o, reason := c.Put, ""
	switch {
	case o.Cluster != w.Cluster:
		reason = "it is not of the writer's cluster " + w.Cluster
	case o.Version == "" || o.Resource.Resource == "" || o.Name == "" || o.Kind == "":
		reason = "version, resource, name and kind must not be empty"
	case !utf8.ValidString(o.Key.String()) || strings.ContainsRune(o.Key.String(), 0):
		reason = "its key must be UTF-8 without NUL"
	case !utf8.Valid(o.JSON) || !json.Valid(o.JSON):
		reason = "its document is no valid JSON"
	default:
		return nil
	}
	return &storage.InvalidObjectError{Key: o.Key, Reason: reason}
}

// update changes the entries of the writer's cluster, all or nothing, unless the
// writer is fenced.
func (s *Store) update(ctx context.Context, w storage.Writer, change func(*batch) error) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	return s.backend.update(ctx, w.Cluster, func(get func(string) ([]byte, error)) (map[string][]byte, error) {
		b := &batch{get: get, writes: map[string][]byte{}}
		if err := b.fence(w); err != nil {
			return nil, err
		}
		return b.writes, change(b)
	})
}

// batch is what an update is going to write: an entry for each key, nil for one to
// be removed.
type batch struct {
	get    func(key string) ([]byte, error)
	writes map[string][]byte
}

// read returns an entry as it will be.
func (b *batch) read(key string) ([]byte, error) {
	if text, ok := b.writes[key]; ok {
		return text, nil
	}
	return b.get(key)
}

func (b *batch) fence(w storage.Writer) error {
	if w.Epoch == 0 {
		return nil
	}
	text, err := b.read(epochEntry)
	if err != nil {
		return err
	}
	var seen int64
	if text != nil {
		if seen, err = strconv.ParseInt(string(text), 10, 64); err != nil {
			return fmt.Errorf("the stored epoch is damaged: %w", err)
		}
	}
	if w.Epoch < seen {
		return &storage.FencedError{Writer: w, Seen: seen}
	}
	if w.Epoch > seen {
		b.writes[epochEntry] = strconv.AppendInt(nil, w.Epoch, 10)
	}
	return nil
}

// stored returns what is stored under a key; nil if nothing is.
func (b *batch) stored(key storage.Key) (*record, error) {
	text, err := b.read(objectEntry(key))
	if err != nil || text == nil {
		return nil, err
	}
	return decode(text)
}

func (b *batch) put(o storage.Object) error {
	o.SyncedAt, o.Events, o.Packed, o.Cells = time.Now().UTC().Truncate(time.Millisecond), nil, nil, nil
	r := &record{Object: o}
	before, err := b.stored(o.Key)
	if err != nil {
		return err
	}
	switch {
	case before != nil && before.Object.UID == o.UID:
		r.Events = before.Events
	case before != nil:
		if err := b.forget(before); err != nil {
			return err
		}
	}
	if err := b.know(o.UID, func(keys []storage.Key) []storage.Key {
		if slices.Contains(keys, o.Key) {
			return keys
		}
		return append(keys, o.Key)
	}); err != nil {
		return err
	}
	return b.write(r)
}

func (b *batch) write(r *record) error {
	text, err := json.Marshal(r)
	b.writes[objectEntry(r.Object.Key)] = text
	return err
}

func (b *batch) delete(key storage.Key) error {
	before, err := b.stored(key)
	if err != nil || before == nil {
		return err
	}
	b.writes[objectEntry(key)] = nil
	return b.forget(before)
}

// forget takes an object out of those of its UID.
func (b *batch) forget(r *record) error {
	return b.know(r.Object.UID, func(keys []storage.Key) []storage.Key {
		return slices.DeleteFunc(keys, func(k storage.Key) bool { return k == r.Object.Key })
	})
}

// know changes the keys of the objects of a UID.
func (b *batch) know(uid string, change func([]storage.Key) []storage.Key) error {
	keys, err := b.keys(uid)
	if err != nil {
		return err
	}
	if keys = change(keys); len(keys) == 0 {
		b.writes[uidPrefix+uid] = nil
		return nil
	}
	b.writes[uidPrefix+uid], err = json.Marshal(keys)
	return err
}

func (b *batch) keys(uid string) (keys []storage.Key, err error) {
	text, err := b.read(uidPrefix + uid)
	if err == nil && text != nil {
		err = json.Unmarshal(text, &keys)
	}
	return keys, err
}

// record keeps an event with the objects that it is about.
func (b *batch) record(e *storage.Event) error {
	keys, err := b.keys(e.Involved)
	if err != nil {
		return err
	}
	for _, key := range keys {
		r, err := b.stored(key)
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		r.Events = slices.DeleteFunc(r.Events, func(old event) bool { return old.UID == e.UID })
		if e.JSON != nil {
			r.Events = append(r.Events, event{e.UID, e.ResourceVersion, e.LastSeen, e.JSON})
			slices.SortStableFunc(r.Events, func(a, b event) int { return cmp.Compare(b.LastSeen, a.LastSeen) })
		}
		r.Events = r.Events[:min(len(r.Events), maxEvents)]
		if err := b.write(r); err != nil {
			return err
		}
	}
	return nil
}

// Purge implements storage.Storage.
func (s *Store) Purge(ctx context.Context, w storage.Writer, resource *storage.Resource) error {
	for {
		var left []storage.Key
		all, err := s.load(ctx, []string{w.Cluster})
		for _, r := range all {
			if resource == nil || r.Object.Resource == *resource {
				left = append(left, r.Object.Key)
			}
		}
		if err == nil {
			step := left[:min(len(left), purgeStep)]
			err = s.update(ctx, w, func(b *batch) error { // also of nothing: the epoch counts
				for _, key := range step {
					if err := b.delete(key); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err != nil {
			return fmt.Errorf("purge cluster %s: %w", w.Cluster, err)
		}
		if len(left) <= purgeStep {
			return nil
		}
	}
}
