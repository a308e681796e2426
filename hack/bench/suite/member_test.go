package suite

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/bench/fleet"
)

// A member serves its objects in pages, in the order of their names, and changes of its
// pods to those who watch.
func TestMember(t *testing.T) {
	t.Parallel()
	m, err := newMember(fleet.Fleet{Seed: 1, Clusters: 1, Namespaces: 3, Apps: 4, App: fleet.App{ReplicaSets: 1, Pods: 5, Services: 1}}, 0, "member")
	require.NoError(t, err)
	require.Equal(t, 4*(1+1+5), m.objects)
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)

	var names []string
	next := ""
	for range 3 {
		var page struct {
			Metadata struct{ Continue, ResourceVersion string }
			Items    []struct {
				Kind     string
				Metadata struct {
					Name, Namespace, ResourceVersion string
					ManagedFields                    []any
				}
			}
		}
		fetch(t, server.URL+pods+"?limit=8&continue="+next, &page)
		require.NotEmpty(t, page.Metadata.ResourceVersion)
		for _, item := range page.Items {
			require.Empty(t, item.Kind)
			require.NotEmpty(t, item.Metadata.ManagedFields)
			names = append(names, item.Metadata.Namespace+"/"+item.Metadata.Name)
		}
		next = page.Metadata.Continue
	}
	require.Empty(t, next)
	require.Len(t, names, 20)
	require.True(t, slices.IsSorted(names))

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+pods+"?watch=true", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	d, version, err := m.change(21)
	require.NoError(t, err)
	require.Equal(t, names[1], d.namespace+"/"+d.name)
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	require.True(t, lines.Scan())
	var event struct {
		Type   string
		Object struct {
			Kind     string
			Metadata struct{ Name, ResourceVersion string }
		}
	}
	require.NoError(t, json.Unmarshal(lines.Bytes(), &event))
	require.Equal(t, "MODIFIED", event.Type)
	require.Equal(t, "Pod", event.Object.Kind)
	require.Equal(t, d.name, event.Object.Metadata.Name)
	require.Equal(t, version, event.Object.Metadata.ResourceVersion)

	for _, path := range []string{"/api", "/apis", "/api/v1", "/apis/apps/v1", "/version"} {
		var document map[string]any
		fetch(t, server.URL+path, &document)
		require.NotEmpty(t, document, path)
	}
}

func fetch(t *testing.T, url string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.NoError(t, json.NewDecoder(resp.Body).Decode(into))
}
