package process

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/util/cert"

	"clusterpedia.io/storage-api/storage"
)

// metered is a storage layer with metrics.
type metered struct{ storage.Storage }

func (metered) WriteMetrics(w io.Writer) error {
	_, err := fmt.Fprintln(w, "storage_test 1")
	return err
}

// listen serves on a free port until the test ends, and returns the address.
func listen(t *testing.T, o *MetricsOptions) string {
	t.Helper()
	o.Host, o.Port = "127.0.0.1", freePort(t)
	require.Empty(t, o.Validate())
	serve, err := o.Listen(t.Context(), metered{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	return fmt.Sprintf("127.0.0.1:%d", o.Port)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // It is closed at once.
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	var n int
	_, err = fmt.Sscan(port, &n)
	require.NoError(t, err)
	return n
}

type answer struct {
	code           int
	encoding, text string
}

func get(t *testing.T, client *http.Client, url string, change func(*http.Request)) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	// What the transport adds by itself, it also undoes.
	req.Header.Set("Accept-Encoding", "identity")
	if change != nil {
		change(req)
	}
	response, err := client.Do(req)
	require.NoError(t, err)
	defer response.Body.Close()
	body := io.Reader(response.Body)
	if response.Header.Get("Content-Encoding") == "gzip" {
		body, err = gzip.NewReader(body)
		require.NoError(t, err)
	}
	text, err := io.ReadAll(body)
	require.NoError(t, err)
	return answer{response.StatusCode, response.Header.Get("Content-Encoding"), string(text)}
}

func TestMetricsServer(t *testing.T) {
	t.Parallel()
	client := &http.Client{Timeout: 10 * time.Second}
	zip := func(req *http.Request) { req.Header.Set("Accept-Encoding", "deflate, gzip;q=0.5") }
	for name, tc := range map[string]struct {
		change   func(*MetricsOptions)
		encoding string
		pprof    int
	}{
		"defaults":     {func(*MetricsOptions) {}, "gzip", http.StatusOK},
		"no gzip":      {func(o *MetricsOptions) { o.DisableGzip = true }, "", http.StatusOK},
		"no profiling": {func(o *MetricsOptions) { o.Profiling = ProfilingNone }, "gzip", http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := NewMetricsOptions("the title", 1)
			tc.change(o)
			url := "http://" + listen(t, o)
			for encoding, change := range map[string]func(*http.Request){"": nil, tc.encoding: zip} {
				got := get(t, client, url+"/metrics", change)
				require.Equal(t, encoding, got.encoding)
				require.Contains(t, got.text, "clusterpedia_build_info{")
				require.Contains(t, got.text, "go_goroutines ")
				require.True(t, strings.HasSuffix(got.text, "storage_test 1\n"))
			}
			for _, path := range []string{"/healthz", "/readyz"} {
				require.Equal(t, "ok", get(t, client, url+path, nil).text)
			}
			require.Equal(t, tc.pprof, get(t, client, url+"/debug/pprof/cmdline", nil).code)
			require.Contains(t, get(t, client, url+"/", nil).text, "the title")
			require.Equal(t, http.StatusNotFound, get(t, client, url+"/other", nil).code)
		})
	}
}

// TestProfilingFromAfar has the process profiled over an address that is not that of
// the loopback interface.
func TestProfilingFromAfar(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]int{ProfilingLoopback: http.StatusForbidden, ProfilingAll: http.StatusOK} {
		for _, remote := range []string{"192.0.2.1:5", "[2001:db8::1]:5", "nonsense"} {
			mux := http.NewServeMux()
			(&MetricsOptions{Profiling: value}).addProfiling(mux)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/debug/pprof/cmdline", nil)
			require.NoError(t, err)
			req.RemoteAddr = remote
			w := &status{}
			mux.ServeHTTP(w, req)
			require.Equal(t, want, max(w.code, http.StatusOK), "%s from %s", value, remote)
		}
		for _, remote := range []string{"127.0.0.1:5", "[::1]:5", "[::ffff:127.0.0.1]:5"} {
			mux := http.NewServeMux()
			(&MetricsOptions{Profiling: value}).addProfiling(mux)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/debug/pprof/cmdline", nil)
			require.NoError(t, err)
			req.RemoteAddr = remote
			w := &status{}
			mux.ServeHTTP(w, req)
			require.Equal(t, http.StatusOK, max(w.code, http.StatusOK), "%s from %s", value, remote)
		}
	}
}

type status struct{ code int }

func (*status) Header() http.Header         { return http.Header{} }
func (*status) Write(b []byte) (int, error) { return len(b), nil }
func (s *status) WriteHeader(code int)      { s.code = code }

func TestWebConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate, key, err := cert.GenerateSelfSignedCertKey("localhost", nil, nil)
	require.NoError(t, err)
	config := filepath.Join(dir, "web.yaml")
	for file, text := range map[string]string{
		"tls.crt": string(certificate), "tls.key": string(key),
		// The password is "open".
		"web.yaml": "tls_server_config: {cert_file: tls.crt, key_file: tls.key}\nbasic_auth_users: {prometheus: $2b$04$REeH/eUdCBE/erGuQcDQYOKxx9alfFY/YUi6VjjaKgV1KlP0hNqoS}\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
	}
	o := NewMetricsOptions("title", 1)
	o.TLSConfig = config
	url := "https://" + listen(t, o) + "/metrics"
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	require.Equal(t, http.StatusUnauthorized, get(t, client, url, nil).code)
	got := get(t, client, url, func(req *http.Request) { req.SetBasicAuth("prometheus", "open") })
	require.Equal(t, http.StatusOK, got.code, got.text)

	require.NoError(t, os.WriteFile(config, []byte("no_such_setting: 1\n"), 0o600))
	require.ErrorContains(t, o.Validate()[0], "--metrics-tls-config: ")
	o.TLSConfig = filepath.Join(dir, "missing.yaml")
	require.ErrorContains(t, o.Validate()[0], "--metrics-tls-config: ")
	o.TLSConfig, o.Profiling, o.Port = "", "maybe", 0
	errs := fmt.Sprint(o.Validate())
	require.Contains(t, errs, "--profiling must be loopback, true or false")
	require.Contains(t, errs, "--metrics-port must be from 1 to 65535")
}
