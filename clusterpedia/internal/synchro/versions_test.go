package synchro

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/api/cluster/v1alpha2"
)

// snapshot is what a member lists: its version, and "name uid version value" of each
// object.
type snapshot struct {
	version string
	objects []string
}

func (s snapshot) String() string {
	items := make([]string, len(s.objects))
	for i, o := range s.objects {
		f := strings.Fields(o)
		items[i] = fmt.Sprintf(`{"metadata":{"namespace":"default","name":%q,"uid":%q,"resourceVersion":%q},"value":%q}`, f[0], f[1], f[2], f[3])
	}
	return fmt.Sprintf(`{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":%q},"items":[%s]}`, s.version, strings.Join(items, ","))
}

// lister serves pods from snapshots, and everything else as another member does.
type lister struct {
	other http.Handler

	mu   sync.Mutex
	now  snapshot
	next chan struct{}
	// listed says that the snapshot was listed.
	listed bool
}

// turnTo goes on to the next snapshot, and ends all watches: who watched must list.
func (l *lister) turnTo(s snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now, l.listed = s, false
	close(l.next)
	l.next = make(chan struct{})
}

func (l *lister) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	watches := r.URL.Query().Get("watch") != ""
	l.listed = l.listed || !watches && r.URL.Path == "/api/v1/pods" && r.URL.Query().Get("limit") != "1"
	now, next, listed := l.now, l.next, l.listed
	l.mu.Unlock()
	switch {
	case r.URL.Path != "/api/v1/pods":
		l.other.ServeHTTP(w, r)
	case !watches:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, now)
	default:
		_ = http.NewResponseController(w).Flush()
		if !listed { // who begins to watch has listed the one before
			next = make(chan struct{})
			close(next)
		}
		select {
		case <-r.Context().Done():
		case <-next:
			fmt.Fprint(w, `{"type":"ERROR","object":{"kind":"Status","status":"Failure","code":410,"reason":"Expired"}}`)
		}
	}
}

// TestVersions has members whose versions are no numbers, or are given twice. Restarts of
// the manager lose what it has in memory.
func TestVersions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first, second snapshot
		// puts and deletes of the second.
		puts, deletes int
	}{
		"nothing has changed": {
			snapshot{"100", []string{"a u1 90 x", "b u2 100 x"}},
			snapshot{"120", []string{"a u1 90 x", "b u2 100 x"}},
			0, 0,
		},
		"opaque versions": {
			snapshot{"xyz", []string{"a u1 b7 x", "b u2 c9 x", "c u3 d1 x"}},
			snapshot{"abc", []string{"a u1 b7 x", "b u2 c8 y"}},
			1, 1,
		},
		"no versions of lists": {
			snapshot{"", []string{"a u1 90 x", "b u2 100 x"}},
			snapshot{"", []string{"a u1 90 x", "b u2 99 y"}},
			1, 0,
		},
		"versions of lists that mean nothing": {
			snapshot{"0", []string{"a u1 90 x", "b u2 100 x"}},
			snapshot{"0", []string{"a u1 90 x", "b u2 101 y"}},
			1, 0,
		},
		"another object of the same name and version": {
			snapshot{"100", []string{"a u1 90 x", "b u2 100 x"}},
			snapshot{"100", []string{"a u9 90 y", "b u2 100 x"}},
			1, 0,
		},
		"a version that goes back": {
			snapshot{"100", []string{"a u1 90 x", "b u2 100 x"}},
			snapshot{"110", []string{"a u1 80 y", "b u2 100 x"}},
			1, 0,
		},
		"a list older than what is stored": {
			snapshot{"100", []string{"a u1 40 x", "b u2 100 x", "c u3 95 x"}},
			snapshot{"60", []string{"a u1 40 x", "b u2 50 y"}},
			2, 1,
		},
		"a version given twice, to the same object": {
			snapshot{"100", []string{"a u1 90 x", "b u2 100 x"}},
			snapshot{"95", []string{"a u1 90 y", "b u2 80 x"}},
			2, 0,
		},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %t", name, restart), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, pods)
				l := &lister{other: w.member, now: test.first, next: make(chan struct{})}
				server := httptest.NewServer(l)
				t.Cleanup(func() {
					server.CloseClientConnections()
					server.Close()
				})
				w.create(entry("", "pods"))
				w.update(func(p *v1alpha2.PediaCluster) { p.Spec.APIServer = server.URL })
				w.run()
				w.holdsSnapshot(test.first)
				puts, deletes := w.storage.Writes()
				require.Equal(t, []int{len(test.first.objects), 0}, []int{puts, deletes})
				if restart {
					w.stop()
				}
				l.turnTo(test.second)
				if restart {
					w.run()
				}
				w.holdsSnapshot(test.second)
				// What comes last is written last.
				last := snapshot{test.second.version, append(slices.Clone(test.second.objects), "z u0 "+cmp.Or(test.second.version, "7")+" z")}
				l.turnTo(last)
				w.holdsSnapshot(last)
				puts, deletes = w.storage.Writes()
				require.Equal(t, []int{test.puts + 1, test.deletes}, []int{puts, deletes}, "puts and deletes")
			})
		}
	}
}

// holdsSnapshot waits until a snapshot is stored, and watched.
func (w *world) holdsSnapshot(s snapshot) {
	w.t.Helper()
	want := slices.Sorted(slices.Values(s.objects))
	stored := func() (all []string) {
		for _, o := range w.storage.Objects() {
			var doc struct{ Value string }
			require.NoError(w.t, json.Unmarshal(o.JSON, &doc))
			all = append(all, strings.Join([]string{o.Name, o.UID, o.ResourceVersion, doc.Value}, " "))
		}
		return all
	}
	w.eventually(func() bool { return slices.Equal(want, stored()) }, "wanted %q, stored %q", want, stored())
	w.shows("pods.v1=Syncing/")
}
