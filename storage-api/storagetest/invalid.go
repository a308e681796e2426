package storagetest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
	"time"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// refused checks that a query is called invalid before anything is yielded.
func refused(t testing.TB, st storage.Storage, q query.Query, field string) {
	t.Helper()
	_, err := st.List(t.Context(), &q, noYield(t))
	var invalid *query.InvalidQueryError
	if !errors.As(err, &invalid) {
		t.Errorf("want an InvalidQueryError, got %v", err)
		return
	}
	if invalid.Field != field {
		t.Errorf("the error names the field %q, want %q: %v", invalid.Field, field, err)
	}
}

func testInvalid(t *testing.T, s suite) {
	st := s.start(t)
	put(t, st, thing{name: "web", labels: map[string]string{"app": "web"}}.object())

	label := func(key string, op query.Operator, values ...string) query.Query {
		return query.Query{Labels: []query.LabelRequirement{{Key: "app", Operator: query.Exists}, {Key: key, Operator: op, Values: values}}}
	}
	name := []query.PathElement{{Name: "metadata"}, {Name: "name"}}
	spec := func(path []query.PathElement, op query.Operator, values ...string) query.Query {
		return query.Query{Fields: []query.FieldRequirement{{Path: name, Operator: query.Exists}, {Path: path, Operator: op, Values: values}}}
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
		field string
	}{
		{"label without a key", label("", query.Exists), "labelSelector"},
		{"label with an unknown operator", label("a", "like", "web"), "labelSelector"},
		{"label without an operator", label("a", "", "web"), "labelSelector"},
		{"label in nothing", label("a", query.In), "labelSelector"},
		{"label not in nothing", label("a", query.NotIn), "labelSelector"},
		{"label exists with a value", label("a", query.Exists, "web"), "labelSelector"},
		{"label does not exist with a value", label("a", query.NotExists, "web"), "labelSelector"},
		{"label greater than a text", label("a", query.GreaterThan, "ten"), "labelSelector"},
		{"label greater than a fraction", label("a", query.GreaterThan, "1.5"), "labelSelector"},
		{"label greater than too much", label("a", query.GreaterThan, "9223372036854775808"), "labelSelector"},
		{"label less than two values", label("a", query.LessThan, "1", "2"), "labelSelector"},
		{"label less than nothing", label("a", query.LessThan), "labelSelector"},
		{"field without a path", spec(nil, query.Exists), "fieldSelector"},
		{"field with an empty name", spec([]query.PathElement{{Name: "spec"}, {}}, query.Exists), "fieldSelector"},
		{"field with a negative index", spec([]query.PathElement{{Name: "a", List: true, Index: -2}}, query.Exists), "fieldSelector"},
		{"field with an unknown operator", spec(name, "=", "web"), "fieldSelector"},
		{"field in nothing", spec(name, query.In), "fieldSelector"},
		{"field exists with a value", spec(name, query.Exists, "web"), "fieldSelector"},
		{"field less than a text", spec(name, query.LessThan, ""), "fieldSelector"},
		{"owner without UID and name", query.Query{Owner: &query.Owner{Group: "apps", Resource: "deployments"}}, "owner"},
		{"owner below the objects", query.Query{Owner: &query.Owner{UID: "a", Seniority: -1}}, "ownerSeniority"},
		{"owner too far above", query.Query{Owner: &query.Owner{UID: "a", Seniority: query.MaxSeniority + 1}}, "ownerSeniority"},
		{"order by an unknown field", order(query.ByName, "object"), "orderby"},
		{"order by SQL", order("name; DROP TABLE resources"), "orderby"},
		{"order by nothing", order(""), "orderby"},
		{"order by a field twice", order(query.ByName, query.ByKind, query.ByName), "orderby"},
		{"negative limit", query.Query{Limit: -1}, "limit"},
		{"negative offset", query.Query{Offset: -1}, "offset"},
		{"since after before", query.Query{Since: epoch.Add(1), Before: epoch}, "since"},
		{"unknown projection", query.Query{Projection: query.KeyOnly + 1}, "projection"},
		{"negative projection", query.Query{Projection: -1}, "projection"},
		{"unknown count", query.Query{Count: query.CountExact + 1}, "count"},
		{"negative count", query.Query{Count: -1}, "count"},
		{"damaged token", query.Query{Continue: "%%%"}, "continue"},
		{"decimal token", query.Query{Continue: "500"}, "continue"},
		{"foreign token", query.Query{Continue: base64.RawURLEncoding.EncodeToString([]byte(`{"v":2,"q":""}`))}, "continue"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			refused(t, st, x.query, x.field)
		})
	}
}

