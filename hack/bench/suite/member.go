package suite

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"clusterpedia.io/bench/fleet"
	"clusterpedia.io/testbed/cluster"
	"clusterpedia.io/testbed/process"
)

// member stands for the API server of a member cluster. It has its answers at hand, so
// that what is measured is who reads them.
type member struct {
	name, url string
	server    *http.Server
	kinds     []*kind
	// objects is how many it has.
	objects int

	mu sync.Mutex
	// version is the latest resource version.
	version int
	// changes are those of pods; changed is closed when there are more.
	changes [][]byte
	changed chan struct{}
}

// kind is a resource that a member serves.
type kind struct {
	group, resource, name string
	// documents are the objects in the order of their names, as they stand in lists.
	documents []document
}

type document struct {
	namespace, name string
	json            []byte
}

func (k *kind) version() string {
	if k.group == "" {
		return "v1"
	}
	return k.group + "/v1"
}

func (k *kind) path() string {
	if k.group == "" {
		return "/api/v1/" + k.resource
	}
	return "/apis/" + k.group + "/v1/" + k.resource
}

// newMember makes the objects of a cluster of the fleet: pods and their owners.
func newMember(f fleet.Fleet, number int, name string) (*member, error) {
	m := &member{name: name, version: f.Size() + 1000, changed: make(chan struct{})}
	m.kinds = []*kind{{"", "pods", "Pod", nil}, {"apps", "replicasets", "ReplicaSet", nil}, {"apps", "deployments", "Deployment", nil}}
	for o := range f.Of(number) {
		i := slices.IndexFunc(m.kinds, func(k *kind) bool { return k.name == o.Kind })
		if i < 0 {
			continue
		}
		k := m.kinds[i]
		text, err := o.Member()
		if err != nil {
			return nil, err
		}
		k.documents = append(k.documents, document{o.Namespace, o.Name, k.item(text)})
		m.objects++
	}
	for _, k := range m.kinds {
		slices.SortFunc(k.documents, func(a, b document) int {
			return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
		})
	}
	return m, nil
}

