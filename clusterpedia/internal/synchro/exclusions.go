package synchro

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/synchro/document"
)

// namespacePattern is what may stand in excludedNamespaces.
const namespacePattern = `^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$`

// checkExclusions returns exclusions with fields in one way of writing, or an error that
// names the entry which is wrong.
func checkExclusions(e v1alpha2.SyncExclusions) (v1alpha2.SyncExclusions, error) {
	pattern := regexp.MustCompile(namespacePattern)
	for i, namespace := range e.ExcludedNamespaces {
		if !pattern.MatchString(namespace) {
			return e, fmt.Errorf("spec.excludedNamespaces[%d]: %q is neither the name of a namespace nor one with * in it", i, namespace)
		}
	}
	e.PrunedFields = slices.Clone(e.PrunedFields)
	for i, pruned := range e.PrunedFields {
		fields := make([]string, len(pruned.Fields))
		for j, field := range pruned.Fields {
			parsed, err := document.ParsePath(field)
			if err != nil {
				return e, fmt.Errorf("spec.prunedFields[%d].fields[%d]: %w", i, j, err)
			}
			fields[j] = parsed.String()
		}
		e.PrunedFields[i].Fields = fields
	}
	return e, nil
}

// joinExclusions adds up what a PediaCluster and what it refers to leave out.
func joinExclusions(a, b v1alpha2.SyncExclusions) v1alpha2.SyncExclusions {
	return v1alpha2.SyncExclusions{
		ExcludedNamespaces: slices.Concat(a.ExcludedNamespaces, b.ExcludedNamespaces),
		ExcludedResources:  slices.Concat(a.ExcludedResources, b.ExcludedResources),
		PrunedFields:       slices.Concat(a.PrunedFields, b.PrunedFields),
	}
}

// namespaces are patterns of namespaces.
type namespaces struct {
	patterns []string
	// hits say of each pattern whether an object was in such a namespace; hit is called when
	// one becomes true.
	hits []atomic.Bool
	hit  func()
}

// parseNamespaces reads negotiation.Resource.ExcludedNamespaces.
func parseNamespaces(text string, hit func()) *namespaces {
	n := &namespaces{hit: hit}
	if text != "" {
		n.patterns = strings.Split(text, ",")
		n.hits = make([]atomic.Bool, len(n.patterns))
	}
	return n
}

func (n *namespaces) has(namespace string) bool {
	if namespace == "" {
		return false
	}
	found := false
	for i, pattern := range n.patterns {
		// It has been checked, so that it cannot be malformed.
		if matches, err := path.Match(pattern, namespace); err != nil || !matches {
			continue
		}
		found = true
		if !n.hits[i].Load() && !n.hits[i].Swap(true) {
			n.hit()
		}
	}
	return found
}

// unmatched returns the patterns of namespaces in which no object of any resource is that
// is synced. While one was not listed yet nobody knows.
func unmatched(resources []*resource) []string {
	hit := map[string]bool{}
	for _, r := range resources {
		if !r.Namespaced {
			continue
		}
		if !r.listed.Load() {
			return nil
		}
		for i, pattern := range r.excluded.patterns {
			hit[pattern] = hit[pattern] || r.excluded.hits[i].Load()
		}
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(hit)), func(pattern string) bool { return hit[pattern] })
}

// parseFields reads negotiation.Resource.PrunedFields; nil for none.
func parseFields(text string) *document.Fields {
	if text == "" {
		return nil
	}
	var paths []document.Path
	for line := range strings.Lines(text) {
		if parsed, err := document.ParsePath(strings.TrimSuffix(line, "\n")); err == nil { // it has been checked
			paths = append(paths, parsed)
		}
	}
	return document.NewFields(paths...)
}
