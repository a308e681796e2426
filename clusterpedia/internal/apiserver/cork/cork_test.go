package cork

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// recorder is a connection that notes what is written to it at once.
type recorder struct {
	net.Conn
	mu      sync.Mutex
	written [][]byte
	fails   error
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails != nil {
		return 0, r.fails
	}
	r.written = append(r.written, bytes.Clone(p))
	return len(p), nil
}

func (r *recorder) sizes() (sizes []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.written {
		sizes = append(sizes, len(p))
	}
	return sizes
}

func (r *recorder) LocalAddr() net.Addr { return &net.TCPAddr{} }
func (r *recorder) Close() error        { return nil }

// one is a listener with one connection.
type one struct {
	net.Listener
	conn net.Conn
}

func (o one) Accept() (net.Conn, error) { return o.conn, nil }

func corkable(t *testing.T, inner net.Conn) *Conn {
	t.Helper()
	c, err := Listener(one{conn: inner}).Accept()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c.(*Conn)
}

func write(t *testing.T, c *Conn, sizes ...int) {
	t.Helper()
	for _, n := range sizes {
		written, err := c.Write(make([]byte, n))
		require.NoError(t, err)
		require.Equal(t, n, written)
	}
}

func TestCork(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	c := corkable(t, r)
	write(t, c, 10, 20)
	require.Equal(t, []int{10, 20}, r.sizes(), "not corked")

	c.Cork()
	c.Cork()
	const full = 16 << 10
	write(t, c, full, full, full, full)
	require.Equal(t, 4*full, r.sizes()[2], "enough")
	write(t, c, full)
	c.Uncork()
	write(t, c, 100)
	c.Uncork()
	require.Eventually(t, func() bool {
		total := 0
		for _, n := range r.sizes() {
			total += n
		}
		return total == 30+5*full+100
	}, time.Minute, time.Millisecond)

	sent := len(r.sizes())
	c.Cork()
	write(t, c, record+1)
	require.Equal(t, []int{record + 1}, r.sizes()[sent:], "what is large in itself is not held back")
	write(t, c, 1, 2)
	require.Eventually(t, func() bool { return len(r.sizes()) > sent+1 }, time.Minute, time.Millisecond, "nobody uncorks")
	c.Uncork()
	write(t, c, 3)
	n := len(r.sizes())
	require.Equal(t, 3, r.sizes()[n-1], "behind what was held back")
}

// TestPause has patience run out once.
func TestPause(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	c := corkable(t, r)
	c.Cork()
	defer c.Uncork()
	write(t, c, 1)
	require.Eventually(t, func() bool { return len(r.sizes()) == 1 }, time.Minute, time.Millisecond)
	for i := range pause {
		write(t, c, 2)
		require.Len(t, r.sizes(), i+2, "the client may have small windows")
	}
	write(t, c, 3, 3)
	require.Eventually(t, func() bool { return len(r.sizes()) > pause+1 }, time.Minute, time.Millisecond)
}

// TestUncorkedIsInOrder has several cork a connection while one writes.
func TestUncorkedIsInOrder(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	c := corkable(t, r)
	var ended atomic.Bool
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for !ended.Load() {
				c.Cork()
				runtime.Gosched()
				c.Uncork()
			}
		})
	}
	var want []byte
	for i := range 3000 {
		p := bytes.Repeat([]byte{byte(i)}, rand.IntN(20_000))
		want = append(want, p...)
		_, err := c.Write(p)
		require.NoError(t, err)
	}
	ended.Store(true)
	group.Wait()
	_, err := c.Write([]byte("end"))
	require.NoError(t, err)
	require.True(t, bytes.Equal(append(want, "end"...), bytes.Join(r.written, nil)))
}

func TestCorkFails(t *testing.T) {
	t.Parallel()
	r := &recorder{fails: net.ErrClosed}
	c := corkable(t, r)
	c.Cork()
	defer c.Uncork()
	require.Eventually(t, func() bool {
		_, err := c.Write([]byte("x"))
		return err != nil
	}, time.Minute, time.Millisecond, "what could not be sent is told later")
	_, err := c.Write(make([]byte, record+1))
	require.ErrorIs(t, err, net.ErrClosed)
}

// TestUncorkDoesNotWait uncorks a connection whose client reads nothing.
func TestUncorkDoesNotWait(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	c := corkable(t, ours)
	c.Cork()
	write(t, c, 100)
	c.Uncork()
	c.Cork() // while the other goroutine waits for the client
	c.Uncork()
	got := make([]byte, 100)
	_, err := io.ReadFull(theirs, got)
	require.NoError(t, err)
}

func TestOf(t *testing.T) {
	t.Parallel()
	require.Nil(t, Of(t.Context()))
	require.Nil(t, Of(context.WithValue(t.Context(), http.LocalAddrContextKey, &net.TCPAddr{})))
	var none *Conn
	none.Cork()
	none.Uncork()
}

// TestServe sends long answers by corked connections: to clients whose windows of HTTP/2
// are smaller than what is held back, too.
func TestServe(t *testing.T) {
	t.Parallel()
	answer := make([]byte, 3<<20)
	for i := range answer {
		answer[i] = byte(rand.Uint32())
	}
	var corked atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if Of(req.Context()) != nil {
			corked.Add(1)
		}
		pieces(w, req, answer)
	}))
	server.Listener = Listener(server.Listener)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for name, transport := range map[string]*http.Transport{
		"HTTP/1.1":                   {},
		"HTTP/2":                     {ForceAttemptHTTP2: true},
		"HTTP/2 with small windows":  {ForceAttemptHTTP2: true, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 64 << 10}},
		"HTTP/2 with larger frames":  {ForceAttemptHTTP2: true, HTTP2: &http.HTTP2Config{MaxReadFrameSize: 1 << 20}},
		"HTTP/2 of several requests": {ForceAttemptHTTP2: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transport.TLSClientConfig = &tls.Config{RootCAs: roots}
			t.Cleanup(transport.CloseIdleConnections)
			client := &http.Client{Transport: transport}
			var group sync.WaitGroup
			errs := make([]error, 4)
			for i := range errs {
				group.Go(func() { errs[i] = get(t.Context(), client, server.URL, answer) })
			}
			group.Wait()
			for _, err := range errs {
				require.NoError(t, err)
			}
		})
	}
	t.Cleanup(func() { require.Positive(t, corked.Load()) })
}

// pieces writes an answer as the handlers of resources do.
func pieces(w http.ResponseWriter, req *http.Request, answer []byte) {
	c := Of(req.Context())
	for piece := range slices.Chunk(answer, 128<<10) {
		c.Cork()
		_, err := w.Write(piece)
		c.Uncork()
		if err != nil {
			return
		}
	}
}

func get(ctx context.Context, client *http.Client, url string, want []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	return compare(resp, want)
}

// compare reads all of an answer.
func compare(resp *http.Response, want []byte) error {
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err == nil && !bytes.Equal(want, got) {
		err = fmt.Errorf("%d bytes that are not those of the answer", len(got))
	}
	return err
}
