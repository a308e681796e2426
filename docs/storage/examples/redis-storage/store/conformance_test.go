package store

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"testing"

	"clusterpedia.io/storage-api/storage"
	"clusterpedia.io/storage-api/storagetest"
)

// open opens a storage layer whose keys begin with a prefix, on the server that
// $TEST_REDIS_ADDRESS names.
func open(t testing.TB, prefix string) storage.Storage {
	t.Helper()
	address := os.Getenv("TEST_REDIS_ADDRESS")
	if address == "" {
		t.Skip("TEST_REDIS_ADDRESS is not set to the host:port of a Redis server: NOT TESTED")
	}
	text, err := json.Marshal(config{Address: address, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	st, err := Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: text})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// TestContract runs the tests that every storage layer passes.
func TestContract(t *testing.T) {
	t.Parallel()
	storagetest.Run(t,
		func(t testing.TB) storage.Storage { return open(t, rand.Text()) },
		storagetest.Options{Reopen: func(t testing.TB, st storage.Storage) storage.Storage {
			prefix := st.(*Store).backend.(*redisBackend).prefix
			if err := st.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			return open(t, prefix)
		}})
}

// BenchmarkContract measures the usual calls.
func BenchmarkContract(b *testing.B) {
	storagetest.Benchmark(b, func(t testing.TB) storage.Storage { return open(t, rand.Text()) })
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`:                        "test.yaml: address is required, the host:port of the Redis server",
		`{"addres":"a:1"}`:          `test.yaml: json: unknown field "addres"`,
		`{"address":"127.0.0.1:1"}`: "test.yaml: address 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused",
	} {
		_, err := Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: []byte(text)})
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}
