package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/stack"
)

// vanished removes a finalizer by force while no manager runs. What is stored may be another
// host cluster's, so it is kept, and told in the log, until somebody makes a PediaCluster of
// that name and deletes it.
func vanished(t *testing.T, d *deployment, s sqlStorage) {
	require.NoError(t, d.AddCluster(t.Context(), "vanished", shared.members[0].Kubeconfig(), stack.SyncResource{Resources: []string{"configmaps"}}))
	require.NoError(t, d.WaitSynced(t.Context(), "vanished", syncLimit, nil))
	rows := s.rowsOf(t, "vanished", "configmaps")
	require.NotZero(t, rows)
	require.NoError(t, d.manager.Kill())
	d.mustKubectl(t, "--context", "host", "patch", "pediacluster", "vanished", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	d.mustKubectl(t, "--context", "host", "delete", "pediacluster", "vanished")
	d.startManager(t)
	eventually(t, syncLimit, func() error {
		if log := d.manager.LogTail(1 << 20); !strings.Contains(log, `"Keep what is stored of a cluster without a PediaCluster`) || !strings.Contains(log, `cluster="vanished"`) {
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
	require.Zero(t, s.rowsOf(t, "vanished", "configmaps"))
}
