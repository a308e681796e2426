package fault

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/e2e/bed"
	"clusterpedia.io/testbed/database"
	"clusterpedia.io/testbed/process"
	"clusterpedia.io/testbed/sample"
	"clusterpedia.io/testbed/stack"
)

var (
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	secrets    = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
)

// selected is what is synced.
func selected() []schema.GroupVersionResource {
	core, apps := schema.GroupVersion{Version: "v1"}, schema.GroupVersion{Group: "apps", Version: "v1"}
	return []schema.GroupVersionResource{
		configMaps, secrets, sample.Widgets, core.WithResource("pods"), core.WithResource("services"), core.WithResource("namespaces"), core.WithResource("nodes"),
		apps.WithResource("deployments"), apps.WithResource("replicasets"),
	}
}

// scene says what a stage is made of; zero values are the usual.
type scene struct {
	// kubeconfig by which the manager reaches the member.
	kubeconfig string
	// engine stores; PostgreSQL is the default.
	engine engine
	// server is the database server; through is the address by which the manager
	// reaches it.
	server  *database.Server
	through string
	args    []string
	// lease is the duration of the manager's lease.
	lease time.Duration
}

// stage is one manager, with a shard, a database and a PediaCluster of its own, that
// copies a member.
type stage struct {
	*stack.Stack
	t       *testing.T
	name    string
	member  *member
	manager *process.Process
	db      *sql.DB
	engine  engine
	journal journal
	// config is the storage layer's configuration for a writer, whom the journal names.
	config func(writer string) string
	load   *load
	// begun is the journal's last entry of the first copy.
	begun int64
	// lastEpoch is what epoch returned last.
	lastEpoch int64
}

// newStage starts a manager, has it copy a member, and begins to change the member.
func newStage(t *testing.T, m *member, o scene) *stage {
	t.Helper()
	s := &stage{t: t, name: lowercase(t.Name()), member: m, engine: o.engine}
	s.prepareDatabase(o)
	s.Stack = s.newStack(o, "manager")
	require.NoError(t, s.Install(t.Context()))
	s.startManager()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the manager's log ends with:\n%s", s.manager.LogTail(6000))
		}
		require.NoError(t, s.manager.Stop(stopLimit))
	})
	// A manager leads when the schema is complete. MariaDB does not tell whole tables that
	// others are changing, by triggers as well.
	eventually(t, syncLimit, func() error {
		_, err := s.lease()
		if !s.manager.Running() {
			require.Fail(t, "the manager has ended", s.manager.LogTail(2000))
		}
		return err
	})
	var err error
	s.journal, err = installJournal(t.Context(), s.db, s.engine)
	require.NoError(t, err)
	kubeconfig := o.kubeconfig
	if kubeconfig == "" {
		kubeconfig = m.Kubeconfig()
	}
	require.NoError(t, s.AddCluster(t.Context(), s.name, kubeconfig, bed.Selection(selected())...))
	require.NoError(t, s.WaitSynced(t.Context(), s.name, syncLimit, nil))
	s.converge()
	first := s.tally(0)
	t.Logf("first copy: %s", first)
	require.Zero(t, first.updates+len(first.deletes), "the first copy only inserts")
	s.begun = first.last
	s.load = startLoad(t, m)
	return s
}

// newStack returns a manager of that name with a directory of its own.
func (s *stage) newStack(o scene, name string) *stack.Stack {
	lease := o.lease
	if lease == 0 {
		lease = 10 * time.Second
	}
	return &stack.Stack{
		Host: shared.host, Dir: filepath.Join(shared.dir, s.name, name), Bin: shared.bin,
		CRDs: filepath.Join(shared.root, "charts", "clusterpedia", "crds"), Storage: "internal", StorageConfig: s.config(name), ShardingName: s.name,
		ManagerArgs: append([]string{
			"--leader-elect-lease-duration", lease.String(), "--leader-elect-renew-deadline", (lease * 3 / 4).String(), "--leader-elect-retry-period", (lease / 8).String(),
		}, o.args...),
	}
}

// lease is that of the manager who leads.
func (s *stage) lease() (*coordinationv1.Lease, error) {
	return shared.client.CoordinationV1().Leases(stack.Namespace).Get(s.t.Context(), "clusterpedia-clustersynchro-manager-"+s.name, metav1.GetOptions{})
}

func (s *stage) startManager() {
	s.t.Helper()
	var err error
	s.manager, err = s.StartManager(s.t.Context())
	require.NoError(s.t, err)
}

