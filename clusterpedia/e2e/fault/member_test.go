package fault

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/testbed/sample"
)

// TestMember breaks a member, and the way to it.
func TestMember(t *testing.T) { //nolint:tparallel // its parts break the same member
	t.Parallel()
	// Pages of a list are kept in memory by this gate, and would not expire.
	m := startMember(t, "member-faults", "--feature-gates=ListFromCacheSnapshot=false")
	t.Run("watches cut every second", func(t *testing.T) { watchesCut(t, m) })
	t.Run("pages expire", func(t *testing.T) { pagesExpire(t, m) })
	t.Run("discovery fails", func(t *testing.T) { discoveryFails(t, m) })
	t.Run("definition removed and made again", func(t *testing.T) { definitionRemoved(t, m) })
	t.Run("API server killed", func(t *testing.T) { apiServerKilled(t, m) })
	t.Run("etcd restored", func(t *testing.T) { etcdRestored(t, m) })
}

// watchesCut cuts all connections to the member every second.
func watchesCut(t *testing.T, m *member) {
	p := startProxy(t, strings.TrimPrefix(m.URL(), "https://"), nil)
	s := newStage(t, m, scene{kubeconfig: writeKubeconfig(t, m, "https://"+p.address)})
	stop := p.cutEvery(t, time.Second)
	pause(t, lasting(10*time.Second, 2*time.Minute))
	// It gets on while that goes on.
	s.load.stop()
	start := time.Now()
	s.converge()
	t.Logf("equal %s after the load, while the connections were still cut; there were %d, of which %d were cut", time.Since(start).Round(100*time.Millisecond), p.accepted.Load(), p.closed.Load())
	require.Greater(t, p.closed.Load(), int64(5))
	stop()
	s.settleCleanly()
}

// pagesExpire forgets the version that a list began with before its end: once, and then
// each time, so that a list in pages cannot succeed.
func pagesExpire(t *testing.T, m *member) {
	g := startGateway(t, m)
	s := newStage(t, m, scene{kubeconfig: writeKubeconfig(t, m, g.url), args: []string{"--page-size=7"}})
	for name, times := range map[string]int64{"once": 1, "always": 1 << 30} {
		var left, expired, pages, whole atomic.Int64
		left.Store(times)
		// Lists come after a restart, in which the manager also loses what it knows.
		require.NoError(t, s.manager.Kill())
		pause(t, time.Second)
		g.set(func(w http.ResponseWriter, r *http.Request) bool {
			q := r.URL.Query()
			if r.URL.Path != "/api/v1/configmaps" || q.Get("watch") != "" || q.Get("limit") == "1" {
				return false
			}
			if q.Get("limit") == "" {
				whole.Add(1)
			}
			if q.Get("continue") == "" {
				return false
			}
			if pages.Add(1)%3 == 0 && left.Add(-1) >= 0 {
				// The load goes on: what is compacted is not the newest.
				if err := sleep(r.Context(), 4*loadPause); err == nil && m.Compact(r.Context()) == nil {
					expired.Add(1)
				}
			}
			return false
		})
		s.startManager()
		eventually(t, syncLimit, func() error {
			if whole.Load() == 0 && times > 1 || expired.Load() == 0 {
				return fmt.Errorf("%d pages were read, %d expired, %d lists in one piece", pages.Load(), expired.Load(), whole.Load())
			}
			return nil
		})
		require.NoError(t, s.WaitSynced(t.Context(), s.name, syncLimit, nil))
		t.Logf("%s: %d pages behind a first, %d compactions of etcd between them, %d lists in one piece", name, pages.Load(), expired.Load(), whole.Load())
	}
	g.set(nil)
	s.settleCleanly()
}

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// definitionRemoved removes a custom resource's definition, with all objects, and makes
// it again.
func definitionRemoved(t *testing.T, m *member) {
	s := newStage(t, m, scene{})
	pause(t, 2*time.Second)
	require.NoError(t, m.client.Resource(definitions).Delete(t.Context(), sample.Widgets.GroupResource().String(), metav1.DeleteOptions{}))
	eventually(t, convergeLimit, func() error {
		rows, err := s.rows(t.Context())
		if err != nil {
			return err
		}
		for key := range rows {
			if strings.Contains(key, "/widgets/") {
				return fmt.Errorf("%s is still stored", key)
			}
		}
		return nil
	})
	t.Log("the rows of the resource that was removed are gone")
	require.NoError(t, sample.Load(t.Context(), m.config, sample.Defaults()))
	pause(t, 2*time.Second)
	require.NoError(t, s.WaitSynced(t.Context(), s.name, syncLimit, nil))
	s.settleCleanly()
	rows, err := s.rows(t.Context())
	require.NoError(t, err)
	widgets := 0
	for key := range rows {
		if strings.Contains(key, "/widgets/") {
			widgets++
		}
	}
	require.Positive(t, widgets)
}

