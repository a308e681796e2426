package query_test

import (
	"fmt"
	"slices"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

// The images of all pods that run nginx in two clusters, the newest first.
func ExampleMatch() {
	q := &query.Query{
		Types:    []query.Type{{Version: "v1", Resource: "pods"}},
		Clusters: []string{"berlin", "tokyo"},
		Fields: []query.FieldRequirement{{
			Path:     []query.PathElement{{Name: "spec"}, {Name: "containers", List: true, Index: query.AllElements}, {Name: "image"}},
			Operator: query.In,
			Values:   []string{"nginx:1.29", "nginx:1.30"},
		}},
		Order: []query.Order{{By: query.ByCreatedAt, Desc: true}},
	}
	pod := object.Object{
		Key:  object.Key{Cluster: "tokyo", Resource: object.Resource{Version: "v1", Resource: "pods"}, Namespace: "shop", Name: "web"},
		JSON: []byte(`{"spec":{"containers":[{"image":"envoy:1"},{"image":"nginx:1.30"}]}}`),
	}
	fmt.Println(q.Validate(), query.Match(q, &pod, nil))
	// Output: <nil> true
}

// Pods of a deployment: its children's children.
func ExampleFindOwners() {
	thing := func(resource, name, uid string, owners ...string) *object.Object {
		return &object.Object{
			Key: object.Key{Cluster: "tokyo", Resource: object.Resource{Group: "apps", Version: "v1", Resource: resource}, Namespace: "shop", Name: name},
			UID: uid, Owners: owners,
		}
	}
	stored := []*object.Object{
		thing("deployments", "web", "d"), thing("replicasets", "web-1", "r", "d"), thing("pods", "web-1-a", "p", "r"),
	}
	q := &query.Query{Owner: &query.Owner{Name: "web", Group: "apps", Resource: "deployments", Seniority: 1}}
	owners := query.FindOwners(q, slices.Values(stored))
	for _, o := range stored {
		if query.Match(q, o, owners) {
			fmt.Println(o.Key)
		}
	}
	// Output: tokyo apps/v1/pods shop/web-1-a
}

// A storage layer ends a page with a token, and starts the next one behind it.
func ExampleQuery_ContinueAfter() {
	q := &query.Query{Order: []query.Order{{By: query.ByName}}, Limit: 1}
	last := &object.Object{Key: object.Key{Cluster: "tokyo", Namespace: "shop", Name: "cart"}}
	next := &object.Object{Key: object.Key{Cluster: "berlin", Namespace: "shop", Name: "web"}}
	token := q.ContinueAfter(last)

	q.Continue = token
	position, err := q.Position()
	fmt.Println(err, query.Compare(q, position, last), query.Compare(q, position, next))

	q.Order = nil
	_, err = q.Position()
	fmt.Println(err != nil)
	// Output:
	// <nil> 0 -1
	// true
}

func ExamplePathString() {
	fmt.Println(query.PathString([]query.PathElement{
		{Name: "metadata"}, {Name: "annotations"}, {Name: "example.io/owner"},
	}))
	fmt.Println(query.PathString([]query.PathElement{
		{Name: "spec"}, {Name: "containers", List: true, Index: 0}, {Name: "ports", List: true, Index: query.AllElements},
	}))
	// Output:
	// metadata.annotations['example.io/owner']
	// spec.containers[0].ports[]
}
