package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/process"
	"clusterpedia.io/testbed/stack"
)

// extension is an API server behind a member's: it has things of the group
// agg.example.io, whose versions are no numbers.
type extension struct {
	port int

	mu     sync.Mutex
	things map[string]string
	server *httptest.Server
}

// ServeHTTP implements http.Handler.
func (e *extension) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	e.mu.Lock()
	var items []string
	for name, version := range e.things {
		items = append(items, fmt.Sprintf(`{"apiVersion":"agg.example.io/v1","kind":"Thing","metadata":{"name":%q,"uid":"uid-%[1]s","resourceVersion":%[2]q}}`, name, version))
	}
	e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case req.URL.Path == "/apis/agg.example.io/v1":
		fmt.Fprint(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"agg.example.io/v1","resources":[{"name":"things","singularName":"thing","namespaced":false,"kind":"Thing","verbs":["get","list","watch"]}]}`)
	case req.URL.Path != "/apis/agg.example.io/v1/things":
		http.NotFound(w, req)
	case req.URL.Query().Get("watch") == "true":
		w.WriteHeader(http.StatusOK)
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		<-req.Context().Done()
	default:
		fmt.Fprintf(w, `{"kind":"ThingList","apiVersion":"agg.example.io/v1","metadata":{"resourceVersion":"opaque"},"items":[%s]}`, strings.Join(items, ","))
	}
}

func (e *extension) start(t *testing.T, things map[string]string) {
	t.Helper()
	e.mu.Lock()
	e.things = things
	e.mu.Unlock()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", e.port)) //nolint:noctx // The server closes it.
	require.NoError(t, err)
	e.server = httptest.NewUnstartedServer(e)
	require.NoError(t, e.server.Listener.Close())
	e.server.Listener = listener
	e.server.StartTLS()
}

func (e *extension) stop() {
	e.server.CloseClientConnections()
	e.server.Close()
}

// TestAggregatedAPI has an API of a member come, be away for a while, also while the
// manager starts, come back and be removed: only the last takes its rows away.
func TestAggregatedAPI(t *testing.T) {
	s := sqlStorages()["SQLite"](t)
	d := deploy(t, "internal", s.config)
	d.startManager(t)
	free, err := process.FreePorts(1)
	require.NoError(t, err)
	e := &extension{port: free[0]}
	e.start(t, map[string]string{"a": "first", "b": "first"})
	t.Cleanup(e.stop)
	m := shared.members[0]
	apply(t, m.Kubeconfig(), fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: things, namespace: default}
spec: {type: ExternalName, externalName: localhost, ports: [{port: %[1]d, protocol: TCP}]}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.agg.example.io}
spec: {group: agg.example.io, version: v1, groupPriorityMinimum: 100, versionPriority: 100, insecureSkipTLSVerify: true, service: {name: things, namespace: default, port: %[1]d}}
`, free[0]))
	removed := false
	remove := func() {
		if !removed {
			removed = true
			onMember(t, "delete", "apiservice/v1.agg.example.io")
			onMember(t, "delete", "service/things", "-n", "default")
		}
	}
	defer remove() // other tests have this member, too
	available := func(want string) {
		t.Helper()
		eventually(t, time.Minute, func() error {
			if got := onMember(t, "get", "apiservice", "v1.agg.example.io", "-o", `jsonpath={.status.conditions[?(@.type=="Available")].status}`); got != want {
				return fmt.Errorf("available is %q, want %s", got, want)
			}
			return nil
		})
	}
	available("True")
	require.NoError(t, d.AddCluster(t.Context(), m.Name, m.Kubeconfig(), stack.SyncResource{Group: "agg.example.io", Resources: []string{"*"}}, stack.SyncResource{Resources: []string{"configmaps"}}))
	require.NoError(t, d.WaitSynced(t.Context(), m.Name, syncLimit, nil))
	holds := func(want int) {
		t.Helper()
		eventually(t, syncLimit, func() error {
			if n := s.rowsOf(t, m.Name, "things"); n != want {
				return fmt.Errorf("%d rows of things, want %d", n, want)
			}
			return nil
		})
	}
	stays := func(want int, limit time.Duration) {
		t.Helper()
		tick, end := time.NewTicker(500*time.Millisecond), time.After(limit)
		defer tick.Stop()
		for {
			require.Equal(t, want, s.rowsOf(t, m.Name, "things"))
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	}
	holds(2)
	before := s.snapshot(t)

	e.stop()
	available("False")
	stays(2, 15*time.Second)
	require.NoError(t, d.manager.Kill())
	d.startManager(t)
	eventually(t, syncLimit, func() error {
		status, err := d.Status(t.Context(), m.Name)
		if err == nil && len(status.SyncResources) == 0 {
			err = fmt.Errorf("nothing is synced")
		}
		return err
	})
	stays(2, 15*time.Second)
	require.Empty(t, before.changed(s.snapshot(t)))

	// What has changed meanwhile is found, though nobody can tell which version is newer.
	e.start(t, map[string]string{"b": "earlier", "c": "first"})
	available("True")
	eventually(t, syncLimit, func() error {
		now := s.snapshot(t)
		if _, ok := now[m.Name+"/things//a"]; ok || len(before.changed(now)) != 3 {
			return fmt.Errorf("changed are %q", before.changed(now))
		}
		return nil
	})
	remove()
	holds(0)
	eventually(t, syncLimit, func() error {
		if names := d.resources(t, m.Name); len(names) != 1 || names[0] != "configmaps.v1" {
			return fmt.Errorf("synced are %q", names)
		}
		return nil
	})
}
