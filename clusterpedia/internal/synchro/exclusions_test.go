package synchro

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/storage-api/storage"
)

func (w *world) exclude(e v1alpha2.SyncExclusions) {
	w.t.Helper()
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.SyncExclusions = e })
}

func TestExcludedNamespaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, nodes)
	w.member.Put(pods, "default", "a", "ua", "")
	w.member.Put(pods, "kube-system", "b", "ub", "")
	w.member.Put(pods, "kube-public", "c", "uc", "")
	w.member.Put(nodes, "", "default", "un", "")
	w.create(entry("", "pods", "nodes"))
	w.exclude(v1alpha2.SyncExclusions{ExcludedNamespaces: []string{"kube-*", "default-not"}})
	w.run()
	w.stored("nodes default 104", "pods default/a 101")
	w.shows("pods.v1=Syncing/\n")
	// What is watched is left out, too.
	w.member.Put(pods, "kube-system", "b", "ub", "")
	w.member.Delete(pods, "kube-public", "c")
	w.member.Put(pods, "default", "a", "ua", "")
	w.stored("nodes default 104", "pods default/a 107")
	require.Zero(t, w.counters.Deletes.Load())

	w.exclude(v1alpha2.SyncExclusions{ExcludedNamespaces: []string{"default"}})
	w.stored("nodes default 104", "pods kube-system/b 105")
	w.stop()
	w.exclude(v1alpha2.SyncExclusions{ExcludedNamespaces: []string{"kube-system"}})
	w.storage.Writes()
	w.run()
	w.stored("nodes default 104", "pods default/a 107")
	puts, deletes := w.storage.Writes()
	require.Equal(t, []int{1, 1}, []int{puts, deletes})
	w.exclude(v1alpha2.SyncExclusions{})
	w.stored("nodes default 104", "pods default/a 107", "pods kube-system/b 105")
}

