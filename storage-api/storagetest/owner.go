package storagetest

import (
	"testing"

	"clusterpedia.io/storage-api/query"
)

func filterOwners(t *testing.T, s suite) {
	in := func(cluster string, x thing) thing { x.cluster, x.controlled = cluster, len(x.owners) > 0; return x }
	by := func(uids ...string) []string { return uids }
	all := objects(
		in("c1", thing{resource: deployments, namespace: "default", name: "web", uid: "web"}),
		in("c1", thing{resource: replicasets, namespace: "default", name: "web-1", uid: "web-1", owners: by("web")}),
		in("c1", thing{resource: replicasets, namespace: "default", name: "web-2", uid: "web-2", owners: by("web")}),
		in("c1", thing{namespace: "default", name: "web-1-a", owners: by("web-1"), uid: "web-1-a"}),
		in("c1", thing{namespace: "default", name: "web-1-b", owners: by("web-1")}),
		in("c1", thing{namespace: "default", name: "web-2-a", owners: by("web-2")}),
		in("c1", thing{resource: secrets, namespace: "default", name: "web-1-a-token", owners: by("web-1-a")}),
		// An owner that does not control, and one beside the controller.
		thing{namespace: "default", name: "free", owners: by("web-1")},
		in("c1", thing{namespace: "default", name: "shared", owners: by("node", "web-1", "web-2")}),
		// Cluster-scoped owners, and an owner in another namespace.
		in("c1", thing{resource: nodes, name: "node", uid: "node"}),
		in("c1", thing{namespace: "kube-system", name: "mirror", owners: by("node")}),
		in("c1", thing{resource: deployments, namespace: "other", name: "web", uid: "other-web"}),
		in("c1", thing{resource: replicasets, namespace: "other", name: "web-o", uid: "web-o", owners: by("other-web")}),
		in("c1", thing{namespace: "other", name: "web-o-a", owners: by("web-o")}),
		// Other types of the same name.
		in("c1", thing{resource: widgets, namespace: "default", name: "web", uid: "widget-web"}),
		in("c1", thing{namespace: "default", name: "of-widget", owners: by("widget-web")}),
		in("c1", thing{resource: widgetsAlpha, namespace: "default", name: "web", uid: "alpha-web"}),
		in("c1", thing{namespace: "default", name: "of-alpha", owners: by("alpha-web")}),
		// Owners that are not stored, own themselves or one another.
		in("c1", thing{namespace: "default", name: "orphan", uid: "orphan", owners: by("gone")}),
		in("c1", thing{resource: secrets, namespace: "default", name: "of-orphan", owners: by("orphan")}),
		in("c1", thing{resource: widgets, name: "self", uid: "self", owners: by("self")}),
		in("c1", thing{resource: widgets, name: "hen", uid: "hen", owners: by("egg")}),
		in("c1", thing{resource: widgets, name: "egg", uid: "egg", owners: by("hen")}),
		// A cluster restored from a backup of the other.
		in("c2", thing{resource: deployments, namespace: "default", name: "web", uid: "web"}),
		in("c2", thing{resource: replicasets, namespace: "default", name: "2-web-1", uid: "web-1", owners: by("web")}),
		in("c2", thing{namespace: "default", name: "2-web-1-a", owners: by("web-1")}),
		in("c3", thing{namespace: "default", name: "3-web-1-a", owners: by("web-1")}),
		// A UID of other case is another.
		in("c1", thing{namespace: "default", name: "upper", owners: by("WEB-1")}),
	)
	c1 := []string{"c1"}
	uid := func(uid string, seniority int) query.Query {
		return query.Query{Clusters: c1, Owner: &query.Owner{UID: uid, Seniority: seniority}}
	}
	named := func(name string, seniority int, namespaces ...string) query.Query {
		return query.Query{Clusters: c1, Namespaces: namespaces, Owner: &query.Owner{Name: name, Seniority: seniority}}
	}
	of := func(group, resource, name string, seniority int, namespaces ...string) query.Query {
		return query.Query{Clusters: c1, Namespaces: namespaces, Owner: &query.Owner{Name: name, Group: group, Resource: resource, Seniority: seniority}}
	}
	with := func(q query.Query, change func(*query.Query)) query.Query { change(&q); return q }
	s.filters(t, all, []filter{
		{"uid, its own", uid("web", 0), "web-1 web-2"},
		{"uid, any owner counts", uid("web-1", 0), "free shared web-1-a web-1-b"},
		{"uid, cluster-scoped owner", uid("node", 0), "shared mirror"},
		{"uid, grandchildren alone", uid("web", 1), "free shared web-1-a web-1-b web-2-a"},
		{"uid, the third generation", uid("web", 2), "web-1-a-token"},
		{"uid, no fourth generation", uid("web", 3), ""},
		{"uid that is not stored", uid("gone", 0), "orphan"},
		{"uid that is not stored, grandchildren", uid("gone", 1), "of-orphan"},
		{"unknown uid", uid("none", 0), ""},
		{"uid of other case", uid("WEB-1", 0), "upper"},
		{"owning itself", uid("self", query.MaxSeniority), "self"},
		{"owning one another", uid("hen", 2), "egg"},
		{"owning one another, odd", uid("hen", 3), "hen"},
		{"uid wins over the name", query.Query{Clusters: c1, Owner: &query.Owner{UID: "node", Name: "web", Group: "apps", Resource: "deployments"}}, "shared mirror"},
		{"uid in a namespace: only the answer is limited", with(uid("node", 0), func(q *query.Query) { q.Namespaces = []string{"kube-system"} }), "mirror"},
		{"all clusters: owners stay within theirs", query.Query{Owner: &query.Owner{UID: "web", Seniority: 1}}, "free shared web-1-a web-1-b web-2-a 2-web-1-a"},
		{"all clusters, children", query.Query{Owner: &query.Owner{UID: "web-1"}}, "free shared web-1-a web-1-b 2-web-1-a 3-web-1-a"},
		{"another cluster", with(uid("web", 1), func(q *query.Query) { q.Clusters = []string{"c2"} }), "2-web-1-a"},
		{"a cluster without the owner", with(uid("web", 1), func(q *query.Query) { q.Clusters = []string{"c3"} }), ""},
		{"name, any type", named("web", 0), "of-alpha of-widget web-1 web-2 web-o"},
		{"name, grandchildren", named("web", 1), "free shared web-1-a web-1-b web-2-a web-o-a"},
		{"name in one namespace", named("web", 1, "default"), "free shared web-1-a web-1-b web-2-a"},
		{"name in another", named("web", 1, "other"), "web-o-a"},
		{"name in none of them", named("web", 1, "kube-system"), ""},
		{"name, cluster-scoped owner", named("node", 0, "kube-system"), "mirror"},
		{"name, cluster-scoped only", named("web", 0, ""), ""},
		{"name, the owner's namespace is that of the answer", named("web-o", 0, "default"), ""},
		{"name of other case", named("Web", 0), ""},
		{"name with wildcards", named("w%", 0), ""},
		{"name and resource", of("apps", "deployments", "web", 0), "web-1 web-2 web-o"},
		{"name and resource of any version", of("example.io", "widgets", "web", 0), "of-alpha of-widget"},
		{"name and resource, the top owner's alone", of("apps", "deployments", "web", 1), "free shared web-1-a web-1-b web-2-a web-o-a"},
		{"name and resource of the core group", of("", "nodes", "node", 0), "shared mirror"},
		{"name and resource of another group", of("", "deployments", "web", 0), ""},
		{"name and group alone: the group does not matter", of("other", "", "web", 0), "of-alpha of-widget web-1 web-2 web-o"},
		{"name and resource in a namespace", of("apps", "deployments", "web", 0, "other"), "web-o"},
		{"with a type", with(uid("web", 1), func(q *query.Query) { q.Types = []query.Type{typeOf(pods)} }), "free shared web-1-a web-1-b web-2-a"},
		{"with a type that is the owners'", with(uid("web", 0), func(q *query.Query) { q.Types = []query.Type{typeOf(pods)} }), ""},
		{"with a name", with(uid("web", 1), func(q *query.Query) { q.Names = []string{"free", "web-2-a", "upper"} }), "free web-2-a"},
		{"with visibility: owners need not be visible", with(uid("web", 1), func(q *query.Query) {
			q.Visible = &query.Visibility{Scopes: []query.Scope{{Types: []query.Type{typeOf(pods)}}}}
		}), "free shared web-1-a web-1-b web-2-a"},
		{"in another order", with(uid("web-1", 0), func(q *query.Query) { q.Order = []query.Order{{By: query.ByName, Desc: true}} }), "web-1-b web-1-a shared free"},
	})
}
