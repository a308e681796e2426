// Package discovery knows what can be asked for: which resources, in which
// versions, are stored of each member cluster and of all together. It learns
// that from the status of the PediaClusters, which the synchro writes, and
// serves it as Kubernetes' discovery documents.
package discovery

import (
	"slices"
	"sort"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/builtin"
	"clusterpedia.io/storage-api/object"
)

// Resource is a resource in one version in which it can be asked for.
type Resource struct {
	// GroupVersionResource is what clients ask for.
	schema.GroupVersionResource
	Kind       string
	Namespaced bool
	// Stored is what answers are made from. It differs from what is asked for
	// only for compiled-in kinds, which are converted.
	Stored object.Resource
	// Builtin says that the kind is compiled in.
	Builtin bool
}

// View is what can be asked of one cluster, or of all. It does not change.
type View struct {
	resources map[schema.GroupVersionResource]Resource
	// groups lists the versions of each group, the preferred first.
	groups map[string][]string
}

// Resource returns one resource; false if it is not stored.
func (v *View) Resource(gvr schema.GroupVersionResource) (Resource, bool) {
	r, ok := v.resources[gvr]
	return r, ok
}

// Stored returns each stored resource once, in the order of their names.
func (v *View) Stored() []Resource {
	byStored := map[object.Resource]Resource{}
	for gvr, r := range v.resources {
		if other, ok := byStored[r.Stored]; !ok || gvr.Version < other.Version {
			byStored[r.Stored] = r
		}
	}
	all := make([]Resource, 0, len(byStored))
	for _, r := range byStored {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Resource) int { return a.Stored.Compare(b.Stored) })
	return all
}

// newView returns what the status of a cluster promises.
func newView(scheme *builtin.Scheme, groups []v1alpha2.ClusterGroupResourcesStatus) *View {
	resources := map[schema.GroupVersionResource]Resource{}
	for _, group := range groups {
		for _, status := range group.Resources {
			if len(status.SyncConditions) == 0 {
				continue
			}
			for _, r := range served(scheme, group.Group, status) {
				resources[r.GroupVersionResource] = r
			}
		}
	}
	return withGroups(scheme, resources)
}

// served returns the versions in which a resource can be asked for: every one
// that the scheme knows for compiled-in kinds, else those that are synced.
func served(scheme *builtin.Scheme, group string, status v1alpha2.ClusterResourceStatus) []Resource {
	resource := func(version string, stored schema.GroupVersion, isBuiltin bool) Resource {
		return Resource{
			GroupVersionResource: schema.GroupVersionResource{Group: group, Version: version, Resource: status.Name},
			Kind:                 status.Kind,
			Namespaced:           status.Namespaced,
			Stored:               object.Resource{Group: stored.Group, Version: stored.Version, Resource: status.Name},
			Builtin:              isBuiltin,
		}
	}
	kind := schema.GroupKind{Group: group, Kind: status.Kind}
	var resources []Resource
	if stored, ok := scheme.StorageVersion(kind); ok {
		for _, v := range scheme.Versions(kind) {
			resources = append(resources, resource(v, stored, true))
		}
		return resources
	}
	for _, c := range status.SyncConditions {
		resources = append(resources, resource(c.Version, schema.GroupVersion{Group: group, Version: c.Version}, false))
	}
	return resources
}

// union returns what can be asked of at least one cluster.
func union(scheme *builtin.Scheme, views map[string]*View) *View {
	clusters := make([]string, 0, len(views))
	for cluster := range views {
		clusters = append(clusters, cluster)
	}
	slices.Sort(clusters)
	resources := map[schema.GroupVersionResource]Resource{}
	for _, cluster := range clusters {
		for gvr, r := range views[cluster].resources {
			if _, ok := resources[gvr]; !ok {
				resources[gvr] = r
			}
		}
	}
	return withGroups(scheme, resources)
}

func withGroups(scheme *builtin.Scheme, resources map[schema.GroupVersionResource]Resource) *View {
	groups := map[string][]string{}
	for gvr := range resources {
		if !slices.Contains(groups[gvr.Group], gvr.Version) {
			groups[gvr.Group] = append(groups[gvr.Group], gvr.Version)
		}
	}
	for group, versions := range groups {
		known := scheme.GroupVersions(group)
		rank := func(v string) int {
			if i := slices.Index(known, schema.GroupVersion{Group: group, Version: v}); i >= 0 {
				return i
			}
			return len(known)
		}
		slices.SortFunc(versions, func(a, b string) int {
			if d := rank(a) - rank(b); d != 0 {
				return d
			}
			return version.CompareKubeAwareVersionStrings(b, a)
		})
	}
	return &View{resources: resources, groups: groups}
}

// apiGroup returns the document of one group; false if nothing of it is stored.
func (v *View) apiGroup(group string) (metav1.APIGroup, bool) {
	versions, ok := v.groups[group]
	if !ok || group == "" {
		return metav1.APIGroup{}, false
	}
	doc := metav1.APIGroup{Name: group}
	for _, version := range versions {
		gv := schema.GroupVersion{Group: group, Version: version}
		doc.Versions = append(doc.Versions, metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: version})
	}
	doc.PreferredVersion = doc.Versions[0]
	return doc, true
}

// apiGroups returns the documents of all groups but the core group, by name.
func (v *View) apiGroups() []metav1.APIGroup {
	docs := []metav1.APIGroup{}
	for group := range v.groups {
		if doc, ok := v.apiGroup(group); ok {
			docs = append(docs, doc)
		}
	}
	sort.Slice(docs, func(i, j int) bool { return docs[i].Name < docs[j].Name })
	return docs
}

// apiResources returns the resources of one version of a group, by name; none if
// nothing of it is stored. Short names and categories are those that the host
// cluster has for its own.
func (v *View) apiResources(gv schema.GroupVersion, verbs []string, host map[schema.GroupResource]metav1.APIResource) []metav1.APIResource {
	var docs []metav1.APIResource
	for gvr, r := range v.resources {
		if gvr.GroupVersion() != gv {
			continue
		}
		doc := metav1.APIResource{Name: gvr.Resource, Kind: r.Kind, Namespaced: r.Namespaced}
		if known, ok := host[gvr.GroupResource()]; ok && r.Builtin {
			doc = known
			doc.Group, doc.Version = "", ""
		}
		doc.Verbs = verbs
		docs = append(docs, doc)
	}
	sort.Slice(docs, func(i, j int) bool { return docs[i].Name < docs[j].Name })
	return docs
}
