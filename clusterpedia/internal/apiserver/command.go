package apiserver

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	cliflag "k8s.io/component-base/cli/flag"

	"clusterpedia.io/clusterpedia/internal/process"
	"clusterpedia.io/clusterpedia/internal/storageplugin"
	"clusterpedia.io/storage-api/storage"
)

// Beside are flags of what runs in the same process.
type Beside interface {
	// AddFlags adds them to those of the server.
	AddFlags(sets *cliflag.NamedFlagSets)
	// Validate checks them and returns all that is wrong.
	Validate() error
}

// NewCommand returns the command of a server, whose flags are Options, and those of beside
// unless that is nil: run serves until ctx ends.
func NewCommand(ctx context.Context, use string, beside Beside, run func(context.Context, *Options) error) *cobra.Command {
	o := NewOptions()
	flags, validate := o.Flags(), o.Validate
	if beside != nil {
		beside.AddFlags(&flags)
		validate = func() error { return errors.Join(o.Validate(), beside.Validate()) }
	}
	return process.NewCommand(process.Program{
		Use: use, Short: "Serves the objects of all member clusters as an aggregated API",
		Flags: flags, Logs: o.Logs, Gates: utilfeature.DefaultFeatureGate, Validate: validate, Run: func() error { return run(ctx, o) },
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
