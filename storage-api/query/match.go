package query

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"clusterpedia.io/storage-api/object"
)

// Match reports whether o satisfies every condition of q; order, projection and
// paging play no part. For a query with an Owner, owners must be the result of
// FindOwners; otherwise it may be nil.
//
// Match is the reference: a storage layer may evaluate a query in any way that
// gives the same answer.
func Match(q *Query, o *object.Object, owners OwnerSet) bool {
	return matchKey(q, o) &&
		(q.Since.IsZero() || !o.CreatedAt.Before(q.Since)) &&
		(q.Before.IsZero() || o.CreatedAt.Before(q.Before)) &&
		(q.Owner == nil || owners.owns(o)) &&
		q.Visible.Sees(o.Key) &&
		matchLabels(q.Labels, o.Labels) &&
		matchFields(q.Fields, o.JSON)
}

func matchKey(q *Query, o *object.Object) bool {
	if !selected(q.Types, o.Resource) || !oneOf(q.Clusters, o.Cluster) ||
		!oneOf(q.Namespaces, o.Namespace) || !oneOf(q.Names, o.Name) {
		return false
	}
	for _, part := range q.NameContains {
		if !strings.Contains(o.Name, part) {
			return false
		}
	}
	return true
}

func oneOf(values []string, v string) bool {
	return len(values) == 0 || slices.Contains(values, v)
}

func selected(types []Type, r object.Resource) bool {
	return len(types) == 0 || slices.ContainsFunc(types, func(t Type) bool { return t.Selects(r) })
}

// Sees reports whether the object of that key may be seen. A nil Visibility sees
// everything.
func (v *Visibility) Sees(k object.Key) bool {
	if v == nil {
		return true
	}
	return slices.ContainsFunc(v.Scopes, func(s Scope) bool {
		return oneOf(s.Clusters, k.Cluster) && oneOf(s.Namespaces, k.Namespace) && selected(s.Types, k.Resource)
	})
}

func matchLabels(requirements []LabelRequirement, labels map[string]string) bool {
	for _, r := range requirements {
		value, ok := labels[r.Key]
		var values []string
		if ok {
			values = []string{value}
		}
		if !holds(r.Operator, r.Values, values) {
			return false
		}
	}
	return true
}

func matchFields(requirements []FieldRequirement, doc []byte) bool {
	if len(requirements) == 0 {
		return true
	}
	var root any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&root); err != nil {
		root = nil
	}
	for _, r := range requirements {
		if !holds(r.Operator, r.Values, valuesAt(root, r.Path)) {
			return false
		}
	}
	return true
}

// holds applies an operator to the values that were found: none for an absent
// label or field, several for a path through a list.
func holds(op Operator, wanted, found []string) bool {
	switch op {
	case In:
		return slices.ContainsFunc(found, func(v string) bool { return slices.Contains(wanted, v) })
	case NotIn:
		return !holds(In, wanted, found)
	case Exists:
		return len(found) > 0
	case NotExists:
		return len(found) == 0
	case GreaterThan, LessThan:
		bound, err := strconv.ParseInt(wanted[0], 10, 64)
		if err != nil {
			return false
		}
		return slices.ContainsFunc(found, func(v string) bool {
			n, ok := decimal(v)
			return ok && (op == GreaterThan && n > bound || op == LessThan && n < bound)
		})
	}
	return false
}

// decimal reads an optional minus sign and 1 to 18 digits.
func decimal(s string) (int64, bool) {
	digits := strings.TrimPrefix(s, "-")
	if len(digits) == 0 || len(digits) > 18 || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// valuesAt returns the texts of all values that path leads to.
func valuesAt(value any, path []PathElement) []string {
	if len(path) == 0 {
		text, ok := valueText(value)
		if !ok {
			return nil
		}
		return []string{text}
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return nil
	}
	step := path[0]
	child, ok := fields[step.Name]
	if !ok {
		return nil
	}
	if !step.List {
		return valuesAt(child, path[1:])
	}
	list, ok := child.([]any)
	if !ok {
		return nil
	}
	if step.Index != AllElements {
		if step.Index >= len(list) {
			return nil
		}
		return valuesAt(list[step.Index], path[1:])
	}
	var found []string
	for _, element := range list {
		found = append(found, valuesAt(element, path[1:])...)
	}
	return found
}

func valueText(value any) (string, bool) {
	switch v := value.(type) {
	case nil:
		return "", false
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		return v.String(), true
	default:
		text, err := json.Marshal(v)
		return string(text), err == nil
	}
}
