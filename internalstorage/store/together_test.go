package store_test

import (
	"encoding/json"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/storage"
)

// TestSQLiteTogether opens a new file as servers do that start at once.
func TestSQLiteTogether(t *testing.T) {
	t.Parallel()
	for range 10 {
		text, err := json.Marshal(sqlite(t))
		require.NoError(t, err)
		opened, errs := make([]storage.Storage, 4), make([]error, 4)
		var group sync.WaitGroup
		for i := range opened {
			group.Go(func() {
				opened[i], errs[i] = store.Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: text})
			})
		}
		group.Wait()
		for i, st := range opened {
			require.NoError(t, errs[i])
			require.NoError(t, st.Close(t.Context()))
		}
	}
}
