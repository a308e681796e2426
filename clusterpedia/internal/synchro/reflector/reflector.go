// Package reflector follows the objects of one resource of a member cluster: it
// lists them in pages, watches from there, resumes when the watch ends, and lists
// again when it cannot resume.
//
// It is where the synchro reads. It hands over raw JSON documents, one at a time,
// to a Sink, and keeps none of them. While a Sink waits nothing is read from the
// member.
package reflector

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	"clusterpedia.io/clusterpedia/internal/membercluster"
	"clusterpedia.io/clusterpedia/internal/synchro/document"
)

// Sink takes what a Reflector reads. Its methods are called by one goroutine. Those
// with a context may wait, and return an error only if the context has ended. A
// document is valid until the method returns, and is not checked.
type Sink interface {
	// BeginList is called before the first object of a list. A list that fails is
	// begun anew without EndList.
	BeginList()
	// Behind is called, before a list begins anew, when the member's version is lower
	// than what was read before: versions are given a second time, and one that is
	// known may mean something else now.
	Behind()
	// Listed takes one object of the list.
	Listed(ctx context.Context, head document.Head, doc []byte) error
	// EndList is called when all objects that exist were given to Listed.
	EndList(ctx context.Context) error
	// Changed takes an object that was added or modified.
	Changed(ctx context.Context, head document.Head, doc []byte) error
	// Deleted takes an object that is gone.
	Deleted(ctx context.Context, head document.Head) error
	// Unreadable is told about an object without a readable head.
	Unreadable(err error)
	// Bookmark is called when the member says that nothing else has changed.
	Bookmark()
	// Watching is called when a watch was established.
	Watching()
	// Failed is called when a list or a watch fails; it is tried again.
	Failed(err error)
}

// Options are what a Reflector is made from.
type Options struct {
	Client *membercluster.Client
	// Path is the resource's, over all namespaces, such as "/apis/apps/v1/deployments".
	Path string
	// FieldSelector limits the objects; empty: all.
	FieldSelector string
	// PageSize is the number of objects in one page of a list.
	PageSize int64
	// Lists limits the number of lists that are read at the same time to its
	// capacity. Nil: no limit. (A semaphore of golang.org/x/sync would be a package
	// that the hosts share with plugins, whose versions would then have to agree.)
	Lists chan struct{}
	// Backoff is the wait after failures.
	Backoff wait.Backoff
	// Stall is how long the member may be silent in an answer other than a watch.
	Stall time.Duration
	// Newest is the highest version that was read earlier; 0: none was, or versions are
	// no numbers.
	Newest uint64
	// Restored, unless nil, is called when the member turns out to have been restored from
	// a backup at some time after the one given. It is for the member's other reflectors,
	// which may see nothing of that: see Doubt.
	Restored func(since time.Time)
	Sink     Sink
	Logger   klog.Logger
}

// DefaultBackoff is that of client-go.
func DefaultBackoff() wait.Backoff {
	return wait.Backoff{Duration: 800 * time.Millisecond, Factor: 2, Jitter: 1, Steps: 32, Cap: 30 * time.Second}
}

// DefaultStall is a little longer than what an API server takes before it gives up
// on a request.
const DefaultStall = 75 * time.Second

// outage is how long a member must have been out of reach for it to be listed again in
// place of being followed from where it was: it may have been restored from a backup, and
// have given more versions since than were read before.
const outage = 10 * time.Second

// unnoticed is how much later than another reflector one may notice that the member went
// away.
const unnoticed = time.Minute

// maxBreak is the longest break between a watch that just ended, and the next.
const maxBreak = 8 * time.Second

// maxRetryAfter is the longest wait that a member can ask for: its clock, or a proxy
// before it, may be wrong.
const maxRetryAfter = time.Minute

// steady is how long a watch must have lasted for what failed before to be
// forgotten.
const steady = 10 * time.Second

// Reflector follows one resource.
type Reflector struct {
	Options
	relist chan struct{}

	mu sync.Mutex
	// broken is when the last watch ended, or Run was first called; restored when Behind
	// was last called. Zero: never.
	broken, restored time.Time
	// watching says that a watch runs.
	watching bool
	// doubted says that what is known may be of before the member was restored.
	doubted bool

	// The fields below belong to Run.

	backoff wait.Backoff
	// version is that up to which the Sink has taken everything; empty if there is
	// none to resume from.
	version string
	// followed says that there was a watch.
	followed bool
}

// reached says that the version is that up to which the Sink has taken everything.
func (r *Reflector) reached(version string) {
	r.version = version
	if n, err := strconv.ParseUint(version, 10, 64); err == nil {
		r.Newest = max(r.Newest, n)
	}
}

// New returns a reflector that does nothing yet.
func New(o Options) *Reflector {
	return &Reflector{Options: o, relist: make(chan struct{}, 1), backoff: o.Backoff}
}

// Relist asks for a list at once, in place of the watch that runs.
func (r *Reflector) Relist() {
	select {
	case r.relist <- struct{}{}:
	default:
	}
}

// Forget has the next call of Run begin with a list: what happened in between could be
// that the member was restored from a backup, and has given more versions since than
// were read before. It must not be called while Run runs.
func (r *Reflector) Forget() { r.version = "" }

