// The host loads plugins as the servers do, shows what it got, and opens one
// storage layer if it is told to.
package main

import (
	"context"
	"fmt"
	"os"

	"clusterpedia.io/storage-api/storage"

	"clusterpedia.io/clusterpedia/internal/storageplugin"
)

func main() {
	drivers, err := storageplugin.Load(storageplugin.Options{Plugins: os.Getenv(storageplugin.EnvVar), HostVersion: "v1.2.3"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, d := range drivers.Drivers() {
		fmt.Println("driver", d.Name, d.Origin())
	}
	for _, gate := range drivers.Gates() {
		fmt.Println("gate", gate.Name)
	}
	for _, name := range os.Args[1:] {
		_, err := drivers.Open(context.Background(), name, storage.Settings{Gates: map[string]bool{"FirstFeature": true, "HostFeature": true}})
		fmt.Println("error:", err, storage.IsRetryable(err))
	}
}
