package synchromanager

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"clusterpedia.io/clusterpedia/internal/synchro"
	"clusterpedia.io/clusterpedia/internal/synchro/writer"
	"clusterpedia.io/storage-api/storage"
)

// resourcePrefix begins the names of the metrics of resources, as v0.9 has them:
// dashboards and alerts know them.
const resourcePrefix = "clustersynchro_resourcesynchro_"

// Telemetry shows among the metrics of the process what the synchro does. It is
// synchro.Metrics, and asks a manager for the rest when the metrics are read.
type Telemetry struct {
	synchro.Counters
	labels []label
	// added, updated and deleted count objects that were written, failed those in
	// attempts that failed, dropped those that were given up.
	added, updated, deleted, failed, dropped *metrics.CounterVec
	// took is the time to write a batch, by what is in it.
	took *metrics.HistogramVec
	// batchSize and batchTook are over all batches.
	batchSize, batchTook *metrics.Histogram
	source               atomic.Pointer[synchro.Manager]

	mu sync.Mutex
	// series are the sets of label values that each cluster has used.
	series map[string]map[string]map[string]string
	// retries are the attempts in a row that have failed.
	retries map[string]map[storage.Resource]int
}

// Registry takes metrics.
type Registry interface {
	// Register takes one metric, or a vector.
	Register(metrics.Registerable) error
	// CustomRegister takes what makes metrics when they are read.
	CustomRegister(metrics.StableCollector) error
}

// ProcessRegistry is that of the process.
type ProcessRegistry struct{}

// Register implements Registry.
func (ProcessRegistry) Register(m metrics.Registerable) error { return legacyregistry.Register(m) }

// CustomRegister implements Registry.
func (ProcessRegistry) CustomRegister(m metrics.StableCollector) error {
	return legacyregistry.CustomRegister(m)
}

// NewTelemetry registers the metrics, which must be done once. labels is the value of
// --resource-synchro-metrics-labels.
func NewTelemetry(labels string, registry Registry) (*Telemetry, error) {
	t := &Telemetry{series: map[string]map[string]map[string]string{}, retries: map[string]map[storage.Resource]int{}}
	var err error
	if t.labels, err = parseLabels(labels); err != nil {
		return nil, err
	}
	t.added = t.counter("resource_added_total", "Objects that were created in the storage layer.")
	t.updated = t.counter("resource_updated_total", "Objects that were updated in the storage layer.")
	t.deleted = t.counter("resource_deleted_total", "Objects that were deleted from the storage layer.")
	t.failed = t.counter("resource_failed_total", "Objects in attempts to write that failed.")
	t.dropped = t.counter("failed_resource_total", "Changes of objects that were given up, since they can't be stored.")
	t.took = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Name: resourcePrefix + "storage_duration_seconds", StabilityLevel: metrics.ALPHA,
		Help:    "The time that it takes to write a batch of objects to the storage layer.",
		Buckets: durations(),
	}, t.names())
	t.batchSize = metrics.NewHistogram(&metrics.HistogramOpts{
		Name: "clusterpedia_synchro_batch_changes", StabilityLevel: metrics.ALPHA,
		Help: "The number of changes in a batch that was written.", Buckets: metrics.ExponentialBuckets(1, 2, 10),
	})
	t.batchTook = metrics.NewHistogram(&metrics.HistogramOpts{
		Name: "clusterpedia_synchro_batch_duration_seconds", StabilityLevel: metrics.ALPHA,
		Help: "The time that it takes to write a batch.", Buckets: metrics.ExponentialBuckets(0.001, 2, 15),
	})
	for _, one := range []metrics.Registerable{t.added, t.updated, t.deleted, t.failed, t.dropped, t.took, t.batchSize, t.batchTook} {
		if err := registry.Register(one); err != nil {
			return nil, fmt.Errorf("register the synchro's metrics: %w", err)
		}
	}
	if err := registry.CustomRegister(newCollector(t)); err != nil {
		return nil, fmt.Errorf("register the synchro's metrics: %w", err)
	}
	if len(t.labels) == 0 {
		for _, one := range []*metrics.CounterVec{t.added, t.updated, t.deleted, t.failed, t.dropped} {
			one.WithLabelValues() // shown before the first change, too
		}
	}
	return t, nil
}

// durations are the buckets of v0.9, in seconds.
func durations() []float64 { return []float64{.025, .05, .1, .2, .4, .6, 1, 1.5, 3, 5, 8, 15} }

func (t *Telemetry) counter(name, help string) *metrics.CounterVec {
	return metrics.NewCounterVec(&metrics.CounterOpts{Name: resourcePrefix + name, Help: help, StabilityLevel: metrics.ALPHA}, t.names())
}

func (t *Telemetry) names() []string {
	var names []string
	for _, l := range t.labels {
		names = append(names, l.name)
	}
	return names
}

// Follow has the metrics tell of a manager.
func (t *Telemetry) Follow(m *synchro.Manager) { t.source.Store(m) }

func (t *Telemetry) values(cluster string, r storage.Resource) []string {
	values := make([]string, len(t.labels))
	for i, l := range t.labels {
		values[i] = l.value(cluster, r)
	}
	return values
}

