package rows

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"clusterpedia.io/storage-api/object"
)

// Column cells has the version of the object, a line feed, object.Cells.Columns, a line feed
// and object.Cells.Values. By the version, cells are told from those that stand in a row
// since before it was changed by a release that knows no cells. They are not packed: that
// would save a seventh.

// maxCells is up to how many bytes of values are kept. Who shows more reads the document.
const maxCells = 64 << 10

// cellsMark is what stands between version and values.
func cellsMark(columns string) string { return "\n" + columns + "\n" }

// cellsNamed says whether cells of such columns are kept: the database can compare the name,
// and where it ends is clear.
func cellsNamed(columns string) bool {
	return columns != "" && utf8.ValidString(columns) && !strings.ContainsFunc(columns, unicode.IsControl)
}

// cellsSize returns how many bytes column cells takes of an object; 0 for NULL.
func cellsSize(o *object.Object) int {
	if o.Cells == nil || len(o.Cells.Values) > maxCells || !cellsNamed(o.Cells.Columns) {
		return 0
	}
	return len(o.ResourceVersion) + 1 + len(o.Cells.Columns) + 1 + len(o.Cells.Values)
}

// appendCells appends what column cells has of an object whose cells are kept.
func appendCells(dst []byte, o *object.Object) []byte {
	dst = append(append(dst, o.ResourceVersion...), '\n')
	dst = append(append(dst, o.Cells.Columns...), '\n')
	return append(dst, o.Cells.Values...)
}

// cutCells returns the values of a column cells, if it is of such a version and mark.
func cutCells(stored []byte, version, mark string) (values []byte, ok bool) {
	at, n := len(version), len(version)+len(mark)
	if len(stored) < n || string(stored[:at]) != version || string(stored[at:n]) != mark {
		return nil, false
	}
	return stored[n:], true
}
