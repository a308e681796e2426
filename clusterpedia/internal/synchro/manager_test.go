package synchro

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"

	"clusterpedia.io/api/client/clientset/versioned/fake"
	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/synchro/fakemember"
	"clusterpedia.io/clusterpedia/internal/synchro/faulty"
	"clusterpedia.io/clusterpedia/internal/synchro/negotiation"
	"clusterpedia.io/storage-api/storage"
)

const (
	patience = 30 * time.Second
	tick     = 5 * time.Millisecond
)

var (
	pods        = fakemember.Resource{GroupVersion: schema.GroupVersion{Version: "v1"}, Name: "pods", Kind: "Pod", Namespaced: true}
	nodes       = fakemember.Resource{GroupVersion: schema.GroupVersion{Version: "v1"}, Name: "nodes", Kind: "Node"}
	deployments = fakemember.Resource{GroupVersion: schema.GroupVersion{Group: "apps", Version: "v1"}, Name: "deployments", Kind: "Deployment", Namespaced: true}
	oldBudgets  = fakemember.Resource{GroupVersion: schema.GroupVersion{Group: "policy", Version: "v1beta1"}, Name: "poddisruptionbudgets", Kind: "PodDisruptionBudget", Namespaced: true}
	newBudgets  = fakemember.Resource{GroupVersion: schema.GroupVersion{Group: "policy", Version: "v1"}, Name: "poddisruptionbudgets", Kind: "PodDisruptionBudget", Namespaced: true}
)

// testKinds knows pods, deployments and budgets, and converts by renaming.
func testKinds() negotiation.Kinds {
	versions := map[schema.GroupKind][]string{
		{Kind: "Pod"}:                                  {"v1"},
		{Group: "apps", Kind: "Deployment"}:            {"v1"},
		{Group: "policy", Kind: "PodDisruptionBudget"}: {"v1", "v1beta1"},
	}
	return negotiation.Kinds{
		Versions: func(gk schema.GroupKind) []string { return versions[gk] },
		StorageVersion: func(gk schema.GroupKind) (schema.GroupVersion, bool) {
			if len(versions[gk]) == 0 {
				return schema.GroupVersion{}, false
			}
			return schema.GroupVersion{Group: gk.Group, Version: versions[gk][0]}, true
		},
		Convert: func(doc []byte, to schema.GroupVersion) ([]byte, error) {
			var object map[string]any
			if err := json.Unmarshal(doc, &object); err != nil {
				return nil, err
			}
			object["apiVersion"] = to.String()
			return json.Marshal(object)
		},
	}
}

func testTuning() Tuning {
	t := DefaultTuning()
	quick := wait.Backoff{Duration: 2 * time.Millisecond, Factor: 1.5, Steps: 10, Cap: 20 * time.Millisecond}
	t.HealthInterval = 20 * time.Millisecond
	t.StatusDelay = 5 * time.Millisecond
	t.GoneDelay = 10 * time.Millisecond
	t.RejectedDelay = 20 * time.Millisecond
	t.OvertakenDelay = 20 * time.Millisecond
	t.OrphanInterval, t.OrphanDelay = 5*time.Millisecond, 20*time.Millisecond
	t.ReadBackoff, t.PurgeBackoff, t.Writer.Backoff = quick, quick, quick
	t.Writer.Linger = time.Millisecond
	t.RetryDelay = func(int) time.Duration { return 10 * time.Millisecond }
	return t
}

// world is a manager with a host cluster, one member and a storage layer.
type world struct {
	t        *testing.T
	host     *fake.Clientset
	member   *fakemember.Member
	storage  *faulty.Storage
	counters *Counters
	options  Options
	// revision is the host cluster's, of which each epoch takes the next.
	revision atomic.Int64
	// manager is the last that was started.
	manager *Manager
	stop    func()
}

