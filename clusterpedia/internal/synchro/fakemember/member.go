// Package fakemember is a member cluster for the tests of the synchro: an HTTP
// server that lists, watches and discovers like a kube-apiserver, and fails when it
// is told to. Nothing but tests imports it.
package fakemember

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Member is a member cluster.
type Member struct {
	server *httptest.Server

	mu        sync.Mutex
	resources []Resource
	objects   map[string]map[string]object
	events    []event
	// version is the last resource version that was given.
	version int
	// compacted is the version up to which events are forgotten.
	compacted int
	// changed is closed when events were added; cut when all watches must end.
	changed, cut chan struct{}
	fail         func(r *http.Request) int
	requests     []string
}

// Resource is a resource that a member serves.
type Resource struct {
	schema.GroupVersion
	Name, Kind string
	Namespaced bool
	// Unwatchable resources can only be listed.
	Unwatchable bool
}

func (r Resource) path() string {
	if r.Group == "" {
		return "/api/" + r.Version + "/" + r.Name
	}
	return "/apis/" + r.Group + "/" + r.Version + "/" + r.Name
}

type object struct {
	version int
	json    string
}

type event struct {
	path, kind string
	object     object
}

// New starts a member that serves the resources.
func New(resources ...Resource) *Member {
	m := &Member{
		resources: resources,
		objects:   map[string]map[string]object{},
		version:   100,
		changed:   make(chan struct{}),
		cut:       make(chan struct{}),
	}
	m.server = httptest.NewServer(m)
	return m
}

// Close ends the member.
func (m *Member) Close() {
	m.CutWatches()
	m.server.CloseClientConnections()
	m.server.Close()
}

// URL is where the member is.
func (m *Member) URL() string { return m.server.URL }

// Serve changes what the member serves.
func (m *Member) Serve(resources ...Resource) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.resources = resources
}

