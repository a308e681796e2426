package resources_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/clusterpedia/internal/apiserver/resources"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// Users know the texts of conditions in SQL that cannot be used.
func TestInvalidSQL(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{"": `[]string(nil)`, "!": `"!"`} {
		err := resources.APIError(&query.InvalidQueryError{Field: "whereSQLStatement", Value: value, Reason: "why"}, schema.GroupResource{}, "")
		require.EqualError(t, err, `ListOptions.clusterpedia.io "urlQuery" is invalid: whereSQLStatement: Invalid value: `+want+": why")
	}
}

// What a storage layer fails with has the code that clients know it by, and the words of a
// database stay behind.
func TestAPIError(t *testing.T) {
	t.Parallel()
	words := errors.New("connect to db.example.com as admin")
	for name, x := range map[string]struct {
		err  error
		code int
	}{
		"not found":                    {fmt.Errorf("%w: %w", storage.ErrNotFound, words), http.StatusNotFound},
		"invalid":                      {fmt.Errorf("list: %w", &query.InvalidQueryError{Field: "limit", Value: "x", Reason: "why"}), http.StatusBadRequest},
		"unsupported":                  {fmt.Errorf("owners: %w", storage.ErrUnsupported), http.StatusBadRequest},
		"retryable":                    {fmt.Errorf("list: %w", storage.Retryable(words)), http.StatusServiceUnavailable},
		"the client's deadline":        {fmt.Errorf("list: %w: %w", context.DeadlineExceeded, words), http.StatusGatewayTimeout},
		"the client has gone":          {fmt.Errorf("list: %w: %w", context.Canceled, words), http.StatusGatewayTimeout},
		"it takes longer than allowed": {errors.Join(context.DeadlineExceeded, storage.Retryable(words)), http.StatusGatewayTimeout},
		"anything else":                {words, http.StatusInternalServerError},
	} {
		err := resources.APIError(x.err, schema.GroupResource{Resource: "pods"}, "p")
		var status apierrors.APIStatus
		require.ErrorAs(t, err, &status, name)
		require.EqualValues(t, x.code, status.Status().Code, name)
		require.NotContains(t, err.Error(), words.Error(), name)
	}
}
