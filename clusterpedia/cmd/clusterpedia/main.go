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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		if !errors.Is(err, plugintool.ErrMisfit) {
			fmt.Fprintln(os.Stderr, "error:", err)
		}
		os.Exit(1)
	}
}

func command() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "clusterpedia",
		Short:         "The tool beside Clusterpedia's servers",
		Version:       process.Version().GitVersion,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(plugintool.NewCommand())
	return cmd
}
