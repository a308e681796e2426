package dialect

import (
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// gatheringPair returns a connection that is in the middle of an answer with many rows, and
// the server's end of it.
func gatheringPair(t *testing.T) (*gathering, net.Conn) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	server, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	g, err := newGathering(conn.(*net.TCPConn))
	require.NoError(t, err)
	g.begin()
	_, err = server.Write(make([]byte, gatherFrom))
	require.NoError(t, err)
	_, err = io.ReadFull(g, make([]byte, gatherFrom))
	require.NoError(t, err)
	g.rowRead(10, 1000)
	require.True(t, g.waits.Load())
	return g, server
}

func TestGathers(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere nothing is gathered")
	}
	g, server := gatheringPair(t)
	g.patience = time.Minute
	const pieces, piece = 12, gatherSize / 6
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for range pieces {
			_, _ = server.Write(make([]byte, piece))
			<-tick.C
		}
		_ = server.Close()
	}()
	var sizes []int
	read, buffer := 0, make([]byte, readSize)
	for {
		n, err := g.Read(buffer)
		if err != nil {
			require.ErrorIs(t, err, io.EOF)
			break
		}
		sizes, read = append(sizes, n), read+n
	}
	require.Equal(t, pieces*piece, read)
	// What is there already is read at once, and the rest when the server has gone.
	require.LessOrEqual(t, len(sizes), 5, "%d", sizes)
}

// TestGathersNoLongerThan has less come than is waited for.
func TestGathersNoLongerThan(t *testing.T) {
	t.Parallel()
	t.Run("patience lasts", func(t *testing.T) {
		t.Parallel()
		buffer := make([]byte, readSize)
		g, server := gatheringPair(t)
		for range 3 {
			_, err := server.Write([]byte("few"))
			require.NoError(t, err)
			n, err := g.Read(buffer)
			require.NoError(t, err)
			require.Equal(t, "few", string(buffer[:n]))
		}
	})
	t.Run("there are rows", func(t *testing.T) {
		t.Parallel()
		g, server := gatheringPair(t)
		g.patience = time.Hour
		g.wakeFrom(gatherSize)
		g.rowRead(999, 1000)
		_, err := server.Write([]byte("last"))
		require.NoError(t, err)
		n, err := g.Read(make([]byte, readSize))
		require.NoError(t, err)
		require.Equal(t, 4, n)
	})
	t.Run("the query does", func(t *testing.T) {
		t.Parallel()
		g, _ := gatheringPair(t)
		g.patience = time.Hour
		time.AfterFunc(20*time.Millisecond, func() { _ = g.SetDeadline(time.Unix(1, 0)) })
		_, err := g.Read(make([]byte, readSize))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		g.end()
		require.Equal(t, 1, g.least)
	})
}