// FailWith answers each request with the status code that fail returns; 0 lets it
// through. A fail of nil ends that.
func (m *Member) FailWith(fail func(r *http.Request) int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

// Put creates or replaces an object. More is put into its metadata: `"labels":{}`.
func (m *Member) Put(r Resource, namespace, name, uid, more string) {
	m.PutSpec(r, namespace, name, uid, more, "")
}

// PutSpec is Put with a spec, as JSON; the version, if it is empty.
func (m *Member) PutSpec(r Resource, namespace, name, uid, more, spec string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.version++
	if spec == "" {
		spec = fmt.Sprintf(`{"n":%d}`, m.version)
	}
	if more != "" {
		more = "," + more
	}
	kind := "ADDED"
	if _, ok := m.objects[r.path()][namespace+"/"+name]; ok {
		kind = "MODIFIED"
	}
	o := object{m.version, fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"namespace":%q,"name":%q,"uid":%q,"resourceVersion":"%d"%s},"spec":%s}`,
		r.GroupVersion, r.Kind, namespace, name, uid, m.version, more, spec)}
	if m.objects[r.path()] == nil {
		m.objects[r.path()] = map[string]object{}
	}
	m.objects[r.path()][namespace+"/"+name] = o
	m.announce(event{r.path(), kind, o})
}

// Delete deletes an object.
func (m *Member) Delete(r Resource, namespace, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.objects[r.path()][namespace+"/"+name]
	delete(m.objects[r.path()], namespace+"/"+name)
	m.version++
	o.json = strings.Replace(o.json, fmt.Sprintf(`"resourceVersion":"%d"`, o.version), fmt.Sprintf(`"resourceVersion":"%d"`, m.version), 1)
	o.version = m.version
	m.announce(event{r.path(), "DELETED", o})
}

func (m *Member) announce(e event) {
	m.events = append(m.events, e)
	close(m.changed)
	m.changed = make(chan struct{})
}

// Names returns "resource namespace/name version" of all objects, sorted.
func (m *Member) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, r := range m.resources {
		for name, o := range m.objects[r.path()] {
			names = append(names, fmt.Sprintf("%s %s %d", r.Name, strings.TrimPrefix(name, "/"), o.version))
		}
	}
	slices.Sort(names)
	return names
}

// Restore goes back to a lower version, as from a backup: the objects get new
// versions below it, nobody is told, and all watches end.
func (m *Member) Restore(version int) {
	m.mu.Lock()
	m.version, m.events, m.compacted = version, nil, version
	for path, objects := range m.objects {
		for _, name := range slices.Sorted(maps.Keys(objects)) {
			o := objects[name]
			lower := object{version - 1, strings.Replace(o.json, fmt.Sprintf(`"resourceVersion":"%d"`, o.version), fmt.Sprintf(`"resourceVersion":"%d"`, version-1), 1)}
			m.objects[path][name] = lower
		}
	}
	m.mu.Unlock()
	m.CutWatches()
}

// Compact forgets all events: who resumes from before is told so.
func (m *Member) Compact() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.version++
	m.compacted = m.version
}

// CutWatches ends all watches.
func (m *Member) CutWatches() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.cut)
	m.cut = make(chan struct{})
}

// Requests returns the requests since the last call, as "path?query", that contain
// part.
func (m *Member) Requests(part string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []string
	for _, r := range m.requests {
		if strings.Contains(r, part) {
			found = append(found, r)
		}
	}
	m.requests = nil
	return found
}

// ServeHTTP implements http.Handler.
func (m *Member) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.requests = append(m.requests, r.URL.String())
	fail := m.fail
	resources := m.resources
	m.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if fail != nil {
		if code := fail(r); code != 0 {
			refuse(w, code)
			return
		}
	}
	switch path := r.URL.Path; {
	case path == "/readyz":
		write(w, "ok")
	case path == "/version":
		write(w, `{"gitVersion":"v1.37.2"}`)
	case path == "/api", path == "/apis", len(strings.Split(path, "/")) == 3 && strings.HasPrefix(path, "/api/"), len(strings.Split(path, "/")) == 4 && strings.HasPrefix(path, "/apis/"):
		discover(w, path, resources)
	default:
		i := slices.IndexFunc(resources, func(r Resource) bool { return r.path() == path })
		switch {
		case i < 0:
			refuse(w, http.StatusNotFound)
		case r.URL.Query().Get("watch") != "":
			m.watch(w, r)
		default:
			m.list(w, r, resources[i])
		}
	}
}

func write(w http.ResponseWriter, text string) {
	fmt.Fprint(w, text)
}

func encode(w http.ResponseWriter, v any) {
	_ = json.NewEncoder(w).Encode(v) // The client notices.
}

func refuse(w http.ResponseWriter, code int) {
	w.WriteHeader(code)
	reason := map[int]string{http.StatusNotFound: "NotFound", http.StatusGone: "Expired", http.StatusForbidden: "Forbidden"}[code]
	encode(w, metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
		Message: "refused with " + strconv.Itoa(code), Reason: metav1.StatusReason(reason), Code: int32(code), //nolint:gosec // It is a status code.
	})
}

func discover(w http.ResponseWriter, path string, resources []Resource) {
	parts := strings.Split(path, "/")[1:]
	switch path {
	case "/api":
		encode(w, metav1.APIVersions{Versions: []string{"v1"}})
	case "/apis":
		list := metav1.APIGroupList{Groups: []metav1.APIGroup{{Name: "always.k8s.io"}}}
		for _, r := range resources {
			if r.Group == "" {
				continue
			}
			i := slices.IndexFunc(list.Groups, func(g metav1.APIGroup) bool { return g.Name == r.Group })
			if i < 0 {
				i = len(list.Groups)
				list.Groups = append(list.Groups, metav1.APIGroup{Name: r.Group})
			}
			version := metav1.GroupVersionForDiscovery{GroupVersion: r.GroupVersion.String(), Version: r.Version}
			if !slices.Contains(list.Groups[i].Versions, version) {
				list.Groups[i].Versions = append(list.Groups[i].Versions, version)
			}
		}
		encode(w, list)
	default:
		gv := schema.GroupVersion{Version: parts[1]}
		if parts[0] == "apis" {
			gv = schema.GroupVersion{Group: parts[1], Version: parts[2]}
		}
		list := metav1.APIResourceList{GroupVersion: gv.String()}
		for _, r := range resources {
			if r.GroupVersion == gv {
				verbs := metav1.Verbs{"get", "list", "watch"}
				if r.Unwatchable {
					verbs = verbs[:2]
				}
				list.APIResources = append(list.APIResources,
					metav1.APIResource{Name: r.Name, SingularName: strings.ToLower(r.Kind), Kind: r.Kind, Namespaced: r.Namespaced, Verbs: verbs},
					metav1.APIResource{Name: r.Name + "/status", Kind: r.Kind, Namespaced: r.Namespaced, Verbs: metav1.Verbs{"get"}})
			}
		}
		encode(w, list)
	}
}

// list answers in pages. A continue token is the version and the number of objects
// to leave out.
func (m *Member) list(w http.ResponseWriter, r *http.Request, resource Resource) {
	m.mu.Lock()
	defer m.mu.Unlock()
	objects := m.objects[resource.path()]
	names := slices.Sorted(maps.Keys(objects))
	skip, version, token := 0, m.version, ""
	if since, from, ok := strings.Cut(r.URL.Query().Get("continue"), "-"); ok {
		version, _ = strconv.Atoi(since)
		skip, _ = strconv.Atoi(from)
		if version < m.compacted {
			refuse(w, http.StatusGone)
			return
		}
	}
	end := len(names)
	if limit, err := strconv.Atoi(r.URL.Query().Get("limit")); err == nil && skip+limit < end {
		end = skip + limit
		token = fmt.Sprintf("%d-%d", version, end)
	}
	var items []string
	for _, name := range names[min(skip, len(names)):end] {
		items = append(items, objects[name].json)
	}
	write(w, fmt.Sprintf(`{"kind":"%sList","apiVersion":%q,"metadata":{"resourceVersion":"%d","continue":%q},"items":[%s]}`,
		resource.Kind, resource.GroupVersion, version, token, strings.Join(items, ",")))
}

func (m *Member) watch(w http.ResponseWriter, r *http.Request) {
	since, err := strconv.Atoi(cmp.Or(r.URL.Query().Get("resourceVersion"), "0"))
	if err != nil {
		refuse(w, http.StatusBadRequest)
		return
	}
	m.mu.Lock()
	cut, compacted := m.cut, m.compacted
	m.mu.Unlock()
	if since < compacted {
		refuse(w, http.StatusGone)
		return
	}
	for {
		m.mu.Lock()
		events, changed := slices.Clone(m.events), m.changed
		m.mu.Unlock()
		for _, e := range events {
			if e.path == r.URL.Path && e.object.version > since {
				since = e.object.version
				write(w, fmt.Sprintf("{\"type\":%q,\"object\":%s}\n", e.kind, e.object.json))
			}
		}
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-cut:
			return
		case <-changed:
		}
	}
}
