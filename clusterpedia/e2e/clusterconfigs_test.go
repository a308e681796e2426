package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/stack"
)

// withKubeconfig returns what runs programs with a copy of the host's kubeconfig, which they
// may change, and returns what they put out.
func (d *deployment) withKubeconfig(t *testing.T) func(program string, args ...string) string {
	t.Helper()
	text, err := os.ReadFile(d.Host.Kubeconfig())
	require.NoError(t, err)
	kubeconfig := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(kubeconfig, text, 0o600))
	return func(program string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+shared.binaries+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
}

// TestClusterConfigs has the scripts of hack/ add clusters to a kubeconfig, and remove them.
func TestClusterConfigs(t *testing.T) {
	d := deploy(t, "memory", "")
	for _, name := range []string{"plain", "with.dots"} {
		d.pediaCluster(t, name, map[string]any{"apiserver": "https://127.0.0.1:1", "syncResources": []any{}})
	}
	run := d.withKubeconfig(t)
	script := func(name string) string {
		t.Helper()
		return run(filepath.Join(shared.root, "hack", name))
	}
	clusters := func() map[string]string {
		t.Helper()
		all := map[string]string{}
		for line := range strings.Lines(run("kubectl", "config", "view", "-o", `jsonpath={range .clusters[*]}{.name}{" "}{.cluster.server}{"\n"}{end}`)) {
			name, server, _ := strings.Cut(strings.TrimSpace(line), " ")
			all[name] = server
		}
		return all
	}
	run("kubectl", "config", "set-cluster", "foreign", "--server=https://foreign.example.io")
	run("kubectl", "config", "set-cluster", "plain", "--server=https://foreign.example.io")
	before := clusters()

	root := d.Host.URL() + stack.Root
	want := map[string]string{"clusterpedia": root, "with.dots": root + "/clusters/with.dots"}
	for name, server := range before {
		want[name] = server // those of others stay, also one that a PediaCluster is named like
	}
	for range 2 {
		require.Contains(t, script("gen-clusterconfigs.sh"), "cluster plain is left alone")
		require.Equal(t, want, clusters())
	}
	run("kubectl", "config", "delete-cluster", "plain")
	script("gen-clusterconfigs.sh")
	want["plain"] = root + "/clusters/plain"
	require.Equal(t, want, clusters())
	// They work.
	run("kubectl", "--cluster", "with.dots", "version", "--client")
	script("clean-clusterconfigs.sh")
	delete(before, "plain")
	require.Equal(t, before, clusters())
}
