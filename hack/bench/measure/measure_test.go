package measure

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCPU(t *testing.T) {
	t.Parallel()
	before, err := CPU(os.Getpid())
	require.NoError(t, err)
	for began := time.Now(); time.Since(began) < 50*time.Millisecond; {
	}
	after, err := CPU(os.Getpid())
	require.NoError(t, err)
	require.Greater(t, after, before)
}

// What a child has used counts, also when it has ended.
func TestTreeCPU(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `(i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done); echo; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; read x`)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = out.Read(make([]byte, 1))
	require.NoError(t, err)
	alone, err := CPU(cmd.Process.Pid)
	require.NoError(t, err)
	all, err := TreeCPU(cmd.Process.Pid)
	require.NoError(t, err)
	require.Greater(t, all, alone)
	require.NoError(t, in.Close())
	_ = cmd.Wait() // read fails at the end of its input
	_, err = TreeCPU(cmd.Process.Pid)
	require.Error(t, err)
}

func TestRSS(t *testing.T) {
	t.Parallel()
	require.NoError(t, ResetPeak(os.Getpid()))
	now, peak, err := RSS(os.Getpid())
	require.NoError(t, err)
	require.Positive(t, now)
	require.GreaterOrEqual(t, peak, now)
}

func TestAllocated(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, fails string }{
		"both":    {"# HELP go_memstats_alloc_bytes_total x\ngo_memstats_alloc_bytes_total 1.5e+06\ngo_memstats_mallocs_total 7\n", ""},
		"missing": {"go_memstats_alloc_bytes_total 1.5e+06\n", "go_memstats_mallocs_total is missing"},
		"no":      {"go_memstats_alloc_bytes_total many\n", "go_memstats_alloc_bytes_total"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var a Allocated
			err := a.read(strings.NewReader(c.text))
			if c.fails != "" {
				require.ErrorContains(t, err, c.fails)
				return
			}
			require.NoError(t, err)
			require.Equal(t, Allocated{1.5e6, 7}, a)
		})
	}
}
