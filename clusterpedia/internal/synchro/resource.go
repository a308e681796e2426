package synchro

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"

	"clusterpedia.io/clusterpedia/internal/synchro/document"
	"clusterpedia.io/clusterpedia/internal/synchro/negotiation"
	"clusterpedia.io/clusterpedia/internal/synchro/reflector"
	"clusterpedia.io/clusterpedia/internal/synchro/writer"
	"clusterpedia.io/storage-api/storage"
)

// maxRejectedDelay bounds the wait between two attempts to write rejected objects.
const maxRejectedDelay = time.Hour

// resource keeps the stored objects of one resource in step with the member's. It is
// the Sink of its reflector.
type resource struct {
	negotiation.Resource
	cluster string
	known   *known
	writer  *writer.Writer
	// excluded are the namespaces whose objects are not stored.
	excluded *namespaces
	// listed says that a list was read to its end since the resource was made.
	listed   atomic.Bool
	rewriter document.Rewriter
	// convert brings a document into the stored version; nil if it is in that already.
	// Fields are those of the stored version, so that pruner comes behind it then.
	convert func(doc []byte) ([]byte, error)
	pruner  *document.Rewriter
	// printer returns what prints the cells of a stored document; nil if none are kept.
	printer func() negotiation.Print
	// definitions learns from the objects of this resource; columns is what to wait for. Both
	// may be nil.
	definitions, columns *columns
	metrics              Metrics
	log                  klog.Logger
	state                *resourceState
	reflector            *reflector.Reflector
	// events follows the Events of the objects; nil if they are not wanted.
	events *events
	// complete is called when all objects are stored that can be.
	complete func()
	// purging reports whether stored objects may have fields that are to be left out.
	purging func() bool
	// refused is called when an object was rejected.
	refused func(objectName, error)
	// stored is closed when the first list is stored: Events are of stored objects.
	stored     chan struct{}
	storedOnce sync.Once

	// running is what start began; cancel is nil while nothing runs.
	running sync.WaitGroup
	cancel  context.CancelFunc

	// lastRead is when the member was last heard of, in Unix nanoseconds; 0: never.
	lastRead atomic.Int64

	// run is what the state called the list that is being read.
	run   int
	retry delayed
}

// newResource returns a resource that does nothing yet. What is known of its stored
// objects must be complete.
func newResource(c *cluster, spec negotiation.Resource, known *known) *resource {
	r := &resource{
		Resource: spec,
		cluster:  c.name,
		known:    known,
		excluded: parseNamespaces(spec.ExcludedNamespaces, c.stateChanged),
		complete: func() { c.pruned(spec.Storage, spec.PrunedFields) },
		purging:  func() bool { return spec.PrunedFields != "" && c.rewriting(spec.Storage) },
		refused:  func(name objectName, err error) { c.rejected(spec.Storage, name, err) },
		writer:   c.writer,
		rewriter: document.Rewriter{
			Cluster:           c.name,
			APIVersion:        spec.GroupVersion().String(),
			Kind:              spec.Kind,
			DropManagedFields: c.Gates.PruneManagedFields,
			DropLastApplied:   c.Gates.PruneLastAppliedConfiguration,
		},
		metrics: c.Metrics,
		log:     c.log.WithValues("resource", spec.GroupVersionResource.String()),
		state:   newResourceState(c.stateChanged),
		retry:   delayed{first: c.Tuning.RejectedDelay},
		stored:  make(chan struct{}),
	}
	if spec.Storage.Version == spec.Version {
		r.rewriter.Prune = parseFields(spec.PrunedFields)
	} else {
		if spec.PrunedFields != "" {
			r.pruner = &document.Rewriter{Cluster: c.name, Prune: parseFields(spec.PrunedFields)}
		}
		gv := spec.GroupVersion()
		gv.Version = spec.Storage.Version
		r.convert = func(doc []byte) ([]byte, error) { return c.Kinds.Convert(doc, gv) }
	}
	r.setColumns(c)
	r.reflector = reflector.New(reflector.Options{
		Client:   c.client,
		Path:     pathOf(spec.Group, spec.Version, spec.GroupVersionResource.Resource),
		PageSize: c.PageSize,
		Lists:    r.lists(c),
		Backoff:  c.Tuning.ReadBackoff,
		Stall:    c.Tuning.Stall,
		Newest:   known.newest(),
		Restored: c.memberRestored,
		Sink:     r,
		Logger:   r.log,
	})
	if spec.Events {
		r.events = newEvents(c, r)
	} else {
		known.takeEvents() // of which nobody asks
	}
	return r
}

