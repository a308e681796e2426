package dialect

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"clusterpedia.io/storage-api/query"
)

// children selects the rows that are owned by those of table o: by their controller,
// and by one of their other owners.
func children(d Dialect, level string) (byController, byOther string) {
	same := func(alias string) string {
		return d.Same(alias+".cluster", "o.cluster") + " AND " + d.Same(alias+".owner_uid", "o.uid")
	}
	return "SELECT " + level + " AS level, r.id, r.cluster, r.uid FROM %s resources r WHERE r.owner_uid <> '' AND " + same("r"),
		"SELECT " + level + " AS level, s.id, s.cluster, s.uid FROM %s resource_owners x JOIN resources s ON s.id = x.id WHERE " + same("x")
}

// Owned is lateral, lest the planner, which cannot know how few rows there are to
// begin with, joins all that are owned by anybody.
func (d postgres) Owned(n int) string {
	byController, byOther := children(d, "o.level + 1")
	return fmt.Sprintf("SELECT l.level, l.id, l.cluster, l.uid FROM owned o CROSS JOIN LATERAL ("+byController+" UNION ALL "+byOther+" OFFSET 0) l WHERE o.level < %d", "", "", n)
}

// Owned implements Dialect.
func (d sqlite) Owned(n int) string { return ownedTwice(d, n) }

// Owned implements Dialect.
func (d mysql) Owned(n int) string { return ownedTwice(d, n) }

// ownedTwice recurs in two ways, for neither pushes a condition into a union.
func ownedTwice(d Dialect, n int) string {
	byController, byOther := children(d, "o.level + 1")
	below := fmt.Sprintf(" AND o.level < %d", n)
	return fmt.Sprintf(byController+below+" UNION "+byOther+below, "owned o CROSS JOIN", "owned o CROSS JOIN")
}

// Created is what the index is for that begins with the type and the time: without
// statistics the planner may take it for as good as the unique one for any list of a
// type, and sort. It does not consider it for those that don't say this.
func (postgres) Created() Expr { return Expr{SQL: everCreated} }

// Created implements Dialect.
func (sqlite) Created() Expr { return Expr{} }

// Created implements Dialect.
func (mysql) Created() Expr { return Expr{} }

// Behind implements Dialect.
func (postgres) Behind(columns []Sorted) Expr { return behindRow(columns) }

// Behind implements Dialect.
func (sqlite) Behind(columns []Sorted) Expr { return behindRow(columns) }

// Behind implements Dialect: MySQL uses no index for a comparison of rows.
func (mysql) Behind(columns []Sorted) Expr { return behindEach(columns) }

func behindRow(columns []Sorted) Expr {
	if slices.ContainsFunc(columns, func(c Sorted) bool { return c.Desc != columns[0].Desc }) {
		return behindEach(columns)
	}
	texts, args := make([]string, len(columns)), make([]any, len(columns))
	for i, c := range columns {
		texts[i], args[i] = c.SQL, c.Value
	}
	if len(columns) == 1 {
		return Bind(texts[0]+columns[0].behind()+" ?", args...)
	}
	return Bind("("+strings.Join(texts, ", ")+")"+columns[0].behind()+" "+Tuples(len(columns), 1), args...)
}

func (c Sorted) behind() string {
	if c.Desc {
		return " <"
	}
	return " >"
}

// behindEach has an alternative for each column by which a row may differ first. The
// bound of the first column is what an index can be entered at.
func behindEach(columns []Sorted) Expr {
	var alternatives, equal []Expr
	for _, c := range columns {
		alternatives = append(alternatives, And(append(slices.Clone(equal), Bind(c.SQL+c.behind()+" ?", c.Value))))
		equal = append(equal, Bind(c.SQL+" = ?", c.Value))
	}
	return And([]Expr{Bind(columns[0].SQL+columns[0].behind()+"= ?", columns[0].Value), Or(alternatives)})
}

// labelsOf is what the index of labels has of a row: see postgres.Online.
const labelsOf = "(object -> 'metadata' -> 'labels')"

// maxLabelValues is from how many values on one look at all rows is better than as many
// searches.
const maxLabelValues = 100

// Label implements Dialect.
func (postgres) Label(key string, values []string) (Expr, bool) {
	if len(values) > maxLabelValues {
		return Expr{}, false
	}
	alternatives := make([]Expr, len(values))
	for i, value := range values {
		text, err := json.Marshal(map[string]string{key: value})
		if err != nil {
			return Expr{}, false
		}
		alternatives[i] = Bind(labelsOf+" @> CAST(? AS jsonb)", string(text))
	}
	return Or(alternatives), true
}

// fieldParts are the parts of documents whose fields can be indexed.
func fieldParts() []string { return []string{"spec", "status"} }

// notIndexed are the fields of these parts that the index leaves out: they are large, are
// lists, from which the index could not tell what they hold, and are searched rarely.
func notIndexed() []string {
	return []string{"containers", "initContainers", "ephemeralContainers", "volumes", "template", "conditions", "containerStatuses", "initContainerStatuses"}
}

// fieldsOf is what the index of fields has of a part of the document.
func fieldsOf(part string) string {
	return fmt.Sprintf("(CASE WHEN jsonb_typeof(object -> '%[1]s') = 'object' THEN (object -> '%[1]s') - '{%[2]s}'::text[] END)", part, strings.Join(notIndexed(), ","))
}

// Field implements Dialect. The condition holds for more than is asked for: a number
// equals one that is spelled otherwise.
func (d postgres) Field(path []query.PathElement, texts []string) (Expr, bool) {
	if !d.fieldIndex || len(path) < 2 || len(texts) > maxLabelValues || !slices.Contains(fieldParts(), path[0].Name) ||
		slices.ContainsFunc(path, func(e query.PathElement) bool { return e.List }) || slices.Contains(notIndexed(), path[1].Name) {
		return Expr{}, false
	}
	var alternatives []Expr
	for _, text := range texts {
		values := []any{text}
		// Numbers, truths and the text of what is neither stand in documents without quotes.
		var bare any
		if err := json.Unmarshal([]byte(text), &bare); err == nil {
			switch bare.(type) {
			case float64, bool:
				values = append(values, json.RawMessage(text))
			case string, nil:
			default:
				return Expr{}, false
			}
		}
		for _, value := range values {
			for i := len(path) - 1; i > 0; i-- {
				value = map[string]any{path[i].Name: value}
			}
			document, err := json.Marshal(value)
			if err != nil {
				return Expr{}, false
			}
			alternatives = append(alternatives, Bind(fieldsOf(path[0].Name)+" @> CAST(? AS jsonb)", string(document)))
		}
	}
	return Or(alternatives), true
}

// Field implements Dialect.
func (sqlite) Field([]query.PathElement, []string) (Expr, bool) { return Expr{}, false }

// Field implements Dialect.
func (mysql) Field([]query.PathElement, []string) (Expr, bool) { return Expr{}, false }

// Label implements Dialect.
func (d sqlite) Label(key string, values []string) (Expr, bool) {
	return labelTable(d.labels, key, values)
}

// Label implements Dialect.
func (d mysql) Label(key string, values []string) (Expr, bool) {
	return labelTable(d.labels, key, values)
}

func labelTable(ready bool, key string, texts []string) (Expr, bool) {
	if !ready {
		return Expr{}, false
	}
	return Exprf("resources.id IN (SELECT id FROM resource_labels WHERE name = %s AND value IN %s)", Bind("?", key), values("?", texts)), true
}
