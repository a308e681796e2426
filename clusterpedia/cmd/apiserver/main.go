// Command apiserver serves the objects of all member clusters as an aggregated
// API.
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
)

func main() {
	// First of all: what runs before can break what a plugin asserts later
	// (golang/go#80107).
	plugins, err := storageplugin.Load(storageplugin.Options{Plugins: os.Getenv(storageplugin.EnvVar), HostVersion: process.Version().GitVersion})
	gate := utilfeature.DefaultMutableFeatureGate
	if err == nil {
		err = apiserver.AddGates(gate, false)
	}
	if err == nil {
		err = process.AddGates(gate, plugins.Gates())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx := genericapiserver.SetupSignalContext()
	os.Exit(cli.Run(apiserver.NewCommand(ctx, "clusterpedia-apiserver", nil, func(ctx context.Context, o *apiserver.Options) error {
		return apiserver.Run(ctx, o, plugins)
	})))
}
