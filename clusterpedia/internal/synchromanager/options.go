// Package synchromanager is the program clustersynchro-manager: its flags, the
// election of a leader and the port for metrics, around the synchro's manager.
package synchromanager

import (
	"errors"
	"fmt"
	"net/url"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/featuregate"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"

	"clusterpedia.io/api/client/clientset/versioned"
	"clusterpedia.io/clusterpedia/internal/builtin"
	"clusterpedia.io/clusterpedia/internal/process"
	"clusterpedia.io/clusterpedia/internal/synchro"
	"clusterpedia.io/clusterpedia/internal/synchro/negotiation"
	"clusterpedia.io/storage-api/storage"
)

// Options are the flags of the program.
type Options struct {
	Kubeconfig, Master, ContentType string
	QPS                             float32
	Burst                           int

	Workers      int
	ShardingName string
	PageSize     int64

	LeaderElection *process.LeaderElection
	Storage        *process.StorageOptions
	Metrics        *process.MetricsOptions
	Logs           *logs.Options
	Gates          featuregate.MutableVersionedFeatureGate
}

// NewOptions returns the defaults, with the feature gates that storage layers add.
func NewOptions(added []storage.Gate) (*Options, error) {
	o := &Options{
		ContentType: "application/json", QPS: 50, Burst: 100, Workers: 5,
		LeaderElection: process.NewLeaderElection("clusterpedia-clustersynchro-manager", process.Namespace()),
		Storage:        process.NewStorageOptions(),
		Metrics:        process.NewMetricsOptions(),
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
	host := sets.FlagSet("host cluster")
	host.StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig, "The path of the host cluster's kubeconfig. Empty: that of the pod's service account.")
	host.StringVar(&o.Master, "master", o.Master, "The address of the host cluster's API server, in place of that in the kubeconfig.")
	host.Float32Var(&o.QPS, "kube-api-qps", o.QPS, "The number of requests a second to the host cluster.")
	host.IntVar(&o.Burst, "kube-api-burst", o.Burst, "The number of requests to the host cluster beyond that, for a moment.")
	host.StringVar(&o.ContentType, "kube-api-content-type", o.ContentType, "The content type of requests to the host cluster.")
	work := sets.FlagSet("synchro")
	work.IntVar(&o.Workers, "worker-number", o.Workers, "The number of PediaClusters that are reconciled at the same time.")
	work.StringVar(&o.ShardingName, "sharding-name", o.ShardingName, "The name of this manager: it takes the PediaClusters whose spec.shardingName is the same.")
	work.Int64Var(&o.PageSize, "page-size", o.PageSize, fmt.Sprintf("The number of objects in one page of a member's list. 0: %d.", synchro.DefaultPageSize))
	o.LeaderElection.AddFlags(sets.FlagSet("leader election"))
	o.Storage.AddFlags(sets.FlagSet("storage"))
	o.Metrics.AddFlags(sets.FlagSet("metrics"))
	o.Gates.AddFlag(sets.FlagSet("generic"))
	logsapi.AddFlags(o.Logs, sets.FlagSet("logs"))
	return sets
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
	if _, err := url.Parse(o.Master); err != nil {
		errs = append(errs, fmt.Errorf("--master: %w", err))
	}
	for _, validate := range []func() []error{o.LeaderElection.Validate, o.Storage.Validate, o.Metrics.Validate} {
		errs = append(errs, validate()...)
	}
	return errors.Join(errs...)
}

// hostConfig returns how to reach the host cluster.
func (o *Options) hostConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags(o.Master, o.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig: %w", err)
	}
	config.QPS, config.Burst, config.ContentType = o.QPS, o.Burst, o.ContentType
	return rest.AddUserAgent(config, "cluster-synchro-manager"), nil
}

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
