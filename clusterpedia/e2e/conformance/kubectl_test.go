package conformance

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestKubectl is case 63 of the contract, through the host cluster.
func TestKubectl(t *testing.T) {
	t.Parallel()
	for _, d := range all(t) {
		t.Run(d.storage, func(t *testing.T) {
			t.Parallel()
			cache := t.TempDir()
			lines := func(args ...string) []string {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), filepath.Join(shared.binaries, "kubectl"), append([]string{
					"--kubeconfig", d.Host.Kubeconfig(), "--server", d.Host.URL() + root + "/resources", "--cache-dir", cache,
				}, args...)...)
				output, err := cmd.Output()
				require.NoError(t, err, "%v: %s", args, output)
				return strings.Split(strings.TrimSpace(string(output)), "\n")
			}
			kinds := strings.Join(lines("api-resources", "--no-headers"), "\n")
			for _, kind := range []string{"po ", "Pod", "deploy ", "Deployment", "Widget"} {
				require.Contains(t, kinds, kind)
			}
			for resource, want := range map[string]int{"deploy": 6, "widgets": 2, "pods": 12, "nodes": 2} {
				for _, chunk := range []string{"500", "1"} {
					table := lines("get", resource, "-A", "--chunk-size", chunk)
					columns := strings.Fields(table[0])
					require.Contains(t, columns[:2], "CLUSTER", "kubectl itself puts NAMESPACE before it")
					require.Len(t, table, 1+want, "%s by %s", resource, chunk)
				}
			}
			require.Len(t, lines("get", "pods", "-A", "-l", "app=web", "-o", "name"), 6)
		})
	}
}
