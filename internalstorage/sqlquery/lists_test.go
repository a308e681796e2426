package sqlquery

import (
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/query"
)

// Lists in lists are bounded, whoever asks: statements double with each of them.
func TestLists(t *testing.T) {
	t.Parallel()
	path := func(lists, index int) []query.PathElement {
		var all []query.PathElement
		for range lists {
			all = append(all, query.PathElement{Name: "a", List: true, Index: index})
		}
		return append(all, query.PathElement{Name: "b"})
	}
	for _, dialect := range []string{"sqlite", "mysql", "postgres"} {
		for _, index := range []int{query.AllElements, 0} {
			for _, operator := range []query.Operator{query.Exists, query.NotExists} {
				ask := func(lists int) (Expr, error) {
					return New(dialectOf(t, dialect), &query.Query{Fields: []query.FieldRequirement{{Path: path(lists, index), Operator: operator}}}).Where()
				}
				most, err := ask(maxLists)
				require.NoError(t, err)
				require.Less(t, len(most.SQL), 8<<10)
				var invalid *query.InvalidQueryError
				for _, lists := range []int{maxLists + 1, 60} {
					_, err = ask(lists)
					require.ErrorAs(t, err, &invalid)
					require.Equal(t, "fieldSelector", invalid.Field)
					require.Contains(t, invalid.Error(), "a path may have 4 lists")
				}
			}
		}
	}
}

// TestNeedLists tells what the database can answer where documents stand without lists.
func TestNeedLists(t *testing.T) {
	t.Parallel()
	plain := []query.PathElement{{Name: "spec"}, {Name: "a"}}
	list := []query.PathElement{{Name: "spec"}, {Name: "a", List: true}, {Name: "b"}}
	for _, x := range []struct {
		requirement query.FieldRequirement
		need        bool
	}{
		{query.FieldRequirement{Path: plain, Operator: query.Exists}, false},
		{query.FieldRequirement{Path: plain, Operator: query.In, Values: []string{"x", "1"}}, false},
		{query.FieldRequirement{Path: plain, Operator: query.NotIn, Values: []string{"x", `["y"]`}}, true},
		{query.FieldRequirement{Path: plain, Operator: query.In, Values: []string{`{"y":[1]}`}}, true},
		{query.FieldRequirement{Path: plain, Operator: query.GreaterThan, Values: []string{"1"}}, false},
		{query.FieldRequirement{Path: list, Operator: query.NotExists}, true},
	} {
		q := &query.Query{Fields: []query.FieldRequirement{x.requirement}}
		require.Equal(t, x.need, len(NeedLists(q)) > 0, "%v", x.requirement)
		b := New(dialectOf(t, "postgres"), q)
		b.NoLists = true
		where, err := b.Where()
		require.NoError(t, err)
		require.Equal(t, x.need, where.SQL == "", "%v", x.requirement)
	}
}
