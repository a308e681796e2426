package apiserver

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apiserver/pkg/server/healthz"
)

// prober is a storage layer of which nothing but that it answers is known.
type prober func(context.Context) error

func (p prober) Probe(ctx context.Context) error { return p(ctx) }

// A server is not ready while its storage layer does not answer, and says nothing of why.
func TestStorageCheck(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		probe prober
		code  int
		body  string
	}{
		"it answers": {func(context.Context) error { return nil }, http.StatusOK, "ok"},
		"it fails":   {func(context.Context) error { return errors.New("secret of the database") }, http.StatusInternalServerError, "[-]storage failed: reason withheld"},
		"it hangs":   {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, http.StatusInternalServerError, "[-]storage failed: reason withheld"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mux := http.NewServeMux()
			healthz.InstallReadyzHandler(mux, storageCheck(tc.probe))
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
			require.Equal(t, tc.code, w.Code, w.Body)
			require.Contains(t, w.Body.String(), tc.body)
			require.NotContains(t, w.Body.String(), "secret")
		})
	}
}