// apiServerKilled kills the member's API server, for a moment and for longer than the
// manager takes it to be healthy, and etcd under it.
func apiServerKilled(t *testing.T, m *member) {
	s := newStage(t, m, scene{})
	for _, down := range []time.Duration{0, lasting(12*time.Second, time.Minute)} {
		pause(t, 2*time.Second)
		require.NoError(t, m.APIServer().Kill())
		if down != 0 {
			require.NoError(t, m.Etcd().Kill())
		}
		refused := s.load.failed.Load()
		pause(t, down)
		if down != 0 {
			status, err := s.Status(t.Context(), s.name)
			require.NoError(t, err)
			require.Error(t, status.Synced(), "the manager has not noticed")
			require.Greater(t, s.load.failed.Load(), refused)
		}
		require.NoError(t, m.StartEtcd(t.Context()))
		require.NoError(t, m.StartAPIServer(t.Context()))
	}
	pause(t, 2*time.Second)
	s.settleCleanly()
}

// etcdRestored puts an older state of etcd in place. Resource versions are lower then,
// and given a second time, to other objects.
func etcdRestored(t *testing.T, m *member) {
	p := startProxy(t, strings.TrimPrefix(m.URL(), "https://"), nil)
	s := newStage(t, m, scene{kubeconfig: writeKubeconfig(t, m, "https://"+p.address)})
	mark := s.begun
	for round, hidden := range []bool{false, true} {
		pause(t, 4*time.Second) // for something to go back to
		backup := filepath.Join(t.TempDir(), "etcd")
		require.NoError(t, m.Backup(t.Context(), backup))
		pause(t, 4*time.Second)
		s.load.changing.Lock()
		s.converge()
		before, between := newestVersion(t, m), s.tally(mark)
		require.Empty(t, between.needless, "rows were written that had not changed")
		require.Empty(t, between.backward, "rows went back to older versions before the member did")
		hiding := time.Now()
		if hidden {
			// The manager sees nothing until the versions of before are given anew.
			p.hang()
			p.cut()
		}
		seen := s.said(restored)
		require.NoError(t, m.Restore(t.Context(), backup))
		after := newestVersion(t, m)
		require.Less(t, after, before)
		if hidden {
			s.load.changing.Unlock()
			eventually(t, syncLimit, func() error {
				if now := newestVersion(t, m); now < before+20 {
					return fmt.Errorf("version %d, was %d", now, before)
				}
				return nil
			})
			pause(t, time.Until(hiding.Add(lasting(12*time.Second, time.Minute))))
			p.wakeUp()
			p.cut()
		} else {
			eventually(t, syncLimit, func() error {
				if s.said(restored) == seen {
					return fmt.Errorf("the manager has not said: %s", restored)
				}
				return nil
			})
			s.load.changing.Unlock()
		}
		t.Logf("round %d: from version %d back to %d, and now %d", round, before, after, newestVersion(t, m))
		pause(t, 4*time.Second)
		require.NoError(t, s.WaitSynced(t.Context(), s.name, syncLimit, nil))
		s.load.changing.Lock()
		s.converge()
		mark = s.checkRestored(between.last, before)
		s.load.changing.Unlock()
	}
	s.settle()
	rest := s.tally(mark)
	require.Empty(t, rest.needless, "rows were written that had not changed")
	require.Empty(t, rest.backward, "rows went back to older versions")
}

// restored is what the manager says when it finds the member's versions lower than before.
const restored = "The member was restored from a backup"

// checkRestored checks what was written behind an entry of the journal since the member was
// restored, whose newest version had been before: objects may go back to older versions, as
// those of the member did, and rows of the same version may be written anew, for it may
// have been given to another state; each once. It returns the last entry.
func (s *stage) checkRestored(mark int64, before uint64) int64 {
	s.t.Helper()
	tally := s.tally(mark)
	s.t.Logf("since the restoration: %s", tally)
	require.NotEmpty(s.t, tally.backward, "nothing went back")
	for name, entries := range map[string][]entry{"backward": tally.backward, "needless": tally.needless} {
		objects := map[string]bool{}
		for _, e := range entries {
			require.False(s.t, objects[e.object], "%s twice: %s", name, e)
			objects[e.object] = true
			require.LessOrEqual(s.t, number(e.oldVersion), before, "%s: the version replaced is not of before the restoration: %s", name, e)
		}
	}
	return tally.last
}

func newestVersion(t *testing.T, m *member) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestLimit)
	defer cancel()
	list, err := m.client.Resource(configMaps).List(ctx, metav1.ListOptions{Limit: 1})
	require.NoError(t, err)
	return number(list.GetResourceVersion())
}
