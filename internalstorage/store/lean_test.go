package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// TestModes changes the mode of a database of v0.9, to lean and back, beside a v0.9 that
// goes on writing: each row is served as it was written, and found by what is in its
// lists.
func TestModes(t *testing.T) {
	t.Parallel()
	old := oldDatabases()["PostgreSQL"](t)
	db := old.make(t)
	document := func(name, version, image string) string {
		return fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":%q,"resourceVersion":%q,"labels":{"color":"red"}},"spec":{"replicas":1,"containers":[{"image":%q}]}}`, name, version, image)
	}
	for _, name := range []string{"old", "updated-by-old"} {
		old.insert(t, db, name, "1", document(name, "1", "wanted"))
	}
	want := map[string]string{"old": document("old", "1", "wanted"), "updated-by-old": document("updated-by-old", "1", "wanted")}
	put := func(st storage.Storage, name, image string) {
		t.Helper()
		o := &storage.Object{
			Key:  storage.Key{Cluster: "c1", Resource: storage.Resource{Group: "apps", Version: "v1", Resource: "replicasets"}, Namespace: "default", Name: name},
			Kind: "ReplicaSet", UID: "uid-" + name, ResourceVersion: "2", JSON: []byte(document(name, "2", image)),
		}
		require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "c1", Epoch: 1}, []storage.Change{{Put: o}}))
		if delete(want, name); image == "wanted" {
			want[name] = string(o.JSON)
		}
	}
	inMode := func(mode string) storage.Storage {
		t.Helper()
		old.config["mode"] = mode
		st := open(t, old.config)
		t.Cleanup(func() { require.NoError(t, st.Close(t.Context())) })
		return st
	}
	wanted := func(st storage.Storage) {
		t.Helper()
		path := []query.PathElement{{Name: "spec"}, {Name: "containers", List: true, Index: query.AllElements}, {Name: "image"}}
		q := query.Query{Fields: []query.FieldRequirement{{Path: path, Operator: query.In, Values: []string{"wanted"}}}, Count: query.CountExact, Limit: 2}
		got := map[string]string{}
		for left := int64(len(want)); ; {
			page, err := st.List(t.Context(), &q, func(o *storage.Object) error { got[o.Name] = string(o.JSON); return nil })
			require.NoError(t, err)
			left = max(left-2, 0)
			require.NotNil(t, page.Remaining)
			require.Equal(t, left, *page.Remaining)
			if q.Continue = page.Continue; q.Continue == "" {
				break
			}
		}
		require.Len(t, got, len(want))
		for name, text := range want {
			require.JSONEq(t, text, got[name])
		}
		q.Continue, q.Offset, q.Projection, q.Count = "", 1, query.Metadata, query.CountNone
		_, err := st.List(t.Context(), &q, func(o *storage.Object) error {
			require.NotContains(t, string(o.JSON), "spec")
			require.Contains(t, string(o.JSON), o.Name)
			return nil
		})
		require.NoError(t, err)
	}

	compatible := inMode("compatible")
	put(compatible, "compatible", "wanted")
	put(compatible, "compatible-other", "other")
	wanted(compatible)
	lean := inMode("lean")
	put(lean, "lean", "wanted")
	put(lean, "lean-other", "other")
	put(lean, "updated-by-old", "wanted")
	put(lean, "back", "other")
	old.exec(t, db, "UPDATE resources SET resource_version = ?, object = ?, synced_at = ? WHERE name = ?", "3", document("updated-by-old", "3", "wanted"), time.Now().UTC(), "updated-by-old")
	want["updated-by-old"] = document("updated-by-old", "3", "wanted")
	wanted(lean)
	wanted(compatible) // though it began before there was anything lean
	put(compatible, "back", "wanted")
	wanted(inMode("compatible"))

	var object string
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT object::text FROM resources WHERE name = 'lean'").Scan(&object))
	require.JSONEq(t, `{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"lean","resourceVersion":"2","labels":{"color":"red"}},"spec":{"replicas":1,"containers":[]}}`, object)
}
