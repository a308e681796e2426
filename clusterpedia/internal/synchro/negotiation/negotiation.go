// Package negotiation decides which versions of which resources of a member cluster
// are synced, and in which version they are stored: from what the user selected,
// what the member serves and what is compiled in. It has no state and does nothing
// else.
package negotiation

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/membercluster"
	"clusterpedia.io/storage-api/storage"
)

// All selects every group, resource or version in a selection.
const All = "*"

// maxVersions is the number of versions of a custom resource that are synced when
// the user chose none.
const maxVersions = 3

// Kinds tells about the kinds that are compiled in.
type Kinds struct {
	// Versions returns the versions of a kind; none for a kind that is not
	// compiled in.
	Versions func(schema.GroupKind) []string
	// StorageVersion returns the version in which a compiled-in kind is stored;
	// false for other kinds.
	StorageVersion func(schema.GroupKind) (schema.GroupVersion, bool)
	// Convert returns the JSON document of a compiled-in kind in another version.
	Convert func(doc []byte, to schema.GroupVersion) ([]byte, error)
	// Cells returns what prints documents of a compiled-in kind; nil if nothing is kept of
	// its tables. CustomCells returns that of a custom resource, for additionalPrinterColumns
	// of its definition. Both may be nil: then nothing is kept.
	Cells       func(schema.GroupKind) Print
	CustomCells func(columns []byte) (Print, error)
}

// Print returns what a table shows of a stored document.
type Print func(doc []byte) (*storage.Cells, error)

// Selection is what the user wants of a cluster.
type Selection struct {
	Resources []v1alpha2.ClusterGroupResources
	// AllCustomResources adds every resource that a CustomResourceDefinition
	// defines.
	AllCustomResources bool
	// IgnoreLeases leaves out the leases of coordination.k8s.io.
	IgnoreLeases bool
	// Exclusions leave out resources, namespaces and fields. The fields are written
	// all in one way, in which equal ones are equal.
	Exclusions v1alpha2.SyncExclusions
}

// AllResources reports whether the selection contains a wildcard for all groups.
func (s *Selection) AllResources() bool {
	return slices.ContainsFunc(s.Resources, func(r v1alpha2.ClusterGroupResources) bool { return r.Group == All })
}

func (s *Selection) maySelect(group string) bool {
	return s.AllCustomResources || slices.ContainsFunc(s.Resources, func(r v1alpha2.ClusterGroupResources) bool {
		return r.Group == All || r.Group == group
	})
}

// Absence says why a stored resource is not in the result of Negotiate.
type Absence int

const (
	// Undecided says that the member didn't tell enough to say whether it is selected.
	Undecided Absence = iota
	// Unselected says that the user doesn't want it.
	Unselected
	// Gone says that the user may want it, but the member says that it doesn't exist.
	Gone
)

// WhyAbsent says why Negotiate, called with the same selection and answer, doesn't
// return a resource that is stored. A version of a custom resource is gone if the member
// serves others alone: its objects are stored for themselves.
func WhyAbsent(selection Selection, served *membercluster.Served, kinds Kinds, stored storage.Resource) Absence {
	switch {
	case !selection.maySelect(stored.Group), selection.excludes(stored.Group, stored.Resource, singular(served, stored)):
		return Unselected
	case !served.Complete(stored.Group), selection.AllCustomResources && served.CustomGroups == nil:
		return Undecided
	}
	group := served.Group(stored.Group)
	if group == nil || find(group, stored.Resource) == "" {
		return Gone
	}
	n := negotiator{kinds: kinds, served: served, selection: selection}
	if n.lacks(group, stored) {
		return Gone
	}
	return Unselected
}

