package fault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/process"
	"clusterpedia.io/testbed/stack"
)

// TestManager breaks the manager.
func TestManager(t *testing.T) {
	t.Parallel()
	for _, e := range []engine{postgreSQL, mariaDB, sqlite} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			m := startMember(t, "manager-faults-"+lowercase(string(e)))
			t.Run("killed at random", func(t *testing.T) { managerKilled(t, m, e) })
			if e != sqlite { // whose writers are on one machine, and wait for each other
				t.Run("paused past its lease", func(t *testing.T) { managerPaused(t, m, e) })
			}
		})
	}
}

const (
	// kills of the manager; on SQLite, fewer.
	kills, killsSQLite = 20, 5
	// shortLease lets a successor begin soon.
	shortLease = 2 * time.Second
)

// managerKilled kills the manager at random moments under load.
func managerKilled(t *testing.T, m *member, e engine) {
	s := newStage(t, m, scene{engine: e, lease: shortLease})
	rounds := kills
	if e == sqlite {
		rounds = killsSQLite
	}
	claims := 0
	// The times from the start of a manager to its end go from before it leads to when
	// all was copied. Every other one has claimed the cluster.
	for round := range rounds {
		require.True(t, s.manager.Running(), "it has ended by itself")
		require.NoError(t, s.manager.Kill())
		epoch := s.epoch()
		s.startManager()
		if round%2 == 0 {
			eventually(t, syncLimit, func() error {
				if now := s.epoch(); now == epoch {
					return fmt.Errorf("the epoch is still %d", now)
				}
				return nil
			})
			pause(t, rand.N(shortLease))
		} else {
			pause(t, 500*time.Millisecond+rand.N(2*shortLease))
		}
		if s.epoch() > epoch {
			claims++
		}
	}
	require.NoError(t, s.WaitSynced(t.Context(), s.name, syncLimit, nil))
	s.settleCleanly()
	t.Logf("killed %d times; %d managers had claimed the cluster by then", rounds, claims)
}

// contender is one of two managers of a shard.
type contender struct {
	name string
	*stack.Stack
	process *process.Process
}

// overtaken is what a manager says when the storage layer has refused it for its epoch.
const overtaken = "Another manager has written to the cluster"

func (c *contender) fenced() int { return strings.Count(c.process.LogTail(1<<26), overtaken) }

const (
	// pauseRounds are those in which a leader is paused, at least.
	pauseRounds, pauseRoundsLong, pauseRoundsMost = 3, 10, 12
	// pauseLease is the lease of managers that are paused, who renew it after an eighth.
	pauseLease = 6 * time.Second
)

// managerPaused lets two managers race for a shard, and stops the one that leads with
// SIGSTOP until the other has written, and wakes it: it finds what the member has sent
// meanwhile, and writes it before it knows that it has lost its lease.
func managerPaused(t *testing.T, m *member, e engine) {
	o := scene{engine: e, lease: pauseLease}
	s := newStage(t, m, o)
	leader, standby := &contender{"manager", s.Stack, s.manager}, &contender{name: "other", Stack: s.newStack(o, "other")}
	require.NoError(t, standby.Install(t.Context()))
	var err error
	standby.process, err = standby.StartManager(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, c := range []*contender{leader, standby} {
			require.NoError(t, c.process.Stop(stopLimit))
		}
	})
	fenced, open, rounds := 0, 0, lastingRounds(e)
	for round := 0; round < rounds || fenced == 0 && round < pauseRoundsMost; round++ {
		pause(t, 2*time.Second)
		// On MariaDB it takes a minute until a transaction that is left open ends.
		if s.stopBetweenRenewals(leader.process, e == postgreSQL || round == 0) {
			open++
		}
		epoch, stopped := s.lastEpoch, time.Now()
		mark := s.tally(s.begun).last
		var first int64
		eventually(t, syncLimit, func() error {
			by, ok := s.tally(mark).by[standby.name]
			if !ok {
				return fmt.Errorf("the successor has written nothing")
			}
			first = by[0]
			return nil
		})
		tookOver := time.Since(stopped)
		require.Greater(t, s.epoch(), epoch)
		before := leader.fenced()
		require.NoError(t, leader.process.Signal(syscall.SIGCONT))
		// The one that has lost its lease ends, and is started again, as a pod is.
		eventually(t, stopLimit, func() error {
			if leader.process.Running() {
				return fmt.Errorf("a manager that has lost its lease still runs")
			}
			return nil
		})
		met := leader.fenced() - before
		fenced += met
		t.Logf("round %d: the successor wrote with epoch %d %s after the leader was stopped, which then met the fence %d times", round, s.epoch(), tookOver.Round(100*time.Millisecond), met)
		require.NotContains(t, s.tally(first).by, leader.name, "the late writer wrote")
		leader.process, err = leader.StartManager(t.Context())
		require.NoError(t, err)
		leader, standby = standby, leader
		s.manager = leader.process
	}
	require.NoError(t, s.WaitSynced(t.Context(), s.name, syncLimit, nil))
	s.settleCleanly()
	require.True(t, standby.process.Running())
	t.Logf("%d times a manager that woke up met the fence of the storage layer; %d had left a transaction open", fenced, open)
	require.Positive(t, fenced, "no late writer has tried to write")
}

