package storagetest

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// eventsOf returns the recorded events of a stored object as "uid/version",
// sorted and separated by blanks.
func eventsOf(t testing.TB, st storage.Storage, o *object.Object) string {
	t.Helper()
	q := query.Query{
		Types: []query.Type{typeOf(o.Resource)}, Clusters: []string{o.Cluster}, Namespaces: []string{o.Namespace}, Names: []string{o.Name},
		Events: true,
	}
	found := list(t, st, q)
	if len(found) != 1 {
		t.Fatalf("listed %s, found %d objects", o.Key, len(found))
	}
	if found[0].Events == nil {
		return ""
	}
	var events []struct {
		Metadata struct{ UID, ResourceVersion string }
	}
	if err := json.Unmarshal(found[0].Events, &events); err != nil || len(events) == 0 {
		t.Fatalf("the events of %s are no filled JSON array: %q: %v", o.Key, found[0].Events, err)
	}
	var texts []string
	for _, e := range events {
		texts = append(texts, e.Metadata.UID+"/"+e.Metadata.ResourceVersion)
	}
	slices.SortFunc(texts, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) })
	return strings.Join(texts, " ")
}