// lacks reports whether the user may want a version of a resource that the member serves in
// others alone. Of compiled-in kinds the user has no choice of versions.
func (n *negotiator) lacks(group *membercluster.Group, stored storage.Resource) bool {
	for _, version := range group.Versions {
		for _, r := range version.Resources {
			if r.Name != stored.Resource {
				continue
			}
			if version.Version == stored.Version || len(n.kinds.Versions(schema.GroupKind{Group: group.Name, Kind: r.Kind})) > 0 {
				return false
			}
		}
	}
	return slices.ContainsFunc(n.expand(n.selection), func(entry v1alpha2.ClusterGroupResources) bool {
		return entry.Group == group.Name && slices.Contains(n.names(group, entry), stored.Resource) &&
			(len(entry.Versions) == 0 || slices.Contains(entry.Versions, All) || slices.Contains(entry.Versions, stored.Version))
	})
}

// Resource is one version of a resource that is to be synced.
type Resource struct {
	// Group, Version and Resource are what is read from the member.
	schema.GroupVersionResource
	Kind       string
	Namespaced bool
	// Storage is what is written.
	Storage storage.Resource
	// Events says that the Kubernetes Events of its objects are wanted.
	Events bool
	// ExcludedNamespaces are patterns of namespaces whose objects are not wanted, with
	// commas in between.
	ExcludedNamespaces string
	// PrunedFields are the fields that are not wanted, sorted, a line each.
	PrunedFields string
}

// Negotiate returns what is to be synced: groups in the order in which the
// selection first names them, and resources within a group likewise. No two share
// what they write. What the member doesn't serve, or not to be listed and watched,
// is left out.
func Negotiate(selection Selection, served *membercluster.Served, kinds Kinds) []Resource {
	n := negotiator{kinds: kinds, served: served, selection: selection, seen: map[storage.Resource]bool{}}
	for _, entry := range n.expand(selection) {
		group := served.Group(entry.Group)
		if group == nil {
			continue
		}
		for _, name := range n.names(group, entry) {
			n.add(group, name, entry)
		}
	}
	return n.grouped()
}

type negotiator struct {
	kinds     Kinds
	served    *membercluster.Served
	selection Selection
	seen      map[storage.Resource]bool
	result    []Resource
}

// expand resolves the wildcards for groups.
func (n *negotiator) expand(s Selection) []v1alpha2.ClusterGroupResources {
	if i := slices.IndexFunc(s.Resources, func(r v1alpha2.ClusterGroupResources) bool { return r.Group == All }); i >= 0 {
		var events []string
		if slices.Contains(s.Resources[i].EventsInvolvedResources, All) {
			events = []string{All}
		}
		all := make([]v1alpha2.ClusterGroupResources, 0, len(n.served.Groups))
		for _, group := range n.served.Groups {
			all = append(all, v1alpha2.ClusterGroupResources{
				Group: group.Name, Versions: []string{All}, Resources: []string{All}, EventsInvolvedResources: events,
			})
		}
		return all
	}
	if !s.AllCustomResources {
		return s.Resources
	}
	var entries []v1alpha2.ClusterGroupResources
	events := map[string][]string{}
	for _, entry := range s.Resources {
		if n.served.CustomGroups[entry.Group] {
			events[entry.Group] = append(events[entry.Group], entry.EventsInvolvedResources...)
			continue
		}
		entries = append(entries, entry)
	}
	for _, group := range n.served.Groups {
		if n.served.CustomGroups[group.Name] {
			entries = append(entries, v1alpha2.ClusterGroupResources{
				Group: group.Name, Versions: []string{All}, Resources: []string{All}, EventsInvolvedResources: events[group.Name],
			})
		}
	}
	return entries
}

