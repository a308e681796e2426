package cells

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"

	"clusterpedia.io/clusterpedia/internal/builtin"
)

// rows prints a pod in both ways; the second is missing if readPod refuses it.
func rows(t *testing.T, scheme *builtin.Scheme, doc []byte) (whole, quick []any) {
	t.Helper()
	kind := NewPrinter(scheme).Kind(pods)
	show := func(obj runtime.Object) []any {
		row, err := kind.Row(obj)
		require.NoError(t, err)
		return append(slices.Clone(row.Cells), row.Conditions)
	}
	if obj, err := scheme.Decode(doc); err == nil {
		whole = show(obj)
	}
	if pod, err := readPod(doc); err == nil {
		quick = show(pod)
	}
	return whole, quick
}

// TestReadPod prints pods of random states as the whole decoder does.
func TestReadPod(t *testing.T) {
	t.Parallel()
	scheme := builtin.NewScheme()
	for seed := range uint64(3000) {
		doc, err := json.Marshal(randomPod(newRand(seed)))
		require.NoError(t, err)
		whole, quick := rows(t, scheme, doc)
		require.NotNil(t, whole, "%s", doc)
		require.Equal(t, whole, quick, "seed %d: %s", seed, doc)
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) } //nolint:gosec // for tests

type object = map[string]any

// randomPod has any mixture of what its columns depend on.
func randomPod(r *rand.Rand) object {
	choose := func(values ...any) any { return values[r.IntN(len(values))] }
	set := func(o object, name string, values ...any) {
		if v := choose(append(values, nil)...); v != nil || r.IntN(4) == 0 {
			o[name] = v
		}
	}
	const past = "2020-01-01T00:00:00Z"
	state := func() any {
		terminated := object{}
		set(terminated, "exitCode", 0, 1, 137)
		set(terminated, "signal", 0, 9)
		set(terminated, "reason", "Completed", "Error", "OOMKilled", "")
		set(terminated, "finishedAt", past, "2021-01-01T00:00:00Z")
		waiting := object{}
		set(waiting, "reason", "CrashLoopBackOff", "PodInitializing", "")
		return choose(object{"running": object{"startedAt": past}}, object{"terminated": terminated}, object{"waiting": waiting}, object{}, nil)
	}
	names := []any{"a", "b"}
	statuses := func() any {
		var list []any
		for i := range r.IntN(3) {
			s := object{"name": names[i]}
			set(s, "ready", true, false)
			set(s, "started", true, false)
			set(s, "restartCount", 0, 3)
			set(s, "state", state())
			set(s, "lastState", state())
			list = append(list, s)
		}
		return list
	}
	containers := func(restart bool) any {
		var list []any
		for i := range r.IntN(3) {
			c := object{"name": names[i], "image": "i", "env": []any{object{"name": "]", "value": `}"\`}}}
			if restart {
				set(c, "restartPolicy", "Always")
			}
			list = append(list, c)
		}
		return list
	}
	metadata, spec, status := object{"name": "p", "namespace": "n"}, object{}, object{}
	set(metadata, "creationTimestamp", past)
	set(metadata, "deletionTimestamp", past)
	set(spec, "nodeName", "node", "")
	spec["containers"] = containers(false)
	set(spec, "initContainers", containers(true))
	set(spec, "readinessGates", []any{object{"conditionType": "Gate"}, object{"conditionType": "Ready"}})
	set(status, "phase", "Running", "Pending", "Succeeded", "Failed", "Unknown")
	set(status, "reason", "Evicted", "NodeLost")
	set(status, "nominatedNodeName", "other")
	set(status, "podIP", "10.0.0.1", "")
	set(status, "podIPs", []any{object{"ip": "10.0.0.1"}}, []any{object{"ip": "10.0.0.2"}, object{}}, []any{})
	set(status, "conditions",
		[]any{object{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}, object{"type": "Gate", "status": "True"}},
		[]any{object{"type": "Ready", "status": "True"}, object{"type": "Initialized", "status": "True"}})
	set(status, "initContainerStatuses", statuses())
	set(status, "containerStatuses", statuses())
	pod := object{"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
	set(pod, "spec", spec)
	set(pod, "status", status)
	return pod
}

// FuzzReadPod reads what the whole decoder refuses, or alike.
func FuzzReadPod(f *testing.F) {
	for seed := range uint64(20) {
		doc, err := json.Marshal(randomPod(newRand(1<<32 + seed)))
		require.NoError(f, err)
		f.Add(string(doc))
	}
	scheme := builtin.NewScheme()
	f.Fuzz(func(t *testing.T, doc string) {
		var head struct {
			APIVersion, Kind string
			Metadata         json.RawMessage
		}
		if !json.Valid([]byte(doc)) || json.Unmarshal([]byte(doc), &head) != nil || head.APIVersion != "v1" || head.Kind != "Pod" {
			return
		}
		whole, quick := rows(t, scheme, []byte(doc))
		if whole != nil && quick != nil {
			require.Equal(t, whole, quick)
		}
	})
}
