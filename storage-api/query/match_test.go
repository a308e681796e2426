package query_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

var (
	pods        = object.Resource{Version: "v1", Resource: "pods"}
	deployments = object.Resource{Group: "apps", Version: "v1", Resource: "deployments"}
	created     = time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)
)

func pod() *object.Object {
	return &object.Object{
		Key:  object.Key{Cluster: "c1", Resource: pods, Namespace: "default", Name: "web-1"},
		Kind: "Pod", UID: "uid-1", ResourceVersion: "7", Controller: "rs-1", Owners: []string{"rs-1", "other"},
		Labels: map[string]string{"app": "web", "n": "10", "empty": ""}, CreatedAt: created,
		JSON: []byte(`{"kind":"Pod","spec":{"nodeName":"node-1"}}`),
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	type texts = []string
	seeing := func(scopes ...query.Scope) query.Query {
		return query.Query{Visible: &query.Visibility{Scopes: scopes}}
	}
	label := func(key string, op query.Operator, values ...string) query.Query {
		return query.Query{Labels: []query.LabelRequirement{{Key: key, Operator: op, Values: values}}}
	}
	for _, x := range []struct {
		name  string
		query query.Query
		want  bool
	}{
		{"nothing asked", query.Query{}, true},
		{"type", query.Query{Types: []query.Type{{Version: "v1", Resource: "pods"}}}, true},
		{"other type", query.Query{Types: []query.Type{{Group: "apps", Version: "v1", Resource: "pods"}}}, false},
		{"one of the types", query.Query{Types: []query.Type{{Group: "apps"}, {}}}, true},
		{"any group", query.Query{Types: []query.Type{{Group: query.AnyGroup, Resource: "pods"}}}, true},
		{"cluster", query.Query{Clusters: texts{"c2", "c1"}}, true},
		{"other cluster", query.Query{Clusters: texts{"C1"}}, false},
		{"namespace", query.Query{Namespaces: texts{"default"}}, true},
		{"cluster-scoped", query.Query{Namespaces: texts{""}}, false},
		{"name", query.Query{Names: texts{"web-1"}}, true},
		{"name and another cluster", query.Query{Names: texts{"web-1"}, Clusters: texts{"c2"}}, false},
		{"parts of the name", query.Query{NameContains: texts{"eb", "-1"}}, true},
		{"one part is none", query.Query{NameContains: texts{"eb", "EB"}}, false},
		{"since", query.Query{Since: created}, true},
		{"since later", query.Query{Since: created.Add(1)}, false},
		{"before", query.Query{Before: created}, false},
		{"before later", query.Query{Before: created.Add(1)}, true},
		{"label", label("app", query.In, "db", "web"), true},
		{"label is none of", label("app", query.NotIn, "web"), false},
		{"absent label is none of", label("tier", query.NotIn, "web"), true},
		{"absent label is not one of", label("tier", query.In, ""), false},
		{"empty label", label("empty", query.In, ""), true},
		{"empty label exists", label("empty", query.Exists), true},
		{"label does not exist", label("tier", query.NotExists), true},
		{"label greater", label("n", query.GreaterThan, "9"), true},
		{"label less", label("n", query.LessThan, "9"), false},
		{"label is no number", label("app", query.LessThan, "9"), false},
		{"unknown operator", label("app", "like", "web"), false},
		{"field", query.Query{Fields: []query.FieldRequirement{{Path: words("spec", "nodeName"), Operator: query.In, Values: texts{"node-1"}}}}, true},
		{"other field", query.Query{Fields: []query.FieldRequirement{{Path: words("spec", "nodename"), Operator: query.Exists}}}, false},
		{"sees everything", seeing(query.Scope{}), true},
		{"sees nothing", seeing(), false},
		{"sees by one of the scopes", seeing(query.Scope{Clusters: texts{"c2"}}, query.Scope{Namespaces: texts{"default"}}), true},
		{"a scope's conditions all hold", seeing(query.Scope{Clusters: texts{"c2"}, Namespaces: texts{"default"}}), false},
		{"order and page play no part", query.Query{Order: []query.Order{{By: query.ByUID}}, Limit: 1, Offset: 5, Projection: query.KeyOnly}, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			if got := query.Match(&x.query, pod(), nil); got != x.want {
				t.Errorf("got %t, want %t", got, x.want)
			}
		})
	}
}