func TestExcludedResources(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, nodes, deployments)
	w.member.Put(pods, "default", "a", "ua", "")
	w.member.Put(nodes, "", "n", "un", "")
	w.member.Put(deployments, "default", "web", "ud", "")
	exclude := func(group, resource string) []v1alpha2.ExcludedGroupResources {
		return []v1alpha2.ExcludedGroupResources{{Group: group, Resources: []string{resource}}}
	}
	w.options.Gates.AllowSyncAllResources = true
	w.create(entry("*", "*"))
	w.exclude(v1alpha2.SyncExclusions{ExcludedResources: exclude("", "Pod")})
	w.run()
	w.stored("deployments default/web 103", "nodes n 102")
	w.eventually(func() bool { return !strings.Contains(w.describe(), "pods") }, "pods in the status")
	w.exclude(v1alpha2.SyncExclusions{ExcludedResources: exclude("*", "nodes")})
	w.stored("deployments default/web 103", "pods default/a 101")
	w.stop()
	w.exclude(v1alpha2.SyncExclusions{ExcludedResources: exclude("apps", "*")})
	w.run()
	w.stored("nodes n 102", "pods default/a 101")

	// What several clusters share is added.
	_, err := w.host.ClusterV1alpha2().ClusterSyncResources().Create(t.Context(), &v1alpha2.ClusterSyncResources{
		ObjectMeta: metav1.ObjectMeta{Name: "shared"},
		Spec:       v1alpha2.ClusterSyncResourcesSpec{SyncExclusions: v1alpha2.SyncExclusions{ExcludedResources: exclude("", "nodes"), ExcludedNamespaces: []string{"default"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.SyncResourcesRefName = "shared" })
	w.stored()
}

// documents returns the stored documents, without what all of them have.
func (w *world) documents() []string {
	var documents []string
	for _, o := range w.storage.Objects() {
		_, end, _ := strings.Cut(string(o.JSON), `"resourceVersion":`)
		documents = append(documents, o.Name+" "+strings.Replace(end, `,"annotations":{"shadow.clusterpedia.io/cluster-name":"one"}`, "", 1))
	}
	slices.Sort(documents)
	return documents
}

func (w *world) holds(documents ...string) {
	w.t.Helper()
	w.eventually(func() bool { return slices.Equal(documents, w.documents()) }, "wanted %q", documents)
}

func prune(fields ...string) v1alpha2.SyncExclusions {
	if len(fields) == 0 {
		return v1alpha2.SyncExclusions{}
	}
	return v1alpha2.SyncExclusions{PrunedFields: []v1alpha2.PrunedGroupResources{{Group: "", Resources: []string{"pods"}, Fields: fields}}}
}

// restartsInVain starts the manager anew, which copies pods and nodes, and writes nothing.
func (w *world) restartsInVain() {
	w.t.Helper()
	w.stop()
	w.run()
	w.shows("pods.v1=Syncing/\n", "nodes.v1=Syncing/")
	w.eventually(func() bool { return !strings.Contains(w.describe(), "initial") }, "initial")
	puts, _ := w.storage.Writes()
	require.Zero(w.t, puts)
}

// says waits until the status has these pruned fields: "resource field field", with
// "rewriting" at the end.
func (w *world) says(want ...string) {
	w.t.Helper()
	read := func() (got []string) {
		for _, p := range w.get().Status.PrunedFields {
			line := p.Resource + " " + strings.Join(p.Fields, " ")
			if p.Rewriting {
				line += " rewriting"
			}
			got = append(got, line)
		}
		return got
	}
	w.eventually(func() bool { return slices.Equal(want, read()) }, "wanted %q, has %q", want, read())
}

func TestPrunedFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, nodes)
	w.member.Put(pods, "default", "a", "ua", `"labels":{"x":"y"}`)
	w.member.Put(nodes, "", "n", "un", "")
	w.create(entry("", "pods", "nodes"))
	w.exclude(prune("spec.n", ".metadata['labels']"))
	w.run()
	w.holds(`a "101"},"spec":{}}`, `n "102"},"spec":{"n":102}}`)
	w.says("pods metadata.labels spec.n")
	require.Empty(t, w.storage.Objects()[1].Labels)
	w.shows("pods.v1=Syncing/\n", "Validated=True")

	// Another set is written at once, though no version has changed; the same set is not.
	w.storage.Writes()
	w.exclude(prune("metadata.labels", "$.spec.n"))
	w.exclude(prune("spec"))
	w.holds(`a "101","labels":{"x":"y"}}}`, `n "102"},"spec":{"n":102}}`)
	w.says("pods spec")
	puts, _ := w.storage.Writes()
	require.Equal(t, 1, puts)

	// A restart writes nothing, unless fields were chosen anew in between.
	w.restartsInVain()
	w.stop()
	w.exclude(prune())
	w.run()
	w.holds(`a "101","labels":{"x":"y"}},"spec":{"n":101}}`, `n "102"},"spec":{"n":102}}`)
	w.says()
	puts, _ = w.storage.Writes()
	require.Equal(t, 1, puts)

	// What isn't stored any more was not pruned.
	w.exclude(prune("spec"))
	w.says("pods spec")
	w.selectOnly(entry("", "nodes"))
	w.says()
	w.holds(`n "102"},"spec":{"n":102}}`)
}

// TestPruningIsUnknown makes a PediaCluster anew, without its status, whose objects are
// stored still.
func TestPruningIsUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, nodes)
	w.member.Put(pods, "default", "a", "ua", "")
	w.member.Put(nodes, "", "n", "un", "")
	w.create(entry("", "pods", "nodes"))
	w.exclude(prune("spec"))
	w.run()
	w.holds(`a "101"}}`, `n "102"},"spec":{"n":102}}`)
	w.says("pods spec")
	w.stop()
	lost := func(p *v1alpha2.PediaCluster) { p.Status = v1alpha2.ClusterStatus{} }
	w.update(lost)
	w.exclude(prune())
	w.storage.Writes()
	w.run()
	w.holds(`a "101"},"spec":{"n":101}}`, `n "102"},"spec":{"n":102}}`)
	w.says()
	puts, _ := w.storage.Writes()
	require.Equal(t, 2, puts)

	// Once is enough, and whoever stops before that leaves word.
	w.restartsInVain()
	w.stop()
	w.update(lost)
	w.storage.FailWith(func(op string, _ []storage.Change) error {
		if op == "versions" {
			return errors.New("no luck")
		}
		return nil
	})
	w.run()
	w.says("*  rewriting")
	w.stop()
	w.storage.FailWith(nil)
	w.run()
	w.says()
	written := 0
	w.eventually(func() bool { puts, _ := w.storage.Writes(); written += puts; return written == 2 }, "not rewritten")
}

