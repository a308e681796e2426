// This plugin registers a storage layer with a feature gate.
package main

import (
	"context"
	"fmt"

	"clusterpedia.io/storage-api/storage"
)

func init() {
	storage.Register(storage.Driver{
		Name:  "first",
		Gates: []storage.Gate{{Name: "FirstFeature", Stage: "ALPHA"}},
		Open: func(_ context.Context, s storage.Settings) (storage.Storage, error) {
			return nil, storage.Retryable(fmt.Errorf("no database, gates %v", s.Gates))
		},
	})
}

func main() {}
