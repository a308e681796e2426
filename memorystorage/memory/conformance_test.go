package memory_test

import (
	"testing"

	"clusterpedia.io/memorystorage/memory"
	"clusterpedia.io/storage-api/storage"
	"clusterpedia.io/storage-api/storagetest"
)

func open(tb testing.TB) storage.Storage {
	tb.Helper()
	s, err := memory.Open(tb.Context(), storage.Settings{})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storagetest.Run(t, open, storagetest.Options{Packed: true, Cells: true, ExactVersion: true})
}
