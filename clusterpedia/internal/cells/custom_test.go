package cells

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor"

	"clusterpedia.io/clusterpedia/internal/builtin"
)

// columns are of all types.
var columns = []apiextensionsv1.CustomResourceColumnDefinition{
	{Name: "Size", Type: "integer", JSONPath: ".spec.size"},
	{Name: "Share", Type: "number", JSONPath: ".spec.share"},
	{Name: "On", Type: "boolean", JSONPath: ".spec.on", Priority: 1},
	{Name: "Phase", Type: "string", JSONPath: `.status.conditions[?(@.type=="Ready")].reason`, Description: "why"},
	{Name: "Since", Type: "date", JSONPath: ".status.since"},
	{Name: "Labels", Type: "string", JSONPath: ".metadata.labels"},
	{Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp"},
}

// Kept cells of custom resources are what Kubernetes prints of them.
func TestCustom(t *testing.T) {
	t.Parallel()
	k, err := NewPrinter(builtin.NewScheme()).Custom(columns)
	require.NoError(t, err)
	convertor, err := tableconvertor.New(columns)
	require.NoError(t, err)
	const start = `{"apiVersion":"example.io/v1","kind":"Widget","metadata":{"name":"w"`
	for _, doc := range []string{
		start + `}}`,
		start + `,"creationTimestamp":"1999-12-31T23:59:30Z","labels":{"a":"<b>"}},"spec":{"size":3,"share":0.5,"on":true},"status":{"since":"1999-12-31T00:00:00Z","conditions":[{"type":"Other","reason":"x"},{"type":"Ready","reason":"Good"}]}}`,
		start + `,"creationTimestamp":null},"spec":{"size":"3","share":1,"on":"yes"},"status":{"since":"yesterday","conditions":{}}}`,
		start + `,"creationTimestamp":"2000-01-02T00:00:00Z"},"spec":{"size":1.5e3},"status":{"since":5}}`,
		start + `},"spec":7,"status":{"since":""}}`,
		start + `},"status":{"since":"0001-01-01T00:00:00Z"}}`,
		start + `},"status":{"since":null}}`,
		start + `},"status":{"since":"1999-12-31T23:59:59.25+01:00"}}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			checkKept(t, k, []byte(doc), time.Minute, 50*time.Hour)
			obj, err := k.decode([]byte(doc))
			require.NoError(t, err)
			row, err := k.Row(obj)
			require.NoError(t, err)
			want, err := convertor.ConvertToTable(t.Context(), obj, nil)
			require.NoError(t, err)
			require.Equal(t, want.Rows[0].Cells, row.Cells)
			require.Equal(t, want.ColumnDefinitions, k.Definitions)
		})
	}
}

// What decides on the cells is part of their name.
func TestCustomNames(t *testing.T) {
	t.Parallel()
	printer := NewPrinter(builtin.NewScheme())
	k, err := printer.Custom(columns)
	require.NoError(t, err)
	same, err := printer.Custom(append([]apiextensionsv1.CustomResourceColumnDefinition(nil), columns...))
	require.NoError(t, err)
	require.Same(t, k, same)
	changed := append([]apiextensionsv1.CustomResourceColumnDefinition(nil), columns...)
	changed[3].JSONPath = ".status.phase" // its description does not say so
	other, err := printer.Custom(changed)
	require.NoError(t, err)
	require.NotEqual(t, k.Columns, other.Columns)
	again, err := NewPrinter(builtin.NewScheme()).Custom(columns)
	require.NoError(t, err)
	require.Equal(t, k.Columns, again.Columns)
	changed[3].JSONPath = "{"
	_, err = printer.Custom(changed)
	require.ErrorContains(t, err, "unrecognized column definition")
}

// Many clusters, and many requests, print by the same columns at once.
func TestCustomAtOnce(t *testing.T) {
	t.Parallel()
	k, err := NewPrinter(builtin.NewScheme()).Custom(columns)
	require.NoError(t, err)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			doc, err := json.Marshal(object{"apiVersion": "example.io/v1", "kind": "Widget", "metadata": object{"name": "w"}, "spec": object{"size": i}})
			if err != nil {
				t.Error(err)
			}
			for range 100 {
				values, err := k.Print(doc)
				var row []any
				if err != nil || json.Unmarshal(values, &row) != nil || row[1] != float64(i) {
					t.Errorf("%d: got %s, %v", i, values, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// No cells are kept whose printing could take longer, or more memory, than the size of an
// object allows: the columns are those of whoever may define a resource.
func TestUnbounded(t *testing.T) {
	t.Parallel()
	printer := NewPrinter(builtin.NewScheme())
	column := apiextensionsv1.CustomResourceColumnDefinition{Name: "A", Type: "string"}
	for path, kept := range map[string]bool{
		".spec.a":      true,
		".spec.a[0].b": true,
		`.status.conditions[?(@.type == "Ready")].status`: true,
		".metadata.labels['example\\.io/name']":           true,
		strings.Repeat("..b", 12):                         false,
		strings.Repeat("['b','b']", 40):                   false,
		".a}{range .b[*]}{.c}{end":                        false,
	} {
		column.JSONPath = path
		k, err := printer.Custom([]apiextensionsv1.CustomResourceColumnDefinition{column})
		require.NoError(t, err, path)
		require.Equal(t, kept, k.Columns != "", path)
		text, err := json.Marshal([]apiextensionsv1.CustomResourceColumnDefinition{column})
		require.NoError(t, err)
		k, err = printer.CustomJSON(text)
		require.NoError(t, err, path)
		require.Equal(t, kept, k != nil, path)
	}

	many := make([]apiextensionsv1.CustomResourceColumnDefinition, 1000)
	for i := range many {
		many[i] = apiextensionsv1.CustomResourceColumnDefinition{Name: fmt.Sprint(i), Type: "string", JSONPath: "."}
	}
	k, err := printer.Custom(many)
	require.NoError(t, err)
	require.Empty(t, k.Columns)
	text, err := json.Marshal(many)
	require.NoError(t, err)
	k, err = printer.CustomJSON(text)
	require.NoError(t, err)
	require.Nil(t, k)

	k, err = printer.Custom(many[:100])
	require.NoError(t, err)
	require.NotEmpty(t, k.Columns)
	doc := func(size int) []byte {
		return fmt.Appendf(nil, `{"apiVersion":"example.io/v1","kind":"Widget","metadata":{"name":"w"},"spec":%q}`, strings.Repeat("x", size))
	}
	_, err = k.Print(doc(1 << 10))
	require.NoError(t, err)
	_, err = k.Print(doc(1 << 20))
	require.ErrorIs(t, err, errLarge)
}
