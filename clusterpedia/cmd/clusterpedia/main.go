// Command clusterpedia is the tool beside the servers.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"clusterpedia.io/clusterpedia/internal/plugintool"
	"clusterpedia.io/clusterpedia/internal/process"
	"clusterpedia.io/clusterpedia/internal/storageplugin"
	"clusterpedia.io/clusterpedia/internal/storagetool"
)

func main() {
	var plugins *storageplugin.Registry
	var failed error
	if len(os.Args) > 1 && os.Args[1] == storagetool.Name {
		// First of all, as in the servers.
		plugins, failed = storageplugin.Load(storageplugin.Options{Plugins: os.Getenv(storageplugin.EnvVar), HostVersion: process.Version().GitVersion})
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(plugins, failed).ExecuteContext(ctx)
	stop()
	if err != nil {
		if !errors.Is(err, plugintool.ErrMisfit) {
			fmt.Fprintln(os.Stderr, "error:", err)
		}
		os.Exit(1)
	}
}

func command(plugins *storageplugin.Registry, failed error) *cobra.Command {
	cmd := &cobra.Command{
		Use:           "clusterpedia",
		Short:         "The tool beside Clusterpedia's servers",
		Version:       process.Version().GitVersion,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(plugintool.NewCommand(), storagetool.NewCommand(plugins, failed))
	return cmd
}
