package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/stack"
)

// TestSlowQueries has a database take too long for whatever is asked: it is ended after
// queryTimeout, and once the database is as fast as before, so are the answers.
func TestSlowQueries(t *testing.T) {
	s := sqlStorages()["SQLite"](t)
	d := deploy(t, "internal", s.config+"queryTimeout: 500ms\n")
	d.startManager(t)
	d.startAPIServer(t)
	m := shared.members[0]
	require.NoError(t, d.AddCluster(t.Context(), m.Name, m.Kubeconfig(), stack.SyncResource{Resources: []string{"configmaps"}}))
	require.NoError(t, d.WaitSynced(t.Context(), m.Name, syncLimit, nil))
	require.NoError(t, d.manager.Stop(stopLimit))
	d.manager = nil

	change := func(statements ...string) {
		t.Helper()
		for _, statement := range statements {
			_, err := s.db.ExecContext(t.Context(), statement)
			require.NoError(t, err, statement)
		}
	}
	paths := map[string]string{
		"list":       stack.Root + "/api/v1/configmaps",
		"count":      stack.Root + "/api/v1/configmaps?limit=1&withRemainingCount=true",
		"cluster":    stack.Root + "/clusters/" + m.Name + "/api/v1/namespaces/kube-system/configmaps",
		"get":        stack.Root + "/clusters/" + m.Name + "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication",
		"collection": "/apis/clusterpedia.io/v1beta1/collectionresources/kuberesources?namespaces=kube-system",
	}
	for _, path := range paths {
		eventually(t, seconds, func() error { // the apiserver may not know the resource yet
			_, err := d.kubectl(t.Context(), "--context", "host", "get", "--raw", path)
			return err
		})
	}
	change("ALTER TABLE resources RENAME TO hidden",
		"CREATE VIEW resources AS SELECT * FROM hidden WHERE (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000000000) SELECT COUNT(*) FROM n) > 0")
	for kind, path := range paths {
		// Sooner than --request-timeout, which would end them too.
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, err := d.kubectl(ctx, "--context", "host", "get", "--raw", path)
		require.NoError(t, ctx.Err(), kind)
		cancel()
		require.ErrorContains(t, err, "(Timeout)", kind)
	}
	require.Contains(t, d.apiserver.LogTail(100_000), "it took longer than queryTimeout")
	change("DROP VIEW resources", "ALTER TABLE hidden RENAME TO resources")
	for _, path := range paths {
		d.mustKubectl(t, "--context", "host", "get", "--raw", path)
	}
}
