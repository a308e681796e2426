package storagetest

import (
	"testing"
	"time"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

// filter is a query and the names of the objects that it finds, in their order.
type filter struct {
	name  string
	query query.Query
	want  string
}

// filters stores the objects once and asks for them in many ways.
func (s suite) filters(t *testing.T, all []*object.Object, filters []filter) {
	st := s.start(t)
	put(t, st, all...)
	for _, f := range filters {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s.skip(t)
			if ref := names(reference(&f.query, all)); ref != f.want {
				t.Fatalf("the test is wrong: it wants %q, the reference evaluation gives %q", f.want, ref)
			}
			if got := names(list(t, st, f.query)); got != f.want {
				t.Errorf("got  %q\nwant %q", got, f.want)
			}
		})
	}
}

func testFilter(t *testing.T, s suite) {
	for _, x := range []concern{
		{"types", filterTypes},
		{"clusters and namespaces", filterPlaces},
		{"names", filterNames},
		{"creation time", filterTimes},
		{"labels", filterLabels},
		{"fields", filterFields},
		{"owners", filterOwners},
		{"visibility", filterVisible},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			x.run(t, s)
		})
	}
}

func typeOf(r object.Resource) query.Type {
	return query.Type{Group: r.Group, Version: r.Version, Resource: r.Resource}
}

func filterTypes(t *testing.T, s suite) {
	all := objects(
		thing{resource: pods, name: "pod"},
		thing{resource: secrets, name: "secret"},
		thing{resource: deployments, name: "deployment"},
		thing{resource: replicasets, name: "replicaset"},
		thing{resource: widgets, name: "widget"},
		thing{resource: widgetsAlpha, name: "alpha"},
		thing{resource: object.Resource{Group: "other.io", Version: "v1", Resource: "pods"}, name: "other-pod"},
	)
	of := func(types ...query.Type) query.Query { return query.Query{Types: types} }
	s.filters(t, all, []filter{
		{"all", of(), "pod secret deployment replicaset widget alpha other-pod"},
		{"one of the core group", of(typeOf(pods)), "pod"},
		{"one of a named group", of(typeOf(widgets)), "widget"},
		{"several", of(typeOf(widgetsAlpha), typeOf(deployments)), "deployment alpha"},
		{"one twice", of(typeOf(pods), typeOf(pods)), "pod"},
		{"overlapping", of(typeOf(pods), query.Type{}), "pod secret"},
		{"any version", of(query.Type{Group: "example.io", Resource: "widgets"}), "widget alpha"},
		{"any resource", of(query.Type{Group: "example.io", Version: "v1"}), "widget"},
		{"any version and resource", of(query.Type{Group: "apps"}), "deployment replicaset"},
		{"any of the core group", of(query.Type{}), "pod secret"},
		{"any group", of(query.Type{Group: query.AnyGroup, Resource: "pods"}), "pod other-pod"},
		{"any group and resource", of(query.Type{Group: query.AnyGroup, Version: "v1alpha1"}), "alpha"},
		{"anything", of(query.Type{Group: query.AnyGroup}), "pod secret deployment replicaset widget alpha other-pod"},
		{"anything or one", of(query.Type{Group: query.AnyGroup}, typeOf(pods)), "pod secret deployment replicaset widget alpha other-pod"},
		{"other version", of(query.Type{Group: "apps", Version: "v1beta1", Resource: "deployments"}), ""},
		{"part of a group", of(query.Type{Group: "example", Resource: "widgets"}), ""},
		{"kind in place of the resource", of(query.Type{Version: "v1", Resource: "Pod"}), ""},
		{"other case", of(query.Type{Group: "Apps", Version: "V1", Resource: "Deployments"}), ""},
	})
}

func filterPlaces(t *testing.T, s suite) {
	all := objects(
		thing{cluster: "c1", namespace: "", name: "node-1", resource: nodes},
		thing{cluster: "c1", namespace: "default", name: "default-1"},
		thing{cluster: "c1", namespace: "kube-system", name: "system-1"},
		thing{cluster: "c2", namespace: "", name: "node-2", resource: nodes},
		thing{cluster: "c2", namespace: "default", name: "default-2"},
		thing{cluster: "c2", namespace: "Default", name: "upper-2"},
		thing{cluster: "C1", namespace: "default", name: "upper-1"},
	)
	in := func(clusters []string, namespaces ...string) query.Query {
		return query.Query{Clusters: clusters, Namespaces: namespaces}
	}
	type texts = []string
	s.filters(t, all, []filter{
		{"one cluster", in(texts{"c1"}), "node-1 default-1 system-1"},
		{"two clusters", in(texts{"c2", "c1"}), "node-1 node-2 default-1 system-1 upper-2 default-2"},
		{"one cluster twice", in(texts{"c1", "c1"}), "node-1 default-1 system-1"},
		{"unknown cluster", in(texts{"c3"}), ""},
		{"unknown and known cluster", in(texts{"c3", "C1"}), "upper-1"},
		{"the empty cluster", in(texts{""}), ""},
		{"one namespace", in(nil, "default"), "upper-1 default-1 default-2"},
		{"two namespaces", in(nil, "kube-system", "default"), "upper-1 default-1 system-1 default-2"},
		{"namespace of other case", in(nil, "Default"), "upper-2"},
		{"part of a namespace", in(nil, "kube"), ""},
		{"cluster-scoped", in(nil, ""), "node-1 node-2"},
		{"cluster-scoped or in a namespace", in(nil, "", "kube-system"), "node-1 node-2 system-1"},
		{"cluster and namespace", in(texts{"c1"}, "default"), "default-1"},
		{"cluster, cluster-scoped", in(texts{"c2"}, ""), "node-2"},
		{"many clusters", in(many("c2")), "node-2 upper-2 default-2"},
		{"many namespaces", in(nil, many("default")...), "upper-1 default-1 default-2"},
		{"several conditions", query.Query{
			Types: []query.Type{typeOf(pods)}, Clusters: texts{"c1", "c2"}, Namespaces: texts{"default"}, Names: texts{"default-2", "system-1"},
		}, "default-2"},
	})
}