// setColumns sets what is kept for tables.
func (r *resource) setColumns(c *cluster) {
	r.printer = func() negotiation.Print { return nil }
	kind := schema.GroupKind{Group: r.Group, Kind: r.Kind}
	_, compiledIn := c.Kinds.StorageVersion(kind)
	switch {
	case compiledIn && c.Kinds.Cells != nil:
		cells := c.Kinds.Cells(kind)
		r.printer = func() negotiation.Print { return cells }
	case c.Kinds.CustomCells != nil && r.Storage != definitions:
		r.columns = c.columns
		r.printer = func() negotiation.Print { return c.columns.print(r.Storage) }
	}
	if c.Kinds.CustomCells != nil && r.Storage == definitions && r.Version == definitions.Version {
		r.definitions = c.columns
		c.columns.expect()
	}
}

// lists limits the lists that are read at the same time. Definitions, which others wait for,
// are not among those that have to wait for their turn.
func (r *resource) lists(c *cluster) chan struct{} {
	if r.definitions != nil {
		return nil
	}
	return c.lists
}

// pathOf returns where a member lists a resource.
func pathOf(group, version, resource string) string {
	if group == "" {
		return "/api/" + version + "/" + resource
	}
	return "/apis/" + group + "/" + version + "/" + resource
}

// start begins to read, if that isn't done already. start and stop are called by one
// goroutine.
func (r *resource) start(ctx context.Context) {
	if r.cancel != nil {
		return
	}
	ctx, r.cancel = context.WithCancel(ctx)
	r.state.starting(!r.reflector.Resumes())
	r.running.Go(func() {
		if r.columns != nil {
			r.columns.wait(ctx)
		}
		r.reflector.Run(ctx)
	})
	if r.events != nil {
		r.running.Go(func() { r.events.run(ctx, r.stored) })
	}
}

// stop ends reading, and returns when nothing is read any more. What was read goes
// on being written. A list that was due is read first when it starts again.
func (r *resource) stop(reason string) {
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.running.Wait()
	r.cancel = nil
	r.known.abandonList()
	if r.retry.stop() {
		r.reflector.Relist()
	}
	if reason == reasonPause {
		r.reflector.Forget()
		if r.events != nil {
			r.events.reflector.Forget()
		}
	}
	r.state.stopped(reason)
}

// end stops it for good, and returns what is known of the stored objects.
func (r *resource) end() *known {
	r.stop("")
	if r.reflector.Doubted() {
		r.known.doubtAll()
	}
	return r.known
}

// BeginList implements reflector.Sink.
func (r *resource) BeginList() {
	r.known.beginList()
	r.run = r.state.listing()
}

// Listed implements reflector.Sink.
func (r *resource) Listed(ctx context.Context, head document.Head, doc []byte) error {
	r.heard()
	return r.Changed(ctx, head, doc)
}

// Behind implements reflector.Sink.
func (r *resource) Behind() { r.known.restored() }

// EndList implements reflector.Sink.
func (r *resource) EndList(ctx context.Context) error {
	r.heard()
	if r.definitions != nil {
		r.definitions.done()
	}
	if !r.listed.Swap(true) && len(r.excluded.patterns) > 0 {
		r.state.changed()
	}
	for _, name := range r.known.unlisted() {
		if err := r.remove(ctx, name); err != nil {
			return err
		}
	}
	run := r.run
	r.writer.WhenWritten(func() {
		r.storedOnce.Do(func() { close(r.stored) })
		clean, settled := r.state.listWritten(run)
		if clean {
			r.retry.reset()
		}
		if settled {
			r.complete()
		}
	})
	return nil
}

