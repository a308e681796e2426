package synchro

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// clusterRecord is what a manager leaves to the next one of the same host cluster.
type clusterRecord struct {
	// Epochs are those with which it has written to clusters last.
	Epochs map[string]int64 `json:"epochs"`
}

// Record returns what the next manager of the same host cluster and name should know: of
// which clusters this one, or one before it, has stored something. It has no more than a
// number of bytes; if that is not enough, clusters are missing, those that have no
// PediaCluster last of all. It may be called at any time.
func (m *Manager) Record(most int) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := clusterRecord{Epochs: map[string]int64{}}
	size := len(`{"epochs":{}}`)
	epochs := maps.Clone(m.ours)
	for name, c := range m.clusters {
		epochs[name] = max(epochs[name], c.epoch())
	}
	rank := func(name string) int {
		if m.orphans[name] != nil {
			return 0
		}
		return 1
	}
	for _, name := range slices.SortedFunc(maps.Keys(epochs), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	}) {
		if epochs[name] == 0 {
			continue // it has not been claimed
		}
		if size += len(fmt.Sprintf(`"%s":%d,`, name, epochs[name])); size > most {
			break
		}
		r.Epochs[name] = epochs[name]
	}
	text, err := json.Marshal(r)
	if err != nil {
		m.Logger.Error(err, "Cannot tell the next manager what is stored")
		return ""
	}
	return string(text)
}

// inheritRecord takes over what Record of an earlier manager returned.
func (m *Manager) inheritRecord(text string) {
	if text == "" {
		return
	}
	var r clusterRecord
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		m.Logger.Info("Cannot read what the manager before has left: what is stored of clusters that lack a PediaCluster is kept", "err", err)
		return
	}
	for name, epoch := range r.Epochs {
		if epoch > 0 {
			m.ours[name] = epoch
		}
	}
}
