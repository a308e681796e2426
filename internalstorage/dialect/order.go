package dialect

import (
	"slices"
	"strings"
)

// OrderOf is what rows are sorted by for a column, such that databases agree.
func OrderOf(d Dialect, column string) string {
	if generated := d.OrderColumn(column); generated != "" {
		return generated
	}
	switch column {
	case "resource_version":
		return d.Number(column)
	case "deleted_at":
		// What is not being deleted has NULL, which databases sort as they like.
		return "COALESCE(deleted_at, " + d.NoTime() + ")"
	case "created_at", "synced_at":
		return column
	}
	return d.Ordered(d.Column(column))
}

// orderPrefix is what the names of the indexes begin with that are made for orders.
const orderPrefix = "idx_order_"

// orderIndexes returns the indexes for lists of one type that are sorted by columns, and
// the names of those that are there and that nobody asks for any more.
func orderIndexes(d Dialect, have Schema, columns []string) (wanted [][2]string, rest []string) {
	for _, column := range columns {
		by := OrderOf(d, column)
		if by != d.OrderColumn(column) && (column == "resource_version" || column == "deleted_at") {
			by = "(" + by + ")" // an expression
		}
		if column == "deleted_at" || column == "synced_at" { // the latest ones are asked for
			by += " DESC"
		}
		parts := []string{d.Column("group"), "version", "resource", by}
		for _, key := range KeyColumns()[3:] {
			if key != column {
				parts = append(parts, OrderOf(d, key))
			}
		}
		wanted = append(wanted, [2]string{orderPrefix + column, "(" + strings.Join(parts, ", ") + ")"})
	}
	for name := range have.Indexes {
		if column, ok := strings.CutPrefix(name, orderPrefix); ok && !slices.Contains(columns, column) {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	return wanted, rest
}

// OrderColumn implements Dialect.
func (postgres) OrderColumn(string) string { return "" }

// OrderColumn implements Dialect.
func (sqlite) OrderColumn(string) string { return "" }
