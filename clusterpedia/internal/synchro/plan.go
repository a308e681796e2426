package synchro

import (
	"context"
	"slices"
	"time"

	"clusterpedia.io/clusterpedia/internal/membercluster"
	"clusterpedia.io/clusterpedia/internal/synchro/negotiation"
	"clusterpedia.io/storage-api/storage"
)

// leftover is a resource that is stored and not synced.
type leftover struct {
	known *known
	// spec is what it was synced as; nil if that was before this process.
	spec *negotiation.Resource
	// goneSince is the time of the first answer of the member that says that the
	// resource doesn't exist; zero if the last one doesn't say so.
	goneSince time.Time
	// asked gives the answer to whether the member's own paths of the resource are gone,
	// too; nil if they were not asked for.
	asked <-chan bool
}

// apply makes what is synced and stored what it should be, as far as that can be
// done now.
func (c *cluster) apply(selection negotiation.Selection, served *membercluster.Served) {
	current := map[storage.Resource]*resource{}
	for _, r := range c.synced() {
		current[r.Storage] = r
	}
	var next []*resource
	for _, spec := range negotiation.Negotiate(selection, served, c.Kinds) {
		r := current[spec.Storage]
		if r == nil || r.Resource != spec {
			r = c.replace(r, spec)
		}
		delete(current, spec.Storage)
		next = append(next, r)
	}
	for _, r := range current {
		spec := r.Resource
		c.leftovers[r.Storage] = &leftover{known: r.end(), spec: &spec}
	}
	c.mu.Lock()
	changed := !c.negotiated || !slices.Equal(c.resources, next)
	c.resources, c.negotiated = next, true
	c.mu.Unlock()
	c.startAll()
	c.noteUnserved(negotiation.Unserved(selection, served), negotiation.Unmatched(selection.Exclusions, served))
	c.sortOut(selection, served)
	c.sortOutPrunings()
	if changed {
		c.stateChanged()
	}
}

// replace returns a new resource in place of one that reads another version, or other
// Events, if there is any, or of what is left over.
func (c *cluster) replace(old *resource, spec negotiation.Resource) *resource {
	known := newKnown()
	if old != nil {
		known = old.end()
	} else if l := c.leftovers[spec.Storage]; l != nil {
		known = l.known
		delete(c.leftovers, spec.Storage)
	}
	if c.prune(spec.Storage, spec.PrunedFields) {
		known.doubtAll()
		c.stateChanged()
	}
	return newResource(c, spec, known)
}

// rejected tells of an object that the storage layer refuses. The resource that read it
// may be replaced by now; one that begins later lists everything anyway.
func (c *cluster) rejected(refused storage.Resource, name objectName, err error) {
	for _, r := range c.synced() {
		if r.Storage == refused {
			r.rejected(name, err)
		}
	}
}

// sortOut has the leftovers removed that the user doesn't want or that don't exist
// any more. A member that fails to tell removes nothing; and since one that starts
// may know less than it will in a moment, it must say twice that something doesn't
// exist, with some time in between, that it is ready, and that there is nothing where the
// objects would be.
func (c *cluster) sortOut(selection negotiation.Selection, served *membercluster.Served) {
	for resource, l := range c.leftovers {
		switch negotiation.WhyAbsent(selection, served, c.Kinds, resource) {
		case negotiation.Undecided:
			l.goneSince, l.asked = time.Time{}, nil
			continue
		case negotiation.Gone:
			if l.goneSince.IsZero() {
				l.goneSince = served.At
			}
			c.mu.Lock()
			ready := c.checked.ready
			c.mu.Unlock()
			if served.At.Sub(l.goneSince) < c.Tuning.GoneDelay || ready.Before(l.goneSince) || ready.After(served.At) {
				c.monitor.LookSoon()
				continue
			}
			if !c.notFound(l, served, resource) {
				continue
			}
		case negotiation.Unselected:
		}
		c.log.Info("Remove what is stored of a resource", "resource", resource.String(), "objects", l.known.len())
		delete(c.leftovers, resource)
		c.scheduleRemoval(resource, l.spec)
	}
}

// askTimeout bounds one request for a resource that may be gone.
const askTimeout = 30 * time.Second

// notFound reports whether the member has answered that nothing is found at the paths of a
// resource. It asks first, and has sortOut called again with the answer. A member that
// answers anything else, as that one may not list the resource, has not said so: then
// sortOut begins anew when it looks at the member next.
func (c *cluster) notFound(l *leftover, served *membercluster.Served, resource storage.Resource) bool {
	if c.activity == nil {
		return false
	}
	if l.asked == nil {
		answer := make(chan bool, 1)
		l.asked = answer
		paths := pathsOf(l, served, resource)
		c.activity.do(func(ctx context.Context) {
			answer <- c.allNotFound(ctx, resource, paths)
			wake(c.kick)
		})
		return false
	}
	select {
	case gone := <-l.asked:
		l.goneSince, l.asked = time.Time{}, nil
		return gone
	default:
		return false
	}
}

// pathsOf returns where a member may have the objects of a stored resource: in any version
// in which they were or could be read, but for those in which it serves others.
func pathsOf(l *leftover, served *membercluster.Served, resource storage.Resource) []string {
	versions := []string{resource.Version}
	if l.spec != nil {
		versions = append(versions, l.spec.Version)
	}
	if group := served.Group(resource.Group); group != nil {
		for _, v := range group.Versions {
			if !slices.ContainsFunc(v.Resources, func(r membercluster.Resource) bool { return r.Name == resource.Resource }) {
				versions = append(versions, v.Version)
			}
		}
	}
	slices.Sort(versions)
	var paths []string
	for _, version := range slices.Compact(versions) {
		paths = append(paths, pathOf(resource.Group, version, resource.Resource))
	}
	return paths
}

func (c *cluster) allNotFound(ctx context.Context, resource storage.Resource, paths []string) bool {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for _, path := range paths {
		found, err := c.client.Finds(ctx, path)
		if err != nil || found {
			c.log.Info("A resource is missing in what the member serves, and yet its own path is not: what is stored of it stays",
				"resource", resource.String(), "path", path, "err", err)
			return false
		}
	}
	return true
}
