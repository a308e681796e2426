package apiserver

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/server/filters"
)

// over is a context whose time is over, which those who wait for it learn later.
type over struct {
	context.Context
	done chan struct{}
}

func (o over) Done() <-chan struct{} { return o.done }

func (o over) Err() error { return context.DeadlineExceeded }

// Whoever asks for too much in too little time is told so, though the handler has an answer
// before the generic server sees that the time is over.
func TestTimeoutFirst(t *testing.T) {
	t.Parallel()
	const own = "the handler's"
	for name, handler := range map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, own, http.StatusGatewayTimeout) },
		"a body":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(own)) },
		"a list that is cut off": func(w http.ResponseWriter, _ *http.Request) {
			if _, err := w.Write([]byte(own)); err != nil {
				panic(http.ErrAbortHandler) //nolint:forbidigo // as handlers do
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chain := filters.WithTimeoutForNonLongRunningRequests(withTimeoutFirst(handler), func(*http.Request, *request.RequestInfo) bool { return false })
			late := over{request.WithRequestInfo(t.Context(), &request.RequestInfo{}), make(chan struct{})}
			time.AfterFunc(50*time.Millisecond, func() { close(late.done) })
			w := httptest.NewRecorder()
			chain.ServeHTTP(w, httptest.NewRequestWithContext(late, http.MethodGet, "/", nil))
			require.Equal(t, http.StatusGatewayTimeout, w.Code)
			require.Contains(t, w.Body.String(), "request did not complete within the allotted timeout")

			w = httptest.NewRecorder()
			withTimeoutFirst(handler).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
			require.Contains(t, w.Body.String(), own)
		})
	}
}
