package query

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// InvalidQueryError says which part of a query cannot be answered. The host
// turns it into a 400 or 422.
type InvalidQueryError struct {
	// Field names the part as the client knows it, such as "continue" or
	// "fieldSelector".
	Field string
	// Value is the client's text.
	Value string
	// Reason says what is wrong and what would be right, without a final stop.
	Reason string
}

// Error implements error.
func (e *InvalidQueryError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("invalid query: %s: %s", e.Field, e.Reason)
	}
	return fmt.Sprintf("invalid query: %s %q: %s", e.Field, e.Value, e.Reason)
}

// Validate returns an *InvalidQueryError for a query that no storage layer can
// answer. Storage layers call it first, so that all refuse alike.
func (q *Query) Validate() error {
	checks := []func() error{q.validateLabels, q.validateFields, q.validateOwner, q.validateOrder, q.validatePage}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (q *Query) validateLabels() error {
	for _, r := range q.Labels {
		if r.Key == "" {
			return &InvalidQueryError{"labelSelector", "", "a label key is empty"}
		}
		if reason := checkOperator(r.Operator, r.Values); reason != "" {
			return &InvalidQueryError{"labelSelector", r.Key, reason}
		}
	}
	return nil
}

func (q *Query) validateFields() error {
	for _, r := range q.Fields {
		path := PathString(r.Path)
		if len(r.Path) == 0 {
			return &InvalidQueryError{"fieldSelector", "", "a path is empty"}
		}
		for _, e := range r.Path {
			if e.Name == "" {
				return &InvalidQueryError{"fieldSelector", path, "a field name is empty"}
			}
			if e.List && e.Index < AllElements {
				return &InvalidQueryError{"fieldSelector", path, "a list index is negative"}
			}
		}
		if reason := checkOperator(r.Operator, r.Values); reason != "" {
			return &InvalidQueryError{"fieldSelector", path, reason}
		}
	}
	return nil
}

func checkOperator(op Operator, values []string) string {
	switch op {
	case In, NotIn:
		if len(values) == 0 {
			return fmt.Sprintf("operator %s needs a value", op)
		}
	case Exists, NotExists:
		if len(values) != 0 {
			return fmt.Sprintf("operator %s takes no value", op)
		}
	case GreaterThan, LessThan:
		if len(values) != 1 {
			return fmt.Sprintf("operator %s takes exactly one value", op)
		}
		if _, err := strconv.ParseInt(values[0], 10, 64); err != nil {
			return fmt.Sprintf("operator %s needs an integer, not %q", op, values[0])
		}
	default:
		return fmt.Sprintf("unknown operator %q", op)
	}
	return ""
}

func (q *Query) validateOwner() error {
	o := q.Owner
	if o == nil {
		return nil
	}
	if o.UID == "" && o.Name == "" {
		return &InvalidQueryError{"owner", "", "a UID or a name is needed"}
	}
	if o.Seniority < 0 || o.Seniority > MaxSeniority {
		return &InvalidQueryError{"ownerSeniority", strconv.Itoa(o.Seniority), fmt.Sprintf("must be from 0 to %d", MaxSeniority)}
	}
	return nil
}

func (q *Query) validateOrder() error {
	seen := map[OrderField]bool{}
	for _, o := range q.Order {
		if !slices.Contains(OrderFields(), o.By) {
			return &InvalidQueryError{"orderby", string(o.By), "unknown field, use one of " + joinFields()}
		}
		if seen[o.By] {
			return &InvalidQueryError{"orderby", string(o.By), "given twice"}
		}
		seen[o.By] = true
	}
	return nil
}

func joinFields() string {
	var names []string
	for _, f := range OrderFields() {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

func (q *Query) validatePage() error {
	switch {
	case q.Limit < 0:
		return &InvalidQueryError{"limit", strconv.FormatInt(q.Limit, 10), "must not be negative"}
	case q.Offset < 0:
		return &InvalidQueryError{"offset", strconv.FormatInt(q.Offset, 10), "must not be negative"}
	case q.Offset > 0 && q.Continue != "":
		return &InvalidQueryError{"continue", q.Continue, "cannot be combined with an offset"}
	case !q.Since.IsZero() && !q.Before.IsZero() && q.Since.After(q.Before):
		return &InvalidQueryError{"since", "", "since is after before"}
	case q.Projection < Full || q.Projection > KeyOnly:
		return &InvalidQueryError{"projection", strconv.Itoa(int(q.Projection)), "unknown"}
	case q.Count < CountNone || q.Count > CountExact:
		return &InvalidQueryError{"count", strconv.Itoa(int(q.Count)), "unknown"}
	}
	if q.Continue != "" {
		_, err := q.Position()
		return err
	}
	return nil
}

// PathString writes a path as clients do: spec.containers[0].image. Names that
// are no plain words are quoted.
func PathString(path []PathElement) string {
	var b strings.Builder
	for i, e := range path {
		switch {
		case strings.ContainsAny(e.Name, ".[]'\" "):
			b.WriteString("['" + e.Name + "']")
		case i > 0:
			b.WriteString("." + e.Name)
		default:
			b.WriteString(e.Name)
		}
		if e.List && e.Index == AllElements {
			b.WriteString("[]")
		} else if e.List {
			b.WriteString("[" + strconv.Itoa(e.Index) + "]")
		}
	}
	return b.String()
}
