package fault

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/database"
)

// TestStorage breaks the database.
func TestStorage(t *testing.T) {
	t.Parallel()
	for _, e := range servers() {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			m := startMember(t, "storage-faults-"+string(e.kind()))
			t.Run("stopped", func(t *testing.T) { storageStopped(t, m, e) })
			t.Run("one statement in ten fails", func(t *testing.T) { storageFails(t, m, e) })
			t.Run("hangs", func(t *testing.T) { storageHangs(t, m, e) })
			t.Run("disk full", func(t *testing.T) { storageFull(t, m, e) })
		})
	}
}

const (
	// batch is how many rows the manager writes at most in one transaction. If the answer to
	// its COMMIT is lost, all of them are written again.
	batch = 500
	// cannotWrite is what the manager says of a batch that it could not write.
	cannotWrite = "Cannot write to the storage layer, try again"
)

// storageStopped stops the database under load, as an operator does and as a crash does.
func storageStopped(t *testing.T, m *member, e engine) {
	o := database.Options{Dir: filepath.Join(shared.dir, "stopped-"+string(e.kind()))}
	server, err := database.Start(t.Context(), e.kind(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	s := newStage(t, m, scene{engine: e, server: server})
	for name, stop := range map[string]func() error{"stopped": server.Stop, "killed": func() error { return server.Process().Kill() }} {
		// A manager that has failed often waits for long before it tries again.
		mark := s.tally(s.begun).last
		eventually(t, syncLimit, func() error {
			if s.tally(s.begun).last == mark {
				return errors.New("nothing is written")
			}
			return nil
		})
		before := s.said(cannotWrite)
		require.NoError(t, stop())
		down := time.Now()
		pause(t, lasting(7*time.Second, time.Minute))
		failed := s.said(cannotWrite) - before
		require.Positive(t, failed, "the manager has not noticed")
		again, err := database.Start(t.Context(), e.kind(), o)
		require.NoError(t, err)
		*server = *again
		t.Logf("the database was %s for %s, in which %d attempts to write failed", name, time.Since(down).Round(time.Second), failed)
		require.True(t, s.manager.Running())
	}
	pause(t, 2*time.Second)
	s.settleCleanly()
}

func serverAddress(e engine) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(shared.servers[e].Port))
}

// storageFails has one statement in ten fail, in one of several ways.
func storageFails(t *testing.T, m *member, e engine) {
	f := &failures{}
	p := startProxy(t, serverAddress(e), f.forward(e))
	s := newStage(t, m, scene{engine: e, through: p.address})
	f.oneIn.Store(10)
	pause(t, lasting(12*time.Second, 2*time.Minute))
	eventually(t, syncLimit, func() error {
		if f.answered.Load() == 0 || f.cutBefore.Load() == 0 || f.cutBehind.Load() == 0 {
			return fmt.Errorf("%d statements were answered with an error, %d lost their connection before, %d behind", f.answered.Load(), f.cutBefore.Load(), f.cutBehind.Load())
		}
		return nil
	})
	f.oneIn.Store(0)
	tally := s.settle()
	t.Logf("%d statements passed, %d were answered with an error, %d lost their connection before, %d behind; %d batches failed",
		f.passed.Load(), f.answered.Load(), f.cutBefore.Load(), f.cutBehind.Load(), s.said(cannotWrite))
	require.Positive(t, s.said(cannotWrite))
	require.Empty(t, tally.backward)
	require.LessOrEqual(t, len(tally.needless), int(f.cutBehind.Load())*batch)
}

// storageHangs lets the connections hang, while the database is well, and then lets
// new ones through.
func storageHangs(t *testing.T, m *member, e engine) {
	p := startProxy(t, serverAddress(e), nil)
	s := newStage(t, m, scene{engine: e, through: p.address})
	pause(t, 2*time.Second)
	mark := s.tally(s.begun).last
	p.hang()
	pause(t, time.Second)
	hanging := s.tally(mark)
	pause(t, lasting(10*time.Second, time.Minute))
	require.Equal(t, hanging.last, s.tally(mark).last, "something was written while the database hung")
	require.Positive(t, p.swallowed.Load(), "nobody has met the fault")
	p.wakeUp()
	pause(t, 2*time.Second)
	tally := s.settle()
	t.Logf("%d bytes did not arrive", p.swallowed.Load())
	require.Empty(t, tally.backward)
	require.LessOrEqual(t, len(tally.needless), batch, "more than the batch whose answer was lost")
}