// Changed implements reflector.Sink.
func (r *resource) Changed(ctx context.Context, head document.Head, doc []byte) error {
	r.heard()
	if r.excluded.has(head.Namespace) {
		return nil // a list removes what was stored before
	}
	if r.definitions != nil {
		r.definitions.learn(doc)
	}
	name, revision := nameOf(head), r.known.revision(head.UID, head.ResourceVersion)
	isNew := !r.known.has(name)
	r.known.reached(head.ResourceVersion)
	if r.known.put(name, revision) {
		r.metrics.Unchanged(r.cluster, r.Storage)
		return nil
	}
	object, err := r.object(doc)
	if err != nil {
		r.known.doubt(name, revision)
		r.invalid(name, err)
		if !isNew && r.purging() {
			r.known.stored(name, "")
			rejected := func(err error) { r.refused(name, err) }
			return r.writer.Enqueue(ctx, writer.Change{Change: storage.Change{Delete: r.key(name)}, Rejected: rejected})
		}
		return nil
	}
	// Both are called by one goroutine.
	doubted, doubts, orDelete := false, r.known.allDoubts(), r.purging()
	rejected := func(err error) {
		doubted = true
		r.known.doubt(name, revision)
		if _, never := errors.AsType[*storage.InvalidObjectError](err); never && orDelete {
			r.known.stored(name, "")
		}
		r.refused(name, err)
	}
	written := func() {
		r.known.stored(name, object.UID)
		if r.events != nil {
			r.events.stored(object.UID)
		}
		if doubted {
			r.known.written(name, revision, doubts)
			r.retry.hurry()
		}
	}
	err = r.writer.Enqueue(ctx, writer.Change{
		Change: storage.Change{Put: object}, New: isNew, Rejected: rejected, Written: written, OrDelete: orDelete,
	})
	if err != nil {
		r.known.doubt(name, revision)
	}
	return err
}

// Deleted implements reflector.Sink.
func (r *resource) Deleted(ctx context.Context, head document.Head) error {
	r.heard()
	if r.excluded.has(head.Namespace) {
		return nil
	}
	if r.definitions != nil {
		r.definitions.forget(head.Name)
	}
	return r.remove(ctx, nameOf(head))
}

func (r *resource) remove(ctx context.Context, name objectName) error {
	doubted := false // as in Changed
	rejected := func(err error) {
		doubted = true
		r.known.doubtRemoval(name)
		r.refused(name, err)
	}
	written := func() {
		if doubted {
			r.retry.hurry()
		}
	}
	r.known.remove(name)
	err := r.writer.Enqueue(ctx, writer.Change{Change: storage.Change{Delete: r.key(name)}, Rejected: rejected, Written: written})
	if err != nil {
		r.known.doubtRemoval(name)
	}
	return err
}

func (r *resource) key(name objectName) *storage.Key {
	return &storage.Key{Cluster: r.cluster, Resource: r.Storage, Namespace: name.namespace, Name: name.name}
}

// object returns the form in which a document is stored.
func (r *resource) object(doc []byte) (*storage.Object, error) {
	d, err := r.rewriter.Rewrite(doc)
	if err != nil {
		return nil, err
	}
	if r.convert != nil {
		if d.JSON, err = r.convert(d.JSON); err != nil {
			return nil, fmt.Errorf("convert from %s to %s: %w", r.Version, r.Storage.Version, err)
		}
		if r.pruner != nil {
			if d, err = r.pruner.Rewrite(d.JSON); err != nil {
				return nil, err
			}
		}
	}
	object := &storage.Object{
		Key:             storage.Key{Cluster: r.cluster, Resource: r.Storage, Namespace: d.Namespace, Name: d.Name},
		Kind:            d.Kind,
		UID:             d.UID,
		ResourceVersion: d.ResourceVersion,
		Controller:      d.Controller,
		Owners:          d.Owners,
		Labels:          d.Labels,
		CreatedAt:       d.CreatedAt,
		DeletedAt:       d.DeletedAt,
		JSON:            d.JSON,
	}
	if cells := r.printer(); cells != nil {
		// Without cells a table shows the same, from the whole document. The error may repeat
		// some of that.
		if object.Cells, err = cells(d.JSON); err != nil {
			r.log.V(4).Info("A table's row of an object cannot be printed", "object", object.Key.String())
		}
	}
	return object, nil
}

