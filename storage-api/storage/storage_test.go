package storage_test

import (
	"errors"
	"fmt"
	"testing"

	"clusterpedia.io/storage-api/digest"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

func TestRetryable(t *testing.T) {
	t.Parallel()
	cause := errors.New("connection lost")
	if storage.Retryable(nil) != nil {
		t.Error("no error became one")
	}
	for _, x := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{cause, false},
		{storage.ErrNotFound, false},
		{storage.Retryable(cause), true},
		{fmt.Errorf("apply: %w", storage.Retryable(cause)), true},
		{errors.Join(cause, storage.Retryable(cause)), true},
	} {
		if got := storage.IsRetryable(x.err); got != x.want {
			t.Errorf("%v is retryable: %t, want %t", x.err, got, x.want)
		}
	}
	err := storage.Retryable(fmt.Errorf("apply: %w", cause))
	if !errors.Is(err, cause) || err.Error() != "apply: connection lost" {
		t.Errorf("the cause is lost in %v", err)
	}
}

func TestInvalidErrors(t *testing.T) {
	t.Parallel()
	key := storage.Key{Cluster: "tokyo", Resource: storage.Resource{Version: "v1", Resource: "pods"}, Namespace: "shop", Name: "web"}
	err := error(&storage.InvalidObjectError{Key: key, Reason: "its document is no valid JSON"})
	if want := "object cannot be stored: tokyo v1/pods shop/web: its document is no valid JSON"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	// Both names are one type.
	var invalid *storage.InvalidQueryError
	if !errors.As((&query.Query{Limit: -1}).Validate(), &invalid) {
		t.Error("an error of Validate is no InvalidQueryError")
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	if storage.Source != digest.Source || len(storage.Source) != 16 {
		t.Errorf("the source is %q", storage.Source)
	}
}

// It does not run in parallel: the registry is the process's.
func TestRegister(t *testing.T) {
	before := len(storage.Registered())
	for _, name := range []string{"a", "b", "a", ""} {
		storage.Register(storage.Driver{Name: name})
	}
	all := storage.Registered()
	if len(all) != before+4 {
		t.Fatalf("%d drivers are registered, want %d", len(all), before+4)
	}
	for i, name := range []string{"a", "b", "a", ""} {
		if all[before+i].Name != name {
			t.Errorf("driver %d is %q, want %q", i, all[before+i].Name, name)
		}
	}
	all[before].Name = "changed"
	if storage.Registered()[before].Name != "a" {
		t.Error("the caller can change the registry")
	}
}
