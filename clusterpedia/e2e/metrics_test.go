package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpedia.io/testbed/process"
)

// TestMetrics reads the metrics of a manager that copies two members.
func TestMetrics(t *testing.T) {
	d := deploy(t, "internal", sqlStorages()["SQLite"](t).config)
	free, err := process.FreePorts(1)
	require.NoError(t, err)
	address := fmt.Sprintf("http://127.0.0.1:%d", free[0])
	d.ManagerArgs = append(d.ManagerArgs, fmt.Sprintf("--metrics-port=%d", free[0]), "--resource-synchro-metrics-labels=cluster,gvr")
	d.startManager(t)
	d.register(t)

	metrics := scrape(t, address+"/metrics")
	for _, name := range []string{
		"clustersynchro_resourcesynchro_storaged_resource_total", "clustersynchro_resourcesynchro_resource_added_total",
		"clustersynchro_resourcesynchro_resource_updated_total", "clustersynchro_resourcesynchro_resource_deleted_total",
		"clustersynchro_resourcesynchro_resource_max_retry_total",
		"clustersynchro_resourcesynchro_storage_duration_seconds_bucket", "clusterpedia_build_info", "storage_dbstats_open_connections",
		"clusterpedia_synchro_lag_seconds", "clusterpedia_synchro_queued_changes", "clusterpedia_synchro_left_out_objects",
		"clusterpedia_synchro_batch_changes_bucket", "clusterpedia_synchro_batch_duration_seconds_bucket", "clusterpedia_synchro_failed_attempts_total",
		"workqueue_depth", "rest_client_requests_total", "leader_election_master_status", "process_resident_memory_bytes",
	} {
		require.NotEmpty(t, metrics.of(name), name)
	}
	m := shared.members[0]
	for _, gvr := range selected() {
		list, err := m.client.Resource(gvr).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		labels := fmt.Sprintf(`{cluster=%q,group=%q,resource=%q,version=%q}`, m.Name, gvr.Group, gvr.Resource, gvr.Version)
		require.InDelta(t, float64(len(list.Items)), metrics["clustersynchro_resourcesynchro_storaged_resource_total"+labels], 0, labels)
		require.InDelta(t, float64(len(list.Items)), metrics["clustersynchro_resourcesynchro_resource_added_total"+labels], 0, labels)
		require.Less(t, metrics["clusterpedia_synchro_lag_seconds"+labels], syncLimit.Seconds(), labels)
		require.Contains(t, metrics, "clusterpedia_synchro_lag_seconds"+labels)
		require.Zero(t, metrics["clusterpedia_synchro_left_out_objects"+labels], labels)
	}
	require.Contains(t, metrics, fmt.Sprintf(`clusterpedia_synchro_queued_changes{cluster=%q}`, m.Name))

	client := m.client.Resource(configMaps).Namespace("default")
	before := func(what string) float64 {
		return metrics[fmt.Sprintf(`clustersynchro_resourcesynchro_resource_%s_total{cluster=%q,group="",resource="configmaps",version="v1"}`, what, m.Name)]
	}
	added, updated, deleted := before("added"), before("updated"), before("deleted")
	grew := func(what string, was float64) {
		eventually(t, seconds, func() error {
			if metrics = scrape(t, address+"/metrics"); before(what) <= was {
				return fmt.Errorf("%s is still %v", what, before(what))
			}
			return nil
		})
	}
	o, err := client.Create(t.Context(), configMap("measured", "one"), metav1.CreateOptions{})
	require.NoError(t, err)
	grew("added", added)
	o.Object["data"] = map[string]any{"key": "two"}
	_, err = client.Update(t.Context(), o, metav1.UpdateOptions{})
	require.NoError(t, err)
	grew("updated", updated)
	require.NoError(t, client.Delete(t.Context(), "measured", metav1.DeleteOptions{}))
	grew("deleted", deleted)

	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ok", "/debug/pprof/": "goroutine", "/": "clusterpedia clustersynchro manager"} {
		require.Contains(t, fetch(t, address+path), want)
	}

	// What is a removed cluster's alone is gone with it.
	require.NoError(t, d.RemoveCluster(t.Context(), "member-2"))
	eventually(t, seconds, func() error {
		for series := range scrape(t, address+"/metrics") {
			if strings.Contains(series, `cluster="member-2"`) {
				return fmt.Errorf("there is still %s", series)
			}
		}
		return nil
	})
}

// series are the values of metrics, by their names and labels.
type series map[string]float64

func (s series) of(name string) (found []float64) {
	for key, value := range s {
		if key == name || strings.HasPrefix(key, name+"{") {
			found = append(found, value)
		}
	}
	return found
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), seconds)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, string(text))
	return string(text)
}

func scrape(t *testing.T, url string) series {
	t.Helper()
	all := series{}
	for line := range strings.Lines(fetch(t, url)) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		value, err := strconv.ParseFloat(line[i+1:], 64)
		require.NoError(t, err, line)
		require.NotContains(t, all, line[:i], "a series stands there twice")
		all[line[:i]] = value
	}
	return all
}

// TestManagerFlags gives the manager flags that it must refuse, each with one clear line.
func TestManagerFlags(t *testing.T) {
	t.Parallel()
	memory := filepath.Join(shared.bin, "plugins", "memorystorage.so")
	for flag, want := range map[string]string{
		"--worker-number=0":                                     "worker-number must be greater than 0",
		"--page-size=-1":                                        "page-size must not be negative",
		"--remove-orphaned-clusters=some":                       `remove-orphaned-clusters must be known, all or none, not \"some\"`,
		"--resource-synchro-metrics-labels=foo":                 "resource synchro metrics scope 'foo' is not supported",
		"--metrics-tls-config=/missing":                         "--metrics-tls-config: ",
		"--metrics-port=0":                                      "--metrics-port must be from 1 to 65535, not 0",
		"--enable-kube-state-metrics":                           "--enable-kube-state-metrics is not available",
		"--profiling=sometimes":                                 "--profiling must be loopback, true or false",
		"--feature-gates=NoSuchGate=true":                       "unrecognized feature gate: NoSuchGate",
		"--leader-elect-resource-lock=configmaps":               "--leader-elect-resource-lock must be leases",
		"--allow-metric-labels-manifest=/missing --storage-x=1": "unknown flag",
	} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"--storage-name=memory"}, strings.Fields(flag)...)
			require.Contains(t, refusal(t, filepath.Join(shared.bin, "clustersynchro-manager"), memory, args...), want)
		})
	}
	require.Contains(t, refusal(t, filepath.Join(shared.bin, "binding-apiserver"), memory, "--storage-name=memory", "--remove-orphaned-clusters=some"),
		"remove-orphaned-clusters must be known, all or none")
}

// TestVersion asks the servers for their version, which needs no host cluster.
func TestVersion(t *testing.T) {
	t.Parallel()
	for _, server := range []string{"clustersynchro-manager", "controller-manager", "apiserver", "binding-apiserver"} {
		for flag, want := range map[string]string{"--version": "Clusterpedia ", "--version=raw": "GitVersion:\""} {
			output, err := exec.CommandContext(t.Context(), filepath.Join(shared.bin, server), flag).Output()
			require.NoError(t, err, server)
			require.Contains(t, string(output), want, server)
		}
	}
}
