package query

import (
	"iter"
	"slices"

	"clusterpedia.io/storage-api/object"
)

// OwnerSet holds the objects that must own what a query with an Owner selects.
type OwnerSet map[ownerRef]struct{}

// ownerRef names an owner. UIDs alone would not do: a cluster restored from
// another's backup has the same.
type ownerRef struct{ cluster, uid string }

func (s OwnerSet) owns(o *object.Object) bool {
	return slices.ContainsFunc(o.Owners, func(uid string) bool {
		_, ok := s[ownerRef{o.Cluster, uid}]
		return ok
	})
}

// FindOwners returns the owners that q.Owner describes, followed down to the
// generation just above the objects asked for. It goes through all objects once
// for each generation; all must hold every stored object of the clusters asked
// for, of any resource.
//
// An owner that is given by its UID need not be stored itself: what it owns may
// be synced without it.
func FindOwners(q *Query, all iter.Seq[*object.Object]) OwnerSet {
	owners := OwnerSet{}
	for o := range all {
		switch {
		case !oneOf(q.Clusters, o.Cluster):
		case q.Owner.UID != "":
			owners[ownerRef{o.Cluster, q.Owner.UID}] = struct{}{}
		case q.namesOwner(o):
			owners[ownerRef{o.Cluster, o.UID}] = struct{}{}
		}
	}
	for range q.Owner.Seniority {
		next := OwnerSet{}
		for o := range all {
			if owners.owns(o) {
				next[ownerRef{o.Cluster, o.UID}] = struct{}{}
			}
		}
		owners = next
	}
	return owners
}

func (q *Query) namesOwner(o *object.Object) bool {
	w := q.Owner
	return o.Name == w.Name &&
		(w.Resource == "" || o.Resource.Resource == w.Resource && o.Group == w.Group) &&
		(o.Namespace == "" || oneOf(q.Namespaces, o.Namespace))
}