func words(names ...string) []query.PathElement {
	var path []query.PathElement
	for _, name := range names {
		path = append(path, query.PathElement{Name: name})
	}
	return path
}

func all(name string) query.PathElement {
	return query.PathElement{Name: name, List: true, Index: query.AllElements}
}

func at(name string, index int) query.PathElement {
	return query.PathElement{Name: name, List: true, Index: index}
}

func TestMatchFields(t *testing.T) {
	t.Parallel()
	type path = []query.PathElement
	for _, x := range []struct {
		doc    string
		path   path
		op     query.Operator
		values []string
		want   bool
	}{
		{`{"a":"x"}`, words("a"), query.In, []string{"x"}, true},
		{`{"a":"x"}`, words("A"), query.In, []string{"x"}, false},
		{`{"a":true}`, words("a"), query.In, []string{"true"}, true},
		{`{"a":-3}`, words("a"), query.In, []string{"-3"}, true},
		{`{"a":9223372036854775807}`, words("a"), query.In, []string{"9223372036854775807"}, true},
		{`{"a":null}`, words("a"), query.Exists, nil, false},
		{`{"a":null}`, words("a"), query.NotIn, []string{""}, true},
		{`{"a":""}`, words("a"), query.Exists, nil, true},
		{`{"a":{}}`, words("a"), query.Exists, nil, true},
		{`{"a":[]}`, words("a"), query.Exists, nil, true},
		{`{"a":{"b":1}}`, words("a"), query.In, []string{`{"b":1}`}, true},
		{`{"a.b":"x"}`, words("a.b"), query.In, []string{"x"}, true},
		{`{"a.b":"x"}`, words("a", "b"), query.Exists, nil, false},
		{`{"a":"x"}`, words("a", "b"), query.Exists, nil, false},
		{`{"a":[{"b":1},{"b":2}]}`, path{all("a"), {Name: "b"}}, query.In, []string{"2"}, true},
		{`{"a":[{"b":1},{"b":2}]}`, path{all("a"), {Name: "b"}}, query.NotIn, []string{"2"}, false},
		{`{"a":[{"b":1},{"b":2}]}`, path{at("a", 0), {Name: "b"}}, query.In, []string{"2"}, false},
		{`{"a":[{"b":1},{"b":2}]}`, path{at("a", 2), {Name: "b"}}, query.NotExists, nil, true},
		{`{"a":[{"b":1},{"b":2}]}`, path{at("a", 1<<40)}, query.Exists, nil, false},
		{`{"a":[{"b":1},{"b":2}]}`, words("a", "b"), query.Exists, nil, false},
		{`{"a":[{"b":1},{"b":2}]}`, words("a", "1", "b"), query.Exists, nil, false},
		{`{"a":{"0":"x"}}`, path{at("a", 0)}, query.Exists, nil, false},
		{`{"a":"x"}`, path{all("a")}, query.Exists, nil, false},
		{`{"a":[]}`, path{all("a")}, query.Exists, nil, false},
		{`{"a":[null]}`, path{all("a")}, query.Exists, nil, false},
		{`{"a":[null,1]}`, path{all("a")}, query.Exists, nil, true},
		{`{"a":[{"b":["x"]},{"b":["y"]},{}]}`, path{all("a"), all("b")}, query.In, []string{"y"}, true},
		{`{"a":[["x"]]}`, path{all("a")}, query.Exists, nil, true},
		{`{"a":[5,50]}`, path{all("a")}, query.GreaterThan, []string{"10"}, true},
		{`{"a":[5,50]}`, path{all("a")}, query.LessThan, []string{"5"}, false},
		{`{"a":"0010"}`, words("a"), query.GreaterThan, []string{"9"}, true},
		{`{"a":10.5}`, words("a"), query.GreaterThan, []string{"9"}, false},
		{`{"a":"1e3"}`, words("a"), query.GreaterThan, []string{"9"}, false},
		{`{"a":"+10"}`, words("a"), query.GreaterThan, []string{"9"}, false},
		{`{"a":"--1"}`, words("a"), query.LessThan, []string{"9"}, false},
		{`{"a":"-"}`, words("a"), query.LessThan, []string{"9"}, false},
		{`{"a":""}`, words("a"), query.LessThan, []string{"9"}, false},
		{`{"a":999999999999999999}`, words("a"), query.GreaterThan, []string{"9"}, true},
		{`{"a":1000000000000000000}`, words("a"), query.GreaterThan, []string{"9"}, false},
		{`{"a":1}`, words("a"), query.GreaterThan, []string{"none"}, false},
		{`not JSON`, words("a"), query.NotExists, nil, true},
		{``, words("a"), query.Exists, nil, false},
	} {
		t.Run(fmt.Sprintf("%s %s %s %v", x.doc, query.PathString(x.path), x.op, x.values), func(t *testing.T) {
			t.Parallel()
			q := query.Query{Fields: []query.FieldRequirement{{Path: x.path, Operator: x.op, Values: x.values}}}
			if got := query.Match(&q, &object.Object{JSON: []byte(x.doc)}, nil); got != x.want {
				t.Errorf("got %t, want %t", got, x.want)
			}
		})
	}
}

