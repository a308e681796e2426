package storagetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// hostile returns texts that mean something to a database, a driver, a query
// builder or a pattern language if they are not handed over as plain values.
func hostile() []string {
	return []string{
		`'`, `''`, `"`, "`", `\`, `\'`, `\\`, `'; DROP TABLE resources; --`, `' OR '1'='1`, `" OR ""="`, `') OR 1=1 --`, `1; SELECT pg_sleep(60)`,
		`?`, `??`, `$1`, `$$`, `:name`, `@name`, `@@version`, `{{.}}`, `%s`, `%`, `_`, `*`, `#`, `--`, `/* */`, `;`, `NULL`, `null`, `TRUE`, `0x41`, `CHAR(65)`,
		`${jndi:x}`, `\u0041`, `\n`, "a\nb", "\t", " ", "a b", "\u202e", "\ufeff", "😀", "é", "(", ")", "[", "]", "{", "}", ",", "~", "^", "|", "&",
		`<script>`, `$.metadata`, `$**.a`, `a.b`, `a->b`, `a->>'b'`, `a::text`, `E'\x41'`, `U&'\0041'`, `_utf8'a'`,
	}
}

func testText(t *testing.T, s suite) {
	s.each(t, []test{
		{"hostile texts come back and are found", textStored},
		{"hostile texts find nothing else", textAsked},
		{"texts that no object can hold", textImpossible},
	})
}

// hostileThing has the text wherever it can stand.
func hostileThing(text string) thing {
	return thing{
		cluster: "cluster " + text, namespace: text, name: text,
		resource: object.Resource{Group: text, Version: text, Resource: "r" + text}, kind: text,
		uid: "uid " + text, version: text, labels: map[string]string{text: text}, owners: []string{"owner " + text}, controlled: true,
		body: fmt.Sprintf(`"spec":{%s:%s,"list":[%[2]s]}`, quoted(text), quoted(text)),
	}
}

// hostileQueries ask for objects by the text, each in another way.
func hostileQueries(text string) map[string]query.Query {
	type texts = []string
	label := func(key string, op query.Operator, values ...string) query.Query {
		return query.Query{Labels: []query.LabelRequirement{{Key: key, Operator: op, Values: values}}}
	}
	spec := func(name string, op query.Operator, values ...string) query.Query {
		return query.Query{Fields: []query.FieldRequirement{{Path: []query.PathElement{{Name: "spec"}, {Name: name}}, Operator: op, Values: values}}}
	}
	return map[string]query.Query{
		"group":         {Types: []query.Type{{Group: text}}},
		"version":       {Types: []query.Type{{Group: query.AnyGroup, Version: text}}},
		"resource":      {Types: []query.Type{{Group: query.AnyGroup, Resource: "r" + text}}},
		"cluster":       {Clusters: texts{"cluster " + text}},
		"namespace":     {Namespaces: texts{text}},
		"name":          {Names: texts{text}},
		"name contains": {NameContains: texts{text}},
		"label":         label(text, query.In, text),
		"no label":      label(text, query.NotExists),
		"label value":   label("app", query.In, text),
		"field":         spec(text, query.In, text),
		"no field":      spec(text, query.NotExists),
		"field value":   spec("app", query.NotIn, text),
		"list element": {Fields: []query.FieldRequirement{
			{Path: []query.PathElement{{Name: "spec"}, {Name: "list", List: true, Index: query.AllElements}}, Operator: query.In, Values: texts{text}},
		}},
		"list of that name": {Fields: []query.FieldRequirement{
			{Path: []query.PathElement{{Name: "spec"}, {Name: text, List: true, Index: query.AllElements}, {Name: text}}, Operator: query.Exists},
		}},
		"owner":            {Owner: &query.Owner{UID: "owner " + text}},
		"owner's name":     {Owner: &query.Owner{Name: text}},
		"owner's resource": {Owner: &query.Owner{Name: "plain", Group: text, Resource: text}},
		"visible": {Visible: &query.Visibility{Scopes: []query.Scope{
			{Clusters: texts{"cluster " + text}, Namespaces: texts{text}, Types: []query.Type{{Group: text, Version: text}}},
		}}},
		// Parameters belong to gated features of the storage layer.
		"unknown parameters": {Names: texts{text}, Params: map[string][]string{text: {text}, "whereSQL": {text}}},
	}
}

