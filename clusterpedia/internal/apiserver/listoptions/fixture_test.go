package listoptions

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

// object names in the fixture are those of the conformance suite: two clusters
// with three deployments each, what these own, and a few others.

var (
	deployments = query.Type{Group: "apps", Version: "v1", Resource: "deployments"}
	pods        = query.Type{Version: "v1", Resource: "pods"}
)

type document = map[string]any

// fixture returns all objects.
func fixture() []*object.Object {
	var objects []*object.Object
	for number, cluster := range []string{"cluster-1", "cluster-2"} {
		version := 1000 * (number + 1)
		add := func(group, resource, kind, namespace, name, created, owner string, doc document) {
			version++
			o := &object.Object{
				Key: object.Key{
					Cluster: cluster, Namespace: namespace, Name: name,
					Resource: object.Resource{Group: group, Version: "v1", Resource: resource},
				},
				Kind: kind, UID: uid(cluster, resource, name), ResourceVersion: fmt.Sprint(version),
			}
			o.CreatedAt, _ = time.Parse(time.DateOnly, cmp.Or(created, "2022-01-01"))
			if owner != "" {
				o.Owners, o.Controller = []string{owner}, owner
			}
			if doc == nil {
				doc = document{}
			}
			metadata, _ := doc["metadata"].(document)
			if metadata == nil {
				metadata = document{}
				doc["metadata"] = metadata
			}
			metadata["name"], metadata["namespace"] = name, namespace
			o.Labels, _ = metadata["labels"].(map[string]string)
			o.JSON, _ = json.Marshal(doc)
			objects = append(objects, o)
		}
		add("", "namespaces", "Namespace", "", "default", "", "", nil)
		add("", "namespaces", "Namespace", "", "kube-system", "", "", nil)
		add("", "nodes", "Node", "", "node-0", "", "", nil)
		add("", "configmaps", "ConfigMap", "default", "cm1", "", "", nil)
		add("", "secrets", "Secret", "kube-system", "topsecret", "", "", nil)
		add("example.io", "widgets", "Widget", "default", "w1", "", "", document{"spec": document{"size": 3, "on": true}})
		for _, d := range []struct {
			name, namespace, created, tier, annotation string
			replicas                                   int
		}{
			{"web", "default", "2022-03-01", "front", "v0", 3},
			{"api", "default", "2022-03-05", "back", "v1", 1},
			{"coredns", "kube-system", "2022-02-01", "back", "v2", 2},
		} {
			spec := document{"replicas": d.replicas}
			if d.name == "api" {
				spec["paused"] = true
			}
			add("apps", "deployments", "Deployment", d.namespace, d.name, d.created, "", document{
				"metadata": document{
					"labels":      map[string]string{"app": d.name, "tier": d.tier, "idx": fmt.Sprint(d.replicas)},
					"annotations": document{"test.io": d.annotation, "a": "one"},
				},
				"spec": spec,
			})
			rs := d.name + "-rs"
			add("apps", "replicasets", "ReplicaSet", d.namespace, rs, d.created, uid(cluster, "deployments", d.name), nil)
			for k := range d.replicas {
				phase := "Running"
				if k == 0 {
					phase = "Pending"
				}
				add("", "pods", "Pod", d.namespace, fmt.Sprintf("%s-%d", rs, k), d.created, uid(cluster, "replicasets", rs), document{
					"spec": document{
						"nodeName":   fmt.Sprintf("node-%d", k),
						"containers": []document{{"name": d.name, "image": d.name + ":v1"}, {"name": "sidecar", "image": "proxy:v2"}},
					},
					"status": document{"phase": phase},
				})
			}
		}
	}
	return objects
}

func uid(cluster, resource, name string) string {
	return strings.Join([]string{cluster, resource, name}, "-")
}

// list is a request for a list.
type list struct {
	// types are those of the path; deployments if there are none.
	types              []query.Type
	cluster, namespace string
	// query is the URL's, and may hold blanks and quotes as they are; + means
	// blank and %2B plus.
	query string
}

func (l list) parse(t *testing.T) (*Options, error) {
	t.Helper()
	values, err := url.ParseQuery(l.query)
	require.NoError(t, err)
	types := l.types
	if len(types) == 0 {
		types = []query.Type{deployments}
	}
	return Parse(Input{Values: values, Cluster: l.cluster, Namespace: l.namespace, Types: types})
}

// answer evaluates options on the fixture, as a storage layer does.
func answer(t *testing.T, options *Options) ([]*object.Object, metav1.ListMeta) {
	t.Helper()
	all := fixture()
	q := options.Query
	var owners query.OwnerSet
	if q.Owner != nil {
		owners = query.FindOwners(q, slices.Values(all))
	}
	var found []*object.Object
	for _, o := range all {
		if query.Match(q, o, owners) {
			found = append(found, o)
		}
	}
	slices.SortFunc(found, func(a, b *object.Object) int { return query.Compare(q, a, b) })
	if q.Continue != "" {
		position, err := q.Position()
		require.NoError(t, err)
		found = slices.DeleteFunc(found, func(o *object.Object) bool { return query.Compare(q, o, position) <= 0 })
	}
	found = found[min(q.Offset, int64(len(found))):]
	var page query.Page
	if q.Limit > 0 && q.Limit < int64(len(found)) {
		remaining := int64(len(found)) - q.Limit
		found = found[:q.Limit]
		page.Continue = q.ContinueAfter(found[q.Limit-1])
		page.Remaining = &remaining
	} else {
		page.Remaining = new(int64)
	}
	if q.Count == query.CountNone {
		page.Remaining = nil
	}
	return found, options.ListMeta(page, int64(len(found)))
}
