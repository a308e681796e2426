package query_test

import (
	"errors"
	"testing"

	"clusterpedia.io/storage-api/query"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	label := func(key string, op query.Operator, values ...string) query.Query {
		return query.Query{Labels: []query.LabelRequirement{{Key: key, Operator: op, Values: values}}}
	}
	field := func(path []query.PathElement, op query.Operator, values ...string) query.Query {
		return query.Query{Fields: []query.FieldRequirement{{Path: path, Operator: op, Values: values}}}
	}
	order := func(fields ...query.OrderField) query.Query {
		var q query.Query
		for _, f := range fields {
			q.Order = append(q.Order, query.Order{By: f})
		}
		return q
	}
	for _, x := range []struct {
		name  string
		query query.Query
		want  string // the message; empty: valid
	}{
		{"nothing", query.Query{}, ""},
		{"all fields to sort by", order(query.OrderFields()...), ""},
		{"label", label("app", query.In, "web"), ""},
		{"label of the empty value", label("app", query.NotIn, ""), ""},
		{"label greater", label("n", query.GreaterThan, "-9223372036854775808"), ""},
		{"field of all elements", field([]query.PathElement{all("a")}, query.Exists), ""},
		{"owner", query.Query{Owner: &query.Owner{Name: "a", Seniority: query.MaxSeniority}}, ""},
		{"since is before", query.Query{Since: created, Before: created}, ""},
		{"since alone", query.Query{Since: created}, ""},
		{"limit and offset", query.Query{Limit: 1, Offset: 1}, ""},
		{"the empty name", query.Query{Names: []string{""}}, ""},

		{"label without a key", label("", query.Exists), `invalid query: labelSelector: a label key is empty`},
		{"label with an unknown operator", label("app", "like", "w"), `invalid query: labelSelector "app": unknown operator "like"`},
		{"label in nothing", label("app", query.In), `invalid query: labelSelector "app": operator in needs a value`},
		{"label not in nothing", label("app", query.NotIn), `invalid query: labelSelector "app": operator notin needs a value`},
		{"label exists with a value", label("app", query.Exists, "w"), `invalid query: labelSelector "app": operator exists takes no value`},
		{"label notexists with a value", label("app", query.NotExists, "w"), `invalid query: labelSelector "app": operator notexists takes no value`},
		{"label greater than two", label("app", query.GreaterThan, "1", "2"), `invalid query: labelSelector "app": operator gt takes exactly one value`},
		{"label less than a text", label("app", query.LessThan, "ten"), `invalid query: labelSelector "app": operator lt needs an integer, not "ten"`},
		{
			"label less than too little", label("app", query.LessThan, "-9223372036854775809"),
			`invalid query: labelSelector "app": operator lt needs an integer, not "-9223372036854775809"`,
		},
		{"field without a path", field(nil, query.Exists), `invalid query: fieldSelector: a path is empty`},
		{"field with an empty name", field(words("a", ""), query.Exists), `invalid query: fieldSelector "a.": a field name is empty`},
		{"field with a negative index", field([]query.PathElement{at("a", -2)}, query.Exists), `invalid query: fieldSelector "a[-2]": a list index is negative`},
		{"field with an operator of labels only", field(words("a", "b.c"), "=", "x"), `invalid query: fieldSelector "a['b.c']": unknown operator "="`},
		{"owner without UID and name", query.Query{Owner: &query.Owner{Resource: "pods"}}, `invalid query: owner: a UID or a name is needed`},
		{"owner of a negative generation", query.Query{Owner: &query.Owner{UID: "a", Seniority: -1}}, `invalid query: ownerSeniority "-1": must be from 0 to 10`},
		{"owner too far above", query.Query{Owner: &query.Owner{UID: "a", Seniority: 11}}, `invalid query: ownerSeniority "11": must be from 0 to 10`},
		{"unknown order", order("id"), `invalid query: orderby "id": unknown field, use one of group, version, resource, kind, cluster, namespace, ` +
			`name, uid, owner_uid, resource_version, created_at, deleted_at, synced_at`},
		{"order twice", order(query.ByName, query.ByName), `invalid query: orderby "name": given twice`},
		{"negative limit", query.Query{Limit: -1}, `invalid query: limit "-1": must not be negative`},
		{"negative offset", query.Query{Offset: -1}, `invalid query: offset "-1": must not be negative`},
		{"offset and token", query.Query{Offset: 1, Continue: "x"}, `invalid query: continue "x": cannot be combined with an offset`},
		{"since after before", query.Query{Since: created.Add(1), Before: created}, `invalid query: since: since is after before`},
		{"unknown projection", query.Query{Projection: 4}, `invalid query: projection "4": unknown`},
		{"unknown count", query.Query{Count: -1}, `invalid query: count "-1": unknown`},
		{"damaged token", query.Query{Continue: "x"}, `invalid query: continue "x": not a token of this server`},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			err := x.query.Validate()
			if x.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var invalid *query.InvalidQueryError
			if !errors.As(err, &invalid) || err.Error() != x.want {
				t.Errorf("got  %v\nwant %s", err, x.want)
			}
		})
	}
}
