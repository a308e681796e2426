// This plugin registers a storage layer.
package main

import (
	"context"
	"errors"

	"clusterpedia.io/storage-api/storage"
)

func init() {
	storage.Register(storage.Driver{Name: "second", Open: func(context.Context, storage.Settings) (storage.Storage, error) {
		return nil, errors.New("nothing to open")
	}})
}

func main() {}