// invalid reports an object that can't be stored because of what it holds. It is
// read again when it changes.
func (r *resource) invalid(name objectName, err error) {
	r.log.Error(err, "An object of the member is left out", "object", name.String())
	r.metrics.Invalid(r.cluster, r.Storage)
	r.state.leftOut(fmt.Errorf("object %s is left out: %w", name, err), true)
}

// rejected reports an object that the storage layer refuses, and has all that differ
// written again after a while.
func (r *resource) rejected(name objectName, err error) {
	_, never := errors.AsType[*storage.InvalidObjectError](err)
	r.state.leftOut(fmt.Errorf("object %s is not stored: %w", name, err), never)
	if storage.IsRetryable(err) || errors.Is(err, context.DeadlineExceeded) {
		r.retry.scheduleSooner(r.reflector.Relist)
		return
	}
	r.retry.schedule(r.reflector.Relist)
}

// Unreadable implements reflector.Sink.
func (r *resource) Unreadable(err error) {
	r.log.Error(err, "An object of the member cannot be read and is left out")
	r.metrics.Invalid(r.cluster, r.Storage)
	r.state.leftOut(fmt.Errorf("an object is left out: %w", err), true)
}

func (r *resource) heard() { r.lastRead.Store(time.Now().UnixNano()) }

// Bookmark implements reflector.Sink.
func (r *resource) Bookmark() { r.heard() }

// Watching implements reflector.Sink.
func (r *resource) Watching() { r.state.watching() }

// Failed implements reflector.Sink.
func (r *resource) Failed(err error) {
	if r.definitions != nil && lasting(err) {
		r.definitions.done() // nobody waits for them any longer
	}
	if first := r.state.failed(err); first {
		r.log.Info("Cannot read from the member, try again", "err", err)
		return
	}
	r.log.V(2).Info("Still cannot read from the member", "err", err)
}

// lasting reports whether an answer of the member will be the same in a moment.
func lasting(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err)
}

// delayed calls a function after a delay that grows until reset.
type delayed struct {
	first time.Duration

	mu      sync.Mutex
	delay   time.Duration
	timer   *time.Timer
	pending bool
}

// schedule has f called after the delay, unless a call is due already. f must not
// wait.
func (r *delayed) schedule(f func()) { r.scheduleFrom(r.first, f) }

// scheduleSooner is schedule with a sixth of the first delay, for what may pass.
func (r *delayed) scheduleSooner(f func()) { r.scheduleFrom(r.first/6, f) }

func (r *delayed) scheduleFrom(first time.Duration, f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending {
		return
	}
	r.delay = min(max(2*r.delay, first), maxRejectedDelay)
	r.pending = true
	r.timer = time.AfterFunc(r.delay, func() {
		r.mu.Lock()
		r.pending = false
		r.mu.Unlock()
		f()
	})
}

// hurry has the call that is due, if there is one, come after a sixth of the first delay:
// what it waits for has passed.
func (r *delayed) hurry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending && r.timer.Stop() {
		r.timer.Reset(r.first / 6)
	}
}

// stop cancels the call that is due, and reports whether there was one.
func (r *delayed) stop() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer != nil {
		r.timer.Stop()
	}
	was := r.pending
	r.pending = false
	return was
}

// reset makes the next delay the first again.
func (r *delayed) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = 0
}