// TestPruningEndsDespiteInvalidObjects prunes objects of which one cannot be stored any
// more: it is, at least, not stored with what is to be left out.
func TestPruningEndsDespiteInvalidObjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.member.Put(pods, "default", "a", "ua", "")
	w.member.Put(pods, "default", "bad", "ub", "")
	w.create(entry("", "pods"))
	w.run()
	w.holds(`a "101"},"spec":{"n":101}}`, `bad "102"},"spec":{"n":102}}`)
	refuse := func(cause func(storage.Key) error) {
		w.storage.FailWith(func(_ string, changes []storage.Change) error {
			for _, c := range changes {
				if c.Put != nil && c.Put.Name == "bad" {
					return cause(c.Put.Key)
				}
			}
			return nil
		})
	}
	// It may be the storage layer's fault.
	refuse(func(storage.Key) error { return errors.New("no such column") })
	w.exclude(prune("spec"))
	w.holds(`a "101"}}`, `bad "102"},"spec":{"n":102}}`)
	w.shows("pods.v1=Syncing/ObjectsLeftOut")
	w.says("pods spec rewriting")
	refuse(func(key storage.Key) error { return &storage.InvalidObjectError{Key: key, Reason: "too bad"} })
	w.holds(`a "101"}}`)
	w.says("pods spec")
	w.storage.FailWith(nil)
	w.holds(`a "101"}}`, `bad "102"}}`)
}

// TestPruningWaitsForDeletions prunes an object that cannot be converted any more, while the
// storage layer does not delete what is stored of it.
func TestPruningWaitsForDeletions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oldBudgets)
	var broken atomic.Bool
	convert := w.options.Kinds.Convert
	w.options.Kinds.Convert = func(doc []byte, to schema.GroupVersion) ([]byte, error) {
		if broken.Load() && strings.Contains(string(doc), `"bad"`) {
			return nil, errors.New("too bad")
		}
		return convert(doc, to)
	}
	w.member.Put(oldBudgets, "default", "bad", "ub", "")
	w.create(entry("policy", "*"))
	w.run()
	w.stored("poddisruptionbudgets default/bad 101")
	broken.Store(true)
	deletes := func(c storage.Change) bool { return c.Delete != nil }
	var refused atomic.Int64
	w.storage.FailWith(func(_ string, changes []storage.Change) error {
		if !slices.ContainsFunc(changes, deletes) {
			return nil
		}
		refused.Add(1)
		return errors.New("no such column")
	})
	w.exclude(v1alpha2.SyncExclusions{PrunedFields: []v1alpha2.PrunedGroupResources{{Group: "policy", Resources: []string{"*"}, Fields: []string{"spec"}}}})
	w.eventually(func() bool { return refused.Load() > 2 }, "not tried again")
	w.says("poddisruptionbudgets spec rewriting")
	w.storage.FailWith(nil)
	w.stored()
	w.says("poddisruptionbudgets spec")
}

// TestPruningOfWhatIsRemoved has a resource be unselected before all of it was written anew,
// and not be removed at once: whoever selects it again must know.
func TestPruningOfWhatIsRemoved(t *testing.T) {
	t.Parallel()
	pod := storage.Resource{Version: "v1", Resource: "pods"}
	c := &cluster{
		changed: func() {}, removals: map[storage.Resource]*removal{pod: {}},
		prunings: prunings{now: map[storage.Resource]pruning{pod: {"spec", true}}},
	}
	c.pruned(pod, "spec")
	require.Equal(t, pruning{"spec", true}, c.prunings.now[pod])
	clear(c.removals)
	c.pruned(pod, "spec")
	require.Equal(t, pruning{"spec", false}, c.prunings.now[pod])
}

