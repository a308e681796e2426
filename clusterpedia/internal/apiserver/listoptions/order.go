package listoptions

import (
	"slices"
	"strings"

	"clusterpedia.io/storage-api/query"
)

// order is the list of fields to sort by: "name desc,cluster" in a URL, and the
// values "name_desc" and "cluster" in a label, which are taken in their own
// order.
type order struct{ parser *parser }

func (s order) fromURL(list string) (bool, error) {
	list = strings.TrimSpace(list)
	if list == "" {
		return false, nil
	}
	var terms []orderTerm
	for _, piece := range strings.Split(list, ",") {
		field, direction, directed := strings.Cut(piece, " ")
		if directed && direction != "desc" {
			return false, invalid("Invalid Query OrderBy")
		}
		terms = append(terms, orderTerm{field, directed})
	}
	return true, s.set(terms)
}

func (s order) fromLabel(values []string) (bool, error) {
	var terms []orderTerm
	for _, value := range values {
		field, desc := strings.CutSuffix(value, "_desc")
		terms = append(terms, orderTerm{field, desc})
	}
	return true, s.set(terms)
}

// orderTerm is one field to sort by, in the client's words.
type orderTerm struct {
	field string
	desc  bool
}

// set turns the client's words into the order of the query. Only known fields
// pass. Of a field given twice the first counts: the second decides nothing.
func (s order) set(terms []orderTerm) error {
	var by []query.Order
	add := func(field query.OrderField, desc bool) {
		if !slices.ContainsFunc(by, func(o query.Order) bool { return o.By == field }) {
			by = append(by, query.Order{By: field, Desc: desc})
		}
	}
	unique := false
	for _, term := range terms {
		field, ok := orderField(term.field)
		if !ok {
			return invalid("Invalid Query OrderBy: unknown field %q, use one of %s", term.field, knownFields())
		}
		switch {
		case unique: // nothing is left to decide
		case field == rowID:
			unique = true
			s.parser.warn("objects have no id to sort by, the default order was used in its place")
			if term.desc {
				for _, f := range defaultOrder() {
					add(f, true)
				}
			}
		default:
			add(field, term.desc)
		}
	}
	s.parser.query.Order = by
	return nil
}

// rowID is a name that clients use for no field of an object but for the row of
// the SQL table, to get any order that is total. The default order is.
const rowID query.OrderField = "id"

// defaultOrder returns the fields of the order that decides at last.
func defaultOrder() []query.OrderField {
	return []query.OrderField{
		query.ByGroup, query.ByVersion, query.ByResource, query.ByCluster, query.ByNamespace, query.ByName,
	}
}

// orderField finds a field by the name that clients know from the SQL table:
// case differs not, and names that are words of SQL had to be qualified or
// quoted.
func orderField(name string) (query.OrderField, bool) {
	name = strings.TrimPrefix(strings.ToLower(name), "resources.")
	field := query.OrderField(strings.Trim(name, "`\""))
	return field, field == rowID || slices.Contains(query.OrderFields(), field)
}

func knownFields() string {
	var names []string
	for _, f := range query.OrderFields() {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}
