package e2e

import (
	"bufio"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/process"
)

// runLimit bounds what "make run" does until it waits for Ctrl-C.
const runLimit = 5 * time.Minute

// TestRun runs what "make run" does with clusters that exist already, and ends it
// as Ctrl-C would.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("needs clusters")
	}
	ctx, cancel := context.WithTimeout(t.Context(), runLimit)
	defer cancel()
	// Names as a user writes them: relative to the repository, where make runs.
	var kubeconfigs []string
	for _, m := range shared.members {
		relative, err := filepath.Rel(shared.root, m.Kubeconfig())
		require.NoError(t, err)
		kubeconfigs = append(kubeconfigs, relative)
	}
	dir := filepath.Join(shared.root, ".testbed", "run")
	cmd := exec.CommandContext(ctx, "make", "run", "KUBECONFIGS="+strings.Join(kubeconfigs, ","))
	cmd.Dir = shared.root
	cmd.Env = append(cmd.Environ(), "GOWORK=")
	// Ctrl-C on a terminal reaches all of them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = cmd.Stdout
	require.NoError(t, cmd.Start())

	var lines []string
	for scanner := bufio.NewScanner(output); scanner.Scan(); {
		lines = append(lines, scanner.Text())
		if strings.HasPrefix(scanner.Text(), "Logs are in ") {
			for _, name := range []string{"apiserver", "clustersynchro-manager"} {
				_, running := process.Find(dir, name)
				require.True(t, running, name)
			}
			require.NoError(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT))
		}
	}
	all := strings.Join(lines, "\n")
	_ = cmd.Wait() // make says that it was interrupted
	require.Regexp(t, `(?m)^NAMESPACE +CLUSTER +NAME +READY`, all, "the proof")
	for _, m := range shared.members {
		require.Regexp(t, `(?m)^default +`+m.Name+` +web +2/2`, all)
	}
	require.Contains(t, all, "kubectl get pods -A ")
	require.Contains(t, all, "stopped; data and logs are in")
	for _, name := range []string{"apiserver", "clustersynchro-manager"} {
		_, running := process.Find(dir, name)
		require.False(t, running, name)
	}
}
