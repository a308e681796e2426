package synchro

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/storage-api/storage"
)

// told waits for an Event that begins so, and returns all that came until then.
func told(t *testing.T, recorder *record.FakeRecorder, begin string) []string {
	t.Helper()
	var events []string
	timeout := time.After(patience)
	for {
		select {
		case event := <-recorder.Events:
			events = append(events, event)
			if strings.HasPrefix(event, begin) {
				return events
			}
		case <-timeout:
			require.Fail(t, "no such Event", "wanted %q, have %q", begin, events)
		}
	}
}

// TestOwnerIsTold follows the Kubernetes Events on a PediaCluster through its life.
func TestOwnerIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pods, nodes)
	recorder := record.NewFakeRecorder(1000)
	w.options.Events = recorder
	w.member.Put(pods, "default", "a", "ua", "")
	w.create(entry("", "pods", "nodes", "nope"), entry("gone.io", "*", "things"))
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.TokenData = nil })
	w.run()
	told(t, recorder, "Warning InvalidConfig invalid cluster config: Cluster APIServer's Token or Cert is required")
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.TokenData = []byte("t") })
	told(t, recorder, "Normal Validated the spec is valid")
	events := told(t, recorder, "Normal Synced all objects of 2 resources are stored")
	for _, want := range []string{
		"Normal Running cluster synchro is running", "Normal Healthy cluster health responded with ok",
		"Warning ResourceNotServed selected, but the cluster doesn't have them, or not to be listed and watched: nope, *.gone.io, things.gone.io",
	} {
		if !slices.Contains(events, want) {
			events = append(events, told(t, recorder, want)...)
		}
	}

	w.storage.FailWith(func(_ string, changes []storage.Change) error {
		if len(changes) > 0 {
			return errors.New("it is poison")
		}
		return nil
	})
	w.member.Put(pods, "default", "b", "ub", "")
	told(t, recorder, "Warning ObjectsLeftOut pods.v1: object default/b is not stored: ")
	w.storage.FailWith(nil)
	told(t, recorder, "Normal ResourceResumed synced again: pods.v1")

	w.member.FailWith(func(r *http.Request) int {
		if r.URL.Path == "/api/v1/nodes" {
			return http.StatusForbidden
		}
		return 0
	})
	w.member.CutWatches()
	told(t, recorder, "Warning ResourceWatchFailed nodes.v1: ")
	w.member.FailWith(nil)
	told(t, recorder, "Normal ResourceResumed synced again: nodes.v1")

	w.member.FailWith(func(*http.Request) int { return http.StatusInternalServerError })
	w.member.CutWatches()
	told(t, recorder, "Warning NotReachable ")
	w.member.FailWith(nil)
	told(t, recorder, "Normal Healthy ")

	w.selectOnly(entry("", "pods"))
	told(t, recorder, "Normal ResourceRemoved not synced any more: nodes.v1")
	w.update(func(p *v1alpha2.PediaCluster) { p.Spec.SyncAllCustomResources = true })
	told(t, recorder, "Warning Validated "+messageAllCustom)
	w.stop()
	told(t, recorder, "Normal Shutdown cluster synchro is shutdown")
}

// TestNobodyIsToldTwice checks what changes of a status are worth an Event.
func TestNobodyIsToldTwice(t *testing.T) {
	t.Parallel()
	recorder := record.NewFakeRecorder(100)
	m := &Manager{Options: Options{Events: recorder}}
	p := &v1alpha2.PediaCluster{ObjectMeta: metav1.ObjectMeta{Name: "one"}}
	condition := func(kind string, status metav1.ConditionStatus, reason, message string) v1alpha2.ClusterStatus {
		return v1alpha2.ClusterStatus{Conditions: []metav1.Condition{{Type: kind, Status: status, Reason: reason, Message: message}}}
	}
	healthy, running := v1alpha2.ClusterHealthyCondition, v1alpha2.SynchroRunningCondition
	resources := func(reason string, names ...string) (status v1alpha2.ClusterStatus) {
		group := v1alpha2.ClusterGroupResourcesStatus{Group: "apps"}
		for _, name := range names {
			group.Resources = append(group.Resources, v1alpha2.ClusterResourceStatus{Name: name, SyncConditions: []v1alpha2.ClusterResourceSyncCondition{
				{Version: "v1", Status: "Syncing", Reason: reason, Message: "why"},
			}})
		}
		status.SyncResources = append(status.SyncResources, group)
		return status
	}
	var many []string
	for i := range 12 {
		many = append(many, fmt.Sprintf("r%d", i))
	}
	for name, tc := range map[string]struct {
		before, after v1alpha2.ClusterStatus
		want          []string
	}{
		"the same":               {condition(running, "True", "Running", "m"), condition(running, "True", "Running", "m"), nil},
		"another failure":        {condition(running, "False", "InitialFailed", "a"), condition(running, "False", "InitialFailed", "b"), []string{"Warning InitialFailed b"}},
		"as unhealthy as before": {condition(healthy, "False", "NotReachable", "port 1"), condition(healthy, "False", "NotReachable", "port 2"), nil},
		"nothing to tell yet":    {v1alpha2.ClusterStatus{}, condition(healthy, "Unknown", "MonitorStop", "wait"), nil},
		"shut down":              {condition(running, "True", "Running", "m"), condition(running, "False", "Shutdown", messageShutdown), []string{"Normal Shutdown " + messageShutdown}},
		"overtaken":              {condition(running, "True", "Running", "m"), condition(running, "False", "Shutdown", messageOvertaken), []string{"Warning Shutdown " + messageOvertaken}},
		"ready follows":          {v1alpha2.ClusterStatus{}, condition(v1alpha2.ReadyCondition, "False", "NotReady", "x"), nil},
		"a new version":          {v1alpha2.ClusterStatus{Version: "v1"}, v1alpha2.ClusterStatus{Version: "v2"}, []string{"Normal VersionChanged the cluster's version was v1 and is v2 now"}},
		"the first version":      {v1alpha2.ClusterStatus{}, v1alpha2.ClusterStatus{Version: "v2"}, nil},
		"trouble of many":        {resources("", many...), resources(reasonStorageFailed, many...), []string{"Warning StorageExpection r0.v1.apps, r1.v1.apps, r2.v1.apps, r3.v1.apps, r4.v1.apps, r5.v1.apps, r6.v1.apps, r7.v1.apps, r8.v1.apps, r9.v1.apps and 2 more: why"}},
		"the same trouble":       {resources(reasonStorageFailed, "a"), resources(reasonStorageFailed, "a"), nil},
	} {
		m.announce(p, &tc.before, &tc.after)
		var got []string
		for len(recorder.Events) > 0 {
			got = append(got, <-recorder.Events)
		}
		require.Equal(t, tc.want, got, name)
	}
}
