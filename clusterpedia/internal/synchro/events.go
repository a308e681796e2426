package synchro

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"

	"clusterpedia.io/clusterpedia/internal/synchro/document"
	"clusterpedia.io/clusterpedia/internal/synchro/reflector"
	"clusterpedia.io/clusterpedia/internal/synchro/writer"
	"clusterpedia.io/storage-api/storage"
)

// events records the Events of one resource's objects with them. It is the Sink of a
// reflector of its own. Events stay recorded when the member forgets them, as it does
// after an hour: the storage layer bounds them.
type events struct {
	resource  *resource
	rewriter  document.Rewriter
	reflector *reflector.Reflector
	log       klog.Logger
	// retry is for Events that the storage layer does not take, again for those that could
	// not wait for their objects.
	retry, again delayed
	// wake has release look for Events whose objects are stored.
	wake chan struct{}

	// order keeps the versions of an Event in their order on their way to the writer.
	order sync.Mutex
	// mu is for what the writer calls, and for release.
	mu sync.Mutex
	// early are the Events whose objects are not stored.
	early early
	// recorded are the resource versions of the member's Events that are recorded, or on
	// their way, by their UIDs. listed are those of the list that is read, missed says
	// that one was left to the next list, refused that one was given up since the list
	// before.
	recorded, listed map[string]string
	missed, refused  bool
}

func newEvents(c *cluster, r *resource) *events {
	e := &events{
		resource: r,
		rewriter: document.Rewriter{Cluster: c.name, APIVersion: "v1", Kind: "Event", DropManagedFields: true},
		log:      r.log.WithValues("of", "events"),
		retry:    delayed{first: c.Tuning.RejectedDelay},
		again:    delayed{first: c.Tuning.RejectedDelay},
		wake:     make(chan struct{}, 1),
		recorded: r.known.takeEvents(),
	}
	if e.recorded == nil {
		e.recorded = map[string]string{}
	}
	e.reflector = reflector.New(reflector.Options{
		Client:        c.client,
		Path:          "/api/v1/events",
		FieldSelector: "involvedObject.kind=" + r.Kind,
		PageSize:      c.PageSize,
		Lists:         c.lists,
		Backoff:       c.Tuning.ReadBackoff,
		Stall:         c.Tuning.Stall,
		Restored:      c.memberRestored,
		Sink:          e,
		Logger:        e.log,
	})
	return e
}

// run follows the Events until ctx ends, once the objects are stored.
func (e *events) run(ctx context.Context, stored <-chan struct{}) {
	select {
	case <-ctx.Done():
		return
	case <-stored:
	}
	var releasing sync.WaitGroup
	releasing.Go(func() { e.release(ctx) })
	e.reflector.Run(ctx)
	releasing.Wait()
	// Both are stopped.
	retry, again := e.retry.stop(), e.again.stop()
	if retry || again {
		e.reflector.Relist()
	}
}

// BeginList implements reflector.Sink.
func (e *events) BeginList() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.listed, e.missed = map[string]string{}, false
}

// Listed implements reflector.Sink.
func (e *events) Listed(ctx context.Context, head document.Head, doc []byte) error {
	if err := e.take(ctx, head, doc, true); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if version, ok := e.recorded[head.UID]; ok {
		e.listed[head.UID] = version
	}
	return nil
}

// Behind implements reflector.Sink.
func (e *events) Behind() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.recorded = map[string]string{}
}

// EndList implements reflector.Sink.
func (e *events) EndList(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.recorded, e.listed = e.listed, nil
	if !e.refused {
		e.retry.reset()
	}
	if !e.missed {
		e.again.reset()
	}
	e.refused = false
	return nil
}

// Changed implements reflector.Sink.
func (e *events) Changed(ctx context.Context, head document.Head, doc []byte) error {
	return e.take(ctx, head, doc, false)
}

// take has an Event recorded, now or later.
func (e *events) take(ctx context.Context, head document.Head, doc []byte, listed bool) error {
	if e.has(head) {
		return nil
	}
	event, object, err := e.event(head, doc)
	if err != nil {
		e.Unreadable(err)
		return nil
	}
	if event == nil || e.resource.excluded.has(object.namespace) {
		return nil
	}
	if !e.resource.known.stores(object, event.Involved) {
		if early := (earlyEvent{object, since(event, listed), event}); e.awaits(early) {
			e.await(early, false)
		}
		return nil
	}
	return e.record(ctx, object, event, false)
}

