package synchromanager

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/featuregate"
	"k8s.io/klog/v2"

	"clusterpedia.io/clusterpedia/internal/process"
	"clusterpedia.io/clusterpedia/internal/storageplugin"
	"clusterpedia.io/clusterpedia/internal/synchro"
	"clusterpedia.io/storage-api/storage"
)

// Bound is the storage layer that a manager and a server of one process share.
type Bound struct {
	Storage storage.Storage
	Driver  storageplugin.Driver
}

// BoundOptions are the flags of a manager that runs in the process of a server.
type BoundOptions struct {
	// RemoveOrphans is a synchro.OrphanPolicy.
	RemoveOrphans string
}

// NewBoundOptions returns the defaults.
func NewBoundOptions() *BoundOptions {
	return &BoundOptions{RemoveOrphans: string(synchro.OrphansKnown)}
}

// AddFlags adds the flags to those of the server.
func (o *BoundOptions) AddFlags(sets *cliflag.NamedFlagSets) {
	addOrphansFlag(sets.FlagSet("synchro"), &o.RemoveOrphans)
}

// Validate checks the options.
func (o *BoundOptions) Validate() error { return synchro.OrphanPolicy(o.RemoveOrphans).Validate() }

// Run opens a storage layer, and copies into it with one worker and without an election
// while serve runs.
func (o *BoundOptions) Run(ctx context.Context, storageOptions *process.StorageOptions, plugins *storageplugin.Registry, gate featuregate.FeatureGate, kubeconfig string, serve func(context.Context, Bound) error) error {
	st, driver, closeStorage, err := storageOptions.Open(ctx, plugins, "binding-apiserver", gate)
	if err != nil {
		return err
	}
	defer closeStorage()
	hostOptions := process.NewHostOptions()
	hostOptions.Kubeconfig = kubeconfig
	host, err := hostOptions.Config(userAgent)
	if err != nil {
		return err
	}
	telemetry, err := NewTelemetry(noLabels, ProcessRegistry{})
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(host)
	if err != nil {
		return fmt.Errorf("connect to the host cluster: %w", err)
	}
	events, stopEvents := recordEvents(ctx, client)
	defer stopEvents()
	manager, err := NewManager(host, st, gate, synchro.Options{Workers: 1, RemoveOrphans: synchro.OrphanPolicy(o.RemoveOrphans), Events: events, Metrics: telemetry, Logger: klog.Background()})
	if err != nil {
		return err
	}
	telemetry.Follow(manager)
	group, ctx := errgroup.WithContext(ctx)
	ctx, done := context.WithCancel(ctx)
	defer done()
	group.Go(func() error { defer done(); return manager.Run(ctx) })
	group.Go(func() error { defer done(); return serve(ctx, Bound{st, driver}) })
	return group.Wait()
}
