package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/process"
)

// TestManager breaks the manager.
func TestManager(t *testing.T) { //nolint:tparallel // its parts break the same member
	t.Parallel()
	m := startMember(t, "manager-faults")
	t.Run("killed at random", func(t *testing.T) {
		for _, database := range []string{"PostgreSQL", "SQLite"} {
			t.Run(database, func(t *testing.T) { managerKilled(t, m, database == "SQLite") })
		}
	})
	t.Run("paused past its lease", func(t *testing.T) { managerPaused(t, m) })
}

const (
	// kills of the manager; on SQLite, fewer.
	kills, killsSQLite = 20, 5
	// shortLease lets a successor begin soon.
	shortLease = 2 * time.Second
)

// managerKilled kills the manager at random moments under load.
func managerKilled(t *testing.T, m *member, sqlite bool) {
	s := newStage(t, m, scene{lease: shortLease, sqlite: sqlite})
	rounds := kills
	if sqlite {
		rounds = killsSQLite
	}
	// The times from the start of a manager to its end go from before it leads to when
	// all was copied.
	for range rounds {
		require.NoError(t, s.manager.Kill())
		s.startManager()
		pause(t, 500*time.Millisecond+rand.N(2*shortLease))
	}
	require.NoError(t, s.WaitSynced(t.Context(), s.name, syncLimit, nil))
	s.settleCleanly()
	t.Logf("killed %d times", rounds)
}

// managerPaused lets two managers race for a shard, and stops the one that leads with
// SIGSTOP until the other has written, and wakes it.
func managerPaused(t *testing.T, m *member) {
	const lease = 4 * time.Second
	o := scene{lease: lease}
	s := newStage(t, m, o)
	other := s.newStack(o, s.StorageConfig, "other")
	require.NoError(t, other.Install(t.Context()))
	standby, err := other.StartManager(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, standby.Stop(stopLimit)) })

	start := map[*process.Process]func(context.Context) (*process.Process, error){s.manager: s.StartManager, standby: other.StartManager}
	leader := s.manager
	fenced := 0
	for round := range lastingRounds() {
		pause(t, 2*time.Second)
		epoch := s.epoch()
		s.stopInTransaction(leader)
		stopped := time.Now()
		eventually(t, syncLimit, func() error {
			if now := s.epoch(); now <= epoch {
				return fmt.Errorf("the epoch is still %d", now)
			}
			return nil
		})
		tookOver := time.Since(stopped)
		before, err := s.journal.tally(t.Context(), s.begun)
		require.NoError(t, err)
		eventually(t, syncLimit, func() error {
			if now, err := s.journal.tally(t.Context(), before.last); err != nil || now.last == before.last {
				return fmt.Errorf("the successor has written nothing: %w", err)
			}
			return nil
		})
		// The log goes on over restarts.
		met := func() int { return strings.Count(leader.LogTail(1<<20), "Another manager has written to the cluster") }
		metBefore := met()
		require.NoError(t, leader.Signal(syscall.SIGCONT))
		// The one that has lost its lease ends, and is started again, as a pod is.
		eventually(t, stopLimit, func() error {
			if leader.Running() {
				return fmt.Errorf("a manager that has lost its lease still runs")
			}
			return nil
		})
		fenced += met() - metBefore
		t.Logf("round %d: the successor had epoch %d %s after the leader was stopped", round, s.epoch(), tookOver.Round(100*time.Millisecond))
		restarted, err := start[leader](t.Context())
		require.NoError(t, err)
		start[restarted] = start[leader]
		if leader == s.manager {
			s.manager, leader = restarted, standby
		} else {
			standby, leader = restarted, s.manager
		}
	}
	require.NoError(t, s.WaitSynced(t.Context(), s.name, syncLimit, nil))
	s.settleCleanly()
	require.True(t, standby.Running())
	t.Logf("%d of the managers that woke up met the fence of the storage layer", fenced)
}

func lastingRounds() int { return int(lasting(3, 10)) }

// epoch is that of the last writer.
func (s *stage) epoch() int64 {
	s.t.Helper()
	var epoch int64
	require.NoError(s.t, s.db.QueryRowContext(s.t.Context(), "SELECT epoch FROM clusterpedia_epochs WHERE cluster = $1", s.name).Scan(&epoch))
	return epoch
}

// stopInTransaction stops a manager with SIGSTOP while a transaction of its is open, if
// it can be caught there: its locks stay.
func (s *stage) stopInTransaction(p *process.Process) {
	s.t.Helper()
	const open = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`
	for range 50 {
		require.NoError(s.t, p.Signal(syscall.SIGSTOP))
		var n int
		require.NoError(s.t, s.db.QueryRowContext(s.t.Context(), open).Scan(&n))
		if n > 0 {
			s.t.Log("stopped with an open transaction")
			return
		}
		require.NoError(s.t, p.Signal(syscall.SIGCONT))
		pause(s.t, 5*time.Millisecond)
	}
	require.NoError(s.t, p.Signal(syscall.SIGSTOP))
}
