package synchro

import (
	"maps"
	"slices"
	"strings"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/storage-api/storage"
)

// pruning says which fields the stored objects of a resource lack. The zero value is
// that they lack none.
type pruning struct {
	// fields is as in negotiation.Resource.
	fields string
	// rewriting says that some objects may be stored with other fields left out.
	rewriting bool
}

// prunings say how what is stored of a cluster was pruned. The storage layer doesn't
// know, and the member's versions don't tell either: so it stands in the PediaCluster's
// status, where the next manager finds it. Before the first object is written in another
// way, the status must say that this is going on.
type prunings struct {
	now map[storage.Resource]pruning
	// saved is what stands in the status.
	saved map[storage.Resource]pruning
}

func readPrunings(status []v1alpha2.PrunedResourceStatus) map[storage.Resource]pruning {
	read := map[storage.Resource]pruning{}
	for _, s := range status {
		read[storage.Resource{Group: s.Group, Version: s.Version, Resource: s.Resource}] = pruning{strings.Join(s.Fields, "\n"), s.Rewriting}
	}
	return read
}

// status returns what stands in the status.
func (p *prunings) status() []v1alpha2.PrunedResourceStatus {
	var list []v1alpha2.PrunedResourceStatus
	for _, resource := range slices.SortedFunc(maps.Keys(p.now), storage.Resource.Compare) {
		one := p.now[resource]
		s := v1alpha2.PrunedResourceStatus{Group: resource.Group, Version: resource.Version, Resource: resource.Resource, Rewriting: one.rewriting}
		if one.fields != "" {
			s.Fields = strings.Split(one.fields, "\n")
		}
		list = append(list, s)
	}
	return list
}

// anything stands in the record for all that is stored, when it is unknown how that was
// pruned.
func anything() storage.Resource { return storage.Resource{Group: "*", Version: "*", Resource: "*"} }

// neverClaimed reports whether a status is that of a PediaCluster which no manager has had
// yet. If something is stored of its cluster nevertheless, it was made anew, without its
// record.
func neverClaimed(status *v1alpha2.ClusterStatus) bool {
	return status.ShardingName == nil && status.Version == "" && len(status.SyncResources) == 0 && len(status.PrunedFields) == 0
}

// set changes what is said of one resource.
func (p *prunings) set(resource storage.Resource, to pruning) {
	if to == (pruning{}) {
		delete(p.now, resource)
		return
	}
	p.now[resource] = to
}

// inherit takes over what an earlier cluster knows, or else what the status says.
func (c *cluster) inherit(before *owned, status *v1alpha2.ClusterStatus) {
	if before == nil {
		c.prunings = prunings{readPrunings(status.PrunedFields), readPrunings(status.PrunedFields)}
		if neverClaimed(status) {
			c.prunings.set(anything(), pruning{rewriting: true})
		}
		return
	}
	before.mu.Lock()
	defer before.mu.Unlock()
	c.prunings = prunings{maps.Clone(before.prunings.now), maps.Clone(before.prunings.saved)}
}

// foundStored says of which resources something is stored. What is unknown of anything is
// unknown of these. The lock must be held.
func (p *prunings) foundStored(stored map[storage.Resource]*known) {
	if !p.now[anything()].rewriting {
		return
	}
	p.set(anything(), pruning{})
	for resource := range stored {
		p.set(resource, pruning{rewriting: true})
	}
}

// prune prepares for a resource to be written without some fields, and reports whether
// all that is stored of it must be written anew.
func (c *cluster) prune(resource storage.Resource, fields string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	want := pruning{fields: fields}
	if c.prunings.now[resource] == want {
		return false
	}
	want.rewriting = true
	c.prunings.set(resource, want)
	return true
}

// rewriting reports whether objects of a resource may be stored with other fields left out
// than are to be.
func (c *cluster) rewriting(resource storage.Resource) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.prunings.now[resource].rewriting
}

// mayWrite reports whether the status tells the next manager how a resource is written.
func (c *cluster) mayWrite(resource storage.Resource) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	saved := c.prunings.saved[resource]
	return c.prunings.saved[anything()].rewriting || saved.rewriting || saved == c.prunings.now[resource]
}

// pruned says that all objects of a resource that are stored lack just these fields, unless
// they are being removed: then they were not written, and are not removed yet.
func (c *cluster) pruned(resource storage.Resource, fields string) {
	c.mu.Lock()
	done := c.removals[resource] == nil && c.prunings.now[resource] == pruning{fields, true}
	if done {
		c.prunings.set(resource, pruning{fields: fields})
	}
	c.mu.Unlock()
	if done {
		c.stateChanged()
	}
}

// unpruned says that nothing is stored of a resource any more. If it is wanted again
// already, prune has said how.
func (c *cluster) unpruned(removed storage.Resource) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.ContainsFunc(c.resources, func(r *resource) bool { return r.Storage == removed }) {
		c.prunings.set(removed, pruning{})
	}
}

// sortOutPrunings forgets what is said of resources of which nothing is stored or will
// be.
func (c *cluster) sortOutPrunings() {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := map[storage.Resource]bool{}
	for _, r := range c.resources {
		wanted[r.Storage] = true
	}
	for resource := range c.prunings.now {
		if !wanted[resource] && c.leftovers[resource] == nil && c.removals[resource] == nil {
			c.prunings.set(resource, pruning{})
		}
	}
}

// statusWritten says what stands in the PediaCluster's status now.
func (c *cluster) statusWritten(status []v1alpha2.PrunedResourceStatus) {
	saved := readPrunings(status)
	c.mu.Lock()
	same := maps.Equal(saved, c.prunings.saved)
	c.prunings.saved = saved
	c.mu.Unlock()
	if !same {
		wake(c.kick)
	}
}
