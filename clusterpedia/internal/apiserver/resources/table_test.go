package resources_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/clusterpedia/internal/builtin"
	"clusterpedia.io/clusterpedia/internal/cells"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// keeping is a storage layer that keeps cells, and gives no more of an object than the query
// asks for.
type keeping struct {
	*shelf
	asked []query.Query
}

func (k *keeping) List(ctx context.Context, q *query.Query, yield func(*storage.Object) error) (storage.Page, error) {
	k.asked = append(k.asked, *q)
	return k.shelf.List(ctx, q, func(o *storage.Object) error {
		given := *o
		given.Cells = nil
		fits := o.Cells != nil && q.Projection == query.Cells && o.Cells.Columns == q.Columns
		if fits {
			given.Cells = o.Cells
		}
		if fits || q.Projection == query.Metadata {
			var doc struct {
				APIVersion string          `json:"apiVersion"`
				Kind       string          `json:"kind"`
				Metadata   json.RawMessage `json:"metadata"`
			}
			if err := json.Unmarshal(o.JSON, &doc); err != nil {
				return err
			}
			var err error
			if given.JSON, err = json.Marshal(doc); err != nil {
				return err
			}
		}
		return yield(&given)
	})
}

// Tables are the same whether their cells were kept or not, and read no more than they show.
func TestKeptCells(t *testing.T) {
	t.Parallel()
	kind := cells.NewPrinter(builtin.NewScheme()).Kind(schema.GroupKind{Kind: "Pod"})
	plain := fixture()
	plain.objects[0].JSON = fmt.Appendf(nil, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":%q,"namespace":"default","creationTimestamp":"2001-01-01T00:00:00Z"},`+
		`"status":{"phase":"Succeeded","containerStatuses":[{"restartCount":2,"lastState":{"terminated":{"finishedAt":"2002-01-01T00:00:00Z"}}}]}}`, plain.objects[0].Name)
	kept := &keeping{shelf: &shelf{objects: slices.Clone(plain.objects)}}
	for i := range kept.objects {
		o := &kept.objects[i]
		if o.Kind != "Pod" {
			continue
		}
		values, err := kind.Print(o.JSON)
		require.NoError(t, err)
		o.Cells = &storage.Cells{Columns: kind.Columns, Values: values}
	}
	other := kept.objects[1]
	kept.objects[1].Cells = &storage.Cells{Columns: "those of another release", Values: []byte(`["x"]`)}
	of := func(st storage.Storage, path, format string) (table metav1.Table, body string) {
		resp, body := get(t, serve(t, st), path, format)
		require.Equal(t, 200, resp.StatusCode, body)
		require.NoError(t, json.Unmarshal([]byte(body), &table), body)
		return table, body
	}
	for path, asked := range map[string]query.Query{
		"/all/api/v1/pods":                            {Projection: query.Cells, Columns: kind.Columns},
		"/all/api/v1/pods?includeObject=Metadata":     {Projection: query.Cells, Columns: kind.Columns},
		"/all/api/v1/pods?includeObject=None":         {Projection: query.Cells, Columns: kind.Columns},
		"/all/api/v1/pods?includeObject=Object":       {},
		"/one/apis/example.io/v1/widgets":             {Projection: query.Metadata},
		"/one/apis/policy/v1/podsecuritypolicies":     {Projection: query.Metadata},
		"/one/api/v1/namespaces/default/pods?limit=1": {Projection: query.Cells, Columns: kind.Columns},
	} {
		for _, format := range []string{asTable, asTable + ";pretty=1"} { // the latter by the stock handler
			kept.asked = nil
			_, body := of(kept, path, format)
			_, want := of(plain, path, asTable)
			require.JSONEq(t, want, body, path)
			last := kept.asked[len(kept.asked)-1]
			require.Equal(t, asked.Projection, last.Projection, path)
			require.Equal(t, asked.Columns, last.Columns, path)
		}
	}
	table, _ := of(kept, "/all/api/v1/pods", asTable)
	require.Len(t, table.Rows, 3)
	require.Regexp(t, `^2 \(.+ ago\)$`, table.Rows[0].Cells[4])
	require.NotEmpty(t, table.Rows[0].Conditions)

	// Integers stay what they are.
	large := other
	large.Cells = &storage.Cells{Columns: kind.Columns, Values: []byte(`["b",9007199254740993,"","","","","","",""]`)}
	kept.objects[1] = large
	for _, format := range []string{asTable, asTable + ";pretty=1"} {
		_, body := of(kept, "/all/api/v1/pods", format)
		require.Contains(t, body, "9007199254740993")
	}

	// What was kept and cannot be used hides no other row.
	other.Cells = &storage.Cells{Columns: kind.Columns, Values: []byte(`["too few"]`)}
	kept.objects[1] = other
	for _, format := range []string{asTable, asTable + ";pretty=1"} {
		table, body := of(kept, "/all/api/v1/pods", format)
		require.Len(t, table.Rows, 3)
		require.Equal(t, []any{"one", "b", nil, nil}, table.Rows[1].Cells[:4])
		require.Regexp(t, `"name": ?"b"`, string(table.Rows[1].Object.Raw), body)
	}
}

// Who wants the metadata alone gets no more in a table, whatever that shows or includes.
func TestTableOfMetadata(t *testing.T) {
	t.Parallel()
	for _, include := range []metav1.IncludeObjectPolicy{"", metav1.IncludeNone, metav1.IncludeMetadata, metav1.IncludeObject} {
		for _, format := range []string{asTable, asTable + ";pretty=1"} {
			kept := &keeping{shelf: fixture()}
			resp, body := get(t, serve(t, kept), "/all/api/v1/pods?onlyMetadata=true&includeObject="+string(include), format)
			require.Equal(t, 200, resp.StatusCode, body)
			require.Len(t, kept.asked, 1)
			require.Equal(t, query.Metadata, kept.asked[0].Projection, "%s %s", include, format)
			require.NotContains(t, body, `"Running"`)
		}
	}
}
