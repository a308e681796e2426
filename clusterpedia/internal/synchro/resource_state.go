package synchro

import (
	"strings"
	"sync"
	"time"

	"clusterpedia.io/api/cluster/v1alpha2"
)

// Reasons in the status of a resource. Users know them in this spelling.
const (
	reasonCreating       = "SynchroCreating"
	reasonPause          = "Pause"
	reasonWatchFailed    = "ResourceWatchFailed"
	reasonStorageFailed  = "StorageExpection"
	reasonCleanFailed    = "CleanResourceFailed"
	reasonObjectsLeftOut = "ObjectsLeftOut"
)

// maxMessage bounds a message in the status, in bytes.
const maxMessage = 1024

// resourceStatus is what is told about a resource.
type resourceStatus struct {
	// status is one of the API's ResourceSyncStatus constants.
	status, reason, message string
	// initial says that the first list since the start isn't stored yet.
	initial bool
	// since is when status changed, in whole seconds as it is written.
	since time.Time
}

// set changes the status, whose time moves only if it really changes.
func (s *resourceStatus) set(status, reason, message string) {
	if s.status != status {
		s.since = time.Now().Truncate(time.Second)
	}
	s.status, s.reason, s.message = status, reason, shorten(message)
}

func shorten(message string) string { return cut(message, maxMessage) }

// cut returns no more than a number of bytes of a text.
func cut(text string, most int) string {
	const more = "…"
	if len(text) > most {
		return strings.ToValidUTF8(text[:most-len(more)], "") + more
	}
	return text
}

// resourceState keeps a resourceStatus.
type resourceState struct {
	changed func()

	mu     sync.Mutex
	status resourceStatus
	// problem is the last object that was left out since the last list began. pending says
	// that one of them may be stored another time as it is.
	problem error
	pending bool
	// run counts the calls of starting.
	run int
}

func newResourceState(changed func()) *resourceState {
	s := &resourceState{changed: changed}
	s.status.set(v1alpha2.ResourceSyncStatusPending, reasonCreating, "")
	return s
}

// update calls f with the lock held, and tells if the status changed.
func (s *resourceState) update(f func()) {
	s.mu.Lock()
	before := s.status
	f()
	changed := before != s.status
	s.mu.Unlock()
	if changed {
		s.changed()
	}
}

func (s *resourceState) get() resourceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// starting says that a run begins, with a list or without.
func (s *resourceState) starting(list bool) {
	s.update(func() {
		s.status.set(v1alpha2.ResourceSyncStatusPending, "", "")
		s.status.initial = list
		s.run++
	})
}

func (s *resourceState) stopped(reason string) {
	s.update(func() {
		s.status.set(v1alpha2.ResourceSyncStatusStop, reason, "")
		s.status.initial = false
	})
}

func (s *resourceState) watching() { s.update(s.syncing) }

// syncing sets the status of a resource that is read without failure.
func (s *resourceState) syncing() {
	if s.problem != nil {
		s.status.set(v1alpha2.ResourceSyncStatusSyncing, reasonObjectsLeftOut, s.problem.Error())
		return
	}
	s.status.set(v1alpha2.ResourceSyncStatusSyncing, "", "")
}

// failed says that reading failed, and reports whether it didn't fail before.
func (s *resourceState) failed(err error) bool {
	first := false
	s.update(func() {
		first = s.status.status != v1alpha2.ResourceSyncStatusError
		s.status.set(v1alpha2.ResourceSyncStatusError, reasonWatchFailed, err.Error())
	})
	return first
}

// listing says that a list begins. It returns the number of the run, for
// listWritten.
func (s *resourceState) listing() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problem, s.pending = nil, false
	return s.run
}

// leftOut says that an object could not be stored, and whether it never can be as it is.
func (s *resourceState) leftOut(problem error, never bool) {
	s.update(func() {
		s.problem, s.pending = problem, s.pending || !never
		if s.status.status == v1alpha2.ResourceSyncStatusSyncing {
			s.syncing()
		}
	})
}

// listWritten says that what was listed in a run is stored, and reports whether all
// of it is, and whether all is that ever can be.
func (s *resourceState) listWritten(run int) (clean, settled bool) {
	s.update(func() {
		if run != s.run {
			return
		}
		clean, settled = s.problem == nil, !s.pending
		s.status.initial = false
		if s.status.status == v1alpha2.ResourceSyncStatusSyncing {
			s.syncing()
		}
	})
	return clean, settled
}
