package synchromanager

import (
	"fmt"
	"slices"
	"strings"

	"clusterpedia.io/storage-api/storage"
)

// label is one by which the metrics of resources are told apart.
type label struct {
	name  string
	value func(cluster string, r storage.Resource) string
}

// noLabels is the value of --resource-synchro-metrics-labels for none.
const noLabels = "empty"

// scopes returns the labels that a word of --resource-synchro-metrics-labels stands
// for, nil if there is no such word.
func scopes(word string) []string {
	switch word {
	case noLabels:
		return []string{}
	case "cluster":
		return []string{"cluster"}
	case "gv", "groupversion":
		return []string{"group", "version"}
	case "resource":
		return []string{"resource"}
	case "gvr":
		return []string{"group", "version", "resource"}
	}
	return nil
}

// parseLabels reads --resource-synchro-metrics-labels.
func parseLabels(text string) ([]label, error) {
	var names []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		scope := scopes(word)
		if scope == nil {
			return nil, fmt.Errorf("--resource-synchro-metrics-labels: resource synchro metrics scope '%s' is not supported, use cluster, gv, resource, gvr or %s", word, noLabels)
		}
		names = append(names, scope...)
	}
	all := []label{
		{"cluster", func(cluster string, _ storage.Resource) string { return cluster }},
		{"group", func(_ string, r storage.Resource) string { return r.Group }},
		{"version", func(_ string, r storage.Resource) string { return r.Version }},
		{"resource", func(_ string, r storage.Resource) string { return r.Resource }},
	}
	return slices.DeleteFunc(all, func(l label) bool { return !slices.Contains(names, l.name) }), nil
}
