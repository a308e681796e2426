// Package object holds the words that host and storage layers share for what
// is stored: one object of one member cluster at one revision. It is the lowest
// package of the contract; package storage re-exports its names, so that a
// storage layer rarely needs to import it.
package object

import (
	"strings"
	"time"
)

// Resource names a resource as Kubernetes does in its URLs: group (empty for the
// core group), version and plural name.
type Resource struct {
	Group    string `json:"group"`
	Version  string `json:"version"`
	Resource string `json:"resource"`
}

// String returns "group/version/resource", or "version/resource" for the core
// group.
func (r Resource) String() string {
	if r.Group == "" {
		return r.Version + "/" + r.Resource
	}
	return r.Group + "/" + r.Version + "/" + r.Resource
}

// Compare orders resources bytewise by group, version and resource.
func (r Resource) Compare(o Resource) int {
	if c := strings.Compare(r.Group, o.Group); c != 0 {
		return c
	}
	if c := strings.Compare(r.Version, o.Version); c != 0 {
		return c
	}
	return strings.Compare(r.Resource, o.Resource)
}

// Key identifies one stored object. Two keys are equal only if all their bytes
// are: names that differ in case or in trailing blanks are different keys, on
// every database.
type Key struct {
	// Cluster is the name of the member cluster, that of its PediaCluster.
	Cluster string `json:"cluster"`
	// Resource holds the stored version, which need not be the version that the
	// member serves.
	Resource
	// Namespace is empty for cluster-scoped objects.
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String returns "cluster resource namespace/name", for messages.
func (k Key) String() string {
	name := k.Name
	if k.Namespace != "" {
		name = k.Namespace + "/" + name
	}
	return k.Cluster + " " + k.Resource.String() + " " + name
}

// Compare orders keys bytewise by group, version, resource, cluster, namespace
// and name. This is the default order of every list.
func (k Key) Compare(o Key) int {
	if c := k.Resource.Compare(o.Resource); c != 0 {
		return c
	}
	if c := strings.Compare(k.Cluster, o.Cluster); c != 0 {
		return c
	}
	if c := strings.Compare(k.Namespace, o.Namespace); c != 0 {
		return c
	}
	return strings.Compare(k.Name, o.Name)
}

// Object is one object of one member cluster at one revision.
//
// Everything beside JSON is taken from JSON by the writer, so that a storage
// layer never needs to parse it.
type Object struct {
	Key

	// Kind is the object's kind, never empty.
	Kind string
	// UID is metadata.uid.
	UID string
	// ResourceVersion is the member's metadata.resourceVersion: opaque.
	ResourceVersion string
	// Controller is the UID of the owner that controls the object; empty if none
	// does.
	Controller string
	// Owners are the UIDs of all owners without repetition, the controller
	// first.
	Owners []string
	// Labels are metadata.labels. A storage layer may leave them nil in what it
	// returns: JSON has them.
	Labels map[string]string
	// CreatedAt is metadata.creationTimestamp, in UTC, whole seconds.
	CreatedAt time.Time
	// DeletedAt is metadata.deletionTimestamp; zero if the object is not being
	// deleted.
	DeletedAt time.Time
	// SyncedAt is the time of the write, set by the storage layer, in UTC with
	// milliseconds. Writers leave it zero.
	SyncedAt time.Time

	// JSON is the document in its stored version: compact, valid UTF-8, with
	// apiVersion and kind, no duplicate keys.
	JSON []byte

	// Packed optionally holds JSON a second time, compressed, ready to be sent.
	// A storage layer may ignore it.
	Packed *Packed
	// Cells optionally holds what a table shows of the object, computed by the
	// writer. A storage layer may ignore it.
	Cells *Cells
	// Events holds the recorded Kubernetes Events of the object, as a JSON array
	// of core/v1 Event documents without a set order. Only in answers, and only
	// if the query asked for it; nil if there are none.
	Events []byte
}

// Cells is a row of a table. It is made by the writer for readers that may be of
// another release, so it says what it is a row of.
type Cells struct {
	// Columns names the set of columns that Values are for. The storage layer only
	// compares it.
	Columns string
	// Values is a JSON array with a value for each column. Where a table shows how
	// long ago something was, it holds the time, as RFC 3339 has it: the reader knows
	// now.
	Values []byte
}

// Packed is a document as one raw DEFLATE stream (RFC 1951) that ends at a byte
// boundary with a sync flush and without a final block, so that several can be
// joined to one gzip member (RFC 1952).
type Packed struct {
	Deflate []byte
	// CRC32 is the IEEE CRC of the uncompressed document.
	CRC32 uint32
	// Size is the length of the uncompressed document in bytes.
	Size int64
}
