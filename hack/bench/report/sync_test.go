package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const syncOutput = `goos: linux
BenchmarkFirstSync-2     	       1	         0 ns/op	        21.50 B-kept/object	        36.20 CPU-µs/object	        37.10 MiB-peak-anonymous	       138.0 MiB-peak-before	       152.3 MiB-peak-RSS	      9500 objects/s
BenchmarkNothingChanged-2	       1	         0 ns/op	         0 rows-written/health-flap	         3.000 rows-written/leader-change	         0 rows-written/restart
PASS
`

func TestSync(t *testing.T) {
	t.Parallel()
	s := &Sync{Machine: "2 × something", Load: "1.90", Date: "2026-01-01T00:00:00Z", Commit: "abc123", Command: "make bench-sync"}
	require.NoError(t, s.ReadSyncOutput(strings.NewReader(syncOutput)))
	golden(t, "sync.golden", Page(nil, s))

	dir := t.TempDir()
	none, err := ReadSync(dir)
	require.NoError(t, err)
	require.Nil(t, none)
	require.NoError(t, s.Write(dir))
	again, err := ReadSync(dir)
	require.NoError(t, err)
	require.Equal(t, s, again)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sync.json"), []byte("{"), 0o644))
	_, err = ReadSync(dir)
	require.ErrorContains(t, err, "sync.json")
}

func TestReadSyncOutput(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]string{
		"FAIL": "did not tell FirstSync B-kept/object",
		"BenchmarkFirstSync 1 0 ns/op much B-kept/object":                      "is no line of a benchmark",
		strings.Replace(syncOutput, "rows-written/restart", "rows/restart", 1): "did not tell NothingChanged rows-written/restart",
	} {
		require.ErrorContains(t, (&Sync{}).ReadSyncOutput(strings.NewReader(output)), want)
	}
}
