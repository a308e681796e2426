package negotiation

import (
	"slices"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/membercluster"
)

// Unserved returns what the selection names and the member doesn't have, or not to be
// listed and watched: "resource.group", or "group" alone. What the member can't tell is
// left out.
func Unserved(selection Selection, served *membercluster.Served) []string {
	if selection.AllResources() {
		return nil
	}
	var unserved []string
	add := func(name string) {
		if !slices.Contains(unserved, name) {
			unserved = append(unserved, name)
		}
	}
	for _, entry := range selection.Resources {
		group := served.Group(entry.Group)
		if !served.Complete(entry.Group) {
			continue
		}
		for _, wanted := range entry.Resources {
			switch {
			case wanted == All && group == nil:
				add("*." + entry.Group)
			case wanted == All:
			case group == nil || !syncable(group, find(group, wanted)):
				name := wanted
				if entry.Group != "" {
					name += "." + entry.Group
				}
				add(name)
			}
		}
	}
	return unserved
}

// Unmatched returns what the exclusions name and the member doesn't have, as Unserved does;
// "resource.*" is one that is named for all groups.
func Unmatched(exclusions v1alpha2.SyncExclusions, served *membercluster.Served) []string {
	var unmatched []string
	look := func(group string, names []string) {
		for _, name := range names {
			full := name
			if group != "" {
				full += "." + group
			}
			if !matches(served, group, name) && !slices.Contains(unmatched, full) {
				unmatched = append(unmatched, full)
			}
		}
	}
	for _, e := range exclusions.ExcludedResources {
		look(e.Group, e.Resources)
	}
	for _, p := range exclusions.PrunedFields {
		look(p.Group, p.Resources)
	}
	return unmatched
}

// matches reports whether the member has something of that name, or can't tell.
func matches(served *membercluster.Served, group, name string) bool {
	groups := served.Groups
	if group != All {
		if !served.Complete(group) {
			return true
		}
		groups = slices.DeleteFunc(slices.Clone(groups), func(g membercluster.Group) bool { return g.Name != group })
	}
	return slices.ContainsFunc(groups, func(g membercluster.Group) bool {
		return name == All || !served.Complete(g.Name) || find(&g, name) != ""
	})
}

func syncable(group *membercluster.Group, name string) bool {
	return slices.ContainsFunc(group.Versions, func(v membercluster.Version) bool {
		return slices.ContainsFunc(v.Resources, func(r membercluster.Resource) bool { return r.Name == name && r.Syncable() })
	})
}
