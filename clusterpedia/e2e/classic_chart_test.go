package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/process"
)

// TestClassicChart starts each server of its image as the Helm chart of v0.9 does: by the
// same commands, flags and environment. What a pod would give it are a kubeconfig, in place
// of a ServiceAccount, and ports that are free here.
func TestClassicChart(t *testing.T) {
	d := deploy(t, "memory", "")
	kubeconfig, err := os.ReadFile(d.Host.Kubeconfig())
	require.NoError(t, err)
	free, err := process.FreePorts(3)
	require.NoError(t, err)
	election := []string{
		"--leader-elect-lease-duration=15s", "--leader-elect-renew-deadline=10s", "--leader-elect-retry-period=2s",
		"--leader-elect-resource-lock=leases", "--leader-elect-resource-namespace=clusterpedia-system",
	}
	storage := []string{"--storage-config=/etc/clusterpedia/storage/internalstorage-config.yaml"}
	for _, tc := range []struct {
		server string
		args   [][]string
		says   string
	}{
		{
			"apiserver",
			[][]string{storage, {
				fmt.Sprintf("--secure-port=%d", free[0]), "-v=3", "--feature-gates=AllowRawSQLQuery=false",
				"--bind-address=127.0.0.1", "--authentication-kubeconfig=/kubeconfig", "--authorization-kubeconfig=/kubeconfig",
			}},
			"Serving securely on ",
		},
		{
			"clustersynchro-manager",
			[][]string{storage, election, {
				"--worker-number=5", "--enable-kube-state-metrics=false", "-v=3",
				"--feature-gates=PruneManagedFields=true,PruneLastAppliedConfiguration=true,AllowSyncAllCustomResources=false,AllowSyncAllResources=false,HealthCheckerWithStandaloneTCP=false",
				"--metrics-host=127.0.0.1", fmt.Sprintf("--metrics-port=%d", free[1]),
			}},
			"Manage PediaClusters",
		},
		{
			"controller-manager",
			[][]string{election, {"-v=3", "--metrics-host=127.0.0.1", fmt.Sprintf("--metrics-port=%d", free[2])}},
			"Successfully acquired lease",
		},
	} {
		t.Run(tc.server, func(t *testing.T) {
			root := rootfs(t, tc.server)
			require.NoError(t, os.WriteFile(filepath.Join(root, "kubeconfig"), kubeconfig, 0o644))
			config := filepath.Join(root, "etc", "clusterpedia", "storage")
			require.NoError(t, os.MkdirAll(config, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(config, "internalstorage-config.yaml"), []byte("type: sqlite\ndsn: /tmp/clusterpedia.db\n"), 0o644))
			args := []string{"/usr/local/bin/" + tc.server, "--kubeconfig=/kubeconfig"}
			for _, more := range tc.args {
				args = append(args, more...)
			}
			cmd := in(t.Context(), root, args...)
			cmd.Env = append(cmd.Env, "CLUSTERPEDIA_NAMESPACE=clusterpedia-system", "GODEBUG=x509sha1=1")
			if tc.server != "controller-manager" {
				cmd.Env = append(cmd.Env, "DB_PASSWORD=dangerous0")
			}
			log, err := os.Create(filepath.Join(t.TempDir(), "log"))
			require.NoError(t, err)
			defer func() { require.NoError(t, log.Close()) }()
			cmd.Stdout, cmd.Stderr = log, log
			require.NoError(t, cmd.Start())
			eventually(t, time.Minute, func() error {
				text, err := os.ReadFile(log.Name())
				if err == nil && !strings.Contains(string(text), tc.says) {
					err = fmt.Errorf("it does not say %q:\n%s", tc.says, text)
				}
				return err
			})
			require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
			require.NoError(t, cmd.Wait(), "it ends well when it is told to")
		})
	}
}