// tally reads the journal behind an entry.
func (s *stage) tally(after int64) tally {
	s.t.Helper()
	t, err := s.journal.tally(s.t.Context(), after)
	require.NoError(s.t, err)
	return t
}

// said counts how often the managers of this name have said something, over restarts.
func (s *stage) said(text string) int { return strings.Count(s.manager.LogTail(1<<26), text) }

// converge waits until every row is as the member has it.
func (s *stage) converge() {
	s.t.Helper()
	eventually(s.t, convergeLimit, func() error { return s.compare(s.t.Context()) })
}

// settle ends the load, waits until every row is as the member has it, and checks what
// was written since the load began, and that the manager is the one that was started.
func (s *stage) settle() tally {
	s.t.Helper()
	s.load.stop()
	start := time.Now()
	s.converge()
	took := time.Since(start)
	before := s.tally(s.begun)
	pause(s.t, quiet)
	require.NoError(s.t, s.compare(s.t.Context()))
	after := s.tally(s.begun)
	rows, err := s.rows(s.t.Context())
	require.NoError(s.t, err)
	s.t.Logf("member: %s; database: %s; %d rows compared in full, equal %s after the load", s.load, after, len(rows), took.Round(100*time.Millisecond))
	require.Equal(s.t, before.last, after.last, "something is still written though nothing changes")
	require.True(s.t, s.manager.Running(), "the manager has ended")
	require.Positive(s.t, s.load.updated.Load())
	return after
}

// settleCleanly is settle where nothing may have been written needlessly or backwards.
func (s *stage) settleCleanly() {
	s.t.Helper()
	t := s.settle()
	require.Empty(s.t, t.needless, "rows were written that had not changed")
	require.Empty(s.t, t.backward, "rows went back to older versions")
}

// document is an object as it is stored.
type document struct {
	uid, version string
	object       map[string]any
}

// rows reads all rows of the cluster.
func (s *stage) rows(ctx context.Context) (map[string]document, error) {
	rows, err := s.db.QueryContext(ctx, s.engine.text(`SELECT "group", version, resource, namespace, name, uid, resource_version, object FROM resources WHERE cluster = $1`), s.name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]document{}
	for rows.Next() {
		var group, version, resource, namespace, name string
		var d document
		var text []byte
		if err := rows.Scan(&group, &version, &resource, &namespace, &name, &d.uid, &d.version, &text); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &d.object); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		key := strings.Join([]string{group, version, resource, namespace, name}, "/")
		if _, twice := all[key]; twice {
			return nil, fmt.Errorf("%s is stored twice", key)
		}
		all[key] = d
	}
	return all, rows.Err()
}

// expected reads what must be stored, from the member itself.
func (s *stage) expected(ctx context.Context) (map[string]document, error) {
	all := map[string]document{}
	for _, gvr := range selected() {
		list, err := s.member.client.Resource(gvr).List(ctx, metav1.ListOptions{})
		if gvr == sample.Widgets && apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			u := &list.Items[i]
			bed.MakeStored(u, s.name)
			text, err := json.Marshal(u.Object)
			if err != nil {
				return nil, err
			}
			d := document{uid: string(u.GetUID()), version: u.GetResourceVersion()}
			if err := json.Unmarshal(text, &d.object); err != nil {
				return nil, err
			}
			all[strings.Join([]string{gvr.Group, gvr.Version, gvr.Resource, u.GetNamespace(), u.GetName()}, "/")] = d
		}
	}
	return all, nil
}

// compare checks every row in full against the member.
func (s *stage) compare(ctx context.Context) error {
	want, err := s.expected(ctx)
	if err != nil {
		return err
	}
	got, err := s.rows(ctx)
	if err != nil {
		return err
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			return fmt.Errorf("%s is stored, the member has none", key)
		}
	}
	for key, w := range want {
		g, ok := got[key]
		switch {
		case !ok:
			return fmt.Errorf("%s is missing", key)
		case g.uid != w.uid || g.version != w.version:
			return fmt.Errorf("%s is stored as %s of version %s, the member has %s of version %s", key, g.uid, g.version, w.uid, w.version)
		case !reflect.DeepEqual(g.object, w.object):
			return fmt.Errorf("%s is stored as %v, the member has %v", key, g.object, w.object)
		}
	}
	return nil
}

// writeKubeconfig writes a copy of the member's kubeconfig with another server.
func writeKubeconfig(t *testing.T, m *member, server string) string {
	t.Helper()
	text, err := os.ReadFile(m.Kubeconfig())
	require.NoError(t, err)
	require.Contains(t, string(text), m.URL())
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(text), m.URL(), server)), 0o600))
	return path
}
