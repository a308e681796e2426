package synchromanager

import (
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/component-base/metrics"

	"clusterpedia.io/clusterpedia/internal/synchro"
	"clusterpedia.io/storage-api/storage"
)

// collector makes the metrics that are taken when somebody reads them.
type collector struct {
	metrics.BaseStableCollector
	telemetry *Telemetry
	counters  []counter

	stored, retries, lag, queued, queuedBytes, leftOut *metrics.Desc
}

type counter struct {
	desc  *metrics.Desc
	value func(*synchro.Counters) int64
}

func newCollector(t *Telemetry) *collector {
	c := &collector{telemetry: t}
	add := func(name, help string, value func(*synchro.Counters) int64) {
		c.counters = append(c.counters, counter{desc("clusterpedia_synchro_"+name+"_total", help), value})
	}
	add("puts", "Objects that were written to the storage layer.", func(c *synchro.Counters) int64 { return c.Puts.Load() })
	add("deletes", "Objects that were deleted from the storage layer.", func(c *synchro.Counters) int64 { return c.Deletes.Load() })
	add("events", "Events that were recorded in the storage layer.", func(c *synchro.Counters) int64 { return c.Events.Load() })
	add("batches", "Batches of changes that were written to the storage layer.", func(c *synchro.Counters) int64 { return c.Batches.Load() })
	add("failed_attempts", "Attempts to write a batch that failed and were made again.", func(c *synchro.Counters) int64 { return c.FailedAttempts.Load() })
	add("rejected_changes", "Changes that the storage layer refused for good.", func(c *synchro.Counters) int64 { return c.RejectedChanges.Load() })
	add("postponed_changes", "Changes that the storage layer did not take in several attempts, while it took others; they are made again later.", func(c *synchro.Counters) int64 { return c.PostponedChanges.Load() })
	add("unchanged_objects", "Objects that were read from members and are stored already.", func(c *synchro.Counters) int64 { return c.UnchangedObjects.Load() })
	add("invalid_objects", "Objects of members that were left out because of what they hold.", func(c *synchro.Counters) int64 { return c.InvalidObjects.Load() })
	c.stored = desc(resourcePrefix+"storaged_resource_total", "Objects that are stored, or on their way to the storage layer.", t.names()...)
	c.retries = desc(resourcePrefix+"resource_max_retry_total", "The most attempts in a row to write an object that have failed until now; 0 when writing works.", t.names()...)
	resource := []string{"cluster", "group", "version", "resource"}
	c.lag = desc("clusterpedia_synchro_lag_seconds", "The time since the member was last heard of, with an object, a list or word that there is nothing new.", resource...)
	c.leftOut = desc("clusterpedia_synchro_left_out_objects", "Objects whose last revision is not stored, since the storage layer refuses it or it cannot be read.", resource...)
	c.queued = desc("clusterpedia_synchro_queued_changes", "Changes that are read from the member and not written yet.", "cluster")
	c.queuedBytes = desc("clusterpedia_synchro_queued_bytes", "The memory of the changes of all clusters that are read and not written yet.")
	return c
}

func desc(name, help string, labels ...string) *metrics.Desc {
	return metrics.NewDesc(name, help, labels, nil, metrics.ALPHA, "")
}

// DescribeWithStability implements metrics.StableCollector.
func (c *collector) DescribeWithStability(out chan<- *metrics.Desc) {
	for _, one := range c.counters {
		out <- one.desc
	}
	for _, one := range []*metrics.Desc{c.stored, c.retries, c.lag, c.queued, c.queuedBytes, c.leftOut} {
		out <- one
	}
}

// CollectWithStability implements metrics.StableCollector.
func (c *collector) CollectWithStability(out chan<- metrics.Metric) {
	for _, one := range c.counters {
		out <- metrics.NewLazyConstMetric(one.desc, metrics.CounterValue, float64(one.value(&c.telemetry.Counters)))
	}
	var clusters []synchro.ClusterStats
	now, queuedBytes := time.Now(), 0
	if m := c.telemetry.source.Load(); m != nil {
		clusters, queuedBytes = m.Stats(), m.QueuedBytes()
	}
	gauge := func(desc *metrics.Desc, value float64, labels ...string) {
		out <- metrics.NewLazyConstMetric(desc, metrics.GaugeValue, value, labels...)
	}
	gauge(c.queuedBytes, float64(queuedBytes))
	stored, retries := newJoined(c.telemetry), newJoined(c.telemetry)
	for _, cluster := range clusters {
		gauge(c.queued, float64(cluster.Queued), cluster.Cluster)
		for _, r := range cluster.Resources {
			labels := []string{cluster.Cluster, r.Group, r.Version, r.Resource.Resource}
			gauge(c.leftOut, float64(r.LeftOut), labels...)
			if !r.LastRead.IsZero() {
				gauge(c.lag, now.Sub(r.LastRead).Seconds(), labels...)
			}
			stored.join(cluster.Cluster, r.Resource, func(sum float64) float64 { return sum + float64(r.Stored) })
			failed := c.telemetry.failedInRow(cluster.Cluster, r.Resource)
			retries.join(cluster.Cluster, r.Resource, func(most float64) float64 { return max(most, float64(failed)) })
		}
	}
	stored.each(func(value float64, labels []string) { gauge(c.stored, value, labels...) })
	retries.each(func(value float64, labels []string) { gauge(c.retries, value, labels...) })
}

func (t *Telemetry) failedInRow(cluster string, r storage.Resource) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.retries[cluster][r]
}

// joined are the values of a gauge by its labels, which several resources share.
type joined struct {
	telemetry *Telemetry
	values    map[string]float64
	labels    map[string][]string
}

func newJoined(t *Telemetry) *joined {
	j := &joined{t, map[string]float64{}, map[string][]string{}}
	if len(t.labels) == 0 {
		j.values[""] = 0
	}
	return j
}

func (j *joined) join(cluster string, r storage.Resource, with func(float64) float64) {
	labels := j.telemetry.values(cluster, r)
	key := strings.Join(labels, "\x00")
	j.values[key] = with(j.values[key])
	j.labels[key] = labels
}

func (j *joined) each(yield func(value float64, labels []string)) {
	for _, key := range slices.Sorted(maps.Keys(j.values)) {
		yield(j.values[key], j.labels[key])
	}
}