// TestPrunedFieldsOfConvertedKinds prunes what is read in one version and stored in
// another.
func TestPrunedFieldsOfConvertedKinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oldBudgets)
	w.member.Put(oldBudgets, "default", "a", "ua", `"labels":{"x":"y"}`)
	w.create(entry("policy", "*"))
	w.exclude(v1alpha2.SyncExclusions{PrunedFields: []v1alpha2.PrunedGroupResources{{Group: "policy", Resources: []string{"PodDisruptionBudget"}, Fields: []string{"spec.n", "metadata.labels"}}}})
	w.run()
	w.stored("poddisruptionbudgets default/a 101")
	o := w.storage.Objects()[0]
	require.JSONEq(t, `{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"namespace":"default","name":"a","uid":"ua","resourceVersion":"101",
		"annotations":{"shadow.clusterpedia.io/cluster-name":"one"}},"spec":{}}`, string(o.JSON))
	require.Empty(t, o.Labels)
}

// TestPruningIsAnnounced lets the status not be written: then no object may be, either,
// since the next manager would take it for what it was before.
func TestPruningIsAnnounced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.member.Put(pods, "default", "a", "ua", "")
	w.create(entry("", "pods"))
	w.run()
	w.holds(`a "101"},"spec":{"n":101}}`)
	w.storage.FailWith(func(op string, changes []storage.Change) error {
		if op == "apply" && len(changes) > 0 {
			return storage.Retryable(errors.New("no luck"))
		}
		return nil
	})
	w.exclude(prune("spec"))
	w.says("pods spec rewriting")
	w.stop()
	// As it was before, but for what the manager that died may have written.
	w.exclude(prune())
	w.storage.FailWith(nil)
	w.storage.Writes()
	w.run()
	w.says()
	puts, _ := w.storage.Writes()
	require.Equal(t, 1, puts)
}

// TestPruningWaitsForTheStatus has the host cluster refuse the status: nothing is written
// in another way before it stands there.
func TestPruningWaitsForTheStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.member.Put(pods, "default", "a", "ua", "")
	w.create(entry("", "pods"))
	w.run()
	w.holds(`a "101"},"spec":{"n":101}}`)
	w.shows("pods.v1=Syncing/")
	w.eventually(func() bool { return !strings.Contains(w.describe(), "initial") }, "initial")
	var refuse atomic.Bool
	var refused atomic.Int64
	refuse.Store(true)
	w.host.PrependReactor("update", "pediaclusters", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.GetSubresource() != "status" || !refuse.Load() {
			return false, nil, nil
		}
		refused.Add(1)
		return true, nil, errors.New("no luck")
	})
	w.exclude(prune("spec"))
	w.eventually(func() bool { return refused.Load() > 5 }, "no status")
	w.holds(`a "101"},"spec":{"n":101}}`)
	refuse.Store(false)
	w.holds(`a "101"}}`)
	w.says("pods spec")
}

// TestPruningWithinAList prunes while a list is read whose end doesn't come: what it
// brought already is written again, too.
func TestPruningWithinAList(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	for i := range 4 {
		w.member.Put(pods, "default", fmt.Sprintf("p%d", i), fmt.Sprintf("u%d", i), "")
	}
	open := make(chan struct{})
	w.member.FailWith(func(r *http.Request) int {
		if r.URL.Query().Get("continue") != "" {
			select {
			case <-open:
			case <-r.Context().Done():
			}
		}
		return 0
	})
	w.create(entry("", "pods"))
	w.run()
	w.stored("pods default/p0 101", "pods default/p1 102")
	w.exclude(prune("spec"))
	w.says("pods spec rewriting")
	close(open)
	w.holds(`p0 "101"}}`, `p1 "102"}}`, `p2 "103"}}`, `p3 "104"}}`)
	w.says("pods spec")
}

