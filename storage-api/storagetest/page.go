package storagetest

import (
	"fmt"
	"testing"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

func testPage(t *testing.T, s suite) {
	s.each(t, []test{
		{"limit and offset", pageLimit},
		{"count", pageCount},
		{"continue in many orders", pageContinue},
		{"tokens belong to their query", pageTokens},
	})
}

func pageLimit(t *testing.T, st storage.Storage) {
	put(t, st, objects(thing{name: "a"}, thing{name: "b"}, thing{name: "c"}, thing{name: "d"}, thing{name: "e"})...)
	for _, x := range []struct {
		limit, offset int64
		want          string
		more          bool
	}{
		{0, 0, "a b c d e", false},
		{1, 0, "a", true},
		{4, 0, "a b c d", true},
		{5, 0, "a b c d e", false},
		{6, 0, "a b c d e", false},
		{1 << 62, 0, "a b c d e", false},
		{0, 2, "c d e", false},
		{2, 2, "c d", true},
		{3, 2, "c d e", false},
		{1, 4, "e", false},
		{1, 5, "", false},
		{3, 1000, "", false},
		{0, 1 << 62, "", false},
	} {
		t.Run(fmt.Sprintf("limit=%d,offset=%d", x.limit, x.offset), func(t *testing.T) {
			t.Parallel()
			q := query.Query{Limit: x.limit, Offset: x.offset}
			got, page := listPage(t, st, q)
			if names(got) != x.want {
				t.Errorf("got %q, want %q", names(got), x.want)
			}
			if (page.Continue != "") != x.more {
				t.Errorf("there is a continue token: %t, there are more objects: %t", page.Continue != "", x.more)
			}
			if page.Remaining != nil {
				t.Errorf("remaining is %d, though nobody asked", *page.Remaining)
			}
			if page.Continue != "" {
				next := query.Query{Continue: page.Continue}
				rest := "a b c d e"[len("a b c d e")-2*(5-int(x.offset)-len(got))+1:]
				if behind := names(list(t, st, next)); behind != rest {
					t.Errorf("behind the page: got %q, want %q", behind, rest)
				}
			}
		})
	}
}

func pageCount(t *testing.T, st storage.Storage) {
	put(t, st, objects(thing{name: "a"}, thing{name: "b"}, thing{name: "c"}, thing{name: "d"}, thing{name: "e"}, thing{resource: secrets, name: "f"})...)
	onlyPods := query.Query{Types: []query.Type{typeOf(pods)}}
	_, page := listPage(t, st, query.Query{Types: onlyPods.Types, Limit: 2})
	for _, x := range []struct {
		name  string
		query query.Query
		want  int64
	}{
		{"no limit", query.Query{}, 0},
		{"limit", query.Query{Limit: 2}, 3},
		{"limit of all", query.Query{Limit: 5}, 0},
		{"offset", query.Query{Offset: 2}, 0},
		{"limit and offset", query.Query{Limit: 1, Offset: 2}, 2},
		{"offset behind the end", query.Query{Limit: 1, Offset: 40}, 0},
		{"continue", query.Query{Limit: 1, Continue: page.Continue}, 2},
		{"continue without limit", query.Query{Continue: page.Continue}, 0},
		{"nothing found", query.Query{Limit: 1, Names: []string{"none"}}, 0},
		{"order", query.Query{Limit: 2, Order: []query.Order{{By: query.ByName, Desc: true}}}, 3},
		{"visible", query.Query{Limit: 2, Visible: &query.Visibility{}}, 0},
	} {
		for _, count := range []query.Count{query.CountNone, query.CountCheap, query.CountExact} {
			t.Run(fmt.Sprintf("%s,count=%d", x.name, count), func(t *testing.T) {
				t.Parallel()
				q := x.query
				q.Types, q.Count = onlyPods.Types, count
				_, page := listPage(t, st, q)
				switch {
				case page.Remaining == nil && count == query.CountExact:
					t.Errorf("remaining is not set, want %d", x.want)
				case page.Remaining != nil && count == query.CountNone:
					t.Errorf("remaining is %d, though nobody asked", *page.Remaining)
				case page.Remaining != nil && *page.Remaining != x.want:
					t.Errorf("remaining is %d, want %d", *page.Remaining, x.want)
				}
			})
		}
	}
}

// pageContinue reads the same objects in pages of several sizes.
func pageContinue(t *testing.T, st storage.Storage) {
	stored := storeForOrder(t, st)
	orders := [][]query.Order{nil, {{By: query.ByNamespace}, {By: query.ByName, Desc: true}}, {{By: query.ByCluster, Desc: true}, {By: query.ByCreatedAt}}}
	for _, field := range query.OrderFields() {
		orders = append(orders, []query.Order{{By: field}}, []query.Order{{By: field, Desc: true}})
	}
	for _, order := range orders {
		for _, limit := range []int64{1, 3, 10, int64(len(stored))} {
			t.Run(fmt.Sprintf("%v,limit=%d", order, limit), func(t *testing.T) {
				t.Parallel()
				q := query.Query{Order: order, Limit: limit}
				want := reference(&q, stored)
				var got []*object.Object
				for {
					objects, page := listPage(t, st, q)
					got = append(got, objects...)
					q.Continue = page.Continue
					if q.Continue == "" || len(got) > len(want) {
						break
					}
					if int64(len(objects)) != limit {
						t.Errorf("a page that is not the last has %d objects", len(objects))
					}
				}
				if !sameKeys(got, want) {
					t.Errorf("got %s\nwant %s", keys(got), keys(want))
				}
			})
		}
	}
}
