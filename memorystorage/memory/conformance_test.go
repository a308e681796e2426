package memory_test

import (
	"testing"

	"clusterpedia.io/memorystorage/memory"
	"clusterpedia.io/storage-api/storage"
	"clusterpedia.io/storage-api/storagetest"
)

func open(t testing.TB) storage.Storage {
	t.Helper()
	s, err := memory.Open(t.Context(), storage.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storagetest.Run(t, open, storagetest.Options{Packed: true, Cells: true})
}
