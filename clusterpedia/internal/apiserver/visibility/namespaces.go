package visibility

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

const (
	// namespacesFor is how long the names of a cluster's namespaces are remembered.
	namespacesFor = 10 * time.Second
	// namespacesLimit bounds how long it takes to read them.
	namespacesLimit = 30 * time.Second
	// maxKnown bounds the clusters whose namespaces are remembered.
	maxKnown = 10_000
	// namespacesPage is the number of keys that are read before the rest of a namespace is
	// skipped.
	namespacesPage = 250
)

// known are the namespaces of a cluster.
type known struct {
	names []string
	until time.Time
}

// knownNamespaces returns the stored namespaces of a cluster, and those of its stored
// objects if namespaces are not synced. Callers who ask at once share one answer.
func (c *Checker) knownNamespaces(ctx context.Context, cluster string) ([]string, error) {
	if names, fresh := c.rememberedNamespaces(cluster); fresh {
		return names, nil
	}
	answer, err, _ := c.listing.Do(cluster, func() (any, error) {
		if names, fresh := c.rememberedNamespaces(cluster); fresh { // by now
			return names, nil
		}
		// It is not for one caller alone.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), namespacesLimit)
		defer cancel()
		names, err := c.readNamespaces(ctx, cluster)
		if err != nil {
			return nil, fmt.Errorf("look for the namespaces of cluster %s: %w", cluster, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.namespaces) > maxKnown {
			clear(c.namespaces) // clusters come and go
		}
		c.namespaces[cluster] = known{names, time.Now().Add(namespacesFor)}
		return names, nil
	})
	names, _ := answer.([]string)
	return names, err
}

func (c *Checker) rememberedNamespaces(cluster string) (names []string, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.namespaces[cluster]
	return found.names, ok && time.Now().Before(found.until)
}

func (c *Checker) readNamespaces(ctx context.Context, cluster string) ([]string, error) {
	q := &query.Query{
		Clusters: []string{cluster}, Types: []query.Type{{Version: "v1", Resource: "namespaces"}}, Projection: query.KeyOnly,
	}
	var names []string
	_, err := c.Storage.List(ctx, q, func(o *object.Object) error { names = append(names, o.Name); return nil })
	if err != nil || len(names) > 0 {
		return names, err
	}
	return c.usedNamespaces(ctx, cluster)
}

// lastName stands behind all names.
const lastName = "\U0010FFFF"

// usedNamespaces returns the namespaces of a cluster's stored objects. It goes through them
// by type, in the order of their keys, as databases have them in an index; what remains of
// a namespace behind a page is skipped.
func (c *Checker) usedNamespaces(ctx context.Context, cluster string) ([]string, error) {
	view, ok := c.Catalog.View(cluster)
	if !ok {
		return nil, nil
	}
	seen := map[string]bool{}
	for _, r := range view.Stored() {
		if !r.Namespaced {
			continue
		}
		q := &query.Query{
			Clusters: []string{cluster}, Types: []query.Type{{Group: r.Stored.Group, Version: r.Stored.Version, Resource: r.Stored.Resource}},
			Projection: query.KeyOnly, Limit: namespacesPage,
		}
		for {
			var last object.Object
			page, err := c.Storage.List(ctx, q, func(o *object.Object) error {
				if last = *o; o.Namespace != "" {
					seen[o.Namespace] = true
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			if page.Continue == "" {
				break
			}
			last.Name = lastName
			q.Continue = q.ContinueAfter(&last)
		}
	}
	return slices.Sorted(maps.Keys(seen)), nil
}