// many returns the value among two thousand others, as a user gives it who may
// see that many namespaces.
func many(value string) []string {
	values := make([]string, 2000)
	for i := range values {
		values[i] = "none-" + time.Duration(i).String()
	}
	values[1234] = value
	return values
}

func filterNames(t *testing.T, s suite) {
	var all []*object.Object
	for _, name := range []string{"web", "Web", "web-1", "a%b", "a_b", "axb", `a\b`, "web.example.io", "wéb", "WÉB", "[web]", "web*"} {
		all = append(all, thing{name: name}.object())
	}
	named := func(names ...string) query.Query { return query.Query{Names: names} }
	contains := func(parts ...string) query.Query { return query.Query{NameContains: parts} }
	s.filters(t, all, []filter{
		{"one", named("web"), "web"},
		{"two", named("web", "Web"), "Web web"},
		{"one twice", named("web", "web"), "web"},
		{"many", named(many("web")...), "web"},
		{"none", named("we"), ""},
		{"the empty name", named(""), ""},
		{"no wildcards", named("a%b", "%", "web*"), "a%b web*"},
		{"blank behind", named("web "), ""},
		{"part", contains("eb"), "Web [web] web web* web-1 web.example.io"},
		{"part in the case of the text", contains("W"), "Web WÉB"},
		{"part with non-ASCII letters", contains("É"), "WÉB"},
		{"part with a percent sign", contains("%"), "a%b"},
		{"part with an underscore", contains("_"), "a_b"},
		{"part with a backslash", contains(`\`), `a\b`},
		{"part with a bracket", contains("[w"), "[web]"},
		{"part with an asterisk", contains("b*"), "web*"},
		{"part with a dot", contains("."), "web.example.io"},
		{"several parts", contains("we", "1"), "web-1"},
		{"overlapping parts", contains("we", "eb", "web-1"), "web-1"},
		{"parts in the other order", contains("example", "web"), "web.example.io"},
		{"the empty part", contains(""), `Web WÉB [web] a%b a\b a_b axb web web* web-1 web.example.io wéb`},
		{"part and name", query.Query{Names: []string{"web", "axb"}, NameContains: []string{"x"}}, "axb"},
		{"part that is too long", contains("web.example.io."), ""},
		{"part of two letters", contains("b."), "web.example.io"},
		{"whole name", contains("web.example.io"), "web.example.io"},
	})
}

func filterTimes(t *testing.T, s suite) {
	at := func(name string, created time.Time) thing { return thing{name: name, created: created} }
	all := objects(
		at("0", epoch), at("1", epoch.Add(time.Second)), at("2", epoch.Add(2*time.Second)),
		at("old", time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC)), at("young", time.Date(2037, 12, 31, 23, 59, 59, 0, time.UTC)),
		thing{name: "never"},
	)
	all[len(all)-1].CreatedAt = time.Time{}
	between := func(since, before time.Time) query.Query { return query.Query{Since: since, Before: before} }
	var open time.Time
	east := time.FixedZone("UTC+8", 8*60*60)
	s.filters(t, all, []filter{
		{"since includes its second", between(epoch.Add(time.Second), open), "1 2 young"},
		{"since a fraction later", between(epoch.Add(time.Second+time.Millisecond), open), "2 young"},
		{"since a nanosecond later", between(epoch.Add(time.Second+1), open), "2 young"},
		{"before excludes its second", between(open, epoch.Add(time.Second)), "0 never old"},
		{"before a fraction later", between(open, epoch.Add(time.Second+time.Millisecond)), "0 1 never old"},
		{"between", between(epoch, epoch.Add(2*time.Second)), "0 1"},
		{"between the same", between(epoch, epoch), ""},
		{"in another zone", between(epoch.In(east), epoch.Add(time.Second).In(east)), "0"},
		{"since long ago", between(time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), open), "0 1 2 old young"},
		{"before far away", between(open, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)), "0 1 2 never old young"},
	})
}
