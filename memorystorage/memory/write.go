package memory

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/storage"
)

const (
	// maxEvents is the number of events kept of an object, the least that the
	// contract allows.
	maxEvents = 10
	// purgeStep is the number of objects that a purge removes under one lock.
	purgeStep = 1000
)

// Apply implements storage.Storage.
func (s *Store) Apply(ctx context.Context, w storage.Writer, changes []storage.Change) error {
	err := s.apply(ctx, w, changes)
	if err != nil {
		return fmt.Errorf("apply %d changes to cluster %s: %w", len(changes), w.Cluster, err)
	}
	return nil
}

func (s *Store) apply(ctx context.Context, w storage.Writer, changes []storage.Change) error {
	// All that can fail or takes long is done before the lock is taken.
	kept := make([]storage.Change, len(changes))
	for i, change := range changes {
		if err := check(w, change); err != nil {
			return err
		}
		kept[i] = change
		if change.Put != nil {
			put := clone(change.Put)
			put.SyncedAt, put.Events = now(), nil
			kept[i].Put = &put
		}
	}

	defer s.history.notify() // when the lock is released
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.enter(ctx, w)
	if err != nil {
		return err
	}
	b := batch{cluster: c, staged: map[object.Key]staged{}, puts: map[string][]object.Key{}}
	for _, change := range kept {
		switch {
		case change.Put != nil:
			b.put(change.Put)
		case change.Delete != nil:
			b.stage(*change.Delete, nil)
		case change.Event != nil:
			b.record(change.Event)
		}
	}
	s.history.add(c.commit(b.staged))
	for _, change := range changes {
		if change.Put != nil {
			c.latest = change.Put.ResourceVersion
		}
	}
	return nil
}

// check returns an error for a change that must not be stored.
func check(w storage.Writer, change storage.Change) error {
	set := 0
	for _, is := range []bool{change.Put != nil, change.Delete != nil, change.Event != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return fmt.Errorf("a change sets %d of put, delete and event, not one", set)
	case change.Delete != nil && change.Delete.Cluster != w.Cluster:
		return fmt.Errorf("the key %s is not of the writer's cluster", change.Delete)
	case change.Event != nil && change.Event.JSON != nil && !json.Valid(change.Event.JSON):
		return fmt.Errorf("the document of event %s is no valid JSON", change.Event.UID)
	case change.Put == nil:
		return nil
	}
	o := change.Put
	invalid := func(reason string) error { return &storage.InvalidObjectError{Key: o.Key, Reason: reason} }
	switch {
	case o.Cluster != w.Cluster:
		return invalid("it is not of the writer's cluster " + w.Cluster)
	case o.Version == "" || o.Resource.Resource == "" || o.Name == "" || o.Kind == "":
		return invalid("version, resource, name and kind must not be empty")
	case !utf8.ValidString(o.Key.String()):
		return invalid("its key is not UTF-8")
	case !utf8.Valid(o.JSON) || !json.Valid(o.JSON):
		return invalid("its document is no valid JSON")
	}
	return nil
}

// enter returns the writer's cluster, or an error if the writer is fenced. The
// caller holds the lock.
func (s *Store) enter(ctx context.Context, w storage.Writer) (*cluster, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	c := s.clusters[w.Cluster]
	if c == nil {
		c = &cluster{resources: map[object.Resource][]*entry{}, uids: map[string][]object.Key{}}
		s.clusters[w.Cluster] = c
	}
	if w.Epoch != 0 && w.Epoch < c.epoch {
		return nil, &storage.FencedError{Writer: w, Seen: c.epoch}
	}
	c.epoch = max(c.epoch, w.Epoch)
	return c, nil
}

// batch collects changes of a cluster before they are put in place.
type batch struct {
	*cluster
	staged map[object.Key]staged
	steps  int
	// puts holds the keys that the batch puts, by their UIDs.
	puts map[string][]object.Key
}

// staged is what will be stored under a key.
type staged struct {
	entry *entry // nil: nothing
	// step counts the changes of the batch.
	step int
}

func (b *batch) get(key object.Key) *entry {
	if s, ok := b.staged[key]; ok {
		return s.entry
	}
	return b.find(key)
}

func (b *batch) stage(key object.Key, e *entry) {
	b.steps++
	b.staged[key] = staged{e, b.steps}
}