func lastingRounds(e engine) int {
	if e == postgreSQL {
		return int(lasting(pauseRounds, pauseRoundsLong))
	}
	return pauseRounds
}

// epoch is that of the last writer.
func (s *stage) epoch() int64 {
	s.t.Helper()
	epoch, err := s.readEpoch("")
	require.NoError(s.t, err)
	s.lastEpoch = epoch
	return epoch
}

func (s *stage) readEpoch(lock string) (epoch int64, err error) {
	err = s.db.QueryRowContext(s.t.Context(), s.engine.text("SELECT epoch FROM clusterpedia_epochs WHERE cluster = $1"+lock), s.name).Scan(&epoch)
	return epoch, err
}

// stopBetweenRenewals stops a manager with SIGSTOP when it has renewed its lease and will
// not do so for a while: an attempt that it is stopped in fails when it wakes, and
// then it ends without having written. If that is asked for it is stopped while it waits in the
// middle of a write, which the database then does without it. It says whether a transaction
// is left open by that, whose locks stay.
func (s *stage) stopBetweenRenewals(p *process.Process, writing bool) (open bool) {
	s.t.Helper()
	s.epoch()
	if writing {
		release := s.lockTable()
		defer func() {
			release()
			pause(s.t, 100*time.Millisecond)
			open = s.locked()
		}()
	}
	renewed := func() time.Time {
		lease, err := s.lease()
		require.NoError(s.t, err)
		return lease.Spec.RenewTime.Time
	}
	eventually(s.t, syncLimit, func() error {
		if writing && !s.waiting() {
			return errors.New("no writer waits for the table")
		}
		// Between a third of the interval and its end.
		if age := time.Since(renewed()); age < pauseLease/8/3 || age > pauseLease/8*2/3 {
			return fmt.Errorf("the lease was renewed %s ago", age)
		}
		require.NoError(s.t, p.Signal(syscall.SIGSTOP))
		age := time.Since(renewed())
		if age > pauseLease/8/3 && age < pauseLease/8 && (!writing || s.waiting()) {
			return nil
		}
		require.NoError(s.t, p.Signal(syscall.SIGCONT))
		return fmt.Errorf("the lease was renewed %s before the stop", age)
	})
	return false
}

// lockTable has all who write rows wait until release is called.
func (s *stage) lockTable() (release func()) {
	s.t.Helper()
	ctx := s.t.Context()
	conn, err := s.db.Conn(ctx)
	require.NoError(s.t, err)
	lock, unlock := "BEGIN; LOCK TABLE resources IN SHARE MODE", "COMMIT"
	if s.engine == mariaDB {
		lock, unlock = "LOCK TABLES resources READ", "UNLOCK TABLES"
	}
	_, err = conn.ExecContext(ctx, lock)
	require.NoError(s.t, err)
	return func() {
		_, err := conn.ExecContext(ctx, unlock)
		require.NoError(s.t, errors.Join(err, conn.Close()))
	}
}

// waiting says whether a writer waits for a lock.
func (s *stage) waiting() bool {
	s.t.Helper()
	query := "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	if s.engine == mariaDB {
		query = "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND state LIKE 'Waiting for%lock%'"
	}
	var n int
	require.NoError(s.t, s.db.QueryRowContext(s.t.Context(), query).Scan(&n))
	return n > 0
}

// locked says whether a transaction of a writer is open, and stays so for a moment.
func (s *stage) locked() bool {
	s.t.Helper()
	for range 2 {
		if _, err := s.readEpoch(" FOR UPDATE NOWAIT"); err == nil {
			return false
		}
		pause(s.t, 20*time.Millisecond)
	}
	return true
}
