package storagetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

func testOrder(t *testing.T, s suite) {
	st := s.start(t)
	stored := storeForOrder(t, st)
	check := func(t *testing.T, order ...query.Order) {
		q := query.Query{Order: order}
		if got, want := list(t, st, q), reference(&q, stored); !sameKeys(got, want) {
			t.Errorf("order %v: got %s\nwant %s", order, keys(got), keys(want))
		}
	}
	t.Run("default", func(t *testing.T) {
		t.Parallel()
		check(t)
	})
	for _, field := range query.OrderFields() {
		for _, desc := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,desc=%t", field, desc), func(t *testing.T) {
				t.Parallel()
				check(t, query.Order{By: field, Desc: desc})
				for _, second := range query.OrderFields() {
					if second != field {
						check(t, query.Order{By: field, Desc: desc}, query.Order{By: second, Desc: !desc})
					}
				}
			})
		}
	}
	t.Run("all fields", func(t *testing.T) {
		t.Parallel()
		var order []query.Order
		for i, field := range query.OrderFields() {
			order = slices.Insert(order, 0, query.Order{By: field, Desc: i%2 == 0})
		}
		check(t, order...)
	})
	t.Run("in each part of a filter", func(t *testing.T) {
		t.Parallel()
		q := query.Query{Clusters: []string{"c1"}, Types: []query.Type{typeOf(pods)}, Order: []query.Order{{By: query.ByName, Desc: true}}}
		if got, want := list(t, st, q), reference(&q, stored); !sameKeys(got, want) {
			t.Errorf("got %s\nwant %s", keys(got), keys(want))
		}
	})
}

// storeForOrder stores objects whose fields are hard to sort, and returns them as
// they are stored.
func storeForOrder(t *testing.T, st storage.Storage) []*object.Object {
	// Sorted bytewise: that a database's language sorts them otherwise is the
	// point.
	texts := []string{"-a", ".a", "A", "B", "Z", "a", "a b", "a-b", "a.b", "aB", "a_b", "ab", "b", "z", "Ä", "ß", "ä", "é", "一", "😀"}
	versions := []string{"", "0", "1", "2", "9", "10", "0010", "100", "-5", "a", "999999999999999999", "1000000000000000000", "18446744073709551615"}
	var all []*object.Object
	for i, text := range texts {
		x := thing{
			cluster: []string{"c1", "C1", "c-1", "c.1", "c10", "c2"}[i%6], namespace: texts[(i*7)%len(texts)], name: text,
			resource: []object.Resource{pods, deployments, widgets, widgetsAlpha, nodes}[i%5], uid: "uid-" + texts[(i*11)%len(texts)],
			kind: "Kind" + texts[(i*13)%len(texts)], created: epoch.Add(time.Duration(i%4) * time.Second),
		}
		if i%3 == 0 {
			x.owners, x.controlled = []string{"owner-" + texts[(i*3)%len(texts)], "other"}, true
		}
		if i%4 == 1 {
			x.deleted = epoch.Add(time.Duration(10-i) * time.Hour)
		}
		o := x.object()
		o.ResourceVersion = versions[i%len(versions)]
		all = append(all, o)
		all = append(all, thing{cluster: "c1", namespace: "default", name: text}.object())
	}
	all[3].CreatedAt = time.Time{}
	put(t, st, all...)
	stored := list(t, st, query.Query{})
	if len(stored) != len(all) {
		t.Fatalf("stored %d objects, listed %d", len(all), len(stored))
	}
	return stored
}
