package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"clusterpedia.io/testbed/sample"
	"clusterpedia.io/testbed/stack"
)

// TestSearch checks what a search has beyond the objects: their Events, the columns of
// custom resources, and discovery in one request.
func TestSearch(t *testing.T) {
	for storage, config := range map[string]string{"internal": sqlStorages()["SQLite"](t).config, "memory": ""} {
		t.Run(storage, func(t *testing.T) {
			d := deploy(t, storage, config)
			var err error
			d.apiserver, err = d.StartBindingAPIServer(t.Context())
			require.NoError(t, err)
			for _, m := range shared.members {
				require.NoError(t, d.AddCluster(t.Context(), m.Name, m.Kubeconfig(),
					stack.SyncResource{Resources: []string{"configmaps"}, EventsInvolvedResources: []string{"configmaps"}},
					stack.SyncResource{Group: sample.Widgets.Group, Resources: []string{sample.Widgets.Resource}},
					stack.SyncResource{Group: "apiextensions.k8s.io", Resources: []string{"customresourcedefinitions"}},
				))
			}
			for _, m := range shared.members {
				require.NoError(t, d.WaitSynced(t.Context(), m.Name, syncLimit, nil))
			}
			t.Run("events", func(t *testing.T) { events(t, d) })
			t.Run("print columns", func(t *testing.T) { printColumns(t, d) })
			t.Run("aggregated discovery", func(t *testing.T) { aggregatedDiscovery(t, d) })
		})
	}
}

// events makes an Event of a config map, and finds it by label and by URL.
func events(t *testing.T, d *deployment) {
	m := shared.members[0]
	ctx := t.Context()
	involved, err := m.client.Resource(configMaps).Namespace("default").Create(ctx, configMap("involved", "x"), metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, m.client.Resource(configMaps).Namespace("default").Delete(context.WithoutCancel(ctx), "involved", metav1.DeleteOptions{}))
	})
	eventually(t, seconds, func() error { return d.sees(ctx, m, "involved", "x") })
	now := time.Now().UTC().Format(time.RFC3339)
	_, err = m.client.Resource(configMaps.GroupVersion().WithResource("events")).Namespace("default").Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Event", "metadata": map[string]any{"generateName": "involved."},
		"involvedObject": map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "namespace": "default", "name": "involved", "uid": string(involved.GetUID())},
		"reason":         "Tested", "message": "<b> & \"quoted\"", "type": "Normal", "firstTimestamp": now, "lastTimestamp": now, "count": int64(1),
	}}, metav1.CreateOptions{})
	require.NoError(t, err)

	find := func(query string) (found []map[string]any, err error) {
		text, err := d.kubectl(ctx, "--context", "host", "get", "--raw", stack.Root+query)
		if err != nil {
			return nil, err
		}
		var list unstructured.UnstructuredList
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			return nil, err
		}
		if len(list.Items) != 1 {
			return nil, fmt.Errorf("%s has %d objects", query, len(list.Items))
		}
		if text := list.Items[0].GetAnnotations()["shadow.clusterpedia.io/events"]; text != "" {
			err = json.Unmarshal([]byte(text), &found)
		}
		return found, err
	}
	const search = "/api/v1/configmaps?namespaces=default&names=involved"
	eventually(t, seconds, func() error {
		found, err := find(search + "&injectEvents=true")
		if err == nil && len(found) != 1 {
			err = fmt.Errorf("it has %d events", len(found))
		}
		return err
	})
	for query, want := range map[string]int{
		search: 0, search + "&injectEvents=false": 0, search + "&injectEvents=true&onlyMetadata=true": 1,
		search + "&labelSelector=search.clusterpedia.io/inject-events%3Dtrue":                   1,
		"/clusters/member-1/api/v1/namespaces/default/configmaps?names=involved&injectEvents=1": 1,
	} {
		found, err := find(query)
		require.NoError(t, err, query)
		require.Len(t, found, want, query)
		if want > 0 {
			require.Equal(t, "Tested", found[0]["reason"])
			require.Equal(t, "<b> & \"quoted\"", found[0]["message"])
		}
	}
}

// printColumns compares the columns of widgets with those that a member itself prints.
func printColumns(t *testing.T, d *deployment) {
	header, cells := rows(d.mustKubectl(t, "--context", "member-1", "get", "widgets", "-n", "default"))
	require.Equal(t, []string{"CLUSTER", "NAME", "SIZE"}, header)
	require.Equal(t, []string{"member-1", "widget-0", "1"}, cells[0])
	header, cells = rows(d.mustKubectl(t, "get", "widgets", "-A"))
	require.Equal(t, []string{"NAMESPACE", "CLUSTER", "NAME", "SIZE"}, header)
	for _, row := range cells {
		require.Regexp(t, `^\d+$`, row[3])
	}
}

// aggregatedDiscovery counts the requests of a kubectl that knows nothing yet.
func aggregatedDiscovery(t *testing.T, d *deployment) {
	for _, kubectlContext := range []string{"member-1", "clusterpedia"} {
		output, err := exec.CommandContext(t.Context(), filepath.Join(shared.binaries, "kubectl"), "--kubeconfig", d.kubeconfig,
			"--cache-dir", t.TempDir(), "--context", kubectlContext, "api-resources", "-v=8").CombinedOutput()
		text := string(output)
		require.NoError(t, err, text)
		require.Contains(t, text, "widgets")
		require.Contains(t, text, "customresourcedefinitions")
		asked := regexp.MustCompile(`(?m)verb="?GET"? url="([^"]+)"`).FindAllStringSubmatch(text, -1)
		require.NotEmpty(t, asked, text)
		for _, url := range asked {
			path, _, _ := strings.Cut(url[1], "?")
			require.Regexp(t, `/apis?$`, path, "the two aggregated documents are enough")
		}
	}
}
