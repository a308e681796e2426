package apiserver

import (
	"context"

	"github.com/spf13/cobra"
	utilfeature "k8s.io/apiserver/pkg/util/feature"

	"clusterpedia.io/clusterpedia/internal/process"
	"clusterpedia.io/clusterpedia/internal/storageplugin"
	"clusterpedia.io/storage-api/storage"
)

// NewCommand returns the command of a server, whose flags are Options: run serves
// until ctx ends.
func NewCommand(ctx context.Context, use string, run func(context.Context, *Options) error) *cobra.Command {
	o := NewOptions()
	return process.NewCommand(process.Program{
		Use: use, Short: "Serves the objects of all member clusters as an aggregated API",
		Flags: o.Flags(), Logs: o.Logs, Gates: utilfeature.DefaultFeatureGate, Validate: o.Validate, Run: func() error { return run(ctx, o) },
	})
}

// Run serves with the storage layer that the options choose, until ctx ends.
func Run(ctx context.Context, o *Options, plugins *storageplugin.Registry) error {
	st, driver, closeStorage, err := o.Storage.Open(ctx, plugins, "apiserver", utilfeature.DefaultFeatureGate)
	if err != nil {
		return err
	}
	defer closeStorage()
	return Serve(ctx, o, st, driver.Params)
}

// Serve serves from an open storage layer until ctx ends. params are the URL
// parameters that the storage layer reads itself.
func Serve(ctx context.Context, o *Options, st storage.Storage, params []string) error {
	server, err := New(ctx, o, st, params)
	if err != nil {
		return err
	}
	return server.Run(ctx)
}
