package suite

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"clusterpedia.io/bench/fleet"
	"clusterpedia.io/bench/report"
	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

// row is a request whose cost is measured.
type row struct {
	name, title string
	request     request
	// floor is whether the floor can answer it.
	floor bool
}

// of returns the servers that answer a row.
func (s *suite) of(r row) []*server {
	var all []*server
	for _, name := range report.Servers() {
		if name != report.Floor || r.floor {
			all = append(all, s.servers[name])
		}
	}
	return all
}

const pods = "/api/v1/pods"

// rows are the requests of the profile.
func (s *suite) rows() []row {
	f := s.Profile.Fleet
	// An app in the middle, whatever the size of the fleet.
	cluster, app := f.Clusters/2, f.Apps/2
	workload := f.Workload(cluster, app)
	pod := workload[slices.IndexFunc(workload, func(o fleet.Object) bool { return o.Kind == "Pod" })]
	node := f.NodeName(cluster, app*f.App.Pods/fleet.PodsPerNode)
	part := pod.Name[strings.IndexByte(pod.Name, '-')+1:]
	values := func(pairs ...string) url.Values {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return v
	}
	first := request{path: pods, limit: 500}
	with := func(r request, change func(*request)) request { change(&r); return r }
	all := []row{
		{name: "get", title: "get one", request: request{cluster: pod.Cluster, path: "/api/v1/namespaces/" + pod.Namespace + "/pods/" + pod.Name}},
		{name: "list-500", title: "list 500", request: first, floor: true},
		{name: "list-500-gzip", title: "list 500, gzip", request: with(first, func(r *request) { r.gzip = true })},
		{name: "list-500-table", title: "list 500, Table", request: with(first, func(r *request) { r.accept = asTable })},
		{name: "list-500-metadata", title: "list 500, metadata", request: with(first, func(r *request) { r.accept = asMetadata })},
		{name: "namespace", title: "a namespace, limit 500", request: request{path: "/api/v1/namespaces/" + pod.Namespace + "/pods", limit: 500}},
		{name: "label", title: "selective label", request: request{path: pods, query: values("labelSelector", "app="+f.AppLabel(cluster, app))}},
		{name: "label-500", title: "label of a third, limit 500", request: with(first, func(r *request) { r.query = values("labelSelector", "tier=back") })},
		{name: "field", title: "field", request: request{path: pods, query: values("fieldSelector", "spec.nodeName="+node)}},
		{name: "fuzzy", title: "part of the name", request: request{path: pods, query: values("labelSelector", "internalstorage.clusterpedia.io/fuzzy-name="+part[:11])}},
		{name: "owner", title: "owner two generations up", request: request{cluster: pod.Cluster, path: pods, query: values("ownerUID", workload[0].UID(), "ownerSeniority", "1")}},
		{name: "newest", title: "newest 20", request: request{path: pods, limit: 20, query: values("orderby", "created_at desc")}},
		{name: "where", title: "whereSQL, limit 500", request: with(first, func(r *request) {
			r.query = values("whereSQL", "namespace = '"+pod.Namespace+"' AND cluster = '"+pod.Cluster+"'")
		})},
	}
	if s.Profile.Lists {
		everything := request{path: pods}
		all = append(all,
			row{name: "list-all", title: fmt.Sprintf("list all %d", f.Pods()), request: everything, floor: true},
			row{name: "list-all-gzip", title: "list all, gzip", request: with(everything, func(r *request) { r.gzip = true })},
			row{name: "list-all-table", title: "list all, Table", request: with(everything, func(r *request) { r.accept = asTable })},
			row{name: "list-all-metadata", title: "list all, metadata", request: with(everything, func(r *request) { r.accept = asMetadata })},
		)
	}
	if s.Profile.Depth > 0 {
		deep := with(first, func(r *request) { r.offset = s.Profile.Depth })
		deep.query = values("continue", s.behind(deep.offset))
		all = append(all,
			row{name: "page-first", title: "first page of 500", request: first},
			row{name: "page-deep", title: fmt.Sprintf("page of 500 behind %d", deep.offset), request: deep},
		)
	}
	return slices.DeleteFunc(all, func(r row) bool { return !s.wants(r.name) })
}

// behind returns the token for the page behind so many pods, by which a client who reads
// page after page would come there.
func (s *suite) behind(depth int) string {
	var keys []object.Key
	for o := range s.Profile.Fleet.All() {
		if o.Kind == "Pod" {
			keys = append(keys, o.Key)
		}
	}
	slices.SortFunc(keys, object.Key.Compare)
	q := query.Query{Types: []query.Type{{Version: "v1", Resource: "pods"}}}
	return q.ContinueAfter(&object.Object{Key: keys[depth-1]})
}