// item is a document as it stands in a list: without kind and version.
func (k *kind) item(text []byte) []byte {
	rest, ok := bytes.CutPrefix(text, fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q,`, k.name, k.version()))
	if !ok {
		return text
	}
	return append([]byte{'{'}, rest...)
}

// start serves until stop, and returns the kubeconfig of an administrator.
func (m *member) start(host *cluster.Cluster, dir string, owner *errgroup.Group) (kubeconfig string, err error) {
	certificate, key, err := host.Issue("member", "localhost")
	if err != nil {
		return "", err
	}
	ports, err := process.FreePorts(1)
	if err != nil {
		return "", err
	}
	m.server = &http.Server{Addr: fmt.Sprintf("127.0.0.1:%d", ports[0]), Handler: m, ReadHeaderTimeout: time.Minute}
	m.url = fmt.Sprintf("https://localhost:%d", ports[0])
	owner.Go(func() error {
		if err := m.server.ListenAndServeTLS(certificate, key); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", m.name, err)
		}
		return nil
	})
	ca, err := os.ReadFile(host.PKI("ca.crt"))
	if err != nil {
		return "", err
	}
	type object = map[string]any
	text, err := json.Marshal(object{
		"apiVersion": "v1", "kind": "Config", "current-context": "member",
		"clusters": []object{{"name": "member", "cluster": object{"server": m.url, "certificate-authority-data": ca}}},
		"users":    []object{{"name": "member", "user": object{"token": "member"}}},
		"contexts": []object{{"name": "member", "context": object{"cluster": "member", "user": "member"}}},
	})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, m.name+".kubeconfig")
	return path, os.WriteFile(path, text, 0o600)
}

func (m *member) stop() error { return m.server.Close() }

// ServeHTTP answers discovery, lists and watches.
func (m *member) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	type object = map[string]any
	resources := func(group, version string) object {
		var list []object
		for _, k := range m.kinds {
			if k.group == group {
				list = append(list, object{"name": k.resource, "singularName": "", "kind": k.name, "namespaced": true, "verbs": []string{"get", "list", "watch"}})
			}
		}
		return object{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": list}
	}
	apps := object{"groupVersion": "apps/v1", "version": "v1"}
	fixed := map[string]any{
		"/api":          object{"kind": "APIVersions", "versions": []string{"v1"}},
		"/apis":         object{"kind": "APIGroupList", "apiVersion": "v1", "groups": []object{{"name": "apps", "versions": []object{apps}, "preferredVersion": apps}}},
		"/api/v1":       resources("", "v1"),
		"/apis/apps/v1": resources("apps", "apps/v1"),
		"/version":      object{"major": "1", "minor": "37", "gitVersion": "v1.37.2"},
	}
	if answer, ok := fixed[req.URL.Path]; ok {
		_ = json.NewEncoder(w).Encode(answer) // the client notices
		return
	}
	for _, k := range m.kinds {
		if k.path() != req.URL.Path {
			continue
		}
		if req.URL.Query().Get("watch") == "true" {
			m.watch(w, req, k)
			return
		}
		m.list(w, req, k)
		return
	}
	if req.URL.Path == "/healthz" || req.URL.Path == "/readyz" || req.URL.Path == "/livez" {
		fmt.Fprint(w, "ok")
		return
	}
	http.NotFound(w, req)
}

// list answers in pages. A continue token is the number of objects to leave out.
func (m *member) list(w http.ResponseWriter, req *http.Request, k *kind) {
	m.mu.Lock()
	version := m.version
	m.mu.Unlock()
	skip, _ := strconv.Atoi(req.URL.Query().Get("continue")) // 0 without one
	skip = min(max(skip, 0), len(k.documents))
	end, token := len(k.documents), ""
	if limit, err := strconv.Atoi(req.URL.Query().Get("limit")); err == nil && limit > 0 && skip+limit < end {
		end = skip + limit
		token = strconv.Itoa(end)
	}
	out := &bytes.Buffer{}
	fmt.Fprintf(out, `{"kind":"%sList","apiVersion":%q,"metadata":{"resourceVersion":"%d","continue":%q},"items":[`, k.name, k.version(), version, token)
	for i, d := range k.documents[skip:end] {
		if i > 0 {
			out.WriteByte(',')
		}
		out.Write(d.json)
	}
	out.WriteString("]}\n")
	_, _ = w.Write(out.Bytes()) // the client notices
}

// watch sends the changes of pods, from now on.
func (m *member) watch(w http.ResponseWriter, req *http.Request, k *kind) {
	m.mu.Lock()
	next := len(m.changes)
	m.mu.Unlock()
	for {
		m.mu.Lock()
		changes, changed := m.changes[next:], m.changed
		next = len(m.changes)
		m.mu.Unlock()
		if k.resource == "pods" {
			for _, c := range changes {
				if _, err := w.Write(c); err != nil {
					return
				}
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

// change gives a pod a new version, which it returns, and tells those who watch.
func (m *member) change(number int) (d document, version string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.kinds[0]
	d = k.documents[number%len(k.documents)]
	m.version++
	version = strconv.Itoa(m.version)
	var parsed map[string]json.RawMessage
	if err := json.Unmarshal(d.json, &parsed); err != nil {
		return d, "", err
	}
	var metadata map[string]json.RawMessage
	if err := json.Unmarshal(parsed["metadata"], &metadata); err != nil {
		return d, "", err
	}
	metadata["resourceVersion"] = json.RawMessage(strconv.Quote(version))
	if parsed["metadata"], err = json.Marshal(metadata); err != nil {
		return d, "", err
	}
	parsed["kind"], parsed["apiVersion"] = json.RawMessage(`"Pod"`), json.RawMessage(`"v1"`)
	text, err := json.Marshal(map[string]any{"type": "MODIFIED", "object": parsed})
	if err != nil {
		return d, "", err
	}
	m.changes = append(m.changes, append(text, '\n'))
	close(m.changed)
	m.changed = make(chan struct{})
	return d, version, nil
}
