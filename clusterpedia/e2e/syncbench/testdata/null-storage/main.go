// Command null-storage is a storage layer that forgets what it is given, so that what a
// manager does by itself can be measured.
package main

import (
	"context"
	"fmt"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

func init() {
	storage.Register(storage.Driver{Name: "null", Open: func(context.Context, storage.Settings) (storage.Storage, error) { return null{}, nil }})
}

func main() {}

type null struct{}

func (null) Get(_ context.Context, key storage.Key) (storage.Object, error) {
	return storage.Object{}, fmt.Errorf("%s: %w", key, storage.ErrNotFound)
}

func (null) List(context.Context, *query.Query, func(*storage.Object) error) (storage.Page, error) {
	return storage.Page{}, nil
}

func (null) Apply(context.Context, storage.Writer, []storage.Change) error { return nil }

func (null) Versions(context.Context, string, func(storage.Version) error) error { return nil }

func (null) Purge(context.Context, storage.Writer, *storage.Resource) error { return nil }

func (null) Close(context.Context) error { return nil }
