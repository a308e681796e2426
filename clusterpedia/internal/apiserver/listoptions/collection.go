package listoptions

import (
	"net/url"
	"strings"

	"clusterpedia.io/storage-api/query"
)

// CollectionTypes returns the types that a search of the collection resource
// "any" asks for by the URL keys groups and resources: the union of both. Its
// errors are Statuses with code 400.
func CollectionTypes(values url.Values) ([]query.Type, error) {
	groups, hasGroups := first(values, "groups")
	resources, hasResources := first(values, "resources")
	if !hasGroups && !hasResources {
		return nil, invalid("url query - `groups` or `resources` is required")
	}
	if err := checkText("groups", groups); err != nil {
		return nil, err
	}
	if err := checkText("resources", resources); err != nil {
		return nil, err
	}
	var types []query.Type
	if hasGroups {
		for _, text := range pieces(groups) {
			if text == query.AnyGroup {
				return []query.Type{{Group: query.AnyGroup}}, nil
			}
			t, ok := groupType(text)
			if !ok {
				return nil, invalid("groups query: unexpected GroupVersion string: %s, expect <group> or <group>/<version>", text)
			}
			types = append(types, t)
		}
	}
	if hasResources {
		for _, text := range pieces(resources) {
			t, ok := resourceType(text)
			if !ok {
				return nil, invalid("resources query: unexpected GroupVersionResource string: %s, "+
					"expect <group>/<resource> or <group>/<version>/<resource>", text)
			}
			types = append(types, t)
		}
	}
	return types, nil
}

func pieces(list string) []string {
	return strings.Split(strings.ReplaceAll(list, " ", ""), ",")
}

// groupType reads group or group/version. A * would select more here than it
// says.
func groupType(text string) (query.Type, bool) {
	group, version, _ := strings.Cut(text, "/")
	return query.Type{Group: group, Version: version}, group != query.AnyGroup && !strings.Contains(version, "/")
}

// resourceType reads group/resource or group/version/resource.
func resourceType(text string) (query.Type, bool) {
	parts := strings.Split(text, "/")
	var t query.Type
	switch len(parts) {
	case 2:
		t = query.Type{Group: parts[0], Resource: parts[1]}
	case 3:
		t = query.Type{Group: parts[0], Version: parts[1], Resource: parts[2]}
	}
	return t, t.Resource != "" && t.Group != query.AnyGroup
}