func textStored(t *testing.T, st storage.Storage) {
	var all []*object.Object
	for _, text := range hostile() {
		all = append(all, hostileThing(text).object())
	}
	all = append(all, thing{name: "plain", labels: map[string]string{"app": "web"}, body: `"spec":{"app":"web"}`}.object())
	put(t, st, all...)
	checkStored(t, st, all...)
	for _, text := range hostile() {
		o := hostileThing(text).object()
		checkObject(t, get(t, st, o.Key), o)
		for name, q := range hostileQueries(text) {
			checkReference(t, st, fmt.Sprintf("%s %q", name, text), q, all)
		}
	}
	for _, o := range all {
		if err := st.Apply(t.Context(), storage.Writer{Cluster: o.Cluster}, deletes(o)); err != nil {
			t.Errorf("delete %s: %v", o.Key, err)
		}
	}
	checkStored(t, st)
}

// checkReference compares the keys of what a query yields with the reference.
func checkReference(t testing.TB, st storage.Storage, what string, q query.Query, all []*object.Object) {
	t.Helper()
	q.Projection = query.KeyOnly
	var got []*object.Object
	_, err := st.List(t.Context(), &q, func(o *object.Object) error {
		got = append(got, snapshot(o))
		return nil
	})
	if err != nil {
		t.Errorf("%s: list: %v", what, err)
		return
	}
	if want := reference(&q, all); !sameKeys(got, want) {
		t.Errorf("%s: got %s\nwant %s", what, keys(got), keys(want))
	}
}

func textAsked(t *testing.T, st storage.Storage) {
	all := objects(
		thing{namespace: "default", name: "plain", labels: map[string]string{"app": "web"}, body: `"spec":{"app":"web","list":["web"]}`},
		thing{cluster: "c2", resource: deployments, namespace: "default", name: "other", owners: []string{"plain"}},
	)
	put(t, st, all...)
	for _, text := range hostile() {
		for name, q := range hostileQueries(text) {
			checkReference(t, st, fmt.Sprintf("%s %q", name, text), q, all)
		}
	}
	checkStored(t, st, all...)
}

// textImpossible asks for texts with zero characters and damaged UTF-8, which
// some databases refuse: a storage layer answers rightly or calls the query
// invalid. Anything else would be a server's error caused by a client.
func textImpossible(t *testing.T, st storage.Storage) {
	all := objects(thing{namespace: "default", name: "plain", labels: map[string]string{"app": "web"}, body: `"spec":{"app":"web"}`})
	put(t, st, all...)
	for _, text := range []string{"\x00", "plain\x00", "\xff", "pl\xc3", "\xed\xa0\x80"} {
		for name, q := range hostileQueries(text) {
			var got []*object.Object
			_, err := st.List(t.Context(), &q, func(o *object.Object) error {
				got = append(got, snapshot(o))
				return nil
			})
			var invalid *query.InvalidQueryError
			switch want := reference(&q, all); {
			case errors.As(err, &invalid):
			case err != nil:
				t.Errorf("%s %q: want an answer or an InvalidQueryError, got %v", name, text, err)
			case !sameKeys(got, want):
				t.Errorf("%s %q: got %s\nwant %s", name, text, keys(got), keys(want))
			}
		}
		if _, err := st.Get(t.Context(), object.Key{Cluster: "c1", Resource: pods, Namespace: "default", Name: text}); err == nil {
			t.Errorf("get of the name %q returns an object", text)
		}
	}
}

// quoted returns the text as JSON.
func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		return err.Error() // a string
	}
	return string(b)
}
