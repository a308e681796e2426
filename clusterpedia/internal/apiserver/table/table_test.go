package table

import (
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/clusterpedia/internal/builtin"
)

// Not all compiled-in kinds are printed by Kubernetes' own printers.
func TestColumns(t *testing.T) {
	t.Parallel()
	scheme := builtin.NewScheme()
	printer := NewPrinter(scheme)
	const since = `"metadata":{"name":"v1.x.io","creationTimestamp":"2022-03-01T00:00:00Z"}`
	for name, tc := range map[string]struct {
		kind          schema.GroupKind
		doc           string
		columns, want []any
	}{
		"an API of a service": {
			kind:    apiServices,
			doc:     `{"kind":"APIService","apiVersion":"apiregistration.k8s.io/v1",` + since + `,"spec":{"group":"x.io","version":"v1","service":{"namespace":"n","name":"s"}},"status":{"conditions":[{"type":"Available","status":"False","reason":"MissingEndpoints"}]}}`,
			columns: []any{"Cluster", "Name", "Service", "Available", "Age"},
			want:    []any{"c", "v1.x.io", "n/s", "False (MissingEndpoints)"},
		},
		"one of the API server": {
			kind:    apiServices,
			doc:     `{"kind":"APIService","apiVersion":"apiregistration.k8s.io/v1",` + since + `,"spec":{"group":"x.io","version":"v1"}}`,
			columns: []any{"Cluster", "Name", "Service", "Available", "Age"},
			want:    []any{"c", "v1.x.io", "Local", "Unknown"},
		},
		"a kind whose columns nobody prints": {
			kind:    schema.GroupKind{Group: "storage.k8s.io", Kind: "CSIStorageCapacity"},
			doc:     `{"kind":"CSIStorageCapacity","apiVersion":"storage.k8s.io/v1",` + since + `,"storageClassName":"s","capacity":"1Gi"}`,
			columns: []any{"Cluster", "Name", "Created At"},
			want:    []any{"c", "v1.x.io", "2022-03-01T00:00:00Z"},
		},
		"a kind without columns": {
			kind:    schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"},
			doc:     `{"kind":"ClusterRole","apiVersion":"rbac.authorization.k8s.io/v1",` + since + `,"rules":[]}`,
			columns: []any{"Cluster", "Name", "Created At"},
			want:    []any{"c", "v1.x.io", "2022-03-01T00:00:00Z"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			columns := printer.Columns(t.Context(), tc.kind)
			var names []any
			for _, c := range columns.Definitions {
				names = append(names, c.Name)
			}
			require.Equal(t, tc.columns, names)
			obj, err := scheme.Decode([]byte(tc.doc))
			require.NoError(t, err)
			row, err := columns.Row(t.Context(), "c", obj)
			require.NoError(t, err)
			require.Len(t, row.Cells, len(names))
			require.Equal(t, tc.want, row.Cells[:len(tc.want)])
		})
	}
}
