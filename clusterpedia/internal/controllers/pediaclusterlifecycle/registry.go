package pediaclusterlifecycle

import (
	"slices"
	"sync"

	"clusterpedia.io/clusterpedia/internal/controllers/dependents"
)

// registry knows which lifecycles are to be reconciled after a change of an object.
type registry struct {
	mu sync.Mutex
	// depends are the objects of each lifecycle, and names the lifecycles of each object.
	depends map[string][]dependents.Object
	names   map[dependents.Object]map[string]bool
}

func newRegistry() *registry {
	return &registry{depends: map[string][]dependents.Object{}, names: map[dependents.Object]map[string]bool{}}
}

// set sets what a lifecycle depends on.
func (r *registry) set(name string, objects ...dependents.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.depends[name] {
		delete(r.names[o], name)
		if len(r.names[o]) == 0 {
			delete(r.names, o)
		}
	}
	delete(r.depends, name)
	if len(objects) == 0 {
		return
	}
	r.depends[name] = slices.Clone(objects)
	for _, o := range objects {
		if r.names[o] == nil {
			r.names[o] = map[string]bool{}
		}
		r.names[o][name] = true
	}
}

// dependingOn returns the lifecycles that depend on an object.
func (r *registry) dependingOn(o dependents.Object) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for name := range r.names[o] {
		names = append(names, name)
	}
	return names
}
