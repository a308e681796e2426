// Package query holds what may be asked of a storage layer: a Query, neutral to
// any database, made by the apiserver from a client's request and answered by a
// storage layer. It also holds the reference evaluation of a Query on objects in
// memory (Match, Compare, the continue token), which decides what is right where
// two storage layers differ.
package query

import (
	"time"

	"clusterpedia.io/storage-api/object"
)

// Query asks for objects. All its conditions must hold (AND); a condition that is
// left empty holds for every object. Lists of values are alternatives (OR).
type Query struct {
	// Types are the resources asked for. Empty: all.
	Types []Type
	// Clusters, Namespaces and Names are exact names. The empty namespace
	// selects cluster-scoped objects.
	Clusters   []string
	Namespaces []string
	Names      []string
	// NameContains are texts that must all be part of the name. They hold no
	// wildcards, and upper and lower case differ.
	NameContains []string
	// Labels are conditions on metadata.labels.
	Labels []LabelRequirement
	// Fields are conditions on any part of the document.
	Fields []FieldRequirement
	// Owner selects the objects that are owned by another one.
	Owner *Owner
	// Since and Before bound the creation time: Since <= CreatedAt < Before.
	Since, Before time.Time
	// Visible limits the answer to what the caller may see. Nil: everything. A
	// Visibility without scopes: nothing.
	Visible *Visibility
	// Params are the request's raw URL parameters that the storage layer's
	// Driver named as its own. They are ignored while their feature gate is off.
	Params map[string][]string

	// Order sorts the answer. Whatever it leaves open is decided by the default
	// order: group, version, resource, cluster, namespace, name, bytewise.
	Order []Order

	// Projection says how much of each object is wanted.
	Projection Projection
	// Columns names the set of columns of the projection Cells.
	Columns string
	// Events asks for Object.Events.
	Events bool
	// Packed allows the storage layer to fill Object.Packed in place of
	// Object.JSON, for the objects it likes.
	Packed bool

	// Limit is the greatest number of objects to return. Zero: no limit.
	Limit int64
	// Offset skips that many objects from the start. It exists for clients that
	// count; Continue is better. Only one of both may be set.
	Offset int64
	// Continue is a token from an earlier Page: the answer starts behind the
	// object at which that page ended, whether or not it still exists.
	Continue string
	// Count says whether the number of remaining objects is wanted.
	Count Count
}

// Type selects resources. Empty Version or Resource: any. The empty Group is the
// core group; AnyGroup selects all.
type Type struct {
	Group    string
	Version  string
	Resource string
}

// AnyGroup stands in Type.Group for every group.
const AnyGroup = "*"

// Operator compares a value of an object with those of a requirement.
type Operator string

// Operators. The values they take, and what they mean for an object that lacks
// the label or field, are those of Kubernetes' selectors.
const (
	// In: the value is one of Values. An absent value is not.
	In Operator = "in"
	// NotIn: the value is absent, or none of Values.
	NotIn Operator = "notin"
	// Exists and NotExists take no Values.
	Exists    Operator = "exists"
	NotExists Operator = "notexists"
	// GreaterThan and LessThan take one decimal integer. They hold only if the
	// object's value is a decimal integer too: an optional minus sign and 1 to 18
	// digits.
	GreaterThan Operator = "gt"
	LessThan    Operator = "lt"
)

// LabelRequirement is a condition on one label.
type LabelRequirement struct {
	Key      string
	Operator Operator
	Values   []string
}

// FieldRequirement is a condition on the part of the document that Path leads to.
//
// Strings compare by their text, booleans as "true" and "false", numbers by their
// decimal text (which texts match one that is spelled with a point or an exponent is
// left to the storage layer). null counts as absent. Objects and arrays exist; which
// texts equal them is left to the storage layer.
//
// A Path with list elements leads to many values: In, Exists, GreaterThan and
// LessThan hold if they do for any of them, NotIn and NotExists hold if In and
// Exists don't.
type FieldRequirement struct {
	Path     []PathElement
	Operator Operator
	Values   []string
}

// PathElement is one step into a document.
type PathElement struct {
	// Name of a field of an object.
	Name string
	// List says that the field holds a list, of which Index chooses one element
	// (from 0) or, with Index AllElements, every one. A field that holds no list
	// has no elements.
	List  bool
	Index int
}

