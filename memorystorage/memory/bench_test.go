package memory_test

import (
	"testing"

	"clusterpedia.io/storage-api/storagetest"
)

func BenchmarkStore(b *testing.B) {
	storagetest.Benchmark(b, open)
}
