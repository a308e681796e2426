// Package cork joins what TLS writes to a connection while a handler writes a large answer.
// It stands between TLS and TCP, below all that the API server sends.
//
// TLS sends each record on its own, of 16 KiB at most, and the system takes nearly as long to
// send one of them as to send four. Corking is what TCP calls it (tcp(7), TCP_CORK), which
// cannot be told for how long.
package cork

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// enough is how many bytes are sent at once: four records, each of a frame of HTTP/2.
	enough = 64 << 10
	// record is how many bytes TLS writes at once at most, and some.
	record = 17 << 10
	// patience is for how long bytes are held back at most. The client may have to read them
	// before it lets the rest come, as the windows of HTTP/2 are its own.
	patience = time.Millisecond
	// pause is how many writes are not held back once patience has run out, so that small
	// windows cost that once in some 4 MiB.
	pause = 512
	// keepAlive is the period of the generic API server, which knows connections of TCP only.
	keepAlive = 3 * time.Minute
)

// Listener returns a listener whose connections can be corked.
func Listener(l net.Listener) net.Listener { return &listener{Listener: l} }

type listener struct {
	net.Listener
	// buffers holds *[]byte, what is held back of connections that are corked.
	buffers sync.Pool
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if c, ok := inner.(*net.TCPConn); ok {
		// Where that is impossible the connection is as good without.
		_ = c.SetKeepAlive(true)
		_ = c.SetKeepAlivePeriod(keepAlive)
	}
	c := &Conn{Conn: inner, buffers: &l.buffers}
	c.due = time.AfterFunc(time.Hour, c.flush)
	c.due.Stop()
	return c, nil
}

// Conn is a connection that can be corked. A nil one is never.
type Conn struct {
	net.Conn
	buffers *sync.Pool
	corks   atomic.Int32
	// ends says that what is written is the last, or has a deadline of its own.
	ends atomic.Bool
	// due sends what is held back, when patience has run out or Uncork has it sent.
	due *time.Timer
	// early says that something is held back that Uncork has not had sent. So at most two
	// goroutines wait for a client that reads nothing.
	early atomic.Bool

	mu sync.Mutex
	// held is what is held back, if anything is.
	held *[]byte
	// since is since when.
	since time.Time
	// pause is how many of the next writes are not held back.
	pause int
	// failed is why what was held back could not be sent.
	failed error
}

// addr is how a request leads to its connection.
type addr struct {
	net.Addr
	conn *Conn
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return addr{c.Conn.LocalAddr(), c} }

// Of returns the connection of the request whose context it is given; nil if it cannot be
// corked.
func Of(ctx context.Context) *Conn {
	a, _ := ctx.Value(http.LocalAddrContextKey).(addr)
	return a.conn
}

// Cork holds back what is written, until there is enough, or Uncork was called as often. It
// never waits.
func (c *Conn) Cork() {
	if c != nil {
		c.ends.Store(false)
		c.corks.Add(1)
	}
}

// Uncork has what is held back sent, by another goroutine: a handler whose stream has ended
// must not wait for a client that reads nothing.
func (c *Conn) Uncork() {
	if c != nil && c.corks.Add(-1) == 0 && c.early.CompareAndSwap(true, false) {
		c.due.Reset(0)
	}
}

// SetWriteDeadline implements net.Conn. Nothing is held back behind it until Cork is called
// again: TLS sets a deadline for its last record, which nothing is sent after.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.ends.Store(true)
	return c.Conn.SetWriteDeadline(t)
}

// Write implements net.Conn. An error may be that of an earlier one.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	corked := c.corks.Load() > 0 && !c.ends.Load() && len(p) <= record
	if corked && c.pause > 0 {
		c.pause--
		corked = false
	}
	if !corked {
		c.send()
	}
	switch {
	case c.failed != nil:
		return 0, c.failed
	case !corked:
		return c.Conn.Write(p)
	case c.held == nil:
		c.hold()
	}
	if *c.held = append(*c.held, p...); len(*c.held) >= enough {
		c.send()
		if c.failed != nil {
			return 0, c.failed
		}
	}
	return len(p), nil
}

// hold begins to hold back.
func (c *Conn) hold() {
	buffer, ok := c.buffers.Get().(*[]byte)
	if !ok {
		room := make([]byte, 0, enough+record)
		buffer = &room
	}
	c.held, c.since = buffer, time.Now()
	c.due.Reset(patience)
	c.early.Store(true)
}

// send sends what is held back.
func (c *Conn) send() {
	if c.held == nil {
		return
	}
	c.early.Store(false)
	if c.failed == nil {
		_, c.failed = c.Conn.Write(*c.held)
	}
	*c.held = (*c.held)[:0]
	c.buffers.Put(c.held)
	c.held = nil
}

// flush is what the timer calls.
func (c *Conn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held != nil && c.early.Load() {
		if time.Since(c.since) < patience {
			return // What it was for was sent while it waited, and the timer runs again.
		}
		c.pause = pause
	}
	c.send()
}

// Close implements net.Conn. It ends writes that wait for the client, and loses what is held
// back, which is nothing once TLS has sent its last record.
func (c *Conn) Close() error {
	c.due.Stop()
	return c.Conn.Close()
}
