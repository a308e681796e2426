package synchromanager

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"clusterpedia.io/clusterpedia/internal/process"
	"clusterpedia.io/clusterpedia/internal/storageplugin"
	"clusterpedia.io/clusterpedia/internal/synchro"
)

// NewCommand returns the command of the program. It runs until ctx ends.
func NewCommand(ctx context.Context, plugins *storageplugin.Registry) (*cobra.Command, error) {
	o, err := NewOptions(plugins.Gates())
	if err != nil {
		return nil, err
	}
	return process.NewCommand(process.Program{
		Use: "clustersynchro-manager", Short: "Copies the selected resources of member clusters into the storage layer",
		Flags: o.Flags(), Logs: o.Logs, Gates: o.Gates, Validate: o.Validate, Run: func() error { return o.run(ctx, plugins) },
	}), nil
}

// run serves metrics on every replica, and copies on the leader.
func (o *Options) run(ctx context.Context, plugins *storageplugin.Registry) error {
	o.Metrics.Apply()
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	st, _, closeStorage, err := o.Storage.Open(ctx, plugins, "clustersynchro-manager", o.Gates)
	if err != nil {
		return err
	}
	defer closeStorage()
	host, err := o.Host.Config(userAgent)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(host)
	if err != nil {
		return fmt.Errorf("connect to the host cluster: %w", err)
	}
	telemetry, err := NewTelemetry(o.MetricsLabels, ProcessRegistry{})
	if err != nil {
		return err
	}
	serveMetrics, err := o.Metrics.Listen(ctx, st)
	if err != nil {
		return err
	}
	if o.ShardingName != "" {
		o.LeaderElection.Name += "-" + o.ShardingName
	}
	events, stopEvents := recordEvents(ctx, client)
	defer stopEvents()
	group, ctx := errgroup.WithContext(ctx)
	ctx, done := context.WithCancel(ctx)
	defer done()
	group.Go(func() error { return serveMetrics(ctx) })
	group.Go(func() error {
		defer done()
		return o.LeaderElection.Run(ctx, client, func(ctx context.Context, term process.Term) error {
			manager, err := NewManager(host, st, o.Gates, synchro.Options{
				Epoch: term.Epoch, Before: term.Left, ShardingName: o.ShardingName, Workers: o.Workers, PageSize: o.PageSize,
				RemoveOrphans: synchro.OrphanPolicy(o.RemoveOrphans), QueueMemory: int(o.QueueMemory.Value()), Events: events, Metrics: telemetry, Logger: klog.Background(),
			})
			if err != nil {
				return err
			}
			telemetry.Follow(manager)
			term.Note(func() string { return manager.Record(process.MaxNote) })
			return manager.Run(ctx)
		})
	})
	return group.Wait()
}
