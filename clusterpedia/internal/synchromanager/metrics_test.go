package synchromanager

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/testutil"

	"clusterpedia.io/clusterpedia/internal/synchro/writer"
	"clusterpedia.io/storage-api/storage"
)

func TestParseLabels(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"empty": "", "": "", "cluster": "cluster", "gv": "group version", "groupversion": "group version", "resource": "resource",
		"gvr": "group version resource", "resource, cluster": "cluster resource", "cluster,gvr": "cluster group version resource", "gvr,gv,resource": "group version resource",
	} {
		labels, err := parseLabels(text)
		require.NoError(t, err, text)
		names := (&Telemetry{labels: labels}).names()
		require.Equal(t, want, strings.Join(names, " "), text)
	}
	_, err := parseLabels("cluster,foo")
	require.ErrorContains(t, err, "resource synchro metrics scope 'foo' is not supported")
}

func TestTelemetry(t *testing.T) {
	t.Parallel()
	pods, jobs := storage.Resource{Version: "v1", Resource: "pods"}, storage.Resource{Group: "batch", Version: "v1", Resource: "jobs"}
	put := func(r storage.Resource, isNew bool) writer.Change {
		return writer.Change{Change: storage.Change{Put: &storage.Object{Key: storage.Key{Resource: r}}}, New: isNew}
	}
	remove := writer.Change{Change: storage.Change{Delete: &storage.Key{Resource: pods}}}
	event := writer.Change{Change: storage.Change{Event: &storage.Event{}}}
	for labels, tc := range map[string]struct{ during, after string }{
		"empty": {
			during: `
clustersynchro_resourcesynchro_resource_added_total 2
clustersynchro_resourcesynchro_resource_updated_total 1
clustersynchro_resourcesynchro_resource_deleted_total 1
clustersynchro_resourcesynchro_resource_failed_total 3
clustersynchro_resourcesynchro_failed_resource_total 1
`,
			after: `
clustersynchro_resourcesynchro_resource_added_total 2
clustersynchro_resourcesynchro_resource_updated_total 1
clustersynchro_resourcesynchro_resource_deleted_total 1
clustersynchro_resourcesynchro_resource_failed_total 3
clustersynchro_resourcesynchro_failed_resource_total 1
`,
		},
		"resource,cluster": {
			during: `
clustersynchro_resourcesynchro_resource_added_total{cluster="one",resource="jobs"} 1
clustersynchro_resourcesynchro_resource_added_total{cluster="one",resource="pods"} 1
clustersynchro_resourcesynchro_resource_added_total{cluster="two",resource="pods"} 0
clustersynchro_resourcesynchro_resource_updated_total{cluster="one",resource="jobs"} 0
clustersynchro_resourcesynchro_resource_updated_total{cluster="one",resource="pods"} 1
clustersynchro_resourcesynchro_resource_updated_total{cluster="two",resource="pods"} 0
clustersynchro_resourcesynchro_resource_deleted_total{cluster="one",resource="jobs"} 0
clustersynchro_resourcesynchro_resource_deleted_total{cluster="one",resource="pods"} 0
clustersynchro_resourcesynchro_resource_deleted_total{cluster="two",resource="pods"} 1
clustersynchro_resourcesynchro_resource_failed_total{cluster="one",resource="jobs"} 1
clustersynchro_resourcesynchro_resource_failed_total{cluster="one",resource="pods"} 2
clustersynchro_resourcesynchro_failed_resource_total{cluster="one",resource="jobs"} 1
`,
			after: `
clustersynchro_resourcesynchro_resource_added_total{cluster="two",resource="pods"} 0
clustersynchro_resourcesynchro_resource_updated_total{cluster="two",resource="pods"} 0
clustersynchro_resourcesynchro_resource_deleted_total{cluster="two",resource="pods"} 1
`,
		},
	} {
		t.Run(labels, func(t *testing.T) {
			t.Parallel()
			registry := metrics.NewKubeRegistry()
			telemetry, err := NewTelemetry(labels, registry)
			require.NoError(t, err)
			batch := []writer.Change{put(pods, true), put(jobs, true), put(pods, false)}
			telemetry.Failed("one", batch, errors.New("no luck"))
			require.Equal(t, 1, telemetry.failedInRow("one", pods))
			telemetry.Written("one", append(batch, event), 2*time.Second)
			require.Zero(t, telemetry.failedInRow("one", pods))
			telemetry.Written("two", []writer.Change{remove}, time.Second)
			telemetry.Rejected("one", batch[1].Change, errors.New("poison"))
			require.Equal(t, sorted(tc.during), scrape(t, registry))
			telemetry.Gone("one")
			require.Equal(t, sorted(tc.after), scrape(t, registry))
			count, err := testutil.GetHistogramVecFromGatherer(registry, "clusterpedia_synchro_batch_changes", nil)
			require.NoError(t, err)
			require.Equal(t, uint64(2), count.GetAggregatedSampleCount())
		})
	}
}

func sorted(lines string) []string {
	return slices.Sorted(strings.SplitSeq(strings.TrimSpace(lines), "\n"))
}

// scrape returns the counters of resources as they are read.
func scrape(t *testing.T, registry metrics.KubeRegistry) []string {
	t.Helper()
	recorder := httptest.NewRecorder()
	metrics.HandlerFor(registry, metrics.HandlerOpts{}).ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	var lines []string
	for line := range strings.SplitSeq(recorder.Body.String(), "\n") {
		name, _, _ := strings.Cut(strings.SplitN(line, " ", 2)[0], "{")
		if strings.HasPrefix(name, resourcePrefix) && strings.HasSuffix(name, "_total") && name != resourcePrefix+"storaged_resource_total" && name != resourcePrefix+"resource_max_retry_total" {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}
