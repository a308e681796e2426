package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/storage"
)

// TestEventsInVain records Events again, as a manager does that starts, of which those are
// that were too many: no row is written.
func TestEventsInVain(t *testing.T) {
	t.Parallel()
	st := open(t, sqlite(t))
	written := func() int {
		t.Helper()
		text, err := st.(*store.Store).Setting(t.Context(), "SELECT total_changes()")
		require.NoError(t, err)
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		return n
	}
	key := storage.Key{Cluster: "tokyo", Resource: storage.Resource{Version: "v1", Resource: "pods"}, Namespace: "shop", Name: "web"}
	changes := []storage.Change{{Put: &storage.Object{Key: key, Kind: "Pod", UID: "u", ResourceVersion: "1", JSON: []byte(`{"metadata":{"name":"web"}}`)}}}
	event := func(i int, version string, seen int) storage.Change {
		return storage.Change{Event: &storage.Event{
			Involved: "u", UID: fmt.Sprintf("e%02d", i), ResourceVersion: version, LastSeen: int64(seen),
			JSON: fmt.Appendf(nil, `{"metadata":{"namespace":"shop","name":"e%02d"},"count":%s}`, i, version),
		}}
	}
	var events []storage.Change
	for i := range 50 {
		events = append(events, event(i, "1", i))
	}
	apply := func(changes ...storage.Change) int {
		t.Helper()
		before := written()
		require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "tokyo"}, changes))
		return written() - before
	}
	require.NotZero(t, apply(changes...))
	require.NotZero(t, apply(events...))
	require.Zero(t, apply(events...))
	require.Zero(t, apply(events[:10]...))
	require.Zero(t, apply(storage.Change{Event: &storage.Event{Involved: "u", UID: "e00"}}), "it is not recorded")
	require.NotZero(t, apply(event(49, "2", 49)))
	require.NotZero(t, apply(event(49, "2", 50)))
	require.NotZero(t, apply(storage.Change{Event: &storage.Event{Involved: "u", UID: "e49"}}))
	recorded := func() (n int) {
		t.Helper()
		require.NoError(t, st.Versions(t.Context(), "tokyo", func(v storage.Version) error {
			n += len(v.Events)
			return nil
		}))
		return n
	}
	require.Equal(t, 29, recorded())

	// A day later the newest 10 are left, and what was forgotten is not taken again.
	const day = 24 * 60 * 60
	require.NotZero(t, apply(event(50, "1", 39+day)))
	require.Equal(t, 11, recorded(), "with the newest 9 of before, and one of just a day ago")
	require.Zero(t, apply(events[:39]...))
	require.NotZero(t, apply(event(51, "1", 41+day)))
	require.Equal(t, 10, recorded())
}

// TestEventsOfOld records an Event of an object of which v0.9 has kept all: what is too much is
// forgotten in both of its columns.
func TestEventsOfOld(t *testing.T) {
	t.Parallel()
	d := oldDatabases()["SQLite"](t)
	db := d.make(t)
	d.insert(t, db, "a", "1", replicaSet("a", "1", "red"))
	events, versions := map[string]any{}, map[string]int{}
	for i := range 50 {
		name := fmt.Sprintf("e%02d", i)
		events["uid-"+name] = map[string]any{"metadata": map[string]string{"namespace": "shop", "name": name}}
		versions["shop/"+name] = i
	}
	d.exec(t, db, "UPDATE resources SET events = ?, event_resource_versions = ?", string(mustJSON(t, events)), string(mustJSON(t, versions)))
	st := open(t, d.config)
	t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
	require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "c1"}, []storage.Change{{Event: &storage.Event{
		Involved: "uid-a", UID: "uid-e50", ResourceVersion: "50", LastSeen: time.Now().Unix(), JSON: []byte(`{"metadata":{"namespace":"shop","name":"e50"}}`),
	}}}))
	var texts [2][]byte
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT events, event_resource_versions FROM resources").Scan(&texts[0], &texts[1]))
	var kept map[string]struct {
		Metadata struct{ Namespace, Name string }
	}
	var keptVersions map[string]int
	require.NoError(t, json.Unmarshal(texts[0], &kept))
	require.NoError(t, json.Unmarshal(texts[1], &keptVersions))
	require.Len(t, kept, 10)
	require.Len(t, keptVersions, 10)
	for _, event := range kept {
		require.Contains(t, keptVersions, "shop/"+event.Metadata.Name)
	}
}