// use returns the label values, and remembers that the cluster has them.
func (t *Telemetry) use(cluster string, r storage.Resource) []string {
	values := t.values(cluster, r)
	if len(t.labels) == 0 || t.labels[0].name != "cluster" {
		return values
	}
	key := strings.Join(values, "\x00")
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.series[cluster] == nil {
		t.series[cluster] = map[string]map[string]string{}
	}
	if t.series[cluster][key] == nil {
		byName := map[string]string{}
		for i, l := range t.labels {
			byName[l.name] = values[i]
		}
		t.series[cluster][key] = byName
	}
	return values
}

// tally counts the changes of a batch that have the same labels.
type tally struct {
	values                         []string
	added, updated, deleted, total float64
}

func (t *Telemetry) tally(cluster string, changes []writer.Change) []*tally {
	var tallies []*tally
	byResource, byValues := map[storage.Resource]*tally{}, map[string]*tally{}
	for _, change := range changes {
		resource, ok := resourceOf(change.Change)
		if !ok {
			continue
		}
		one := byResource[resource]
		if one == nil {
			values := t.use(cluster, resource)
			key := strings.Join(values, "\x00")
			if one = byValues[key]; one == nil {
				one = &tally{values: values}
				byValues[key] = one
				tallies = append(tallies, one)
			}
			byResource[resource] = one
		}
		one.total++
		switch {
		case change.Delete != nil:
			one.deleted++
		case change.New:
			one.added++
		default:
			one.updated++
		}
	}
	return tallies
}

// resourceOf returns the resource of the object that a change is of; false for Events,
// which are of an object that only the storage layer finds.
func resourceOf(change storage.Change) (storage.Resource, bool) {
	switch {
	case change.Put != nil:
		return change.Put.Resource, true
	case change.Delete != nil:
		return change.Delete.Resource, true
	}
	return storage.Resource{}, false
}

// Written implements synchro.Metrics.
func (t *Telemetry) Written(cluster string, changes []writer.Change, took time.Duration) {
	t.Counters.Written(cluster, changes, took)
	t.batchSize.Observe(float64(len(changes)))
	t.batchTook.Observe(took.Seconds())
	for _, one := range t.tally(cluster, changes) {
		t.added.WithLabelValues(one.values...).Add(one.added)
		t.updated.WithLabelValues(one.values...).Add(one.updated)
		t.deleted.WithLabelValues(one.values...).Add(one.deleted)
		t.took.WithLabelValues(one.values...).Observe(took.Seconds())
	}
	t.retried(cluster, changes, func(int) int { return 0 })
}

// Failed implements synchro.Metrics.
func (t *Telemetry) Failed(cluster string, changes []writer.Change, err error) {
	t.Counters.Failed(cluster, changes, err)
	for _, one := range t.tally(cluster, changes) {
		t.failed.WithLabelValues(one.values...).Add(one.total)
	}
	t.retried(cluster, changes, func(before int) int { return before + 1 })
}

// retried changes the number of attempts that have failed, once for each resource.
func (t *Telemetry) retried(cluster string, changes []writer.Change, next func(before int) int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	done := map[storage.Resource]bool{}
	for _, change := range changes {
		resource, ok := resourceOf(change.Change)
		if !ok || done[resource] {
			continue
		}
		done[resource] = true
		n := next(t.retries[cluster][resource])
		switch {
		case n == 0:
			delete(t.retries[cluster], resource)
		case t.retries[cluster] == nil:
			t.retries[cluster] = map[storage.Resource]int{resource: n}
		default:
			t.retries[cluster][resource] = n
		}
	}
}

// Rejected implements synchro.Metrics.
func (t *Telemetry) Rejected(cluster string, change storage.Change, err error) {
	t.Counters.Rejected(cluster, change, err)
	t.gaveUp(cluster, change)
}

// Postponed implements synchro.Metrics.
func (t *Telemetry) Postponed(cluster string, change storage.Change, err error) {
	t.Counters.Postponed(cluster, change, err)
	t.gaveUp(cluster, change)
}

func (t *Telemetry) gaveUp(cluster string, change storage.Change) {
	resource, ok := resourceOf(change)
	if !ok {
		resource = storage.Resource{Version: "v1", Resource: "events"}
	}
	t.dropped.WithLabelValues(t.use(cluster, resource)...).Inc()
	t.retried(cluster, []writer.Change{{Change: change}}, func(int) int { return 0 })
}

// Invalid implements synchro.Metrics.
func (t *Telemetry) Invalid(cluster string, resource storage.Resource) {
	t.Counters.Invalid(cluster, resource)
	t.dropped.WithLabelValues(t.use(cluster, resource)...).Inc()
}

// Gone implements synchro.Metrics: series that are the cluster's alone end. Those that
// it shares go on as they are, so that no counter ever goes back.
func (t *Telemetry) Gone(cluster string) {
	t.mu.Lock()
	series := t.series[cluster]
	delete(t.series, cluster)
	delete(t.retries, cluster)
	t.mu.Unlock()
	for _, values := range series {
		for _, one := range []interface{ Delete(map[string]string) bool }{t.added, t.updated, t.deleted, t.failed, t.dropped, t.took} {
			one.Delete(values)
		}
	}
}
