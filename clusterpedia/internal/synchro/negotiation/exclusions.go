package negotiation

import (
	"slices"
	"strings"

	"clusterpedia.io/clusterpedia/internal/membercluster"
	"clusterpedia.io/storage-api/storage"
)

// named reports whether a resource is one of those that a group and names stand for.
func named(group string, names []string, inGroup, plural, singular string) bool {
	if group != All && group != inGroup {
		return false
	}
	return slices.ContainsFunc(names, func(name string) bool {
		return name == All || strings.EqualFold(name, plural) || (singular != "" && strings.EqualFold(name, singular))
	})
}

func (s *Selection) excludes(group, plural, singular string) bool {
	for _, e := range s.Exclusions.ExcludedResources {
		if named(e.Group, e.Resources, group, plural, singular) {
			return true
		}
	}
	return false
}

func (s *Selection) excludedNamespaces() string {
	return joined(slices.Clone(s.Exclusions.ExcludedNamespaces), ",")
}

func (s *Selection) prunedFields(group, plural, singular string) string {
	var fields []string
	for _, p := range s.Exclusions.PrunedFields {
		if named(p.Group, p.Resources, group, plural, singular) {
			fields = append(fields, p.Fields...)
		}
	}
	return joined(fields, "\n")
}

func joined(words []string, by string) string {
	slices.Sort(words)
	return strings.Join(slices.Compact(words), by)
}

// singular returns the singular name of a stored resource, if the member tells.
func singular(served *membercluster.Served, stored storage.Resource) string {
	group := served.Group(stored.Group)
	if group == nil {
		return ""
	}
	for _, version := range group.Versions {
		for _, r := range version.Resources {
			if r.Name == stored.Resource && r.Singular != "" {
				return r.Singular
			}
		}
	}
	return ""
}
