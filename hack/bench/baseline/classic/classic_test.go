package classic_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/bench/baseline/classic"
	"clusterpedia.io/bench/baseline/oldtable"
	"clusterpedia.io/bench/fleet"
)

// load stores a fleet in a table of v0.9 on SQLite.
func load(t *testing.T, f fleet.Fleet) *classic.Handler {
	t.Helper()
	db, err := oldtable.Open(oldtable.SQLite, filepath.Join(t.TempDir(), "old.db"))
	require.NoError(t, err)
	t.Cleanup(func() {
		pool, err := db.DB()
		require.NoError(t, err)
		require.NoError(t, pool.Close())
	})
	require.NoError(t, oldtable.Make(t.Context(), oldtable.SQLite, db))
	for o := range f.All() {
		stored, err := o.Stored()
		require.NoError(t, err)
		require.NoError(t, db.Create(oldtable.RowOf(stored, string(stored.JSON))).Error)
	}
	return classic.NewHandler(oldtable.SQLite, db, true)
}

func TestHandler(t *testing.T) {
	t.Parallel()
	f := fleet.Fleet{Seed: 1, Clusters: 2, Namespaces: 3, Apps: 6, App: fleet.App{ReplicaSets: 1, Pods: 5}}
	server := httptest.NewServer(load(t, f))
	t.Cleanup(server.Close)
	workload := f.Workload(1, 2)
	pod := workload[slices.IndexFunc(workload, func(o fleet.Object) bool { return o.Kind == "Pod" })]
	const table = "application/json;as=Table;v=v1;g=meta.k8s.io"
	const metadata = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
	for name, c := range map[string]struct {
		path, query, accept string
		items               int
		remaining           int64
	}{
		"all":              {path: "/api/v1/pods", items: 60},
		"limit":            {path: "/api/v1/pods", query: "limit=50", items: 50, remaining: 10},
		"page":             {path: "/api/v1/pods", query: "limit=50&continue=50", items: 10},
		"cluster":          {path: "/clusters/cluster-01/api/v1/pods", items: 30},
		"namespace":        {path: "/clusters/cluster-01/api/v1/namespaces/team-02/pods", items: 10},
		"label":            {path: "/api/v1/pods", query: "labelSelector=" + url.QueryEscape("app="+f.AppLabel(1, 2)), items: 15},
		"field":            {path: "/api/v1/pods", query: "fieldSelector=spec.nodeName=" + f.NodeName(1, 0), items: 30},
		"fuzzy name":       {path: "/api/v1/pods", query: "labelSelector=internalstorage.clusterpedia.io/fuzzy-name=" + workload[0].Name[1:], items: 5},
		"owner":            {path: "/clusters/cluster-01/api/v1/pods", query: "ownerUID=" + workload[1].UID(), items: 5},
		"owner's owner":    {path: "/clusters/cluster-01/api/v1/pods", query: "ownerSeniority=1&ownerUID=" + workload[0].UID(), items: 5},
		"order":            {path: "/api/v1/pods", query: "limit=20&orderby=created_at+desc", items: 20, remaining: 40},
		"condition in SQL": {path: "/api/v1/pods", query: "whereSQL=" + url.QueryEscape("namespace = 'team-02' AND cluster = 'cluster-01'"), items: 10},
		"table":            {path: "/api/v1/pods", query: "limit=50", accept: table, items: 50, remaining: 10},
		"metadata":         {path: "/api/v1/pods", query: "limit=50", accept: metadata, items: 50, remaining: 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var list struct {
				Metadata struct{ RemainingItemCount int64 }
				Items    []struct {
					Metadata struct{ UID string }
					Spec     struct{ NodeName, DNSPolicy string }
				}
				Rows []struct{ Cells []any }
			}
			get(t, server.URL+classic.Root+c.path+"?"+c.query, c.accept, &list)
			require.Equal(t, c.items, len(list.Items)+len(list.Rows))
			require.Equal(t, c.remaining, list.Metadata.RemainingItemCount)
			for _, item := range list.Items {
				require.NotEmpty(t, item.Metadata.UID)
				require.Equal(t, c.accept == metadata, item.Spec.NodeName == "")
			}
		})
	}
	t.Run("get", func(t *testing.T) {
		t.Parallel()
		var got, want map[string]any
		get(t, server.URL+classic.Root+"/clusters/cluster-01/api/v1/namespaces/"+pod.Namespace+"/pods/"+pod.Name, "", &got)
		stored, err := pod.Stored()
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(stored.JSON, &want))
		require.Equal(t, want, got, "the defaults are there, and nothing is lost")
	})
	t.Run("elsewhere", func(t *testing.T) {
		t.Parallel()
		resp, err := http.Get(server.URL + classic.Root + "/api/v1/nodes") //nolint:noctx // a test
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, http.StatusNotFound, resp.StatusCode)
	})
}

func get(t *testing.T, address, accept string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	req.Header.Set("Accept", "application/json")
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.NoError(t, json.NewDecoder(resp.Body).Decode(into))
}
