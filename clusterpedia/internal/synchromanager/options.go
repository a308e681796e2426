// Package synchromanager is the program clustersynchro-manager: its flags, the
// election of a leader and the port for metrics, around the synchro's manager.
package synchromanager

import (
	"errors"
	"fmt"
	"math"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/featuregate"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"

	"clusterpedia.io/api/client/clientset/versioned"
	"clusterpedia.io/clusterpedia/internal/builtin"
	"clusterpedia.io/clusterpedia/internal/cells"
	"clusterpedia.io/clusterpedia/internal/process"
	"clusterpedia.io/clusterpedia/internal/synchro"
	"clusterpedia.io/clusterpedia/internal/synchro/negotiation"
	"clusterpedia.io/storage-api/storage"
)

// Options are the flags of the program.
type Options struct {
	Workers      int
	ShardingName string
	PageSize     int64
	// RemoveOrphans is a synchro.OrphanPolicy.
	RemoveOrphans string
	// QueueMemory bounds the changes that are not written yet, in bytes.
	QueueMemory resource.QuantityValue
	// MetricsLabels are those of the metrics of resources.
	MetricsLabels string

	Host           *process.HostOptions
	LeaderElection *process.LeaderElection
	Storage        *process.StorageOptions
	Metrics        *process.MetricsOptions
	StateMetrics   *KubeStateMetrics
	Logs           *logs.Options
	Gates          featuregate.MutableVersionedFeatureGate
}

// NewOptions returns the defaults, with the feature gates that storage layers add.
func NewOptions(added []storage.Gate) (*Options, error) {
	o := &Options{
		Workers:        5,
		RemoveOrphans:  string(synchro.OrphansKnown),
		QueueMemory:    resource.QuantityValue{Quantity: *resource.NewQuantity(synchro.DefaultQueueMemory, resource.BinarySI)},
		MetricsLabels:  noLabels,
		Host:           process.NewHostOptions(),
		LeaderElection: process.NewLeaderElection("clusterpedia-clustersynchro-manager", process.Namespace()),
		Storage:        process.NewStorageOptions(),
		Metrics:        process.NewMetricsOptions("clusterpedia clustersynchro manager", 8081),
		StateMetrics:   NewKubeStateMetrics(),
		Logs:           logs.NewOptions(),
		Gates:          featuregate.NewFeatureGate(),
	}
	if err := logsapi.AddFeatureGates(o.Gates); err != nil {
		return nil, err
	}
	if err := AddGates(o.Gates); err != nil {
		return nil, err
	}
	return o, process.AddGates(o.Gates, added)
}

// AddGates adds the synchro's feature gates.
func AddGates(gate featuregate.MutableFeatureGate) error {
	alpha, beta := featuregate.FeatureSpec{PreRelease: featuregate.Alpha}, featuregate.FeatureSpec{Default: true, PreRelease: featuregate.Beta}
	return gate.Add(map[featuregate.Feature]featuregate.FeatureSpec{
		"PruneManagedFields":              beta,
		"PruneLastAppliedConfiguration":   beta,
		"AllowSyncAllCustomResources":     alpha,
		"AllowSyncAllResources":           alpha,
		"HealthCheckerWithStandaloneTCP":  alpha,
		"IgnoreSyncLease":                 alpha,
		"ClusterAuthenticationFromSecret": alpha,
		// What these two turned on in earlier releases is always so: lists are read
		// in pages, and each object goes on as soon as it was read.
		"ForcePaginatedListForResourceSync":        alpha,
		"StreamHandlePaginatedListForResourceSync": alpha,
	})
}

// Flags returns all flags, by section.
func (o *Options) Flags() cliflag.NamedFlagSets {
	var sets cliflag.NamedFlagSets
	o.Host.AddFlags(sets.FlagSet("host cluster"))
	work := sets.FlagSet("synchro")
	work.IntVar(&o.Workers, "worker-number", o.Workers, "The number of PediaClusters that are reconciled at the same time.")
	work.StringVar(&o.ShardingName, "sharding-name", o.ShardingName, "The name of this manager: it takes the PediaClusters whose spec.shardingName is the same.")
	work.Int64Var(&o.PageSize, "page-size", o.PageSize, fmt.Sprintf("The number of objects in one page of a member's list. 0: %d.", synchro.DefaultPageSize))
	work.Var(&o.QueueMemory, "queue-memory", "The memory that changes of all members together may take which are read and not written yet. A member may have one change more.")
	addOrphansFlag(work, &o.RemoveOrphans)
	o.LeaderElection.AddFlags(sets.FlagSet("leader election"))
	o.Storage.AddFlags(sets.FlagSet("storage"))
	o.Metrics.AddFlags(sets.FlagSet("metrics"))
	sets.FlagSet("metrics").StringVar(&o.MetricsLabels, "resource-synchro-metrics-labels", o.MetricsLabels, "The labels by which the metrics clustersynchro_resourcesynchro_* tell resources apart: a comma-separated list of cluster, gv (group and version), resource and gvr; or empty.")
	o.StateMetrics.AddFlags(sets.FlagSet("kube-state-metrics"))
	o.Gates.AddFlag(sets.FlagSet("generic"))
	logsapi.AddFlags(o.Logs, sets.FlagSet("logs"))
	return sets
}

