package storagetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

const (
	// benchBatch is the number of changes that synchro writes at once at most.
	benchBatch = 500
	// benchObjects is what lists are measured on: pods of benchClusters clusters,
	// of about 6 KiB each.
	benchObjects  = 20_000
	benchClusters = 10
)

// Benchmark measures the usual calls. Every list finds some of 20,000 objects;
// "rows/op" is the number of objects that one call handles.
func Benchmark(b *testing.B, open Open) {
	s := suite{open: open, root: b.Name()}
	b.Run("apply", func(b *testing.B) { benchApply(b, s.start(b)) })
	b.Run("read", func(b *testing.B) { benchRead(b, s.start(b)) })
}

// benchPod is a pod as most clusters hold many of: owned, labeled, and 6 KiB
// long.
func benchPod(i int) *object.Object {
	app := fmt.Sprint("app-", i%400)
	container := fmt.Sprintf(`{"name":"main","image":"registry.example.io/%s:v1","env":[%s{"name":"LAST","value":"1"}]}`,
		app, strings.Repeat(`{"name":"SOME_VARIABLE_OF_THE_APP","value":"with a value of usual length"},`, 60))
	return thing{
		cluster: fmt.Sprint("cluster-", i%benchClusters), namespace: fmt.Sprint("namespace-", i%50), name: fmt.Sprintf("%s-%07d", app, i),
		version: fmt.Sprint(1000 + i), labels: map[string]string{"app": app, "example.io/tier": fmt.Sprint("tier-", i%5)},
		owners: []string{fmt.Sprint("replicaset-", i%4000)}, controlled: true, created: epoch.Add(time.Duration(i) * time.Second),
		body: fmt.Sprintf(`"spec":{"nodeName":"node-%d","containers":[%s]},"status":{"phase":%q}`, i%200, container, []string{"Running", "Pending"}[i%10/9]),
	}.object()
}

func benchApply(b *testing.B, st storage.Storage) {
	batch := make([]*object.Object, benchBatch)
	for i := range batch {
		batch[i] = benchPod(i * benchClusters)
	}
	w := storage.Writer{Cluster: batch[0].Cluster, Epoch: 1}
	run := func(name string, changes []storage.Change) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := st.Apply(b.Context(), w, changes); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(changes)), "rows/op")
		})
	}
	run("put one", puts(batch[0]))
	run("put 500", puts(batch...))
	run("put and delete 500", slices.Concat(puts(batch...), deletes(batch...)))
}

func benchRead(b *testing.B, st storage.Storage) {
	all := make([]*object.Object, 0, benchObjects+4000)
	for i := range benchObjects {
		all = append(all, benchPod(i))
	}
	for i := range 4000 { // the owners' rows: small
		all = append(all, thing{
			cluster: fmt.Sprint("cluster-", i%benchClusters), namespace: fmt.Sprint("namespace-", i%50), name: fmt.Sprint("replicaset-", i),
			resource: replicasets, uid: fmt.Sprint("replicaset-", i), owners: []string{fmt.Sprint("deployment-", i%400)}, controlled: true,
		}.object())
	}
	put(b, st, all...)

	b.Run("get", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := st.Get(b.Context(), all[i%benchObjects].Key); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("versions", func(b *testing.B) {
		for b.Loop() {
			if err := st.Versions(b.Context(), "cluster-1", func(storage.Version) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, x := range benchLists(b, st) {
		b.Run(x.name, func(b *testing.B) {
			rows := 0
			for b.Loop() {
				rows = 0
				if _, err := st.List(b.Context(), &x.query, func(*object.Object) error { rows++; return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows), "rows/op")
		})
	}
}

type benchList struct {
	name  string
	query query.Query
}

func benchLists(b *testing.B, st storage.Storage) []benchList {
	onlyPods := []query.Type{typeOf(pods)}
	list := func(name string, change func(*query.Query)) benchList {
		q := query.Query{Types: onlyPods, Limit: 500}
		change(&q)
		return benchList{name, q}
	}
	// The page in the middle of everything.
	middle := query.Query{Types: onlyPods, Limit: 500}
	page, err := st.List(b.Context(), &query.Query{Types: onlyPods, Limit: benchObjects / 2}, func(*object.Object) error { return nil })
	if err != nil {
		b.Fatal(err)
	}
	middle.Continue = page.Continue
	return []benchList{
		list("list 500", func(*query.Query) {}),
		list("list 500, metadata", func(q *query.Query) { q.Projection = query.Metadata }),
		list("list 500, keys", func(q *query.Query) { q.Projection = query.KeyOnly }),
		list("list 500, counted", func(q *query.Query) { q.Count = query.CountExact }),
		list("list a namespace", func(q *query.Query) { q.Clusters, q.Namespaces = []string{"cluster-3"}, []string{"namespace-3"} }),
		list("list by label", func(q *query.Query) {
			q.Labels = []query.LabelRequirement{{Key: "app", Operator: query.In, Values: []string{"app-7"}}}
		}),
		list("list by field", func(q *query.Query) { q.Fields = field("spec.nodeName", query.In, "node-7").Fields }),
		list("list by list field", func(q *query.Query) {
			q.Fields = field("spec.containers[].image", query.In, "registry.example.io/app-7:v1").Fields
		}),
		list("list by part of the name", func(q *query.Query) { q.NameContains = []string{"pp-77-"} }),
		list("list owned", func(q *query.Query) { q.Owner = &query.Owner{UID: "replicaset-7"} }),
		list("list owned by the owned", func(q *query.Query) {
			q.Clusters, q.Owner = []string{"cluster-7"}, &query.Owner{UID: "deployment-7", Seniority: 1}
		}),
		list("list the newest 20", func(q *query.Query) {
			q.Order, q.Limit = []query.Order{{By: query.ByCreatedAt, Desc: true}}, 20
		}),
		list("list what one may see", func(q *query.Query) {
			q.Visible = &query.Visibility{}
			for i := range 50 {
				q.Visible.Scopes = append(q.Visible.Scopes, query.Scope{
					Clusters: []string{fmt.Sprint("cluster-", i%3)}, Namespaces: []string{fmt.Sprint("namespace-", i)}, Types: onlyPods,
				})
			}
		}),
		{"list the page in the middle", middle},
	}
}
