// Command clustersynchro-manager copies the selected resources of member clusters
// into the storage layer.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/component-base/cli"

	"clusterpedia.io/clusterpedia/internal/process"
	"clusterpedia.io/clusterpedia/internal/storageplugin"
	"clusterpedia.io/clusterpedia/internal/synchromanager"
)

func main() {
	// First of all: what runs before can break what a plugin asserts later
	// (golang/go#80107).
	plugins, err := storageplugin.Load(storageplugin.Options{Plugins: os.Getenv(storageplugin.EnvVar), HostVersion: process.Version().GitVersion})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// That of k8s.io/apiserver would bring the whole of it into memory.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	cmd, err := synchromanager.NewCommand(ctx, plugins)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(cli.Run(cmd))
}