// TestRejectedAfterReplacement has an object rejected whose resource was replaced while it
// was on its way: it is written again.
func TestRejectedAfterReplacement(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.member.Put(pods, "default", "a", "ua", "")
	release := make(chan struct{})
	var writes atomic.Int64
	w.storage.FailWith(func(op string, changes []storage.Change) error {
		if op == "apply" && len(changes) > 0 && writes.Add(1) == 1 {
			<-release
			return errors.New("once")
		}
		return nil
	})
	w.create(entry("", "pods"))
	w.run()
	w.eventually(func() bool { return writes.Load() == 1 }, "a write")
	w.shows("pods.v1=Syncing/")
	w.member.Requests("")
	w.exclude(v1alpha2.SyncExclusions{ExcludedNamespaces: []string{"other"}})
	w.eventually(func() bool { return len(w.member.Requests("/api/v1/pods?allowWatch")) > 0 }, "listed, and watched, anew")
	close(release)
	w.stored("pods default/a 101")
}

// TestSharedExclusionsOutliveTheirObject deletes what several clusters share: what it
// selected stays, and what it excluded and pruned is not copied, by a manager that starts
// anew neither.
func TestSharedExclusionsOutliveTheirObject(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, nodes, deployments)
	w.member.Put(pods, "default", "a", "ua", "")
	w.member.Put(nodes, "", "n", "un", "")
	w.member.Put(deployments, "default", "web", "ud", "")
	e := prune("spec")
	e.ExcludedResources = []v1alpha2.ExcludedGroupResources{{Group: "", Resources: []string{"nodes"}}}
	shared := &v1alpha2.ClusterSyncResources{
		ObjectMeta: metav1.ObjectMeta{Name: "shared"},
		Spec:       v1alpha2.ClusterSyncResourcesSpec{SyncResources: []v1alpha2.ClusterGroupResources{entry("apps", "*")}, SyncExclusions: e},
	}
	_, err := w.host.ClusterV1alpha2().ClusterSyncResources().Create(t.Context(), shared, metav1.CreateOptions{})
	require.NoError(t, err)
	w.create(entry("", "*"))
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.SyncResourcesRefName = "shared" })
	w.run()
	w.holds(`a "101"}}`, `web "103"},"spec":{"n":103}}`)
	require.NoError(t, w.host.ClusterV1alpha2().ClusterSyncResources().Delete(t.Context(), "shared", metav1.DeleteOptions{}))
	w.shows("Validated=True/Validated/" + messageRefNotFound)
	w.member.Put(pods, "default", "b", "ub", "")
	w.holds(`a "101"}}`, `b "104"}}`, `web "103"},"spec":{"n":103}}`)
	w.stop()
	w.storage.Writes()
	w.run()
	w.member.Put(pods, "default", "c", "uc", "")
	w.holds(`a "101"}}`, `b "104"}}`, `c "105"}}`, `web "103"},"spec":{"n":103}}`)
	w.says("pods spec")
	puts, deletes := w.storage.Writes()
	require.Equal(t, []int{1, 0}, []int{puts, deletes})

	// Nobody refers to it any more.
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.SyncResourcesRefName = "" })
	w.holds(`a "101"},"spec":{"n":101}}`, `b "104"},"spec":{"n":104}}`, `c "105"},"spec":{"n":105}}`, `n "102"},"spec":{"n":102}}`)
}

// TestSpecInVain names what the member does not have.
func TestSpecInVain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, nodes)
	w.member.Put(pods, "default", "a", "ua", "")
	w.member.Put(pods, "ci-1", "b", "ub", "")
	w.create(entry("", "pods", "nope"))
	e := prune("spec")
	e.ExcludedNamespaces = []string{"ci-*", "kube-sistem"}
	e.ExcludedResources = []v1alpha2.ExcludedGroupResources{{Group: "apps", Resources: []string{"deploy"}}}
	w.exclude(e)
	w.run()
	w.shows("Validated=True/Validated/" + noteUnserved + "nope; " + noteUnmatched + "deploy.apps; " + noteNamespaces + "kube-sistem\n")
	// They come.
	w.member.Put(pods, "kube-sistem", "c", "uc", "")
	w.selectOnly(entry("", "pods"))
	w.exclude(v1alpha2.SyncExclusions{ExcludedNamespaces: e.ExcludedNamespaces})
	w.shows("Validated=True/Validated/\n")
	w.stored("pods default/a 101")
}