func newWorld(t *testing.T, resources ...fakemember.Resource) *world {
	t.Helper()
	w := &world{t: t, host: newHost(), member: fakemember.New(resources...), storage: &faulty.Storage{}, counters: &Counters{}}
	t.Cleanup(w.member.Close)
	w.options = Options{
		Clusterpedia: w.host, Storage: w.storage, Epoch: w.epoch, Workers: 2, PageSize: 2, Gates: DefaultGates(), Kinds: testKinds(),
		Metrics: w.counters, Logger: klog.Background(), Tuning: testTuning(),
	}
	return w
}

func (w *world) epoch(context.Context) (int64, error) { return w.revision.Add(1), nil }

// run starts a manager, which stops at the end of the test or by stop.
func (w *world) run() *Manager {
	w.t.Helper()
	m, err := New(w.options)
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := m.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	w.stop = func() { cancel(); running.Wait() }
	w.t.Cleanup(w.stop)
	w.manager = m
	return m
}

func (w *world) create(entries ...v1alpha2.ClusterGroupResources) {
	w.t.Helper()
	_, err := w.host.ClusterV1alpha2().PediaClusters().Create(w.t.Context(), &v1alpha2.PediaCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "one", UID: "uid-one"},
		Spec:       v1alpha2.ClusterSpec{APIServer: w.member.URL(), TokenData: []byte("token"), SyncResources: entries},
	}, metav1.CreateOptions{})
	require.NoError(w.t, err)
}

func (w *world) get() *v1alpha2.PediaCluster {
	w.t.Helper()
	p, err := w.host.ClusterV1alpha2().PediaClusters().Get(w.t.Context(), "one", metav1.GetOptions{})
	require.NoError(w.t, err)
	return p
}

func (w *world) update(change func(*v1alpha2.PediaCluster)) {
	w.t.Helper()
	require.NoError(w.t, retry.RetryOnConflict(wait.Backoff{Duration: tick, Steps: 100}, func() error {
		p := w.get()
		change(p)
		_, err := w.host.ClusterV1alpha2().PediaClusters().Update(w.t.Context(), p, metav1.UpdateOptions{})
		return err
	}))
}

func (w *world) selectOnly(entries ...v1alpha2.ClusterGroupResources) {
	w.t.Helper()
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.SyncResources = entries })
}

func (w *world) eventually(holds func() bool, what string, args ...any) {
	w.t.Helper()
	if !pollUntil(holds) {
		w.t.Fatalf(what+"\nstored: %q\nstatus: %s", append(args, w.storage.Names(), w.describe())...)
	}
}

func pollUntil(holds func() bool) bool {
	err := wait.PollUntilContextTimeout(context.Background(), tick, patience, true, func(context.Context) (bool, error) {
		return holds(), nil
	})
	return err == nil
}

func (w *world) stored(names ...string) {
	w.t.Helper()
	w.eventually(func() bool { return slices.Equal(names, w.storage.Names()) }, "wanted %q", names)
}

// describe returns "type=status/reason/message" of all conditions and
// "resource.version=status/reason" of all resources.
func (w *world) describe() string {
	p := w.get()
	var lines []string
	for _, c := range p.Status.Conditions {
		lines = append(lines, fmt.Sprintf("%s=%s/%s/%s", c.Type, c.Status, c.Reason, c.Message))
	}
	for _, g := range p.Status.SyncResources {
		for _, r := range g.Resources {
			for _, c := range r.SyncConditions {
				line := fmt.Sprintf("%s.%s=%s/%s", r.Name, c.Version, c.Status, c.Reason)
				if c.InitialListPhase {
					line += "/initial"
				}
				lines = append(lines, line)
			}
		}
	}
	return strings.Join(lines, "\n")
}

func (w *world) shows(parts ...string) {
	w.t.Helper()
	w.eventually(func() bool {
		description := w.describe()
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(description, part) })
	}, "wanted %q", parts)
}

func entry(group string, resources ...string) v1alpha2.ClusterGroupResources {
	return v1alpha2.ClusterGroupResources{Group: group, Resources: resources}
}

