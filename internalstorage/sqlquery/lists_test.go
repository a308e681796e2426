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