// record has an Event of a stored object written. One that has waited for its object is
// left out if a newer version has come meanwhile.
func (e *events) record(ctx context.Context, object objectName, event *storage.Event, waited bool) error {
	e.order.Lock()
	defer e.order.Unlock()
	e.mu.Lock()
	if waited && e.overtaken(event) {
		e.mu.Unlock()
		return nil
	}
	e.early.sort(func(early earlyEvent) bool { return early.UID == event.UID })
	e.recorded[event.UID] = event.ResourceVersion
	if e.listed != nil {
		e.listed[event.UID] = event.ResourceVersion
	}
	e.mu.Unlock()
	err := e.resource.writer.Enqueue(ctx, writer.Change{Change: storage.Change{Event: event}, Rejected: func(err error) {
		e.rejected(object, event, err)
	}})
	if err != nil {
		e.forget(event)
	}
	return err
}

// forget says that an Event is not recorded after all.
func (e *events) forget(event *storage.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, versions := range []map[string]string{e.recorded, e.listed} {
		if versions[event.UID] == event.ResourceVersion {
			delete(versions, event.UID)
		}
	}
}

func (e *events) has(head document.Head) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.recorded[head.UID] == head.ResourceVersion
}

// rejected deals with an Event that was not recorded: it is tried again, as long as the
// member has it.
func (e *events) rejected(object objectName, event *storage.Event, err error) {
	e.log.Error(err, "An Event of the member is not recorded", "object", object.String(), "event", event.UID)
	e.forget(event)
	e.mu.Lock()
	e.refused = true
	e.mu.Unlock()
	e.retry.schedule(e.reflector.Relist)
}

// event returns what is recorded of an Event, and the name of its object; nil if it is
// about an object of another group or without a UID.
func (e *events) event(head document.Head, doc []byte) (*storage.Event, objectName, error) {
	var read struct {
		InvolvedObject struct{ APIVersion, Namespace, Name, UID string }
		LastTimestamp  *time.Time
		FirstTimestamp *time.Time
		EventTime      *time.Time
		Series         *struct{ LastObservedTime *time.Time }
		Metadata       struct{ CreationTimestamp *time.Time }
	}
	if err := json.Unmarshal(doc, &read); err != nil {
		return nil, objectName{}, fmt.Errorf("event %s: %w", nameOf(head), err)
	}
	gv, err := schema.ParseGroupVersion(read.InvolvedObject.APIVersion)
	// A kind may be of several groups. Old components leave out which one it is.
	if err != nil || (read.InvolvedObject.APIVersion != "" && gv.Group != e.resource.Group) || read.InvolvedObject.UID == "" {
		return nil, objectName{}, nil //nolint:nilerr // no version of a resource is written like this
	}
	rewritten, err := e.rewriter.Rewrite(doc)
	if err != nil {
		return nil, objectName{}, fmt.Errorf("event %s: %w", nameOf(head), err)
	}
	seen := time.Unix(0, 0)
	times := []*time.Time{read.LastTimestamp, read.FirstTimestamp, read.EventTime, read.Metadata.CreationTimestamp}
	if read.Series != nil {
		times = append(times, read.Series.LastObservedTime)
	}
	for _, t := range times {
		if t != nil && t.After(seen) {
			seen = *t
		}
	}
	return &storage.Event{
		Involved: read.InvolvedObject.UID, UID: head.UID, ResourceVersion: head.ResourceVersion, LastSeen: seen.Unix(), JSON: rewritten.JSON,
	}, objectName{read.InvolvedObject.Namespace, read.InvolvedObject.Name}, nil
}

// Deleted implements reflector.Sink.
func (e *events) Deleted(_ context.Context, head document.Head) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.recorded, head.UID)
	return nil
}

// Unreadable implements reflector.Sink.
func (e *events) Unreadable(err error) {
	e.log.Error(err, "An Event of the member is left out")
	e.resource.metrics.Invalid(e.resource.cluster, storage.Resource{Version: "v1", Resource: "events"})
}

// Bookmark implements reflector.Sink.
func (e *events) Bookmark() {}

// Watching implements reflector.Sink.
func (e *events) Watching() {}

// Failed implements reflector.Sink. The status tells of the objects alone: that Events
// cannot be read leaves them complete.
func (e *events) Failed(err error) {
	e.log.Info("Cannot read the member's Events, try again", "err", err)
}
