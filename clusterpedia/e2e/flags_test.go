package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFlags gives the managers every flag that manifests of v0.9 may have.
func TestFlags(t *testing.T) {
	t.Parallel()
	const common = `--kubeconfig= --master= --kube-api-qps=50 --kube-api-burst=100 --kube-api-content-type=application/json
		--leader-elect=true --leader-elect-lease-duration=15s --leader-elect-renew-deadline=10s --leader-elect-retry-period=2s --leader-elect-resource-lock=leases
		--leader-elect-resource-name=x --leader-elect-resource-namespace=x
		-v=1 --vmodule=a=1 --logging-format=text --log-flush-frequency=5s --log-json-split-stream=false --log-json-info-buffer-size=0 --log-text-split-stream=false --log-text-info-buffer-size=0
		--feature-gates=AllAlpha=false,AllBeta=true `
	for server, flags := range map[string]string{
		"clustersynchro-manager": `--worker-number=5 --sharding-name=a --page-size=100 --storage-name=internal --storage-config=/x
			--metrics-host=:: --metrics-port=8081 --metrics-disable-gzip-encoding=false --metrics-tls-config= --resource-synchro-metrics-labels=cluster,gvr
			--allow-metric-labels-manifest= --disabled-metrics= --show-hidden-metrics-for-version=
			--enable-kube-state-metrics=false --kube-state-metrics-host=:: --kube-state-metrics-port=8080 --kube-state-metrics-metric-allowlist= --kube-state-metrics-metric-denylist=
			--kube-state-metrics-metric-opt-in-list= --kube-state-metrics-resources=deployments,pods,services --kube-state-metrics-namespaces= --kube-state-metrics-namespaces-denylist=
			--feature-gates=PruneManagedFields=true,PruneLastAppliedConfiguration=true,AllowSyncAllCustomResources=true,AllowSyncAllResources=true,HealthCheckerWithStandaloneTCP=true
			--feature-gates=ForcePaginatedListForResourceSync=true,StreamHandlePaginatedListForResourceSync=true,IgnoreSyncLease=true,ClusterAuthenticationFromSecret=true`,
		"controller-manager": "",
	} {
		out, err := exec.CommandContext(t.Context(), filepath.Join(shared.bin, server), append(strings.Fields(common+flags), "--version")...).CombinedOutput()
		require.NoError(t, err, string(out))
		require.Contains(t, string(out), "Clusterpedia ")
	}
}
