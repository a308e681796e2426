package writer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/clusterpedia/internal/synchro/faulty"
	"clusterpedia.io/storage-api/storage"
)

// moody is a storage layer with a mood for each object, and one for all.
type moody struct {
	*faulty.Storage
	mu    sync.Mutex
	moods map[string]mood
	all   mood
	pace  time.Duration
}

type mood int

const (
	fine mood = iota
	isWaiting
	isFailing
	isRefusing
	isInvalid
)

func (m *moody) Apply(ctx context.Context, w storage.Writer, changes []storage.Change) error {
	m.mu.Lock()
	moods, pace := []mood{m.all}, m.pace
	var key storage.Key
	for _, c := range changes {
		k := c.Delete
		if c.Put != nil {
			k = &c.Put.Key
		}
		one := m.moods[w.Cluster+k.Name]
		if one == isInvalid && c.Put == nil {
			one = fine
		}
		if one == isInvalid {
			key = *k
		}
		moods = append(moods, one)
	}
	m.mu.Unlock()
	switch worst := slices.MaxFunc(moods, func(a, b mood) int { return int(a - b) }); {
	case slices.Contains(moods, isWaiting):
		<-ctx.Done()
		return ctx.Err()
	case worst == isFailing:
		return storage.Retryable(errors.New("failing"))
	case worst == isRefusing:
		return errors.New("refused")
	case worst == isInvalid:
		return &storage.InvalidObjectError{Key: key, Reason: "invalid"}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(len(changes)) * pace):
	}
	return m.Storage.Apply(ctx, w, changes)
}

func (m *moody) feel(set func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	set()
}

// reader stands for what reads from a member: it knows what there is, and brings again what
// was not written.
type reader struct {
	*fixture
	mu      sync.Mutex
	version int
	// want has the versions of what there is, open what was not written as far as is known.
	want, open map[string]string
}

func (r *reader) bring(t *testing.T, name string) {
	r.mu.Lock()
	version, there := r.want[name]
	r.open[name] = "on its way"
	r.mu.Unlock()
	c := remove(pods, name)
	c.Delete.Cluster = r.As.Cluster
	if there {
		c = put(pods, name, version)
		c.Put.Cluster, c.Put.JSON = r.As.Cluster, make([]byte, len(name)*300)
		c.OrDelete = len(version)%2 == 0
	}
	settle := func(state string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if now, ok := r.want[name]; now == version && ok == there {
			r.open[name] = state
		}
	}
	c.Rejected = func(error) { settle("given up") }
	c.Written = func() { settle("written") }
	require.NoError(t, r.Enqueue(t.Context(), c))
}

// list brings all again that was given up.
func (r *reader) list(t *testing.T) (all int) {
	r.mu.Lock()
	var names []string
	for name, state := range r.open {
		if state == "given up" {
			names = append(names, name)
		}
	}
	r.mu.Unlock()
	slices.Sort(names)
	for _, name := range names {
		r.bring(t, name)
	}
	return len(names)
}

// drop has all be brought again, as when a resource is selected anew.
func (r *reader) drop(t *testing.T) {
	require.NoError(t, r.Drop(t.Context(), pods))
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.open {
		r.open[name] = "given up"
	}
}

// TestConverges has a storage layer change its moods at random, for several clusters that
// share their memory, and checks that in the end all is written, and all memory given back.
func TestConverges(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testConverges(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func testConverges(t *testing.T, rng *rand.Rand) {
	limits := DefaultLimits()
	limits.BatchChanges, limits.QueueChanges = 1+rng.IntN(20), 5+rng.IntN(40)
	limits.BatchBytes = 1000 + rng.IntN(20000)
	limits.QueueBytes = 2*limits.BatchBytes + rng.IntN(20000)
	budget := NewBudget(5000 + rng.IntN(100000))
	m := &moody{Storage: &faulty.Storage{}, moods: map[string]mood{}}
	var readers []*reader
	for i := range 3 {
		f := newFixture(t, limits)
		f.Writer = New(Options{Storage: m, As: storage.Writer{Cluster: fmt.Sprint(i), Epoch: 5}, Limits: limits, Observer: f.observer, Logger: f.Logger, Budget: budget})
		f.start(t)
		readers = append(readers, &reader{fixture: f, want: map[string]string{}, open: map[string]string{}})
	}
	var reading sync.WaitGroup
	for i, r := range readers {
		rng := rand.New(rand.NewPCG(rng.Uint64(), 1))
		reading.Go(func() {
			for range 300 {
				name := fmt.Sprintf("n%d", rng.IntN(30))
				switch rng.IntN(12) {
				case 0:
					<-time.After(time.Duration(rng.IntN(20)) * time.Second)
				case 1:
					m.feel(func() { m.moods[fmt.Sprint(i)+name] = mood(rng.IntN(5)) })
				case 2:
					if rng.IntN(4) == 0 {
						m.feel(func() { clear(m.moods) })
					}
				case 3:
					if rng.IntN(10) == 0 {
						m.feel(func() { m.all, m.pace = mood(rng.IntN(4)), time.Duration(rng.IntN(3000))*time.Millisecond })
						<-time.After(time.Duration(rng.IntN(100)) * time.Second)
						m.feel(func() { m.all, m.pace = fine, time.Duration(rng.IntN(20))*time.Millisecond })
					}
				case 4:
					r.list(t)
				case 5:
					if rng.IntN(20) == 0 {
						r.drop(t)
					}
				default:
					r.mu.Lock()
					if r.version++; rng.IntN(3) == 0 {
						delete(r.want, name)
					} else {
						r.want[name] = fmt.Sprint(r.version)
					}
					r.mu.Unlock()
					r.bring(t, name)
				}
			}
		})
	}
	reading.Wait()
	m.feel(func() { clear(m.moods); m.all, m.pace = fine, time.Millisecond })
	for range 50 {
		<-time.After(time.Minute)
		left := 0
		for _, r := range readers {
			left += r.list(t)
		}
		if left == 0 && budget.Used() == 0 {
			break
		}
	}
	<-time.After(time.Minute)
	stored := map[string]map[string]string{"0": {}, "1": {}, "2": {}}
	for _, o := range m.Objects() {
		stored[o.Cluster][o.Name] = o.ResourceVersion
	}
	for i, r := range readers {
		require.Equal(t, r.want, stored[fmt.Sprint(i)])
		for name, state := range r.open {
			require.Equal(t, "written", state, name)
		}
		require.Zero(t, r.queue.asides())
		require.Zero(t, r.Queued())
		r.stop()
		<-r.result
	}
	require.Zero(t, budget.Used())
}
