package process

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFreePorts(t *testing.T) {
	t.Parallel()
	ports, err := FreePorts(5)
	require.NoError(t, err)
	require.Len(t, ports, 5)
	for _, port := range ports {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
}

// Many that start at once, and have not bound their ports yet, get different ones.
func TestTakePortsAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ports")
	const callers, each = 60, 3
	got := make([][]int, callers)
	errs := make([]error, callers)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() { got[i], errs[i] = takePorts(path, each) })
	}
	group.Wait()
	seen := map[int]bool{}
	for i := range callers {
		require.NoError(t, errs[i])
		for _, port := range got[i] {
			require.GreaterOrEqual(t, port, firstPort)
			require.Less(t, port, firstPort+portCount)
			require.False(t, seen[port], "port %d was given twice", port)
			seen[port] = true
		}
	}
	require.Len(t, seen, callers*each)
}

func TestTakePorts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ports")
	for name, noted := range map[string]string{
		"nonsense": "x", "below": "19999", "above": "30000", "the last": "29999", "longer than a port": "20000\n20000\n20000\n",
	} {
		require.NoError(t, os.WriteFile(path, []byte(noted), 0o600), name)
		for range 2 {
			ports, err := takePorts(path, 1)
			require.NoError(t, err, name)
			text, err := os.ReadFile(path)
			require.NoError(t, err, name)
			require.Equal(t, fmt.Sprintln(ports[0]), string(text), name)
		}
	}
	// One that is in use is left out.
	used, err := takePorts(path, 2)
	require.NoError(t, err)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", used[1]))
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	require.NoError(t, os.WriteFile(path, fmt.Append(nil, used[0]), 0o600))
	ports, err := takePorts(path, 1)
	require.NoError(t, err)
	require.NotEqual(t, used[1], ports[0])

	link := filepath.Join(t.TempDir(), "ports")
	require.NoError(t, os.Symlink(path, link))
	_, err = takePorts(link, 1)
	require.Error(t, err, "a link is not followed")
}

func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	waited := false
	unlock, err := Lock(t.Context(), path, func() { waited = true })
	require.NoError(t, err)
	require.False(t, waited)

	canceled, cancel := context.WithCancel(t.Context())
	_, err = Lock(canceled, path, cancel)
	require.ErrorIs(t, err, context.Canceled)

	freed := make(chan error, 1)
	again, err := Lock(t.Context(), path, func() { freed <- unlock() })
	require.NoError(t, err)
	require.NoError(t, <-freed)
	require.NoError(t, again())
	_, err = Lock(t.Context(), filepath.Join(path, "below a file"), nil)
	require.Error(t, err)
}