func TestInvalidExclusions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods)
	w.create(entry("", "pods"))
	w.run()
	w.shows("Ready=True")
	for want, e := range map[string]v1alpha2.SyncExclusions{
		`spec.excludedNamespaces[1]: "Upper" is neither the name of a namespace nor one with * in it`:             {ExcludedNamespaces: []string{"*", "Upper"}},
		`spec.prunedFields[0].fields[1]: "metadata.uid" cannot be left out: objects are known by metadata.uid`:    prune("spec", "metadata.uid"),
		`spec.prunedFields[0].fields[0]: "metadata" cannot be left out: objects are known by metadata.name`:       prune("metadata"),
		`spec.prunedFields[0].fields[0]: "spec[0]" is no path of a field: what stands in brackets must be a name`: prune("spec[0]"),
	} {
		w.exclude(e)
		w.shows("Validated=False/InvalidSyncResources/invalid sync resources: "+want, "SynchroRunning=True", "Ready=False")
	}
	w.exclude(v1alpha2.SyncExclusions{})
	w.shows("Ready=True")
	_, err := w.host.ClusterV1alpha2().ClusterSyncResources().Create(t.Context(), &v1alpha2.ClusterSyncResources{
		ObjectMeta: metav1.ObjectMeta{Name: "shared"}, Spec: v1alpha2.ClusterSyncResourcesSpec{SyncExclusions: prune("kind")},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.SyncResourcesRefName = "shared" })
	w.shows(`Validated=False/InvalidSyncResources/invalid sync resources: ClusterSyncResources shared: spec.prunedFields[0].fields[0]: "kind" cannot be left out`)
}

// TestExclusionsConverge changes at random what is left out, while objects change, the
// storage layer fails, and managers end, some of them without having said so.
func TestExclusionsConverge(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			c := &chance{rng: rand.New(rand.NewPCG(seed, 2))}
			w := newWorld(t, pods)
			w.options.Tuning.Writer.BatchChanges = 3
			put := func() {
				w.member.Put(pods, fmt.Sprintf("ns%d", c.n(3)), fmt.Sprintf("n%d", c.n(5)), "u", `"labels":{"x":"y"}`)
			}
			for range 15 {
				put()
			}
			fields := [][]string{nil, {"spec"}, {"metadata.labels"}, {"spec.n", "metadata.labels"}}
			excluded := []string{"ns0", "ns1", "ns[", "ns2"}
			w.create(entry("", "pods"))
			w.run()
			var last v1alpha2.SyncExclusions
			for range 60 {
				switch c.n(5) {
				case 0, 1:
					last = prune(fields[c.n(len(fields))]...)
					if i := c.n(len(excluded)); excluded[i] != "ns[" {
						last.ExcludedNamespaces = excluded[i : i+1]
					}
					w.exclude(last)
				case 2:
					put()
				case 3:
					if c.n(2) == 0 {
						w.stop()
						w.run()
					}
				case 4:
					limit := c.n(6)
					w.storage.FailWith(func(op string, changes []storage.Change) error {
						if limit--; op == "apply" && limit < 0 && len(changes) > 0 && c.n(3) > 0 {
							return storage.Retryable(context.DeadlineExceeded)
						}
						return nil
					})
				}
			}
			w.storage.FailWith(nil)
			var want []string
			for _, name := range w.member.Names() {
				namespace := strings.Split(strings.Fields(name)[1], "/")[0]
				if !slices.Contains(last.ExcludedNamespaces, namespace) {
					want = append(want, name)
				}
			}
			w.stored(want...)
			var without []string
			if len(last.PrunedFields) > 0 {
				without = last.PrunedFields[0].Fields
			}
			w.eventually(func() bool {
				return !slices.ContainsFunc(w.storage.Objects(), func(o storage.Object) bool {
					text := string(o.JSON)
					return strings.Contains(text, `"labels"`) == slices.Contains(without, "metadata.labels") ||
						strings.Contains(text, `"spec"`) == slices.Contains(without, "spec") ||
						strings.Contains(text, `"n":`) == (slices.Contains(without, "spec") || slices.Contains(without, "spec.n"))
				})
			}, "some object lacks %q wrongly: %q", without, w.documents())
		})
	}
}
