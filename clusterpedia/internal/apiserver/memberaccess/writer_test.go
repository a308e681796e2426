package memberaccess

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a member says before its answer, and behind it, is not the client's to hear.
func TestInterimAnswers(t *testing.T) {
	t.Parallel()
	member := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Set-Cookie")
		w.Header().Set("Trailer", "X-Behind")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte("no"))
		w.Header().Set("X-Behind", "secret")
	}))
	t.Cleanup(member.Close)
	target, err := url.Parse(member.URL)
	require.NoError(t, err)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Cache-Control", "of the front")
		(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}).ServeHTTP(newFinalWriter(w), req)
	}))
	t.Cleanup(front.Close)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.URL, nil)
	require.NoError(t, err)
	resp, err := front.Client().Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
	require.Equal(t, "of the front", resp.Header.Get("Cache-Control"))
	require.Empty(t, resp.Header.Get("Set-Cookie"))
	require.Empty(t, resp.Trailer)
}

func TestFinalWriter(t *testing.T) {
	t.Parallel()
	recorder := httptest.NewRecorder()
	w := newFinalWriter(recorder)
	w.Header().Set("A", "b")
	w.WriteHeader(http.StatusEarlyHints)
	require.Empty(t, recorder.Header())
	_, err := w.Write([]byte("body"))
	require.NoError(t, err)
	w.WriteHeader(http.StatusTeapot)
	require.Equal(t, http.StatusOK, recorder.Code)
	require.Equal(t, "b", recorder.Header().Get("A"))
	require.NoError(t, http.NewResponseController(w).Flush())
}
