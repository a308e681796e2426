package resources_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/clusterpedia/internal/apiserver/resources"
	"clusterpedia.io/storage-api/query"
)

// Users know the texts of conditions in SQL that cannot be used.
func TestInvalidSQL(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{"": `[]string(nil)`, "!": `"!"`} {
		err := resources.APIError(&query.InvalidQueryError{Field: "whereSQLStatement", Value: value, Reason: "why"}, schema.GroupResource{}, "")
		require.EqualError(t, err, `ListOptions.clusterpedia.io "urlQuery" is invalid: whereSQLStatement: Invalid value: `+want+": why")
	}
}
