package conformance

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestKeptCells has tables read no more than they show: what else databases hold of the
// objects is damaged, and the tables are as before.
func TestKeptCells(t *testing.T) {
	for storage, damage := range map[string]string{
		postgresql: `UPDATE resources SET raw = '\x02ff' WHERE cluster = 'kept' AND resource <> 'customresourcedefinitions'`,
		mariadb:    `UPDATE resources SET raw = x'02ff' WHERE cluster = 'kept' AND resource <> 'customresourcedefinitions'`,
		sqlite:     `DROP TRIGGER resources_head; UPDATE resources SET object = '{"metadata":{"name":"damaged"}}' WHERE cluster = 'kept' AND resource <> 'customresourcedefinitions'`,
	} {
		t.Run(storage, func(t *testing.T) {
			d := shared.deployment(t, storage)
			ctx := t.Context()
			things := resource{schema.GroupVersionResource{Group: "kept.example.io", Version: "v1", Resource: "things"}, "Thing", true}
			crds := resource{schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}, "CustomResourceDefinition", false}
			l := &loader{newStub("kept", 6999, pods, configMaps, secrets, deployments, crds, things), 6, 6000}
			t.Cleanup(l.close)
			l.load(pods, "default", "p", document{
				"spec": document{"nodeName": "n", "containers": []any{document{"name": "a"}, document{"name": "b"}}},
				"status": document{"phase": "Running", "containerStatuses": []any{document{
					"name": "a", "ready": true, "restartCount": 3, "state": document{"running": document{}}, "lastState": document{"terminated": document{"exitCode": 1, "finishedAt": "2022-01-02T00:00:00Z"}},
				}}},
			})
			l.load(configMaps, "default", "cm1", document{"data": document{"key": "value"}})
			l.load(secrets, "default", "s", document{"type": "Opaque", "data": document{"a": "YQ==", "b": "Yg=="}})
			l.load(deployments, "default", "d", document{"spec": document{"replicas": 3}, "status": document{"readyReplicas": 2}})
			l.load(things, "default", "t", document{"spec": document{"size": 3}})
			l.load(crds, "", "things.kept.example.io", document{"spec": document{
				"group": "kept.example.io", "scope": "Namespaced", "names": document{"plural": "things", "kind": "Thing"},
				"versions": []any{document{"name": "v1", "served": true, "storage": true, "additionalPrinterColumns": []any{
					document{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}, document{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
				}}},
			}})
			require.NoError(t, d.join(ctx, l.stub, crds, things))
			t.Cleanup(func() { require.NoError(t, d.RemoveCluster(context.WithoutCancel(ctx), l.name)) })
			urls := map[string][]any{
				"M/api/v1/pods?clusters=kept":                    {"kept", "p", "1/2", "Running", "3 (4y", "4y"},
				"M/api/v1/secrets?clusters=kept":                 {"kept", "s", "Opaque", 2.0, "4y"},
				"M/apis/apps/v1/deployments?clusters=kept":       {"kept", "d", "2/3", 0.0, 0.0, "4y"},
				"C(kept)/apis/kept.example.io/v1/things":         {"kept", "t", 3.0, "4y"},
				"M/apis/kept.example.io/v1/things?clusters=kept": {"kept", "t", 3.0, "4y"},
			}
			show := func() {
				t.Helper()
				for url, want := range urls {
					r, err := d.send(ctx, &Case{Accept: "application/json" + asTable}, url)
					require.NoError(t, err)
					require.Equal(t, http.StatusOK, r.status, r)
					var table metav1.Table
					require.NoError(t, json.Unmarshal(r.body, &table), r)
					require.Len(t, table.Rows, 1, r)
					for i, cell := range want {
						if text, ok := cell.(string); ok {
							require.Contains(t, table.Rows[0].Cells[i], text, r) // ages go on
						} else {
							require.Equal(t, cell, table.Rows[0].Cells[i], r)
						}
					}
				}
			}
			show()
			_, err := d.database.db.ExecContext(ctx, damage)
			require.NoError(t, err)
			show()
			for url := range urls {
				r, err := d.send(ctx, &Case{Accept: "application/json"}, url)
				require.NoError(t, err)
				if storage == sqlite { // which serves column object as it is
					require.Contains(t, string(r.body), "damaged", r)
					continue
				}
				require.Equal(t, http.StatusInternalServerError, r.status, r)
			}
		})
	}
}
