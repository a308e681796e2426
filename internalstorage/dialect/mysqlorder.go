package dialect

import (
	"fmt"
	"slices"
)

// orderColumn is a generated column that has what rows are sorted by for another one.
type orderColumn struct{ of, name, kind string }

// orderColumns are made for indexes, as MariaDB has none of expressions. They are stored:
// MariaDB loses rows that it reads along an index of virtual ones and then sorts, while others
// write.
func orderColumns() []orderColumn {
	return []orderColumn{
		{"resource_version", "order_resource_version", "bigint"},
		{"deleted_at", "order_deleted_at", "datetime(3)"},
	}
}

// orderColumnsOf returns those of them that there are, by what they are made of.
func orderColumnsOf(have Schema) map[string]string {
	found := map[string]string{}
	for _, c := range orderColumns() {
		if have.Columns[c.name] != "" {
			found[c.of] = c.name
		}
	}
	return found
}

// OrderColumn implements Dialect.
func (d mysql) OrderColumn(column string) string { return d.orderColumns[column] }

// orderSteps makes the indexes for orders, and the generated columns that they need. To add
// one to a table with rows writes it anew: that is done where it holds up nobody, and else left
// to the administrator. Nobody drops a column whose index is asked for no more: another process
// may sort by it.
func (d mysql) orderSteps(have Schema) []Step {
	d.orderColumns = orderColumnsOf(have)
	created := len(have.Columns) == 0
	columns := map[string]string{}
	for _, c := range orderColumns() {
		if d.orderColumns[c.of] == "" {
			columns[c.of] = fmt.Sprintf("ALTER TABLE resources ADD COLUMN %s %s GENERATED ALWAYS AS (%s) STORED", c.name, c.kind, OrderOf(d, c.of))
		}
	}
	for _, c := range orderColumns() {
		d.orderColumns[c.of] = c.name
	}
	orders, rest := orderIndexes(d, have, d.orders)
	var steps, optional []Step
	for i, column := range d.orders {
		if have.old() { // each list is sorted
			break
		}
		index := indexSteps(have, createIndex(have), [][2]string{{orders[i][0], "resources " + orders[i][1]}})
		add := columns[column]
		switch {
		case add == "":
			steps = append(steps, index...)
		case created:
			steps = append(append(steps, Step{Statements: []string{add}}), index...)
		default:
			step := Step{Optional: true, Summary: "keep what " + column + " is sorted by, and index it", Statements: []string{add + ", LOCK=NONE"}}
			for _, s := range index {
				step.Statements = append(step.Statements, s.Statements...)
			}
			optional = append(optional, step)
		}
	}
	for _, name := range rest {
		steps = append(steps, Step{Statements: []string{"DROP INDEX " + name + " ON resources"}})
	}
	return slices.Concat(steps, optional)
}
