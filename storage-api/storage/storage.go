// Package storage is the contract between Clusterpedia and its storage layers.
//
// A storage layer keeps the objects of many member clusters. The
// clustersynchro-manager writes them through Apply, the apiserver reads them
// through Get and List; both know nothing of what stands behind. This package
// and those it builds on, object and query, import the standard library alone,
// and so a storage layer that is built as a Go plugin shares nothing else with
// its host. Their doc comments are the specification; package storagetest checks
// that an implementation keeps it.
//
// # Writing a storage layer
//
// Implement Storage, and register a Driver for it in an init function of the
// plugin's main package:
//
//	package main
//
//	func init() {
//		storage.Register(storage.Driver{Name: "redis", Open: redis.Open})
//	}
//
//	func main() {}
//
// # Versions
//
// Go loads a plugin only if it was built with the very sources of this contract
// that its host has. The contract therefore changes rarely and has a version of
// its own, digest.Version: within one, not a byte of it changes.
package storage

import (
	"context"
	"io"

	"clusterpedia.io/storage-api/digest"
	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

// Source identifies the sources that this contract was compiled from. To use it
// here ties package storage to package digest, so that the loader of Go compares
// both.
const Source = digest.Source

// The words of what is stored, from package object.
type (
	// Object is one object of one member cluster at one revision.
	Object = object.Object
	// Key identifies an Object.
	Key = object.Key
	// Resource is group, version and plural name.
	Resource = object.Resource
	// Packed is a compressed document.
	Packed = object.Packed
	// Cells is a row of a table.
	Cells = object.Cells
	// Page tells where a list ended.
	Page = query.Page
)

// Storage is a storage layer, opened. All methods may be called at the same time
// from many goroutines.
//
// A method that waits returns early, with an error that wraps the context's, when
// its context ends. Errors are those of this package, or others, which count as
// permanent; messages hold no credentials.
type Storage interface {
	// Get returns the object of that key, or an error that wraps ErrNotFound. The
	// caller owns the result.
	Get(ctx context.Context, key Key) (Object, error)

	// List calls yield for each object that satisfies q, in the order of q, up to
	// q.Limit. The objects are those of one point in time, or of the time when
	// each was read; one that stays as it is during the call is never missed nor
	// given twice, also over several pages that are joined by Page.Continue.
	//
	// The object, its JSON included, is valid only until yield returns, and yield
	// does not change it. An error of yield ends the list and is returned as it
	// is. While yield runs (it may wait for a slow client) a storage layer holds no
	// lock that writers or other readers need, and no database cursor; to read
	// ahead in bounded pages does it.
	//
	// It returns a *query.InvalidQueryError for a query that is not valid
	// (query.Validate, called first) or asks for what the storage layer cannot
	// do; then yield has not been called.
	List(ctx context.Context, q *query.Query, yield func(*Object) error) (Page, error)

	// Apply writes changes of one cluster, in their order, all or nothing.
	// Applying a batch again, after an error that left open whether it was written,
	// leaves the objects as once. A Put replaces whatever is stored under its key,
	// whichever of both has the higher version: the writer knows the order. The
	// events of an object stay with it if the Put has the same UID, and are forgotten
	// otherwise. Deleting what is not stored is no error.
	//
	// Every change's cluster is w.Cluster. The storage layer copies what it
	// keeps; the changes stay the caller's.
	//
	// It returns a *FencedError if another writer with a higher epoch has written to
	// the cluster; this is decided atomically with the write, and counts for a batch
	// without changes too: a new writer claims the cluster by it, before it reads what
	// is stored, so that nothing of earlier writers can follow. It returns a
	// *InvalidObjectError, nothing being written, if it can
	// tell that an object can never be stored, so that the writer sets that one
	// apart. An error for which IsRetryable holds says that the same call may
	// succeed later.
	Apply(ctx context.Context, w Writer, changes []Change) error

	// Versions calls yield for each stored object of the cluster, in the default
	// order, so that a writer that starts anew writes only what differs. An error
	// of yield ends the call and is returned as it is.
	Versions(ctx context.Context, cluster string, yield func(Version) error) error

	// Purge removes all objects of one resource of the writer's cluster, or of the
	// whole cluster if resource is nil, in steps small enough not to stop other
	// writers. It obeys the epoch as Apply does, for each step and if there is
	// nothing to remove; the epoch itself is remembered beyond a purge.
	Purge(ctx context.Context, w Writer, resource *Resource) error

	// Close releases everything. Calls that still run, or come later, return an
	// error.
	Close(ctx context.Context) error
}

// Writer is who writes to a cluster.
type Writer struct {
	Cluster string
	// Epoch grows with every change of the writer. Zero is a writer without an
	// epoch: it is never fenced and fences nobody.
	Epoch int64
}

// Change is one change of a batch. Exactly one field is set.
type Change struct {
	// Put stores an object.
	Put *Object
	// Delete removes one, with its events.
	Delete *Key
	// Event records a Kubernetes Event of a stored object.
	Event *Event
}

// Event is a Kubernetes Event of an object. It is kept with the object whose
// cluster and UID it names, and dropped if that is not stored. A storage layer
// keeps at least the newest 10 events of an object, by LastSeen, and may forget
// older ones; it goes by UID, so that an event that is recorded again takes the
// place of its earlier version.
type Event struct {
	// Involved is the UID of the object that the event is about.
	Involved string
	// UID and ResourceVersion are the event's own.
	UID, ResourceVersion string
	// LastSeen is the Unix time in seconds at which the event last happened.
	LastSeen int64
	// JSON is the core/v1 Event; nil if the event is gone from the member.
	JSON []byte
}

// Version is what a restarting writer needs to know of a stored object.
type Version struct {
	Key
	UID, ResourceVersion string
	// Events maps the UIDs of the recorded events to their resource versions.
	Events map[string]string
}

// The interfaces below are optional. The host asks for each in one place.

// Watcher is implemented by storage layers that can follow changes.
type Watcher interface {
	// Watch calls yield for each change, behind the point since (Page.Version or
	// WatchEvent.Version; empty: from now), of an object that satisfies q, until
	// ctx ends, yield returns an error or the storage layer fails: it then returns
	// that error. Order and paging of q are ignored.
	//
	// Each change is given exactly once. Those of one object, and all of one
	// cluster, come in the order in which they were written; those of one batch may
	// be joined to one for each object. An object that ceases to satisfy q, or to be
	// visible, is reported as deleted, one that begins to as added.
	//
	// yield may wait: the storage layer reads ahead in bounded memory, holds up
	// neither writers nor other watches meanwhile, and ends with an error that wraps
	// ErrExpired if it cannot keep what a slow watch has not taken. So it does if
	// since is too old, or is none that it knows.
	Watch(ctx context.Context, q *query.Query, since string, yield func(WatchEvent) error) error
}

// WatchEvent is one change.
type WatchEvent struct {
	Type WatchEventType
	// Object is valid until yield returns. For Deleted it is the last state that
	// satisfied the query, with the resource version of the change if that is known;
	// nil for Bookmark.
	Object *Object
	// Version is the point behind this event, from which a watch can resume.
	Version string
}

// WatchEventType says what happened.
type WatchEventType string

// The types of watch events, named as in Kubernetes.
const (
	Added    WatchEventType = "ADDED"
	Modified WatchEventType = "MODIFIED"
	Deleted  WatchEventType = "DELETED"
	// Bookmark only moves Version forward.
	Bookmark WatchEventType = "BOOKMARK"
)

// Collections is implemented by storage layers that define collection resources:
// named sets of types, listed as one.
type Collections interface {
	// Collections returns all that the storage layer defines.
	Collections(ctx context.Context) ([]Collection, error)
}

// Collection is one collection resource.
type Collection struct {
	Name string
	// Types are what it holds. Empty: the client chooses in its request.
	Types []query.Type
}

// Prober is implemented by storage layers whose health can be asked for.
type Prober interface {
	// Probe returns nil if the storage layer can serve now.
	Probe(ctx context.Context) error
}

// MetricsWriter is implemented by storage layers that have metrics.
type MetricsWriter interface {
	// WriteMetrics writes them in the Prometheus text exposition format 0.0.4.
	WriteMetrics(w io.Writer) error
}

// ClusterLister is implemented by storage layers that can say of which clusters they
// hold objects. Objects of a cluster that was removed while no manager ran stay in one
// that cannot.
type ClusterLister interface {
	// Clusters calls yield once for each cluster of which an object is stored, in the
	// order of their names by bytes. Those whose first object is stored, or whose last
	// one is removed, during the call may be given or not. An error of yield ends the
	// call and is returned as it is. yield may wait, as in List.
	Clusters(ctx context.Context, yield func(cluster string) error) error
}

// Migrator is implemented by storage layers with a schema. A storage layer that
// was opened with Settings.SkipMigrations leaves the schema alone until Migrate
// is called.
type Migrator interface {
	// Pending returns the migrations that Migrate would run, in order.
	Pending(ctx context.Context) ([]Migration, error)
	// Migrate runs them and calls done after each. Interrupted anywhere, it can
	// be called again. Several processes may call it at once.
	Migrate(ctx context.Context, done func(Migration)) error
}

// Migration is one numbered change of a schema.
type Migration struct {
	Number int
	// Summary says in one line what it does.
	Summary string
	// Statements are the texts that will be run, for a dry run.
	Statements []string
}