// names returns the plural names that an entry selects.
func (n *negotiator) names(group *membercluster.Group, entry v1alpha2.ClusterGroupResources) []string {
	var names []string
	if slices.Contains(entry.Resources, All) {
		for _, version := range group.Versions {
			for _, r := range version.Resources {
				names = append(names, r.Name)
			}
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	for _, wanted := range entry.Resources {
		if name := find(group, wanted); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// find returns the plural name of a resource that is named by its plural or
// singular, in any case.
func find(group *membercluster.Group, wanted string) string {
	for _, version := range group.Versions {
		for _, r := range version.Resources {
			if strings.EqualFold(r.Name, wanted) || (r.Singular != "" && strings.EqualFold(r.Singular, wanted)) {
				return r.Name
			}
		}
	}
	return ""
}

// offer is one version of a resource that the member serves.
type offer struct {
	version  string
	resource membercluster.Resource
}

func (n *negotiator) add(group *membercluster.Group, name string, entry v1alpha2.ClusterGroupResources) {
	if n.selection.IgnoreLeases && group.Name == "coordination.k8s.io" && name == "leases" {
		return
	}
	var offers []offer
	for _, version := range group.Versions {
		for _, r := range version.Resources {
			if r.Name == name && r.Syncable() {
				offers = append(offers, offer{version.Version, r})
			}
		}
	}
	if len(offers) == 0 || n.selection.excludes(group.Name, name, offers[0].resource.Singular) {
		return
	}
	for _, o := range n.choose(group.Name, offers, entry.Versions) {
		resource := Resource{
			GroupVersionResource: schema.GroupVersionResource{Group: group.Name, Version: o.version, Resource: name},
			Kind:                 o.resource.Kind,
			Namespaced:           o.resource.Namespaced,
			Storage:              storage.Resource{Group: group.Name, Version: o.version, Resource: name},
			Events:               wantsEvents(entry, o.resource),
			PrunedFields:         n.selection.prunedFields(group.Name, name, o.resource.Singular),
		}
		if resource.Namespaced {
			resource.ExcludedNamespaces = n.selection.excludedNamespaces()
		}
		if gv, ok := n.kinds.StorageVersion(schema.GroupKind{Group: group.Name, Kind: o.resource.Kind}); ok {
			resource.Storage.Version = gv.Version
		}
		if n.seen[resource.Storage] {
			continue
		}
		n.seen[resource.Storage] = true
		n.result = append(n.result, resource)
	}
}

// choose returns those of the offered versions that are to be synced. Of a
// compiled-in kind that is one, the first that can be converted; the user has no
// choice, since all versions hold the same.
func (n *negotiator) choose(group string, offers []offer, wanted []string) []offer {
	if known := n.kinds.Versions(schema.GroupKind{Group: group, Kind: offers[0].resource.Kind}); len(known) > 0 {
		for _, o := range offers {
			if slices.Contains(known, o.version) {
				return []offer{o}
			}
		}
		return nil
	}
	switch {
	case len(wanted) == 0:
		return offers[:min(len(offers), maxVersions)]
	case slices.Contains(wanted, All):
		return offers
	}
	return slices.DeleteFunc(offers, func(o offer) bool { return !slices.Contains(wanted, o.version) })
}

// wantsEvents reports whether an entry asks for the Events of a resource, which it
// names in any way by which resources are selected.
func wantsEvents(entry v1alpha2.ClusterGroupResources, r membercluster.Resource) bool {
	return slices.ContainsFunc(entry.EventsInvolvedResources, func(name string) bool {
		return name == All || strings.EqualFold(name, r.Name) || (r.Singular != "" && strings.EqualFold(name, r.Singular))
	})
}

// grouped returns the result with the resources of each group together, and the
// versions of each resource sorted.
func (n *negotiator) grouped() []Resource {
	groups, names := map[string]int{}, map[schema.GroupResource]int{}
	for i, r := range n.result {
		if _, ok := groups[r.Group]; !ok {
			groups[r.Group] = i
		}
		if _, ok := names[r.GroupResource()]; !ok {
			names[r.GroupResource()] = i
		}
	}
	slices.SortStableFunc(n.result, func(a, b Resource) int {
		if c := groups[a.Group] - groups[b.Group]; c != 0 {
			return c
		}
		if c := names[a.GroupResource()] - names[b.GroupResource()]; c != 0 {
			return c
		}
		return strings.Compare(a.Version, b.Version)
	})
	return n.result
}
