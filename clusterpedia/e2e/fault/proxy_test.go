package fault

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
)

// proxy passes TCP connections on, until it is told otherwise.
type proxy struct {
	// address is host:port of the proxy.
	address string

	listener net.Listener
	target   string
	// forward copies what the client sends.
	forward func(client io.Reader, server io.Writer, cut func()) error

	mu    sync.Mutex
	links map[*link]struct{}
	// dead says that new connections are accepted, and nothing else.
	dead    bool
	running sync.WaitGroup
	// accepted counts the connections, closed those that were cut, and swallowed the bytes
	// that did not pass.
	accepted, closed, swallowed atomic.Int64
}

// link is one connection.
type link struct {
	proxy          *proxy
	client, server net.Conn
	// dead says that nothing passes any more, though both ends take it for alive.
	dead atomic.Bool
}

func (l *link) close() {
	_ = l.client.Close() // that is the fault
	if l.server != nil {
		_ = l.server.Close()
	}
}

const dialLimit = 5 * time.Second

func startProxy(t *testing.T, target string, forward func(client io.Reader, server io.Writer, cut func()) error) *proxy {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{address: listener.Addr().String(), listener: listener, target: target, forward: forward, links: map[*link]struct{}{}}
	if forward == nil {
		p.forward = func(client io.Reader, server io.Writer, _ func()) error {
			_, err := io.Copy(server, client)
			return err
		}
	}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		p.cut()
		p.running.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.accepted.Add(1)
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *proxy) serve(client net.Conn) {
	l := &link{proxy: p, client: client}
	p.mu.Lock()
	l.dead.Store(p.dead)
	p.mu.Unlock()
	if !l.dead.Load() {
		server, err := (&net.Dialer{Timeout: dialLimit}).DialContext(context.Background(), "tcp", p.target)
		if err != nil {
			l.close()
			return
		}
		l.server = server
	}
	p.mu.Lock()
	p.links[l] = struct{}{}
	p.mu.Unlock()
	defer func() {
		l.close()
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	if l.server == nil {
		_, _ = io.Copy(&gate{l, nil}, client) // until the client gives up
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		defer l.close()
		_, _ = io.Copy(&gate{l, client}, l.server) // its end is that of the link
	})
	_ = p.forward(client, &gate{l, l.server}, l.close) // its end is that of the link
	l.close()
	back.Wait()
}

// gate lets bytes through while its link is alive.
type gate struct {
	link *link
	to   io.Writer
}

func (g *gate) Write(b []byte) (int, error) {
	if g.link.dead.Load() {
		g.link.proxy.swallowed.Add(int64(len(b)))
		return len(b), nil
	}
	return g.to.Write(b)
}

func (p *proxy) each(do func(*link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		do(l)
	}
}

// cut closes all connections.
func (p *proxy) cut() {
	p.each(func(l *link) {
		p.closed.Add(1)
		l.close()
	})
}

// hang lets nothing through any more: the connections stay, as those of a machine that
// hangs do.
func (p *proxy) hang() {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	p.each(func(l *link) { l.dead.Store(true) })
}

// wakeUp lets new connections through again. Those of before stay dead.
func (p *proxy) wakeUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = false
}

// cutEvery closes all connections again and again, until stop is called.
func (p *proxy) cutEvery(t *testing.T, d time.Duration) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				p.cut()
			}
		}
	})
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return stop
}

// gateway is an HTTP server in front of a member's API server. Each request is shown to
// intercept, which may answer it and say so.
type gateway struct {
	url string

	mu        sync.Mutex
	intercept func(http.ResponseWriter, *http.Request) bool
	requests  atomic.Int64
}

func (g *gateway) set(intercept func(http.ResponseWriter, *http.Request) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.intercept = intercept
}

func startGateway(t *testing.T, m *member) *gateway {
	t.Helper()
	target, err := url.Parse(m.URL())
	require.NoError(t, err)
	transport, err := rest.TransportFor(m.config)
	require.NoError(t, err)
	reverse := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if !errors.Is(err, context.Canceled) {
				http.Error(w, err.Error(), http.StatusBadGateway)
			}
		},
	}
	g := &gateway{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.requests.Add(1)
		g.mu.Lock()
		intercept := g.intercept
		g.mu.Unlock()
		if intercept != nil && intercept(w, r) {
			return
		}
		reverse.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	g.url = server.URL
	return g
}
