// This plugin registers a storage layer, under a name that another has taken.
package main

import (
	"context"
	"errors"

	"clusterpedia.io/storage-api/storage"
)

func init() {
	storage.Register(storage.Driver{Name: "first", Open: func(context.Context, storage.Settings) (storage.Storage, error) {
		return nil, errors.New("nothing to open")
	}})
}

func main() {}
