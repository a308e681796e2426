package cork

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stuck returns a connection that waits for its client to read what was held back.
func stuck(t *testing.T) *Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { require.NoError(t, theirs.Close()) })
	c := corkable(t, ours)
	c.Cork()
	write(t, c, 100)
	c.Uncork()
	_, err := theirs.Read(make([]byte, 1))
	require.NoError(t, err)
	return c
}

// TestGoroutines has many handlers end while the client reads nothing.
//
//nolint:paralleltest // It counts goroutines.
func TestGoroutines(t *testing.T) {
	c := stuck(t)
	before := runtime.NumGoroutine()
	for range 1000 {
		c.Cork()
		c.Uncork()
		runtime.Gosched()
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before+1)
}

func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end  func(c *Conn) error
		want error
	}{
		"by a deadline": {func(c *Conn) error { return c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)) }, os.ErrDeadlineExceeded},
		"by its close":  {func(c *Conn) error { return c.Close() }, io.ErrClosedPipe},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := stuck(t)
			written := make(chan error)
			go func() {
				_, err := c.Write([]byte("more"))
				written <- err
			}()
			require.NoError(t, test.end(c))
			require.ErrorIs(t, <-written, test.want)
		})
	}
}

// TestCloseWhileCorked closes a connection that a handler whose stream has ended still has
// corked.
func TestCloseWhileCorked(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS() // for its certificate
	t.Cleanup(server.Close)
	var lc net.ListenConfig
	inner, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := Listener(inner)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	ended := make(chan error, 1)
	go func() {
		ended <- func() error {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			conn := tls.Server(c, server.TLS)
			if err := conn.HandshakeContext(t.Context()); err != nil {
				return err
			}
			c.(*Conn).Cork()
			defer c.(*Conn).Uncork()
			if _, err := conn.Write([]byte("the last")); err != nil {
				return err
			}
			return conn.Close()
		}()
	}()
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
	conn, err := dialer.DialContext(t.Context(), "tcp", inner.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "the last", string(got))
	require.NoError(t, <-ended)
}

// TestLastBytes has the server close the connection right behind an answer.
func TestLastBytes(t *testing.T) {
	t.Parallel()
	answer := bytes.Repeat([]byte("0123456789"), 20_000)
	for _, proto := range []string{"HTTP/1.0", "HTTP/1.1", "HTTP/2"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			for range 30 {
				answered, down := make(chan struct{}), make(chan error, 1)
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					pieces(w, req, answer)
					close(answered)
				}))
				server.Listener = Listener(server.Listener)
				server.EnableHTTP2 = true
				server.StartTLS()
				go func() {
					<-answered
					down <- server.Config.Shutdown(t.Context())
				}()
				config := &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
				if proto == "HTTP/2" {
					transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: config}
					require.NoError(t, get(t.Context(), &http.Client{Transport: transport}, server.URL, answer))
					transport.CloseIdleConnections()
				} else {
					require.NoError(t, getAndClose(t.Context(), server.Listener.Addr().String(), config, proto, answer))
				}
				require.NoError(t, <-down)
				server.Close()
			}
		})
	}
}

// getAndClose gets an answer that is to be the connection's last.
func getAndClose(ctx context.Context, to string, config *tls.Config, proto string, want []byte) error {
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", to)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "GET / %s\r\nHost: x\r\nConnection: close\r\n\r\n", proto); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	return compare(resp, want)
}
