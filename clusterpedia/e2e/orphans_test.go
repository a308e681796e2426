package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/stack"
)

// vanished removes a finalizer by force while no manager runs. The next one knows from the
// Lease that what is stored is this host cluster's, and will remove it in a while, unless
// somebody makes a PediaCluster of that name and deletes it.
func vanished(t *testing.T, d *deployment, s sqlStorage) {
	require.NoError(t, d.AddCluster(t.Context(), "vanished", shared.members[0].Kubeconfig(), stack.SyncResource{Resources: []string{"configmaps"}}))
	require.NoError(t, d.WaitSynced(t.Context(), "vanished", syncLimit, nil))
	rows := s.rowsOf(t, "vanished", "configmaps")
	require.NotZero(t, rows)
	// Where there is no PediaCluster at all nobody looks for others.
	d.pediaCluster(t, "bystander", map[string]any{"shardingName": "of-nobody", "syncResources": []any{}})
	eventually(t, syncLimit, func() error {
		if out := d.mustKubectl(t, "--context", "host", "get", "lease", "-n", stack.Namespace, "clusterpedia-clustersynchro-manager", "-o", "jsonpath={.metadata.annotations}"); !strings.Contains(out, `vanished`) {
			return fmt.Errorf("the Lease does not name it: %s", out)
		}
		return nil
	})
	require.NoError(t, d.manager.Kill())
	d.mustKubectl(t, "--context", "host", "patch", "pediacluster", "vanished", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	d.mustKubectl(t, "--context", "host", "delete", "pediacluster", "vanished")
	d.startManager(t)
	eventually(t, syncLimit, func() error {
		if log := d.manager.LogTail(1 << 20); !strings.Contains(log, `"Objects are stored of a cluster without a PediaCluster`) || !strings.Contains(log, `cluster="vanished"`) {
			return fmt.Errorf("the log does not tell of it: %s", log)
		}
		return nil
	})
	require.Equal(t, rows, s.rowsOf(t, "vanished", "configmaps"))

	d.pediaCluster(t, "vanished", map[string]any{"syncResources": []any{}})
	eventually(t, syncLimit, func() error {
		if out := d.mustKubectl(t, "--context", "host", "get", "pediacluster", "vanished", "-o", "jsonpath={.metadata.finalizers}"); !strings.Contains(out, "cluster-synchro-controller") {
			return fmt.Errorf("no finalizer: %s", out)
		}
		return nil
	})
	require.NoError(t, d.RemoveCluster(t.Context(), "vanished"))
	d.mustKubectl(t, "--context", "host", "delete", "pediacluster", "bystander")
	require.Zero(t, s.rowsOf(t, "vanished", "configmaps"))
}