func addOrphansFlag(fs *pflag.FlagSet, policy *string) {
	fs.StringVar(policy, "remove-orphaned-clusters", *policy, fmt.Sprintf("Of which clusters to remove what is stored when they have had no PediaCluster for %s: %s, those that this process, or a leader before it, has been responsible for; %s, all that are stored, which must be those of one host cluster; %s, nothing is removed.", synchro.DefaultTuning().OrphanDelay, synchro.OrphansKnown, synchro.OrphansAll, synchro.OrphansNone))
}

// Validate checks the options and returns all that is wrong.
func (o *Options) Validate() error {
	var errs []error
	if o.Workers <= 0 {
		errs = append(errs, errors.New("worker-number must be greater than 0"))
	}
	if o.PageSize < 0 {
		errs = append(errs, errors.New("page-size must not be negative"))
	}
	if memory := o.QueueMemory.Value(); memory <= 0 || memory > math.MaxInt {
		errs = append(errs, errors.New("queue-memory must be greater than 0"))
	}
	if err := synchro.OrphanPolicy(o.RemoveOrphans).Validate(); err != nil {
		errs = append(errs, err)
	}
	if _, err := parseLabels(o.MetricsLabels); err != nil {
		errs = append(errs, err)
	}
	for _, validate := range []func() []error{o.Host.Validate, o.LeaderElection.Validate, o.Storage.Validate, o.Metrics.Validate, o.StateMetrics.Validate} {
		errs = append(errs, validate()...)
	}
	return errors.Join(errs...)
}

// keepCells has what tables show of objects printed when they are written.
func keepCells(kinds *negotiation.Kinds, printer *cells.Printer) {
	printed := func(k *cells.Kind) negotiation.Print {
		if k == nil || k.Columns == "" {
			return nil
		}
		return func(doc []byte) (*storage.Cells, error) {
			values, err := k.Print(doc)
			if err != nil {
				return nil, err
			}
			return &storage.Cells{Columns: k.Columns, Values: values}, nil
		}
	}
	kinds.Cells = func(kind schema.GroupKind) negotiation.Print { return printed(printer.Kind(kind)) }
	kinds.CustomCells = func(columns []byte) (negotiation.Print, error) {
		k, err := printer.CustomJSON(columns)
		return printed(k), err
	}
}

// userAgent names the synchro to the host cluster.
const userAgent = "cluster-synchro-manager"

// NewManager returns a synchro manager on a storage layer.
func NewManager(host *rest.Config, st storage.Storage, gate featuregate.FeatureGate, o synchro.Options) (*synchro.Manager, error) {
	var err error
	if o.Clusterpedia, err = versioned.NewForConfig(host); err != nil {
		return nil, fmt.Errorf("connect to the host cluster: %w", err)
	}
	if o.Kubernetes, err = kubernetes.NewForConfig(host); err != nil {
		return nil, fmt.Errorf("connect to the host cluster: %w", err)
	}
	kinds := builtin.NewScheme()
	o.Storage, o.Namespace = st, process.Namespace()
	o.Kinds = negotiation.Kinds{Versions: kinds.Versions, StorageVersion: kinds.StorageVersion, Convert: kinds.Convert}
	keepCells(&o.Kinds, cells.NewPrinter(kinds))
	enabled := func(name featuregate.Feature) bool { return gate.Enabled(name) }
	o.Gates = synchro.Gates{
		PruneManagedFields:              enabled("PruneManagedFields"),
		PruneLastAppliedConfiguration:   enabled("PruneLastAppliedConfiguration"),
		AllowSyncAllCustomResources:     enabled("AllowSyncAllCustomResources"),
		AllowSyncAllResources:           enabled("AllowSyncAllResources"),
		HealthCheckerWithStandaloneTCP:  enabled("HealthCheckerWithStandaloneTCP"),
		IgnoreSyncLease:                 enabled("IgnoreSyncLease"),
		ClusterAuthenticationFromSecret: enabled("ClusterAuthenticationFromSecret"),
	}
	return synchro.New(o)
}
