// Command clustersynchro-manager copies the selected resources of member clusters
// into the storage layer.
package main

import (
	"fmt"
	"os"

	genericapiserver "k8s.io/apiserver/pkg/server"
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
	cmd, err := synchromanager.NewCommand(genericapiserver.SetupSignalContext(), plugins)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(cli.Run(cmd))
}
