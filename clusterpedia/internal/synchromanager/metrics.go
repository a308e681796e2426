package synchromanager

import (
	"fmt"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"clusterpedia.io/clusterpedia/internal/synchro"
)

// collector shows the synchro's counters among the metrics of the process.
type collector struct {
	metrics.BaseStableCollector
	counters *synchro.Counters
	of       []counter
}

type counter struct {
	desc  *metrics.Desc
	value func(*synchro.Counters) int64
}

// registerCounters returns counters that the process's metrics show. It is called
// once in a process.
func registerCounters() (*synchro.Counters, error) {
	c := &collector{counters: &synchro.Counters{}}
	add := func(name, help string, value func(*synchro.Counters) int64) {
		c.of = append(c.of, counter{metrics.NewDesc("clusterpedia_synchro_"+name+"_total", help, nil, nil, metrics.ALPHA, ""), value})
	}
	add("puts", "Objects that were written to the storage layer.", func(c *synchro.Counters) int64 { return c.Puts.Load() })
	add("deletes", "Objects that were deleted from the storage layer.", func(c *synchro.Counters) int64 { return c.Deletes.Load() })
	add("events", "Events that were recorded in the storage layer.", func(c *synchro.Counters) int64 { return c.Events.Load() })
	add("batches", "Batches of changes that were written to the storage layer.", func(c *synchro.Counters) int64 { return c.Batches.Load() })
	add("failed_attempts", "Attempts to write a batch that failed and were made again.", func(c *synchro.Counters) int64 { return c.FailedAttempts.Load() })
	add("rejected_changes", "Changes that the storage layer refused for good.", func(c *synchro.Counters) int64 { return c.RejectedChanges.Load() })
	add("unchanged_objects", "Objects that were read from members and are stored already.", func(c *synchro.Counters) int64 { return c.UnchangedObjects.Load() })
	add("invalid_objects", "Objects of members that were left out because of what they hold.", func(c *synchro.Counters) int64 { return c.InvalidObjects.Load() })
	if err := legacyregistry.CustomRegister(c); err != nil {
		return nil, fmt.Errorf("register the synchro's metrics: %w", err)
	}
	return c.counters, nil
}

// DescribeWithStability implements metrics.StableCollector.
func (c *collector) DescribeWithStability(out chan<- *metrics.Desc) {
	for _, one := range c.of {
		out <- one.desc
	}
}

// CollectWithStability implements metrics.StableCollector.
func (c *collector) CollectWithStability(out chan<- metrics.Metric) {
	for _, one := range c.of {
		out <- metrics.NewLazyConstMetric(one.desc, metrics.CounterValue, float64(one.value(c.counters)))
	}
}
