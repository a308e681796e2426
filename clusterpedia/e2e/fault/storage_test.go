package fault

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/database"
)

// TestStorage breaks the database.
func TestStorage(t *testing.T) { //nolint:tparallel // its parts break the same member
	t.Parallel()
	m := startMember(t, "storage-faults")
	t.Run("stopped", func(t *testing.T) { storageStopped(t, m) })
	t.Run("one statement in ten fails", func(t *testing.T) { storageFails(t, m) })
	t.Run("hangs", func(t *testing.T) { storageHangs(t, m) })
}

// batch is how many rows the manager writes at most in one transaction. If the answer to its
// COMMIT is lost, all of them are written again.
const batch = 500

// storageStopped stops the database under load, as an operator does and as a crash does.
func storageStopped(t *testing.T, m *member) {
	o := database.Options{Dir: filepath.Join(shared.dir, "stopped")}
	server, err := database.Start(t.Context(), database.PostgreSQL, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	s := newStage(t, m, scene{server: server})
	for name, stop := range map[string]func() error{"stopped": server.Stop, "killed": func() error { return server.Process().Kill() }} {
		pause(t, 2*time.Second)
		require.NoError(t, stop())
		down := time.Now()
		pause(t, lasting(7*time.Second, time.Minute))
		again, err := database.Start(t.Context(), database.PostgreSQL, o)
		require.NoError(t, err)
		*server = *again
		t.Logf("the database was %s for %s", name, time.Since(down).Round(time.Second))
		require.True(t, s.manager.Running())
	}
	pause(t, 2*time.Second)
	s.settleCleanly()
}

// storageFails has one statement in ten fail, in one of several ways.
func storageFails(t *testing.T, m *member) {
	f := &failures{}
	p := startProxy(t, fmt.Sprintf("127.0.0.1:%d", shared.postgres.Port), f.forward)
	s := newStage(t, m, scene{through: p.address})
	f.oneIn.Store(10)
	pause(t, lasting(12*time.Second, 2*time.Minute))
	f.oneIn.Store(0)
	tally := s.settle()
	t.Logf("%d statements passed, %d were answered with an error, %d lost their connection before, %d behind",
		f.passed.Load(), f.answered.Load(), f.cutBefore.Load(), f.cutBehind.Load())
	require.Positive(t, f.answered.Load())
	require.Empty(t, tally.backward)
	require.LessOrEqual(t, len(tally.needless), int(f.cutBehind.Load())*batch)
}

// storageHangs lets the connections hang, while the database is well, and then lets
// new ones through.
func storageHangs(t *testing.T, m *member) {
	p := startProxy(t, fmt.Sprintf("127.0.0.1:%d", shared.postgres.Port), nil)
	s := newStage(t, m, scene{through: p.address})
	pause(t, 2*time.Second)
	p.hang()
	pause(t, lasting(10*time.Second, time.Minute))
	p.wakeUp()
	pause(t, 2*time.Second)
	tally := s.settle()
	require.Empty(t, tally.backward)
	require.LessOrEqual(t, len(tally.needless), batch, "more than the batch whose answer was lost")
}