func (b *batch) put(o *storage.Object) {
	e := &entry{object: *o}
	if before := b.get(o.Key); before != nil && before.object.UID == o.UID {
		e.events = before.events
		if sameObject(before, e) {
			e.object.JSON = before.object.JSON // which the history may keep
		}
	}
	b.stage(o.Key, e)
	if !slices.Contains(b.puts[o.UID], o.Key) {
		b.puts[o.UID] = append(b.puts[o.UID], o.Key)
	}
}

func (b *batch) record(ev *storage.Event) {
	keys := slices.Concat(b.uids[ev.Involved], b.puts[ev.Involved])
	slices.SortFunc(keys, object.Key.Compare)
	for _, key := range slices.Compact(keys) {
		e := b.get(key)
		if e == nil || e.object.UID != ev.Involved {
			continue
		}
		b.stage(key, &entry{object: e.object, events: withEvent(e.events, ev)})
	}
}

// withEvent returns events with the earlier version of ev replaced, or removed if
// ev is gone.
func withEvent(events []event, ev *storage.Event) []event {
	events = slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.uid == ev.UID })
	if ev.JSON != nil {
		events = append(events, event{ev.UID, ev.ResourceVersion, ev.LastSeen, slices.Clone(ev.JSON)})
		slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(b.lastSeen, a.lastSeen) })
	}
	return events[:min(len(events), maxEvents)]
}

// commit puts the staged entries in place. It returns what that changes: for each
// object the sum of its changes, in the order of the last of these.
func (c *cluster) commit(all map[object.Key]staged) []change {
	var made []change
	changed := map[object.Resource][]object.Key{}
	byStep := func(a, b object.Key) int { return cmp.Compare(all[a].step, all[b].step) }
	for _, key := range slices.SortedFunc(maps.Keys(all), byStep) {
		changed[key.Resource] = append(changed[key.Resource], key)
		before, e := c.find(key), all[key].entry
		made = append(made, differences(before, e)...)
		if before != nil && (e == nil || e.object.UID != before.object.UID) {
			c.forgetUID(before)
		}
		if e != nil && (before == nil || e.object.UID != before.object.UID) {
			c.uids[e.object.UID] = append(c.uids[e.object.UID], key)
		}
	}
	for resource, keys := range changed {
		slices.SortFunc(keys, object.Key.Compare)
		c.set(resource, merge(c.resources[resource], keys, all))
	}
	return made
}

// merge returns the entries with those of the sorted keys replaced by what is
// staged.
func merge(entries []*entry, keys []object.Key, all map[object.Key]staged) []*entry {
	merged := make([]*entry, 0, len(entries)+len(keys))
	for _, key := range keys {
		i, found := slices.BinarySearchFunc(entries, key, compareToKey)
		merged = append(merged, entries[:i]...)
		if e := all[key].entry; e != nil {
			merged = append(merged, e)
		}
		if found {
			i++
		}
		entries = entries[i:]
	}
	return append(merged, entries...)
}

func (c *cluster) set(resource object.Resource, entries []*entry) {
	if len(entries) == 0 {
		delete(c.resources, resource)
		return
	}
	c.resources[resource] = entries
}

func (c *cluster) forgetUID(e *entry) {
	uid := e.object.UID
	keys := slices.DeleteFunc(c.uids[uid], func(k object.Key) bool { return k == e.object.Key })
	if len(keys) == 0 {
		delete(c.uids, uid)
		return
	}
	c.uids[uid] = keys
}

// Purge implements storage.Storage.
func (s *Store) Purge(ctx context.Context, w storage.Writer, resource *storage.Resource) error {
	for {
		more, err := s.purgeSome(ctx, w, resource)
		if err != nil {
			return fmt.Errorf("purge cluster %s: %w", w.Cluster, err)
		}
		if !more {
			return nil
		}
	}
}

// purgeSome removes some of the objects and reports whether there are more.
func (s *Store) purgeSome(ctx context.Context, w storage.Writer, resource *storage.Resource) (more bool, err error) {
	defer s.history.notify() // when the lock is released
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.enter(ctx, w)
	if err != nil {
		return false, err
	}
	left := purgeStep
	for r, entries := range c.resources {
		if resource != nil && r != *resource {
			continue
		}
		keep := max(0, len(entries)-left)
		var made []change
		for _, e := range entries[keep:] {
			c.forgetUID(e)
			made = append(made, change{before: e})
		}
		s.history.add(made)
		left -= len(entries) - keep
		c.set(r, entries[:keep])
		if left == 0 {
			return true, nil
		}
	}
	if resource == nil {
		c.latest = ""
	}
	return false, nil
}
