package storagetest

import (
	"testing"

	"clusterpedia.io/storage-api/query"
)

func filterVisible(t *testing.T, s suite) {
	all := objects(
		thing{cluster: "c1", namespace: "default", name: "pod-1"},
		thing{cluster: "c1", namespace: "other", name: "pod-1-o"},
		thing{cluster: "c1", resource: nodes, name: "node-1"},
		thing{cluster: "c1", resource: widgets, namespace: "default", name: "widget-1"},
		thing{cluster: "c2", namespace: "default", name: "pod-2"},
		thing{cluster: "c2", resource: nodes, name: "node-2"},
		thing{cluster: "c2", resource: widgetsAlpha, namespace: "default", name: "alpha-2"},
	)
	const everything = "node-1 node-2 pod-1 pod-1-o pod-2 widget-1 alpha-2"
	type texts = []string
	seeing := func(scopes ...query.Scope) query.Query {
		return query.Query{Visible: &query.Visibility{Scopes: scopes}}
	}
	s.filters(t, all, []filter{
		{"nil", query.Query{}, everything},
		{"no scopes", query.Query{Visible: &query.Visibility{}}, ""},
		{"no scopes, not nil", seeing([]query.Scope{}...), ""},
		{"a scope without limits", seeing(query.Scope{}), everything},
		{"one cluster", seeing(query.Scope{Clusters: texts{"c2"}}), "node-2 pod-2 alpha-2"},
		{"one namespace", seeing(query.Scope{Namespaces: texts{"other"}}), "pod-1-o"},
		{"cluster-scoped", seeing(query.Scope{Namespaces: texts{""}}), "node-1 node-2"},
		{"one type", seeing(query.Scope{Types: []query.Type{typeOf(nodes)}}), "node-1 node-2"},
		{"any version of a type", seeing(query.Scope{Types: []query.Type{{Group: "example.io", Resource: "widgets"}}}), "widget-1 alpha-2"},
		{"any group", seeing(query.Scope{Types: []query.Type{{Group: query.AnyGroup, Resource: "pods"}}}), "pod-1 pod-1-o pod-2"},
		{"all conditions of a scope", seeing(query.Scope{Clusters: texts{"c1"}, Namespaces: texts{"default", ""}, Types: []query.Type{typeOf(pods), typeOf(nodes)}}), "node-1 pod-1"},
		{"a union", seeing(
			query.Scope{Clusters: texts{"c1"}, Types: []query.Type{typeOf(nodes)}},
			query.Scope{Clusters: texts{"c2"}, Namespaces: texts{"default"}},
		), "node-1 pod-2 alpha-2"},
		{"a union that overlaps", seeing(query.Scope{Clusters: texts{"c1"}}, query.Scope{Namespaces: texts{"default"}}), "node-1 pod-1 pod-1-o pod-2 widget-1 alpha-2"},
		{"a union with everything", seeing(query.Scope{Clusters: texts{"c1"}}, query.Scope{}), everything},
		{"nothing of other case", seeing(query.Scope{Clusters: texts{"C1"}}, query.Scope{Namespaces: texts{"Default"}}), ""},
		{"with conditions", query.Query{
			Clusters: texts{"c1"}, Namespaces: texts{"default"},
			Visible: &query.Visibility{Scopes: []query.Scope{{Clusters: texts{"c2"}}, {Types: []query.Type{typeOf(pods)}}}},
		}, "pod-1"},
		{"a union does not widen the conditions", query.Query{
			Names: texts{"pod-1", "none"}, Visible: &query.Visibility{Scopes: []query.Scope{{Clusters: texts{"c1"}}, {Clusters: texts{"c2"}}}},
		}, "pod-1"},
		{"many scopes", seeing(manyScopes()...), "pod-2"},
	})
}

// manyScopes is what a user may see who has a role in each of many namespaces.
func manyScopes() []query.Scope {
	var scopes []query.Scope
	for _, namespace := range many("default")[1000:1500] {
		scopes = append(scopes, query.Scope{Clusters: []string{"c2"}, Namespaces: []string{namespace}, Types: []query.Type{typeOf(pods)}})
	}
	return scopes
}
