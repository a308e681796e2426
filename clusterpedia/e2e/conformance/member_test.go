package conformance

import (
	"cmp"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// document is a JSON document.
type document = map[string]any

// resource is a resource that a stub serves.
type resource struct {
	schema.GroupVersionResource
	kind       string
	namespaced bool
}

func (r resource) path() string {
	if r.Group == "" {
		return "/api/" + r.Version + "/" + r.Resource
	}
	return "/apis/" + r.Group + "/" + r.Version + "/" + r.Resource
}

// stub stands for the API server of a member: it serves discovery, lists in pages and
// watches, of objects whose creation times and resource versions a real one would not
// let us choose, and echoes everything else. Every answer tells in its headers what was
// asked: Echo-Url, Echo-Authorization, Echo-Cookie.
type stub struct {
	server    *httptest.Server
	name      string
	resources []resource
	// down lets health checks fail.
	down atomic.Bool

	mu sync.Mutex
	// objects by path and by "namespace/name".
	objects map[string]map[string]document
	version int
	events  []event
	// changed is closed when there are more events.
	changed chan struct{}
}

// event is one of a watch.
type event struct {
	Type    string   `json:"type"`
	Object  document `json:"object"`
	path    string
	version int
}

// newStub starts a stub whose last resource version is version.
func newStub(name string, version int, resources ...resource) *stub {
	s := &stub{name: name, version: version, resources: resources, objects: map[string]map[string]document{}, changed: make(chan struct{})}
	s.server = httptest.NewUnstartedServer(s)
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that are stopped later
	s.server.StartTLS()
	return s
}

func (s *stub) close() {
	s.server.CloseClientConnections()
	s.server.Close()
}

// ca returns the authority of the stub's certificate.
func (s *stub) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw})
}

// put creates an object, or replaces it. One without a resource version gets the next.
func (s *stub) put(r resource, o document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	metadata, _ := o["metadata"].(document)
	key := fmt.Sprint(metadata["namespace"], "/", metadata["name"])
	kind := "ADDED"
	if _, exists := s.objects[r.path()][key]; exists {
		kind = "MODIFIED"
	}
	if metadata["resourceVersion"] == nil {
		s.version++
		metadata["resourceVersion"] = strconv.Itoa(s.version)
	}
	if s.objects[r.path()] == nil {
		s.objects[r.path()] = map[string]document{}
	}
	s.objects[r.path()][key] = o
	s.announce(kind, r, o)
}

// remove deletes an object.
func (s *stub) remove(r resource, namespace, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := namespace + "/" + name
	o := maps.Clone(s.objects[r.path()][key])
	delete(s.objects[r.path()], key)
	s.version++
	metadata, _ := o["metadata"].(document)
	metadata = maps.Clone(metadata)
	metadata["resourceVersion"] = strconv.Itoa(s.version)
	o["metadata"] = metadata
	s.announce("DELETED", r, o)
}

func (s *stub) announce(kind string, r resource, o document) {
	s.events = append(s.events, event{kind, o, r.path(), s.version})
	close(s.changed)
	s.changed = make(chan struct{})
}

// ServeHTTP implements http.Handler.
func (s *stub) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Echo-Member", s.name)
	w.Header().Set("Echo-Url", req.URL.RequestURI())
	w.Header().Set("Echo-Authorization", req.Header.Get("Authorization"))
	w.Header().Set("Echo-Cookie", req.Header.Get("Cookie"))
	path := strings.TrimSuffix(req.URL.Path, "/")
	if doc := s.discover(path); doc != nil {
		answer(w, doc)
		return
	}
	switch path {
	case "/healthz", "/readyz":
		if s.down.Load() {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok") // the client notices
	case "/version":
		answer(w, document{"major": "1", "minor": "37", "gitVersion": "v1.37.2"})
	default:
		i := slices.IndexFunc(s.resources, func(r resource) bool { return r.path() == path })
		switch {
		case i < 0 || req.Method != http.MethodGet:
			s.echo(w, req)
		case req.URL.Query().Get("watch") != "":
			s.watch(w, req)
		default:
			s.list(w, req, s.resources[i])
		}
	}
}

func answer(w http.ResponseWriter, v any) {
	_ = json.NewEncoder(w).Encode(v) // the client notices
}

func (s *stub) echo(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body) // what came of it
	answer(w, document{"kind": "Echo", "apiVersion": "v1", "member": s.name, "method": req.Method, "path": req.URL.Path, "query": req.URL.Query(), "headers": req.Header, "body": string(body)})
}

// discover returns the document of a discovery path; nil for other paths.
func (s *stub) discover(path string) any {
	switch parts := strings.Split(path, "/"); {
	case path == "/api":
		return metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}
	case path == "/apis":
		return s.groups()
	case len(parts) == 3 && parts[1] == "api":
		return s.resourceList(schema.GroupVersion{Version: parts[2]})
	case len(parts) == 4 && parts[1] == "apis":
		return s.resourceList(schema.GroupVersion{Group: parts[2], Version: parts[3]})
	}
	return nil
}

func (s *stub) groups() metav1.APIGroupList {
	list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
	for _, r := range s.resources {
		if r.Group == "" || slices.ContainsFunc(list.Groups, func(g metav1.APIGroup) bool { return g.Name == r.Group }) {
			continue
		}
		version := metav1.GroupVersionForDiscovery{GroupVersion: r.GroupVersion().String(), Version: r.Version}
		list.Groups = append(list.Groups, metav1.APIGroup{Name: r.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version})
	}
	return list
}

func (s *stub) resourceList(gv schema.GroupVersion) metav1.APIResourceList {
	list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String()}
	for _, r := range s.resources {
		if r.GroupVersion() == gv {
			list.APIResources = append(list.APIResources, metav1.APIResource{
				Name: r.Resource, SingularName: strings.ToLower(r.kind), Kind: r.kind, Namespaced: r.namespaced, Verbs: metav1.Verbs{"get", "list", "watch"},
			})
		}
	}
	return list
}

// list answers in pages. A continue token is the number of objects to leave out.
func (s *stub) list(w http.ResponseWriter, req *http.Request, r resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects := s.objects[r.path()]
	names := slices.Sorted(maps.Keys(objects))
	skip, _ := strconv.Atoi(req.URL.Query().Get("continue")) // 0 without one
	end, token := len(names), ""
	if limit, err := strconv.Atoi(req.URL.Query().Get("limit")); err == nil && limit > 0 && skip+limit < end {
		end = skip + limit
		token = strconv.Itoa(end)
	}
	items := []document{}
	for _, name := range names[min(skip, len(names)):end] {
		items = append(items, objects[name])
	}
	answer(w, document{"kind": r.kind + "List", "apiVersion": r.GroupVersion().String(), "metadata": document{"resourceVersion": strconv.Itoa(s.version), "continue": token}, "items": items})
}

func (s *stub) watch(w http.ResponseWriter, req *http.Request) {
	since, _ := strconv.Atoi(cmp.Or(req.URL.Query().Get("resourceVersion"), "0")) // all without one
	for next := 0; ; {
		s.mu.Lock()
		events, changed := s.events[next:], s.changed
		next = len(s.events)
		s.mu.Unlock()
		for _, e := range events {
			if e.path == req.URL.Path && e.version > since {
				answer(w, e)
			}
		}
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-req.Context().Done():
			return
		case <-changed:
		}
	}
}
