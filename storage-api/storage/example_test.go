package storage_test

import (
	"context"
	"errors"
	"fmt"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// empty is a storage layer that holds nothing. It embeds the interface for the
// methods that the example leaves out.
type empty struct{ storage.Storage }

func openEmpty(context.Context, storage.Settings) (storage.Storage, error) {
	return empty{}, nil
}

func (empty) Get(_ context.Context, key storage.Key) (storage.Object, error) {
	return storage.Object{}, fmt.Errorf("get %s: %w", key, storage.ErrNotFound)
}

func (empty) List(_ context.Context, q *query.Query, _ func(*storage.Object) error) (storage.Page, error) {
	return storage.Page{}, q.Validate()
}

// A storage layer registers itself in an init function of the plugin's main
// package; the host finds it by the name that the user gave and opens it.
func Example() {
	storage.Register(storage.Driver{Name: "empty", Open: openEmpty})

	ctx := context.Background()
	for _, driver := range storage.Registered() {
		if driver.Name != "empty" {
			continue
		}
		s, err := driver.Open(ctx, storage.Settings{Component: "apiserver"})
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = s.Get(ctx, storage.Key{Cluster: "tokyo", Resource: storage.Resource{Version: "v1", Resource: "pods"}, Namespace: "shop", Name: "web"})
		fmt.Println(err)
		fmt.Println(errors.Is(err, storage.ErrNotFound))
		_, err = s.List(ctx, &query.Query{Limit: -1}, nil)
		fmt.Println(err)
	}
	// Output:
	// get tokyo v1/pods shop/web: object not found
	// true
	// invalid query: limit "-1": must not be negative
}

// A writer tries again for ever what may succeed later, and nothing else.
func ExampleRetryable() {
	err := fmt.Errorf("apply 500 changes to cluster tokyo: %w", storage.Retryable(errors.New("connection refused")))
	fmt.Println(err)
	fmt.Println(storage.IsRetryable(err), storage.IsRetryable(storage.ErrFenced))
	// Output:
	// apply 500 changes to cluster tokyo: connection refused
	// true false
}
