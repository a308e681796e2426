package resources

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// slowDefinitions is a storage layer with one definition, which is given out when the test
// lets it.
type slowDefinitions struct {
	storage.Storage
	lists atomic.Int64
	wait  chan struct{}
}

func (s *slowDefinitions) List(ctx context.Context, _ *query.Query, yield func(*storage.Object) error) (storage.Page, error) {
	s.lists.Add(1)
	select {
	case <-s.wait:
	case <-ctx.Done():
		return storage.Page{}, ctx.Err()
	}
	return storage.Page{}, yield(&storage.Object{
		JSON: []byte(`{"spec":{"versions":[{"name":"v1","additionalPrinterColumns":[{"name":"Size","type":"integer","jsonPath":".spec.size"}]}]}}`),
	})
}

// Those who ask at once for the columns of the same resource share one read, which does not
// end with the request that began it.
func TestColumnsAtOnce(t *testing.T) {
	t.Parallel()
	s := &slowDefinitions{wait: make(chan struct{})}
	p := newPrintColumns(s)
	key := columnsKey{"one", schema.GroupVersionResource{Group: "example.io", Version: "v1", Resource: "widgets"}}
	var callers sync.WaitGroup
	var found atomic.Int64
	ask := func(ctx context.Context) {
		if columns := p.of(ctx, key); len(columns) == 1 && columns[0].Name == "Size" {
			found.Add(1)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	callers.Go(func() { ask(ctx) })
	require.Eventually(t, func() bool { return s.lists.Load() == 1 }, 10*time.Second, time.Millisecond)
	for range 20 {
		callers.Go(func() { ask(t.Context()) })
	}
	cancel()
	close(s.wait)
	callers.Wait()
	require.EqualValues(t, 21, found.Load())
	require.EqualValues(t, 1, s.lists.Load())
	key.cluster = "two"
	ask(t.Context())
	require.EqualValues(t, 2, s.lists.Load(), "another cluster has others")
}
