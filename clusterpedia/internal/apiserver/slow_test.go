package apiserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/filters"

	"clusterpedia.io/clusterpedia/internal/apiserver/resources"
)

// An answer that nobody reads ends when its time is over; a watch has any time. The
// connection of HTTP/1.1 serves the next request as before.
func TestUnreadAnswers(t *testing.T) {
	t.Parallel()
	const (
		limit, grace = time.Second, 100 * time.Millisecond
		root         = "/apis/clusterpedia.io/v1beta1/resources"
		watch, late  = root + "/api/v1/pods?watch=true", root + "/version?late"
	)
	config := &genericapiserver.Config{
		RequestInfoResolver: &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")},
		LongRunningFunc:     resources.LongRunning(), RequestTimeout: limit,
	}
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP/", version), func(t *testing.T) {
			t.Parallel()
			ended := make(chan error, 1)
			endless := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				for {
					if _, err := w.Write(make([]byte, 64<<10)); err != nil {
						ended <- err
						return
					}
				}
			})
			// What the generic server does to requests that are not long-running.
			limited := filters.WithTimeoutForNonLongRunningRequests(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if strings.HasSuffix(req.URL.String(), late) {
					<-req.Context().Done()
					return
				}
				endless(w, req)
			}), config.LongRunningFunc)
			server := httptest.NewUnstartedServer(withWriteDeadline(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				switch {
				case req.URL.Path == "/short":
					fmt.Fprint(w, "ok")
				case req.URL.RawQuery == "watch=true":
					for range 3 {
						fmt.Fprint(w, "line")
						_ = http.NewResponseController(w).Flush()
						<-time.After(limit)
					}
				default:
					ctx, cancel := context.WithTimeout(request.WithRequestInfo(req.Context(), &request.RequestInfo{}), limit)
					defer cancel()
					limited.ServeHTTP(w, req.WithContext(ctx))
				}
			}), config, grace))
			server.EnableHTTP2 = version == 2
			server.StartTLS()
			t.Cleanup(server.Close)
			ask := func(path string) io.Reader {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
				require.NoError(t, err)
				resp, err := server.Client().Do(req)
				require.NoError(t, err)
				t.Cleanup(func() { _ = resp.Body.Close() }) // after it was cut off
				require.Equal(t, version, resp.ProtoMajor)
				return resp.Body
			}
			unread := ask(root + "/api/v1/pods")
			select {
			case err := <-ended:
				require.Error(t, err)
			case <-time.After(30 * time.Second):
				require.Fail(t, "the handler goes on")
			}
			_, err := io.ReadAll(unread)
			require.Error(t, err, "cut, and not ended as if it were whole")

			lines, err := io.ReadAll(ask(watch))
			require.NoError(t, err)
			require.Equal(t, "linelineline", string(lines))
			if version == 1 {
				testConnection(t, server, late, watch, limit+5*grace)
			}
		})
	}
}

// testConnection sends requests one after the other, each when the deadline of the one before
// is over, which is none of a watch's.
func testConnection(t *testing.T, server *httptest.Server, late, watch string, pause time.Duration) {
	t.Helper()
	conn, err := (&tls.Dialer{Config: server.Client().Transport.(*http.Transport).TLSClientConfig}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	answers := bufio.NewReader(conn)
	for _, sent := range [][2]string{{"/short", "ok"}, {late, `"code":504`}, {"/short", "ok"}, {watch, "linelineline"}} {
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: example.com\r\n\r\n", sent[0])
		answer, err := http.ReadResponse(answers, nil)
		require.NoError(t, err)
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Contains(t, string(text), sent[1])
		<-time.After(pause)
	}
}
