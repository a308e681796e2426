package dialect

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// PostgreSQL sends rows in pieces of 8 KiB. Who is woken for each of them is woken some
// hundred times for a list of 500 documents, which takes longer than to read it. So behind
// the first gatherFrom bytes of an answer, and while more than twice gatherSize are to
// come, a read waits for gatherSize bytes, though not longer than gatherWait: rows that
// are shorter than those before them come to less than was expected.
const (
	gatherFrom = 64 << 10
	gatherSize = 48 << 10
	gatherWait = time.Millisecond
)

// gathering is a connection that waits for several pieces of an answer with many rows.
type gathering struct {
	*net.TCPConn
	raw syscall.RawConn
	// got counts the bytes of an answer; waits says that enough are to come.
	got   atomic.Int64
	waits atomic.Bool
	// overdue ends a wait that has lasted for patience.
	overdue  *time.Timer
	patience time.Duration

	mu sync.Mutex
	// least is how many bytes there must be for a reader to be woken.
	least int
}

// gatherOn returns a dialer whose connections gather, where the system can.
func gatherOn(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		tcp, ok := conn.(*net.TCPConn)
		if err != nil || !ok {
			return conn, err
		}
		return newGathering(tcp)
	}
}

func newGathering(conn *net.TCPConn) (*gathering, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	g := &gathering{TCPConn: conn, raw: raw, patience: gatherWait, least: 1}
	g.overdue = time.AfterFunc(time.Hour, func() { g.wakeFrom(1) })
	g.overdue.Stop()
	return g, nil
}

// gatheringOf returns the connection below one to the server; nil if it does not gather, as
// an encrypted one, which is read in records.
func gatheringOf(conn *pgx.Conn) *gathering {
	g, _ := conn.PgConn().Conn().(*gathering)
	return g
}

// wakeFrom sets how many bytes there must be for a reader to be woken.
func (g *gathering) wakeFrom(least int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.least == least {
		return
	}
	// Where that is impossible readers are woken as ever.
	_ = g.raw.Control(func(fd uintptr) {
		if setLowWater(fd, least) == nil {
			g.least = least
		}
	})
}

// begin is called before the first row of an answer is read, and end behind the last.
func (g *gathering) begin() { g.got.Store(0) }

func (g *gathering) end() {
	g.waits.Store(false)
	g.wakeFrom(1)
}

// rowRead is called with how many rows were read, and how many there are at most.
func (g *gathering) rowRead(n, most int64) {
	got := g.got.Load()
	waits := got >= gatherFrom && (most-n)*(got/n) > 2*gatherSize
	if g.waits.Swap(waits) && !waits {
		g.wakeFrom(1)
	}
}

// Read implements net.Conn.
func (g *gathering) Read(p []byte) (n int, err error) {
	if g.waits.Load() && len(p) >= gatherSize {
		g.wakeFrom(gatherSize)
		g.overdue.Reset(g.patience)
		defer g.overdue.Stop()
	}
	n, err = g.TCPConn.Read(p)
	g.got.Add(int64(n))
	return n, err
}
