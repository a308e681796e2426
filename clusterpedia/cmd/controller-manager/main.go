// Command controller-manager makes PediaClusters of the objects that
// ClusterImportPolicies select, such as the clusters of Cluster API. It has no storage
// layer and loads no plugins.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/component-base/cli"

	"clusterpedia.io/clusterpedia/internal/controllermanager"
)

func main() {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	cmd, err := controllermanager.NewCommand(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(cli.Run(cmd))
}