func TestFindOwners(t *testing.T) {
	t.Parallel()
	thing := func(cluster string, r object.Resource, namespace, name string, owners ...string) *object.Object {
		return &object.Object{
			Key: object.Key{Cluster: cluster, Resource: r, Namespace: namespace, Name: name}, UID: name, Owners: owners,
		}
	}
	stored := []*object.Object{
		thing("c1", deployments, "default", "web"),
		thing("c1", deployments, "default", "rs", "web"),
		thing("c1", pods, "default", "pod", "other", "rs"),
		thing("c1", pods, "", "node"),
		thing("c1", pods, "kube-system", "mirror", "node"),
		thing("c1", pods, "default", "orphan", "gone"),
		thing("c2", pods, "default", "copy", "rs"),
	}
	for _, x := range []struct {
		name  string
		query query.Query
		want  []string
	}{
		{"uid", query.Query{Owner: &query.Owner{UID: "web"}}, []string{"rs"}},
		{"uid, one generation between", query.Query{Clusters: []string{"c1"}, Owner: &query.Owner{UID: "web", Seniority: 1}}, []string{"pod"}},
		{"uid in all clusters", query.Query{Owner: &query.Owner{UID: "rs"}}, []string{"pod", "copy"}},
		{"ownership stays in its cluster", query.Query{Owner: &query.Owner{UID: "web", Seniority: 1}}, []string{"pod"}},
		{"uid that is not stored", query.Query{Owner: &query.Owner{UID: "gone"}}, []string{"orphan"}},
		{"name", query.Query{Owner: &query.Owner{Name: "web"}}, []string{"rs"}},
		{"name and resource", query.Query{Owner: &query.Owner{Name: "web", Group: "apps", Resource: "deployments"}}, []string{"rs"}},
		{"name and another group", query.Query{Owner: &query.Owner{Name: "web", Resource: "deployments"}}, nil},
		{"name in another namespace", query.Query{Namespaces: []string{"kube-system"}, Owner: &query.Owner{Name: "web"}}, nil},
		{"name of a cluster-scoped owner", query.Query{Namespaces: []string{"kube-system"}, Owner: &query.Owner{Name: "node"}}, []string{"mirror"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			owners := query.FindOwners(&x.query, slices.Values(stored))
			var got []string
			for _, o := range stored {
				if query.Match(&x.query, o, owners) {
					got = append(got, o.Name)
				}
			}
			if !slices.Equal(got, x.want) {
				t.Errorf("got %q, want %q", got, x.want)
			}
		})
	}
}
