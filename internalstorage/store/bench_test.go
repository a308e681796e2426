package store_test

import (
	"os"
	"testing"

	"clusterpedia.io/storage-api/storage"
	"clusterpedia.io/storage-api/storagetest"
)

// The benchmarks run on the servers of the environment; "make bench" starts them.

func BenchmarkSQLite(b *testing.B) { bench(b, sqlite) }

func BenchmarkPostgreSQL(b *testing.B) { benchServer(b, "TEST_POSTGRES_DSN", postgres) }

func BenchmarkMariaDB(b *testing.B) {
	benchServer(b, "TEST_MYSQL_DSN", mysqlOn("TEST_MYSQL_DSN"))
}

func benchServer(b *testing.B, variable string, fresh func(testing.TB) map[string]any) {
	if os.Getenv(variable) == "" {
		b.Skipf("%s is not set: NOT MEASURED on this database; make bench starts one", variable)
	}
	bench(b, fresh)
}

func bench(b *testing.B, fresh func(testing.TB) map[string]any) {
	storagetest.Benchmark(b, func(t testing.TB) storage.Storage { return open(t, fresh(t)) })
}
