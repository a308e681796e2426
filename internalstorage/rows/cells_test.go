package rows

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/object"
)

func TestCells(t *testing.T) {
	t.Parallel()
	o := &object.Object{ResourceVersion: "17", Cells: &object.Cells{Columns: "pods", Values: []byte(`["a\n"]`)}}
	stored := appendCells([]byte("x"), o)[1:]
	require.Equal(t, "17\npods\n[\"a\\n\"]", string(stored))
	require.Len(t, stored, cellsSize(o))
	values, ok := cutCells(stored, "17", cellsMark("pods"))
	require.True(t, ok)
	require.Equal(t, o.Cells.Values, values)
	for _, other := range [][2]string{{"1", "pods"}, {"7", "pods"}, {"", "pods"}, {"17", "pod"}, {"17", "pods2"}, {"17", ""}, {"17\n", "pods"}, {"17", strings.Repeat("p", 100)}} {
		_, ok := cutCells(stored, other[0], cellsMark(other[1]))
		require.False(t, ok, other)
	}

	require.Zero(t, cellsSize(&object.Object{}))
	for columns, kept := range map[string]bool{
		"": false, "pods/v1 (é)": true, "two\nlines": false, "\x00": false, "a\u0085": false, "a\xff": false,
	} {
		o.Cells.Columns = columns
		require.Equal(t, kept, cellsSize(o) > 0, "%q", columns)
	}
	o.Cells = &object.Cells{Columns: "large", Values: make([]byte, maxCells+1)}
	require.Zero(t, cellsSize(o))
}