func TestSyncs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, nodes, deployments)
	for i := range 5 {
		w.member.Put(pods, "default", fmt.Sprintf("p%d", i), fmt.Sprintf("u%d", i), "")
	}
	w.member.Put(nodes, "", "n", "un", "")
	w.member.Put(deployments, "default", "web", "ud", `"managedFields":[{}],"ownerReferences":[{"uid":"o"}],"labels":{"app":"web"}`)
	w.create(entry("", "pods", "node"), entry("apps", "Deployments"))
	w.run()
	w.stored("deployments default/web 107", "nodes n 106",
		"pods default/p0 101", "pods default/p1 102", "pods default/p2 103", "pods default/p3 104", "pods default/p4 105")
	w.shows("Validated=True/Validated/", "SynchroRunning=True/Running/cluster synchro is running", "ClusterHealthy=True/Healthy/cluster health responded with ok",
		"Ready=True/Ready/", "pods.v1=Syncing/\n", "nodes.v1=Syncing/\n")
	require.Eventually(t, func() bool { return strings.HasSuffix(w.describe(), "deployments.v1=Syncing/") }, patience, tick)

	object, err := w.storage.Get(t.Context(), storage.Key{
		Cluster: "one", Resource: storage.Resource{Group: "apps", Version: "v1", Resource: "deployments"}, Namespace: "default", Name: "web",
	})
	require.NoError(t, err)
	require.JSONEq(t, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"namespace":"default","name":"web","uid":"ud","resourceVersion":"107",
		"ownerReferences":[{"uid":"o"}],"labels":{"app":"web"},"annotations":{"shadow.clusterpedia.io/cluster-name":"one"}},"spec":{"n":107}}`, string(object.JSON))
	object.JSON = nil
	require.Equal(t, storage.Object{Key: object.Key, Kind: "Deployment", UID: "ud", ResourceVersion: "107", Owners: []string{"o"}, Labels: map[string]string{"app": "web"}}, object)

	p := w.get()
	require.Equal(t, []string{Finalizer}, p.Finalizers)
	require.Equal(t, "v1.37.2", p.Status.Version)
	require.Equal(t, w.member.URL(), p.Status.APIServer)
	require.NotNil(t, p.Status.ShardingName)
	require.Empty(t, *p.Status.ShardingName)
	require.Equal(t, []v1alpha2.ClusterResourceStatus{{
		Name: "deployments", Kind: "Deployment", Namespaced: true,
		SyncConditions: []v1alpha2.ClusterResourceSyncCondition{{
			Version: "v1", StorageVersion: "v1", Status: "Syncing", LastTransitionTime: p.Status.SyncResources[1].Resources[0].SyncConditions[0].LastTransitionTime,
		}},
	}}, p.Status.SyncResources[1].Resources)

	w.member.Put(pods, "default", "p0", "u0", "")
	w.member.Delete(pods, "default", "p1")
	w.member.Delete(pods, "default", "p2")
	w.member.Put(pods, "default", "p2", "again", "")
	w.stored("deployments default/web 107", "nodes n 106", "pods default/p0 108", "pods default/p2 111", "pods default/p3 104", "pods default/p4 105")

	w.stop()
	w.shows("SynchroRunning=False/Shutdown/cluster synchro is shutdown", "ClusterHealthy=Unknown/MonitorStop/cluster synchro is shutdown", "Ready=False/NotReady", "pods.v1=Stop/")
}

func TestRestartWritesOnlyDifferences(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	for i := range 5 {
		w.member.Put(pods, "default", fmt.Sprintf("p%d", i), fmt.Sprintf("u%d", i), "")
	}
	w.create(entry("", "pods"))
	w.run()
	w.stored("pods default/p0 101", "pods default/p1 102", "pods default/p2 103", "pods default/p3 104", "pods default/p4 105")
	w.stop()
	w.storage.Writes()
	w.member.Delete(pods, "default", "p0")
	w.member.Put(pods, "default", "p1", "u1", "")
	w.member.Put(pods, "default", "new", "un", "")
	w.run()
	w.stored("pods default/new 108", "pods default/p1 107", "pods default/p2 103", "pods default/p3 104", "pods default/p4 105")
	w.shows("pods.v1=Syncing/")
	puts, deletes := w.storage.Writes()
	require.Equal(t, []int{2, 1}, []int{puts, deletes})
}

func TestMemberRestoredFromBackup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.member.Put(pods, "default", "a", "ua", "")
	w.member.Put(pods, "default", "b", "ub", "")
	w.create(entry("", "pods"))
	w.run()
	w.stored("pods default/a 101", "pods default/b 102")
	w.shows("pods.v1=Syncing/")
	w.member.Restore(50)
	w.stored("pods default/a 49", "pods default/b 49")
	w.member.Compact()
	w.member.CutWatches()
	w.member.Put(pods, "default", "c", "uc", "")
	w.stored("pods default/a 49", "pods default/b 49", "pods default/c 52")
}

func TestSelectionChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, nodes)
	w.member.Put(pods, "default", "a", "ua", "")
	w.member.Put(nodes, "", "n", "un", "")
	w.create(entry("", "pods", "nodes"), entry("apps", "nothing"))
	w.run()
	w.stored("nodes n 102", "pods default/a 101")
	w.storage.FailWith(func(op string, _ []storage.Change) error {
		if op == "purge" {
			return storage.Retryable(fmt.Errorf("database is down"))
		}
		return nil
	})
	w.selectOnly(entry("", "nodes"))
	w.shows("pods.v1=Stop/CleanResourceFailed", "nodes.v1=Syncing")
	w.storage.FailWith(nil)
	w.stored("nodes n 102")
	w.eventually(func() bool { return !strings.Contains(w.describe(), "pods") }, "pods in the status")
	w.selectOnly(entry("", "nodes", "pods"))
	w.stored("nodes n 102", "pods default/a 101")
	w.shows("pods.v1=Syncing/", "nodes.v1=Syncing/")
	w.selectOnly()
	w.stored()
	w.eventually(func() bool { return len(w.get().Status.SyncResources) == 0 }, "resources in the status")
	w.shows("Ready=True")
}

func TestUnselectedWhileStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, nodes)
	w.member.Put(pods, "default", "a", "ua", "")
	w.member.Put(nodes, "", "n", "un", "")
	w.create(entry("", "*"))
	w.run()
	w.stored("nodes n 102", "pods default/a 101")
	w.stop()
	w.selectOnly(entry("", "pods"))
	w.run()
	w.stored("pods default/a 101")
}

// newCopied returns a world in which a pod and a deployment were copied, and no manager runs.
func newCopied(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, pods, deployments)
	w.member.Put(pods, "default", "a", "ua", "")
	w.member.Put(deployments, "default", "web", "ud", "")
	w.create(entry("", "*"), entry("apps", "*"))
	w.run()
	w.stored("deployments default/web 102", "pods default/a 101")
	w.stop()
	return w
}

func TestDiscoveryFailuresRemoveNothing(t *testing.T) {
	t.Parallel()
	w := newCopied(t)
	w.storage.Writes()
	// The group is named, but its resources are not: at a start, when nothing is
	// known, and again and again.
	var asked sync.Map
	w.member.FailWith(func(r *http.Request) int {
		if r.URL.Path == "/apis/apps/v1" {
			asked.Store("yes", true)
			return http.StatusServiceUnavailable
		}
		return 0
	})
	w.run()
	w.shows("pods.v1=Syncing/", "Ready=True")
	_, ok := asked.Load("yes")
	require.True(t, ok)
	w.stored("deployments default/web 102", "pods default/a 101")
	w.member.FailWith(nil)
	w.stop()
	w.run()
	w.shows("deployments.v1=Syncing/", "pods.v1=Syncing/")
	puts, deletes := w.storage.Writes()
	require.Zero(t, puts+deletes)
}

func TestGoneResourceIsRemoved(t *testing.T) {
	t.Parallel()
	w := newCopied(t)
	w.member.Serve(pods)
	w.run()
	w.stored("pods default/a 101")
}

// TestOwnPathIsAsked has discovery say that a resource is gone, and its own path not.
func TestOwnPathIsAsked(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]int{"it is there": http.StatusOK, "forbidden": http.StatusForbidden, "unavailable": http.StatusServiceUnavailable} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newCopied(t)
			var asked atomic.Int64
			w.member.FailWith(func(r *http.Request) int {
				if r.URL.Path == "/apis/apps/v1/deployments" {
					asked.Add(1)
					return code
				}
				return 0
			})
			w.member.Serve(pods)
			w.run()
			w.eventually(func() bool { return asked.Load() > 0 }, "not asked")
			w.member.Put(pods, "default", "b", "ub", "")
			w.stored("deployments default/web 102", "pods default/a 101", "pods default/b 103")
		})
	}
}

func TestMemberUpgrade(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oldBudgets)
	w.member.Put(oldBudgets, "default", "a", "ua", "")
	w.create(entry("policy", "*"))
	w.run()
	w.stored("poddisruptionbudgets default/a 101")
	object := w.storage.Objects()[0]
	require.Equal(t, "v1", object.Version)
	require.Contains(t, string(object.JSON), `"apiVersion":"policy/v1"`)
	w.shows("poddisruptionbudgets.v1beta1=Syncing/")
	w.stop()
	w.storage.Writes()
	w.member.Serve(newBudgets)
	w.member.Put(newBudgets, "default", "a", "ua", "")
	w.run()
	w.shows("poddisruptionbudgets.v1=Syncing/")
	w.stored("poddisruptionbudgets default/a 102")
}

func TestForbiddenResource(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, nodes)
	w.member.Put(pods, "default", "a", "ua", "")
	w.member.FailWith(func(r *http.Request) int {
		if r.URL.Path == "/api/v1/nodes" {
			return http.StatusForbidden
		}
		return 0
	})
	w.create(entry("", "*"))
	w.run()
	w.shows("nodes.v1=Error/ResourceWatchFailed", "pods.v1=Syncing/", "Ready=True")
	w.member.FailWith(nil)
	w.shows("nodes.v1=Syncing/")
}

func TestUnhealthyMemberIsPaused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.member.Put(pods, "default", "a", "ua", "")
	w.create(entry("", "pods"))
	w.run()
	w.stored("pods default/a 101")
	w.member.FailWith(func(*http.Request) int { return http.StatusInternalServerError })
	w.member.CutWatches()
	w.shows("ClusterHealthy=False/NotReachable", "Ready=False/NotReady/ClusterHealthy condition is False, reason is NotReachable", "pods.v1=Stop/Pause")
	w.member.Put(pods, "default", "b", "ub", "")
	w.member.Delete(pods, "default", "a")
	w.stored("pods default/a 101")
	w.member.FailWith(nil)
	w.stored("pods default/b 102")
	w.shows("ClusterHealthy=True/Healthy", "pods.v1=Syncing/")
}

func TestMemberDownAtCreation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.member.FailWith(func(*http.Request) int { return http.StatusServiceUnavailable })
	w.create(entry("", "pods"))
	w.run()
	w.shows("SynchroRunning=False/InitialFailed/get version: ", "ClusterHealthy=Unknown/MonitorStop/wait cluster synchro", "Ready=False")
	w.member.FailWith(nil)
	w.shows("Ready=True")
}

func TestReadyzMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.member.FailWith(func(r *http.Request) int {
		if r.URL.Path == "/readyz" {
			return http.StatusNotFound
		}
		return 0
	})
	w.create(entry("", "pods"))
	w.run()
	w.shows("ClusterHealthy=False/NotReachable") // /healthz doesn't exist either
}

func TestRejectedObjectIsStoredLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.member.Put(pods, "default", "a", "ua", "")
	w.member.Put(pods, "default", "bad", "ub", "")
	w.storage.FailWith(func(_ string, changes []storage.Change) error {
		for _, c := range changes {
			if c.Put != nil && c.Put.Name == "bad" {
				return &storage.InvalidObjectError{Key: c.Put.Key, Reason: "too bad"}
			}
		}
		return nil
	})
	w.create(entry("", "pods"))
	w.run()
	w.shows("pods.v1=Syncing/ObjectsLeftOut")
	w.stored("pods default/a 101")
	require.Positive(t, w.counters.RejectedChanges.Load())
	w.storage.FailWith(nil)
	w.stored("pods default/a 101", "pods default/bad 102")
	w.eventually(func() bool { return strings.HasSuffix(w.describe(), "pods.v1=Syncing/") }, "left out")
}

// TestLockedObjectIsRemovedLater has the storage layer not delete an object for so long that
// the next list is far away: the status tells all the same when it is deleted.
func TestLockedObjectIsRemovedLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.member.Put(pods, "default", "a", "ua", "")
	w.create(entry("", "pods"))
	m := w.run()
	w.stored("pods default/a 101")
	w.storage.FailWith(func(_ string, changes []storage.Change) error {
		if slices.ContainsFunc(changes, func(c storage.Change) bool { return c.Delete != nil }) {
			return storage.Retryable(errors.New("lock wait timeout"))
		}
		return nil
	})
	w.member.Delete(pods, "default", "a")
	w.shows("pods.v1=Syncing/ObjectsLeftOut")
	r := m.running("one").synced()[0]
	r.retry.mu.Lock()
	r.retry.delay = time.Hour
	r.retry.mu.Unlock()
	w.eventually(func() bool {
		r.retry.mu.Lock()
		defer r.retry.mu.Unlock()
		return r.retry.pending && r.retry.timer.Reset(time.Hour)
	}, "no list is due")
	w.storage.FailWith(nil)
	w.stored()
	w.eventually(func() bool { return strings.HasSuffix(w.describe(), "pods.v1=Syncing/") }, "left out")
	require.Zero(t, r.known.len())
}

func TestStorageDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	for i := range 20 {
		w.member.Put(pods, "default", fmt.Sprintf("p%02d", i), fmt.Sprint(i), "")
	}
	w.options.Tuning.Writer.QueueChanges = 3
	w.options.Tuning.Writer.BatchChanges = 2
	w.storage.FailWith(func(op string, _ []storage.Change) error {
		if op == "apply" {
			return storage.Retryable(fmt.Errorf("connection refused"))
		}
		return nil
	})
	w.create(entry("", "pods"))
	w.run()
	w.shows("SynchroRunning=False/InitialFailed/claim the cluster: connection refused")
	w.storage.FailWith(func(op string, changes []storage.Change) error {
		if op == "apply" && len(changes) > 0 {
			return storage.Retryable(fmt.Errorf("connection refused"))
		}
		return nil
	})
	w.shows("pods.v1=Stop/StorageExpection")
	w.storage.FailWith(nil)
	w.eventually(func() bool { return len(w.storage.Objects()) == 20 }, "not all stored")
	w.eventually(func() bool { return strings.HasSuffix(w.describe(), "pods.v1=Syncing/") }, "not syncing")
	puts, _ := w.storage.Writes()
	require.Equal(t, 20, puts)
}

func TestDeletion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.member.Put(pods, "default", "a", "ua", "")
	w.create(entry("", "pods"))
	w.run()
	w.stored("pods default/a 101")
	w.storage.FailWith(func(op string, _ []storage.Change) error {
		if op == "purge" {
			return fmt.Errorf("no luck")
		}
		return nil
	})
	w.update(func(p *v1alpha2.PediaCluster) { p.DeletionTimestamp = &metav1.Time{Time: time.Now()} })
	w.eventually(func() bool { return len(w.member.Requests("watch=true")) == 0 }, "watches")
	require.Equal(t, []string{Finalizer}, w.get().Finalizers)
	w.storage.FailWith(nil)
	w.eventually(func() bool { return len(w.get().Finalizers) == 0 }, "finalizer")
	require.Empty(t, w.storage.Names())
}

func TestInvalidSpecs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.create(entry("", "pods"))
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.TokenData = nil })
	w.run()
	w.shows("Validated=False/InvalidConfig/invalid cluster config: Cluster APIServer's Token or Cert is required",
		"SynchroRunning=False/InvalidConfig/invalid cluster config: Cluster APIServer's", "ClusterHealthy=Unknown/MonitorStop/wait cluster synchro",
		"Ready=False/NotReady/Validated condition is False, reason is InvalidConfig")
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.TokenData = []byte("t"); p.Spec.CAData = []byte("no pem") })
	w.shows("Validated=False/InvalidConfig/invalid cluster config: ", "PEM")
	w.update(func(p *v1alpha2.PediaCluster) {
		p.Spec.CAData = nil
		p.Spec.SyncResources = []v1alpha2.ClusterGroupResources{entry("*", "*")}
	})
	w.shows("Validated=False/InvalidSyncResources/" + messageAllResources)
	w.update(func(p *v1alpha2.PediaCluster) {
		p.Spec.SyncResources = []v1alpha2.ClusterGroupResources{entry("", "pods")}
		p.Spec.SyncAllCustomResources = true
	})
	w.shows("Validated=True/Validated/"+messageAllCustom, "Ready=True", "pods.v1=Syncing/")
	// What runs goes on running.
	w.selectOnly(entry("*", "*"))
	w.shows("Validated=False/InvalidSyncResources/", "SynchroRunning=True", "pods.v1=Syncing/", "Ready=False")
}

func TestSharedSelection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, nodes)
	w.member.Put(pods, "default", "a", "ua", "")
	w.member.Put(nodes, "", "n", "un", "")
	w.create(entry("", "pods"))
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.SyncResourcesRefName = "shared" })
	w.run()
	w.shows("Validated=True/Validated/Warning: sync resource ref is not found", "Ready=True")
	w.stored("pods default/a 101")
	_, err := w.host.ClusterV1alpha2().ClusterSyncResources().Create(t.Context(), &v1alpha2.ClusterSyncResources{
		ObjectMeta: metav1.ObjectMeta{Name: "shared"},
		Spec:       v1alpha2.ClusterSyncResourcesSpec{SyncResources: []v1alpha2.ClusterGroupResources{entry("", "nodes")}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	w.stored("nodes n 102", "pods default/a 101")
	w.eventually(func() bool { return meta.FindStatusCondition(w.get().Status.Conditions, "Validated").Message == "" }, "warning")
}

func TestSharding(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.member.Put(pods, "default", "a", "ua", "")
	w.create(entry("", "pods"))
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.ShardingName = "a" })
	other := "b"
	w.update(func(p *v1alpha2.PediaCluster) { p.Status.ShardingName = &other })
	w.options.ShardingName = "a"
	w.run()
	require.Empty(t, w.get().Finalizers)
	w.update(func(p *v1alpha2.PediaCluster) { p.Status.ShardingName = nil })
	w.stored("pods default/a 101")
	w.shows("Ready=True")
	require.Equal(t, "a", *w.get().Status.ShardingName)
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.ShardingName = "b" })
	w.shows("SynchroRunning=False/Shutdown")
	require.Nil(t, w.get().Status.ShardingName)
	w.stored("pods default/a 101")
}

// TestHandOver moves a cluster to another manager and back, as both run all the time.
func TestHandOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.create(entry("", "pods"))
	w.run()
	w.options.ShardingName = "b"
	w.run()
	for i, shard := range []string{"", "b", "", "b"} {
		w.update(func(p *v1alpha2.PediaCluster) { p.Spec.ShardingName = shard })
		w.eventually(func() bool { s := w.get().Status.ShardingName; return s != nil && *s == shard }, "not taken over")
		w.member.Put(pods, "default", "a", "ua", "")
		w.stored(fmt.Sprintf("pods default/a %d", 101+i))
		w.shows("Ready=True")
	}
	w.bystander()
	w.vanish()
	w.stored()
}

// TestEpochIsClaimedBeforeReading lets an earlier manager wake up late, when its
// successor has found nothing to write.
func TestEpochIsClaimedBeforeReading(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.create(entry("", "pods"))
	w.run()
	w.shows("Ready=True", "pods.v1=Syncing/")
	earlier := storage.Writer{Cluster: "one", Epoch: w.revision.Load()}
	w.stop()
	w.run()
	w.shows("Ready=True", "pods.v1=Syncing/")
	key := storage.Key{Cluster: "one", Resource: storage.Resource{Version: "v1", Resource: "pods"}, Name: "gone"}
	err := w.storage.Apply(t.Context(), earlier, []storage.Change{{Put: &storage.Object{Key: key, Kind: "Pod", JSON: []byte("{}")}}})
	require.ErrorIs(t, err, storage.ErrFenced)
	w.stored()
}

func TestOvertakenManager(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		// change is what the host cluster says when the manager is overtaken.
		change func(w *world)
		back   bool
	}{
		"still responsible": {func(*world) {}, true},
		"lost its lease": {func(w *world) {
			w.options.Epoch = func(ctx context.Context) (int64, error) {
				if w.revision.Load() > 0 {
					return 0, errors.New("the lease was lost")
				}
				return w.epoch(ctx)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, pods)
			tc.change(w)
			w.member.Put(pods, "default", "a", "ua", "")
			w.create(entry("", "pods"))
			w.run()
			w.stored("pods default/a 101")
			// As after the host cluster's restoration: far ahead of all that will follow.
			require.NoError(t, w.storage.Apply(t.Context(), storage.Writer{Cluster: "one", Epoch: 1 << 40}, nil))
			w.member.Put(pods, "default", "b", "ub", "")
			if tc.back {
				w.stored("pods default/a 101", "pods default/b 102")
				w.shows("Ready=True")
				w.bystander()
				w.vanish()
				w.stored()
				return
			}
			w.eventually(func() bool { w.member.CutWatches(); return len(w.member.Requests("watch")) == 0 }, "still watching")
			w.stored("pods default/a 101")
		})
	}
}

// TestRejectedAcrossPause has an object refused, and the member away before it can be
// tried again.
func TestRejectedAcrossPause(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.options.Tuning.RejectedDelay = 200 * time.Millisecond
	w.member.Put(pods, "default", "a", "ua", "")
	w.storage.FailWith(func(_ string, changes []storage.Change) error {
		if len(changes) > 0 {
			return errors.New("the password has changed")
		}
		return nil
	})
	w.create(entry("", "pods"))
	w.run()
	w.shows("pods.v1=Syncing/ObjectsLeftOut")
	w.member.FailWith(func(*http.Request) int { return http.StatusInternalServerError })
	w.shows("pods.v1=Stop")
	w.storage.FailWith(nil)
	w.member.FailWith(nil)
	w.stored("pods default/a 101")
}

func TestNewConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.member.Put(pods, "default", "a", "ua", "")
	other := fakemember.New(pods)
	t.Cleanup(other.Close)
	other.Put(pods, "default", "x", "ux", "")
	w.create(entry("", "pods"))
	w.run()
	w.stored("pods default/a 101")
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.APIServer = other.URL() })
	w.stored("pods default/x 101")
	w.eventually(func() bool { return w.get().Status.APIServer == other.URL() }, "apiserver")
}

func TestStatusIsNotWrittenInVain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.create(entry("", "pods"))
	w.run()
	w.shows("Ready=True", "pods.v1=Syncing/")
	w.eventually(func() bool { return !strings.Contains(w.describe(), "initial") }, "initial")
	count := func() int {
		n := 0
		for _, a := range w.host.Actions() {
			if a.GetVerb() == "update" {
				n++
			}
		}
		return n
	}
	// From some time on, health checks come and go and nothing is written.
	before := -1
	w.eventually(func() bool {
		if len(w.member.Requests("/readyz")) == 0 {
			return false
		}
		now := count()
		same := now == before
		before = now
		return same
	}, "written after every health check")
}
