// Command binding-apiserver is apiserver and clustersynchro-manager in one process,
// for storage layers that keep their objects in the process's memory.
package main

import (
	"context"
	"fmt"
	"os"

	genericapiserver "k8s.io/apiserver/pkg/server"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/cli"

	"clusterpedia.io/clusterpedia/internal/apiserver"
	"clusterpedia.io/clusterpedia/internal/process"
	"clusterpedia.io/clusterpedia/internal/storageplugin"
	"clusterpedia.io/clusterpedia/internal/synchromanager"
)

func main() {
	// First of all: what runs before can break what a plugin asserts later
	// (golang/go#80107).
	plugins, err := storageplugin.Load(storageplugin.Options{Plugins: os.Getenv(storageplugin.EnvVar), HostVersion: process.Version().GitVersion})
	gate := utilfeature.DefaultMutableFeatureGate
	if err == nil {
		err = apiserver.AddGates(gate, true)
	}
	if err == nil {
		err = synchromanager.AddGates(gate)
	}
	if err == nil {
		err = process.AddGates(gate, plugins.Gates())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx := genericapiserver.SetupSignalContext()
	manager := synchromanager.NewBoundOptions()
	os.Exit(cli.Run(apiserver.NewCommand(ctx, "binding-apiserver", manager, func(ctx context.Context, o *apiserver.Options) error {
		return manager.Run(ctx, o.Storage, plugins, gate, o.CoreAPI.CoreAPIKubeconfigPath, func(ctx context.Context, b synchromanager.Bound) error {
			return apiserver.Serve(ctx, o, b.Storage, b.Driver.Params)
		})
	})))
}
