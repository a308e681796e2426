package storagetest

import (
	"fmt"
	"strings"
	"testing"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// alike returns texts that databases like to take for one another: by case, by
// trailing blanks, by Unicode's normal forms and by what a collation ignores.
func alike() []string {
	return []string{
		"web", "Web", "WEB", "web ", "web  ", " web", "web\t", "web\u00a0",
		"w\u00e9b", "we\u0301b", "w\u00c9b", "weB", "\uff57\uff45\uff42",
		"we\u00adb", "we\u200bb", "we\u200db", "we-b", "we_b", "we.b", "web.", "web\u0001",
		"stra\u00dfe", "strasse", "STRASSE", "i", "I", "\u0131", "\u0130", "\u017f", "s", "S", "1", "01", "\u0661", "\u2460",
	}
}

// keyParts change one part of an object's key.
func keyParts() map[string]func(*thing, string) {
	return map[string]func(*thing, string){
		"cluster":   func(x *thing, text string) { x.cluster = text },
		"group":     func(x *thing, text string) { x.resource.Group = text },
		"version":   func(x *thing, text string) { x.resource.Version = text },
		"resource":  func(x *thing, text string) { x.resource.Resource = text },
		"namespace": func(x *thing, text string) { x.namespace = text },
		"name":      func(x *thing, text string) { x.name = text },
	}
}

func testKey(t *testing.T, s suite) {
	for part, set := range keyParts() {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			t.Run("alike", func(t *testing.T) {
				t.Parallel()
				testAlike(t, s, set, alike())
			})
			t.Run("long", func(t *testing.T) {
				t.Parallel()
				// As long as Kubernetes allows, and different at the very end only.
				length := map[string]int{"cluster": 253, "group": 253, "name": 253}[part]
				if length == 0 {
					length = 63
				}
				stem := strings.Repeat("n", length-1)
				testAlike(t, s, set, []string{stem + "a", stem + "b", stem + "A", stem})
			})
		})
	}
	s.each(t, []test{
		{"long in all parts", keyLong},
		{"the parts are not joined", keyJoined},
	})
}

// testAlike stores objects whose keys differ in one part alone, and handles each
// without touching the others.
func testAlike(t *testing.T, s suite, set func(*thing, string), texts []string) {
	st := s.start(t)
	var all []*object.Object
	for i, text := range texts {
		x := thing{cluster: "c1", namespace: "default", name: "object", resource: widgets, kind: "Widget", uid: fmt.Sprint("uid-", i), version: fmt.Sprint(i)}
		set(&x, text)
		all = append(all, x.object())
	}
	put(t, st, all...)
	checkStored(t, st, all...)
	var clusters []*object.Object
	for _, o := range all {
		checkObject(t, get(t, st, o.Key), o)
		q := query.Query{
			Types: []query.Type{typeOf(o.Resource)}, Clusters: []string{o.Cluster}, Namespaces: []string{o.Namespace}, Names: []string{o.Name},
		}
		if got := list(t, st, q); len(got) != 1 || got[0].Key != o.Key {
			t.Errorf("listed by the key %s: got %s", o.Key, keys(got))
		}
		if o.Cluster == "c1" {
			clusters = append(clusters, o)
		}
	}
	if got := versions(t, st, "c1"); len(got) != len(clusters) {
		t.Errorf("there are %d versions of c1, want %d", len(got), len(clusters))
	}
	for i, o := range all {
		if err := st.Apply(t.Context(), storage.Writer{Cluster: o.Cluster}, deletes(o)); err != nil {
			t.Fatalf("delete %s: %v", o.Key, err)
		}
		checkStored(t, st, all[i+1:]...)
	}
}

// keyLong stores an object with the longest of all names.
func keyLong(t *testing.T, st storage.Storage) {
	long := thing{
		cluster: strings.Repeat("c", 253), namespace: strings.Repeat("s", 63), name: strings.Repeat("n", 253),
		resource: object.Resource{Group: strings.Repeat("g", 253), Version: strings.Repeat("v", 63), Resource: strings.Repeat("r", 63)},
		kind:     strings.Repeat("K", 63), uid: strings.Repeat("u", 128), version: strings.Repeat("9", 64),
		labels: map[string]string{strings.Repeat("l", 253) + "/" + strings.Repeat("k", 63): strings.Repeat("v", 63)},
		owners: []string{strings.Repeat("o", 128)}, controlled: true,
	}.object()
	put(t, st, long)
	checkStored(t, st, long)
	for key := range long.Labels {
		q := query.Query{Labels: []query.LabelRequirement{{Key: key, Operator: query.In, Values: []string{long.Labels[key]}}}}
		if got := list(t, st, q); len(got) != 1 {
			t.Errorf("found %d objects by the long label", len(got))
		}
	}
}

// keyJoined stores objects whose keys are equal if their parts are written one
// behind the other.
func keyJoined(t *testing.T, st storage.Storage) {
	resource := func(group, version, resource string) object.Resource {
		return object.Resource{Group: group, Version: version, Resource: resource}
	}
	all := objects(
		thing{namespace: "a", name: "bc", resource: widgets},
		thing{namespace: "ab", name: "c", resource: widgets},
		thing{namespace: "", name: "abc", resource: widgets},
		thing{namespace: "a", name: "b/c", resource: widgets},
		thing{namespace: "a/b", name: "c", resource: widgets},
		thing{namespace: "", name: "a/b/c", resource: widgets},
		thing{namespace: "a", name: "b", resource: resource("x", "v1", "as")},
		thing{namespace: "a", name: "b", resource: resource("xv", "1", "as")},
		thing{namespace: "a", name: "b", resource: resource("", "xv1", "as")},
		thing{namespace: "a", name: "b", resource: resource("x/v1", "as", "a")},
		thing{namespace: "a", name: "b", resource: resource("x", "v1/as", "a")},
		thing{cluster: "c", namespace: "1a", name: "bc", resource: widgets},
	)
	put(t, st, all...)
	checkStored(t, st, all...)
	put(t, st, all...)
	checkStored(t, st, all...)
}
