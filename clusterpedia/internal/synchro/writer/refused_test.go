package writer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/clusterpedia/internal/synchro/faulty"
	"clusterpedia.io/storage-api/storage"
)

// refusing is a storage layer that can never store the objects that are called "bad...".
// Locked says which changes of them wait for others.
type refusing struct {
	*faulty.Storage
	putLocked, deleteLocked atomic.Bool
}

func (r *refusing) Apply(ctx context.Context, w storage.Writer, changes []storage.Change) error {
	for _, c := range changes {
		switch {
		case c.Put != nil && strings.HasPrefix(c.Put.Name, "bad") && !r.putLocked.Load():
			return &storage.InvalidObjectError{Key: c.Put.Key, Reason: "value too long"}
		case c.Put != nil && strings.HasPrefix(c.Put.Name, "bad"), c.Delete != nil && r.deleteLocked.Load():
			<-ctx.Done()
			return ctx.Err()
		}
	}
	return r.Storage.Apply(ctx, w, changes)
}

func newRefusing(t *testing.T) (*fixture, *refusing) {
	f := newFixture(t, DefaultLimits())
	r := &refusing{Storage: f.storage}
	f.Writer = New(Options{Storage: r, As: f.As, Limits: f.Limits, Observer: f.observer, Trouble: f.Trouble, Logger: f.Logger, Budget: NewBudget(1 << 20)})
	return f, r
}

// TestRefusedAside has an object that is kept aside turn out to be one that can never be
// stored, while what is stored of it cannot be deleted now.
func TestRefusedAside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, r := newRefusing(t)
		require.NoError(t, f.storage.Apply(t.Context(), storage.Writer{Cluster: "one"}, []storage.Change{put(pods, "bad", "1").Change}))
		r.putLocked.Store(true)
		r.deleteLocked.Store(true)
		var told []error
		bad := put(pods, "bad", "2")
		bad.OrDelete, bad.Rejected = true, func(err error) { told = append(told, err) }
		f.enqueue(t, bad)
		f.start(t)
		f.await()
		require.Equal(t, 1, f.queue.asides())
		r.putLocked.Store(false)
		<-time.After(5 * time.Minute)
		require.Equal(t, 1, f.queue.asides())
		require.Equal(t, []string{"pods bad 1"}, f.storage.Names())
		r.deleteLocked.Store(false)
		<-time.After(5 * time.Minute)
		require.Empty(t, f.storage.Names())
		require.Zero(t, f.queue.asides())
		require.Zero(t, f.Budget.Used())
		_, _, rejected := f.observer.counts()
		require.Equal(t, 1, rejected)
		require.Len(t, told, 2)
		f.stop()
		<-f.result
	})
}

// TestDeletionInsteadIsTold has what is stored of an object that can never be stored not
// deleted at once.
func TestDeletionInsteadIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, r := newRefusing(t)
		r.deleteLocked.Store(true)
		var told []bool
		bad := put(pods, "bad", "2")
		bad.OrDelete, bad.Rejected = true, func(err error) {
			var never *storage.InvalidObjectError
			told = append(told, errors.As(err, &never))
		}
		f.enqueue(t, bad)
		f.start(t)
		f.await()
		require.Equal(t, []bool{true, false}, told)
		f.stop()
		<-f.result
	})
}

// TestManyInvalidObjects has more objects that can never be stored, as the storage layer
// says of each, than make it doubted when it says so of none.
func TestManyInvalidObjects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, _ := newRefusing(t)
		for i := range 5 * doubtAfter {
			f.enqueue(t, put(pods, fmt.Sprintf("bad%d", i), "1"))
		}
		f.enqueue(t, put(pods, "good", "1"))
		start := time.Now()
		f.start(t)
		f.await()
		require.Less(t, time.Since(start), time.Second)
		require.Equal(t, []string{"pods good 1"}, f.storage.Names())
		require.Empty(t, f.trouble)
		f.stop()
		<-f.result
	})
}
