package negotiation

import (
	"slices"

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

func syncable(group *membercluster.Group, name string) bool {
	return slices.ContainsFunc(group.Versions, func(v membercluster.Version) bool {
		return slices.ContainsFunc(v.Resources, func(r membercluster.Resource) bool { return r.Name == name && r.Syncable() })
	})
}