// Resumes reports whether the next call of Run begins with a watch, since an earlier
// one has listed everything. It must not be called while Run runs.
func (r *Reflector) Resumes() bool { return r.version != "" && !r.Doubted() }

// Doubt says that the member was restored from a backup after the time given. Unless the
// reflector has watched since without a break, or has seen it by itself, it calls Behind
// and lists anew: when the member has since given as many versions as it had before,
// nothing else tells.
func (r *Reflector) Doubt(since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watching && r.broken.Before(since) || r.restored.After(r.broken) {
		return
	}
	r.doubted = true
	r.Relist()
}

// Doubted reports whether Doubt wants a list that has not begun.
func (r *Reflector) Doubted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.doubted
}

// behind says that versions are given a second time.
func (r *Reflector) behind() {
	r.mu.Lock()
	r.doubted, r.restored = false, time.Now()
	r.mu.Unlock()
	r.Newest = 0
	r.Sink.Behind()
}

// foundBehind does what follows when the member's version is lower than before. Who has
// watched nothing yet cannot tell since when.
func (r *Reflector) foundBehind() {
	r.mu.Lock()
	since := r.broken.Add(-unnoticed)
	r.mu.Unlock()
	r.Logger.Info("The member was restored from a backup: list all, and write it again", "path", r.Path, "before", r.Newest)
	r.behind()
	if r.followed && r.Restored != nil {
		r.Restored(since)
	}
}

var (
	errRelist     = errors.New("a list was asked for")
	errOutOfReach = errors.New("the member was out of reach")
)

// Run follows the resource until ctx ends. It can be called again, and resumes then.
func (r *Reflector) Run(ctx context.Context) {
	r.mu.Lock()
	if r.broken.IsZero() {
		r.broken = time.Now()
	}
	r.mu.Unlock()
	if r.Doubted() {
		r.version = ""
	}
	listed := false
	for ctx.Err() == nil {
		var err error
		if r.version == "" {
			var version string
			if version, err = r.list(ctx); err == nil {
				r.reached(version)
			}
			listed = err == nil
		}
		if err == nil {
			err = r.follow(ctx, listed)
		}
		if ctx.Err() != nil {
			if errors.Is(err, errRelist) {
				r.Relist() // for the next Run
			}
			return
		}
		r.version = ""
		switch {
		case errors.Is(err, errRelist):
		case errors.Is(err, errOutOfReach):
			r.Logger.V(2).Info("List again", "path", r.Path, "reason", err)
		case errors.Is(err, errBehind):
			r.foundBehind()
		case expired(err):
			r.Logger.V(2).Info("Cannot resume the watch, list again", "path", r.Path, "err", err)
			_ = r.pause(ctx, nil) // a list is next anyway
		default:
			r.Sink.Failed(err)
			_ = r.pause(ctx, err)
		}
	}
}

// follow watches from the version on, and resumes, until that is impossible. It
// returns the reason. What was not listed just now is checked before it is resumed.
func (r *Reflector) follow(ctx context.Context, listed bool) error {
	if !listed {
		if err := r.awaitVersion(ctx); err != nil {
			return err
		}
	}
	for {
		start, from := time.Now(), r.version
		err := r.watch(ctx)
		if ctx.Err() != nil || errors.Is(err, errRelist) || errors.Is(err, errOutOfReach) || expired(err) {
			return err
		}
		ended := time.Now()
		if time.Since(start) > steady || r.version != from {
			r.backoff = r.Backoff
		}
		var asked error
		switch {
		case err != nil:
			r.Sink.Failed(err)
			asked = r.pause(ctx, err)
		case time.Since(start) < steady:
			// It answers, so a longer wait would only make it be listed again.
			asked = r.wait(ctx, min(r.backoff.Step(), maxBreak))
		}
		if asked != nil {
			return asked
		}
		if err := r.awaitVersion(ctx); err != nil {
			return err
		}
		if lasted := time.Since(ended); lasted > outage {
			return fmt.Errorf("%w for %s", errOutOfReach, lasted)
		}
	}
}

// awaitVersion returns nil when the member answers and can be resumed, or the reason
// why it cannot.
func (r *Reflector) awaitVersion(ctx context.Context) error {
	for {
		err := r.checkVersion(ctx, r.version)
		if err == nil || ctx.Err() != nil || expired(err) {
			return err
		}
		r.Sink.Failed(err)
		if err := r.pause(ctx, err); err != nil {
			return err
		}
	}
}

// pause waits before the next attempt. It returns errRelist at once when a list is asked
// for.
func (r *Reflector) pause(ctx context.Context, cause error) error {
	return r.wait(ctx, r.delay(cause))
}

// delay returns how long to wait after a failure: at least for as long as the member
// wants.
func (r *Reflector) delay(cause error) time.Duration {
	delay := r.backoff.Step()
	if seconds, ok := apierrors.SuggestsClientDelay(cause); ok {
		delay = max(delay, min(time.Duration(seconds)*time.Second, maxRetryAfter))
	}
	return delay
}

func (r *Reflector) wait(ctx context.Context, delay time.Duration) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-r.relist:
		return errRelist
	}
	return nil
}

// expired reports whether only a list helps: the version is too old, or the member
// has never had it.
func expired(err error) bool {
	return err != nil && (errors.Is(err, errBehind) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) ||
		apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge))
}
