// Package controllermanager is the program controller-manager: its flags, the election
// of a leader and the port for metrics, around the controllers that make PediaClusters
// by ClusterImportPolicies.
//
// It stands before the data's path: clustersynchro-manager starts from the PediaClusters
// that it makes.
package controllermanager

import (
	"errors"

	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/featuregate"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"

	"clusterpedia.io/clusterpedia/internal/process"
)

// metricsPort differs from that of clustersynchro-manager, which may run on the same
// host.
const metricsPort = 8082

// Options are the flags of the program.
type Options struct {
	Workers int

	Host           *process.HostOptions
	LeaderElection *process.LeaderElection
	Metrics        *process.MetricsOptions
	Logs           *logs.Options
	Gates          featuregate.MutableVersionedFeatureGate
}

// NewOptions returns the defaults.
func NewOptions() (*Options, error) {
	o := &Options{
		Workers:        5,
		Host:           process.NewHostOptions(),
		LeaderElection: process.NewLeaderElection("clusterpedia-controller-manager", process.Namespace()),
		Metrics:        process.NewMetricsOptions("clusterpedia controller manager", metricsPort),
		Logs:           logs.NewOptions(),
		Gates:          featuregate.NewFeatureGate(),
	}
	return o, logsapi.AddFeatureGates(o.Gates)
}

// Flags returns all flags, by section.
func (o *Options) Flags() cliflag.NamedFlagSets {
	var sets cliflag.NamedFlagSets
	o.Host.AddFlags(sets.FlagSet("host cluster"))
	sets.FlagSet("controllers").IntVar(&o.Workers, "worker-number", o.Workers, "The number of ClusterImportPolicies, and of PediaClusterLifecycles, that are reconciled at the same time.")
	o.LeaderElection.AddFlags(sets.FlagSet("leader election"))
	o.Metrics.AddFlags(sets.FlagSet("metrics"))
	o.Gates.AddFlag(sets.FlagSet("generic"))
	logsapi.AddFlags(o.Logs, sets.FlagSet("logs"))
	return sets
}

// Validate checks the options and returns all that is wrong.
func (o *Options) Validate() error {
	var errs []error
	if o.Workers <= 0 {
		errs = append(errs, errors.New("--worker-number must be greater than 0"))
	}
	for _, validate := range []func() []error{o.Host.Validate, o.LeaderElection.Validate, o.Metrics.Validate} {
		errs = append(errs, validate()...)
	}
	return errors.Join(errs...)
}
