package apiserver

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	cliflag "k8s.io/component-base/cli/flag"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json

	"clusterpedia.io/clusterpedia/internal/process"
	"clusterpedia.io/clusterpedia/internal/storageplugin"
	"clusterpedia.io/storage-api/storage"
)

// NewCommand returns the command of a server, whose flags are Options: run serves
// until ctx ends.
func NewCommand(ctx context.Context, use string, run func(context.Context, *Options) error) *cobra.Command {
	o := NewOptions()
	var version process.VersionFlag
	cmd := &cobra.Command{
		Use:          use,
		Short:        "Serves the objects of all member clusters as an aggregated API",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error {
			if text, ok := version.Requested(); ok {
				fmt.Println(text)
				return nil
			}
			if err := logsapi.ValidateAndApply(o.Logs, utilfeature.DefaultFeatureGate); err != nil {
				return err
			}
			if err := o.Validate(); err != nil {
				return err
			}
			return run(ctx, o)
		},
	}
	sets := o.Flags()
	version.AddFlags(sets.FlagSet("global"))
	sets.FlagSet("global").BoolP("help", "h", false, "help for "+use)
	for _, fs := range sets.FlagSets {
		cmd.Flags().AddFlagSet(fs)
	}
	cliflag.SetUsageAndHelpFunc(cmd, sets, 100)
	return cmd
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