// pageTokens uses the token of one query for others.
func pageTokens(t *testing.T, st storage.Storage) {
	put(t, st, objects(
		thing{name: "a", labels: map[string]string{"app": "web"}}, thing{name: "b", labels: map[string]string{"app": "web"}},
		thing{name: "c", labels: map[string]string{"app": "web"}}, thing{cluster: "c2", name: "d"},
	)...)
	base := query.Query{Clusters: []string{"c1"}, Labels: []query.LabelRequirement{{Key: "app", Operator: query.In, Values: []string{"web"}}}, Limit: 1}
	_, page := listPage(t, st, base)
	base.Continue = page.Continue
	if err := base.Validate(); err != nil || base.Continue == "" {
		t.Fatalf("the token %q does not fit its own query: %v", base.Continue, err)
	}
	for _, x := range []struct {
		name   string
		change func(*query.Query)
		want   string // empty: refused
	}{
		{"same", func(*query.Query) {}, "b"},
		{"limit", func(q *query.Query) { q.Limit = 0 }, "b c"},
		{"count", func(q *query.Query) { q.Count = query.CountExact }, "b"},
		{"projection", func(q *query.Query) { q.Projection = query.KeyOnly }, "b"},
		{"events and packed", func(q *query.Query) { q.Events, q.Packed = true, true }, "b"},
		{"visible", func(q *query.Query) {
			q.Visible = &query.Visibility{Scopes: []query.Scope{{Namespaces: []string{""}}}}
		}, "b"},
		{"offset", func(q *query.Query) { q.Offset = 1 }, ""},
		{"other clusters", func(q *query.Query) { q.Clusters = []string{"c2"} }, ""},
		{"other labels", func(q *query.Query) { q.Labels = nil }, ""},
		{"other fields", func(q *query.Query) { q.Fields = field("spec.a", query.NotExists).Fields }, ""},
		{"other types", func(q *query.Query) { q.Types = []query.Type{typeOf(pods)} }, ""},
		{"other namespaces", func(q *query.Query) { q.Namespaces = []string{""} }, ""},
		{"other names", func(q *query.Query) { q.Names = []string{"a", "b", "c"} }, ""},
		{"other part of names", func(q *query.Query) { q.NameContains = []string{""} }, ""},
		{"other time", func(q *query.Query) { q.Since = epoch }, ""},
		{"other owner", func(q *query.Query) { q.Owner = &query.Owner{UID: "a"} }, ""},
		{"other order", func(q *query.Query) { q.Order = []query.Order{{By: query.ByName}} }, ""},
		{"cut", func(q *query.Query) { q.Continue = q.Continue[:len(q.Continue)/2] }, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			q := base
			x.change(&q)
			if x.want == "" {
				refused(t, st, q, "continue")
				return
			}
			if got := names(list(t, st, q)); got != x.want {
				t.Errorf("got %q, want %q", got, x.want)
			}
		})
	}
	t.Run("a token of any position", func(t *testing.T) {
		t.Parallel()
		// Nobody signs tokens: a client can ask for what is behind any object.
		for _, name := range append(hostile(), "", "\x00") {
			q := base
			q.Continue = q.ContinueAfter(&object.Object{Key: object.Key{Cluster: "c1", Resource: pods, Name: name}})
			q.Limit = 0
			_, err := st.List(t.Context(), &q, func(o *object.Object) error {
				if o.Name <= name {
					t.Errorf("behind %q comes %q", name, o.Name)
				}
				return nil
			})
			answeredOrRefused(t, fmt.Sprintf("behind %q", name), err)
		}
	})
	t.Run("a token of any time", func(t *testing.T) {
		t.Parallel()
		for _, year := range []int{0, 1, 1000, 1969, 2038, 9999} {
			for _, by := range []query.OrderField{query.ByCreatedAt, query.ByDeletedAt, query.BySyncedAt} {
				at := time.Date(year, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
				q := query.Query{Order: []query.Order{{By: by, Desc: true}}}
				q.Continue = q.ContinueAfter(&object.Object{CreatedAt: at, DeletedAt: at, SyncedAt: at})
				_, err := st.List(t.Context(), &q, func(o *object.Object) error {
					if query.Compare(&q, &object.Object{CreatedAt: at, DeletedAt: at, SyncedAt: at}, o) >= 0 {
						t.Errorf("behind the year %d by %s comes %s", year, by, o.Key)
					}
					return nil
				})
				answeredOrRefused(t, fmt.Sprintf("behind the year %d by %s", year, by), err)
			}
		}
	})
}

// answeredOrRefused checks the error of a query that a storage layer may call
// invalid. Any other error would be a server's, caused by a client.
func answeredOrRefused(t testing.TB, what string, err error) {
	t.Helper()
	if invalid := (*query.InvalidQueryError)(nil); err != nil && !errors.As(err, &invalid) {
		t.Errorf("%s: want an answer or an InvalidQueryError, got %v", what, err)
	}
}
