package memory

import (
	"slices"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

// owned follows, for a watch, which objects are owned by those that its query
// describes. A change of an owner moves others in and out, and so it has objects of
// its own: as they were at the position of the watch, which may be behind what is
// stored. They share their memory with that where they are the same.
type owned struct {
	query *query.Query
	// generation asks for the owner alone; its seniority is changed on use.
	generation query.Query
	clusters   map[string]*kin
}

// kin is what is known of one cluster, which ownership never leaves.
type kin struct {
	name string
	// generations are the owners that the query describes, what these own, and so
	// on: the last ones own what is asked for.
	generations []query.OwnerSet
	// objects are those that can own or be owned.
	objects map[object.Key]*entry
}

func newOwned(q *query.Query) *owned {
	owner := *q.Owner
	return &owned{
		query:      q,
		generation: query.Query{Clusters: q.Clusters, Namespaces: q.Namespaces, Owner: &owner},
		clusters:   map[string]*kin{},
	}
}

// varies reports whether who the owners are depends on what is stored.
func (o *owned) varies() bool { return o.query.Owner.UID == "" || o.query.Owner.Seniority > 0 }

// wants reports whether the objects of a bucket have to be stored.
func (o *owned) wants(k bucketKey) bool {
	return o.varies() && (len(o.query.Clusters) == 0 || slices.Contains(o.query.Clusters, k.cluster))
}

func (o *owned) kin(cluster string) *kin {
	k := o.clusters[cluster]
	if k == nil {
		k = &kin{name: cluster, objects: map[object.Key]*entry{}}
		o.clusters[cluster] = k
	}
	return k
}

// store puts the state behind a change in the place of that before it.
func (o *owned) store(c change) {
	key := c.key()
	if !o.wants(bucketKey{key.Resource, key.Cluster}) {
		return
	}
	k := o.kin(key.Cluster)
	if c.after != nil && (len(c.after.object.Owners) > 0 || o.describes(c.after)) {
		k.objects[key] = c.after
	} else {
		delete(k.objects, key)
	}
}

// describes reports whether the query names e as the owner.
func (o *owned) describes(e *entry) bool {
	w := o.query.Owner
	if w.UID != "" || w.Name != e.object.Name {
		return false
	}
	o.generation.Owner.Seniority = 0
	return len(query.FindOwners(&o.generation, func(give func(*object.Object) bool) { give(&e.object) })) > 0
}

// follow stores what a change leads to, and appends what it means to the query.
func (o *owned) follow(c change, all []outcome) []outcome {
	key := c.key()
	if len(o.query.Clusters) > 0 && !slices.Contains(o.query.Clusters, key.Cluster) {
		return all
	}
	k := o.kin(key.Cluster)
	if k.generations == nil {
		k.generations = o.generations(k)
	}
	before := k.generations
	moves := o.moves(k, c)
	o.store(c)
	if moves {
		k.generations = o.generations(k)
	}
	was, is := before[len(before)-1], k.generations[len(before)-1]
	all = appendOutcome(all, c, satisfies(o.query, c.before, was), satisfies(o.query, c.after, is))
	if !moves {
		return all
	}
	first := len(all)
	for other, e := range k.objects {
		// To look at documents takes longer than to look at owners.
		if other == key || o.owns(was, e) == o.owns(is, e) {
			continue
		}
		all = appendOutcome(all, change{before: e, after: e}, satisfies(o.query, e, was), satisfies(o.query, e, is))
	}
	slices.SortFunc(all[first:], func(a, b outcome) int { return a.state.object.Key.Compare(b.state.object.Key) })
	return all
}

// moves reports whether a change can change who the owners are.
func (o *owned) moves(k *kin, c change) bool {
	if !o.varies() || c.before != nil && c.after != nil && slices.Equal(c.before.object.Owners, c.after.object.Owners) {
		return false
	}
	for _, e := range []*entry{c.before, c.after} {
		if e == nil {
			continue
		}
		if o.describes(e) {
			return true
		}
		// What belongs to a generation is owned by the one before.
		for _, owners := range k.generations[:len(k.generations)-1] {
			if o.owns(owners, e) {
				return true
			}
		}
	}
	return false
}

func (o *owned) owns(owners query.OwnerSet, e *entry) bool {
	return query.Match(&query.Query{Owner: o.query.Owner}, &e.object, owners)
}

// generations finds the owners among the stored objects.
func (o *owned) generations(k *kin) []query.OwnerSet {
	all := make([]query.OwnerSet, 1+o.query.Owner.Seniority)
	for i := range all {
		o.generation.Owner.Seniority = i
		all[i] = query.FindOwners(&o.generation, func(give func(*object.Object) bool) {
			// An owner that is given by its UID needs only one object in its cluster.
			if !give(&object.Object{Key: object.Key{Cluster: k.name}}) {
				return
			}
			for _, e := range k.objects {
				if !give(&e.object) {
					return
				}
			}
		})
	}
	return all
}