// AllElements is the Index for every element of a list.
const AllElements = -1

// Owner selects the objects whose owner, Seniority generations up, is the one
// described. Ownership goes through any owner reference and never leaves a
// cluster. UID wins over Name.
type Owner struct {
	// UID of the owner, which need not be stored itself.
	UID string
	// Name selects owners by their name: all of Group and Resource if Resource is
	// not empty, in Query.Namespaces if that is not empty, or cluster-scoped.
	Name     string
	Group    string
	Resource string
	// Seniority is the number of generations between the owner and the objects:
	// 0 selects those that it owns directly, 1 what these own and no more, up to
	// MaxSeniority.
	Seniority int
}

// MaxSeniority bounds Owner.Seniority.
const MaxSeniority = 10

// Visibility is what a caller may see: the union of its scopes.
type Visibility struct {
	Scopes []Scope
}

// Scope is a set of objects. Its conditions must all hold; empty ones hold for
// every object.
type Scope struct {
	Clusters   []string
	Namespaces []string
	Types      []Type
}

// Order sorts by one field.
type Order struct {
	By   OrderField
	Desc bool
}

// OrderField is a field that lists can be sorted by. Texts sort bytewise, times
// by time with the zero time first.
type OrderField string

// The fields to sort by.
const (
	ByGroup     OrderField = "group"
	ByVersion   OrderField = "version"
	ByResource  OrderField = "resource"
	ByKind      OrderField = "kind"
	ByCluster   OrderField = "cluster"
	ByNamespace OrderField = "namespace"
	ByName      OrderField = "name"
	ByUID       OrderField = "uid"
	// ByController sorts by Object.Controller.
	ByController OrderField = "owner_uid"
	// ByResourceVersion sorts by the version's value as a decimal number; one
	// that is not made of 1 to 18 digits counts as 0.
	ByResourceVersion OrderField = "resource_version"
	ByCreatedAt       OrderField = "created_at"
	ByDeletedAt       OrderField = "deleted_at"
	BySyncedAt        OrderField = "synced_at"
)

// OrderFields returns all fields to sort by.
func OrderFields() []OrderField {
	return []OrderField{
		ByGroup, ByVersion, ByResource, ByKind, ByCluster, ByNamespace, ByName, ByUID,
		ByController, ByResourceVersion, ByCreatedAt, ByDeletedAt, BySyncedAt,
	}
}

// Projection says how much of each object is wanted.
type Projection int

const (
	// Full asks for the whole document.
	Full Projection = iota
	// Metadata asks for a document with apiVersion, kind and metadata alone.
	Metadata
	// Cells asks for Object.Cells with the document of Metadata in Object.JSON, for
	// objects whose Cells.Columns are Query.Columns. All others get the whole
	// document in Object.JSON, and nil Cells.
	Cells
	// KeyOnly asks for Key, Kind, UID and ResourceVersion. JSON is nil.
	KeyOnly
)

// Count says whether the number of remaining objects is wanted, which may cost
// far more than the page itself.
type Count int

const (
	// CountNone asks for no number.
	CountNone Count = iota
	// CountCheap asks for the number if the storage layer has it at hand.
	CountCheap
	// CountExact asks for the number at any cost.
	CountExact
)

// Page tells where a list ended.
type Page struct {
	// Continue is the token for the next page; empty if no object remains. A
	// storage layer returns it for every query with a Limit.
	Continue string
	// Remaining is the number of objects behind the page; nil if not asked for or
	// not known.
	Remaining *int64
	// Version is a point in time from which a Watcher can resume, empty if the
	// storage layer is none. It is not later than the first read for this page, so
	// that a watch from there on misses nothing that the page does not show; what
	// the page shows already may come again. Of a list in several pages that of the
	// first one counts.
	Version string
}

// Selects reports whether the type selects r.
func (t Type) Selects(r object.Resource) bool {
	return (t.Group == AnyGroup || t.Group == r.Group) &&
		(t.Version == "" || t.Version == r.Version) &&
		(t.Resource == "" || t.Resource == r.Resource)
}
