// Package rows is what is kept in the database: the table of objects, the tables
// beside it, and the changes that bring an older schema up to date.
package rows

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/internalstorage/packed"
	"clusterpedia.io/storage-api/object"
)

// Row is one row of table resources as it is written.
type Row struct {
	*object.Object
	SyncedAt time.Time
	// Packer packs the document.
	Packer *packed.Packer
}

// Columns are the columns that a row writes, in the order of Values.
func Columns(d dialect.Dialect) []string {
	columns := []string{
		"group", "version", "resource", "cluster", "namespace", "name", "kind", "owner_uid", "uid",
		"resource_version", "object", "created_at", "synced_at", "deleted_at", "owners",
	}
	if d.KeepsHead() {
		columns = append(columns, "raw_rv", "head")
	}
	if d.SeparateRaw() {
		columns = append(columns, "raw")
	}
	if d.KeepsCells() {
		columns = append(columns, "cells")
	}
	return columns
}

// Kept are the columns that stay when an object is replaced by a newer version of
// itself.
func Kept() []string { return []string{"events", "event_resource_versions", "event_state"} }

// Values returns the values of Columns.
func (r Row) Values(d dialect.Dialect) ([]any, error) {
	var deleted *time.Time
	if !r.DeletedAt.IsZero() {
		t := d.Time(r.DeletedAt)
		deleted = &t
	}
	var owners *string
	text, err := ownersText(r.Object)
	if err != nil {
		return nil, err
	}
	if text != "" {
		owners = &text
	}
	values := []any{
		r.Group, r.Version, r.Resource.Resource, r.Cluster, r.Namespace, r.Name, r.Kind, r.Controller, r.UID,
		r.ResourceVersion, string(r.JSON), d.Time(r.CreatedAt), d.Time(r.SyncedAt), deleted, owners,
	}
	if d.KeepsHead() {
		_, head, rest := appendHead(nil, r.JSON, r.Packer)
		if values = append(values, r.ResourceVersion, head); d.SeparateRaw() {
			values = append(values, r.Packer.Append(nil, rest))
		}
	}
	if d.KeepsCells() {
		var cells []byte // NULL
		if size := cellsSize(r.Object); size > 0 {
			cells = appendCells(make([]byte, 0, size), r.Object)
		}
		values = append(values, cells)
	}
	return values, nil
}

// OtherOwners are the owners beside the controller, which has a column of its own.
func OtherOwners(o *object.Object) []string {
	return slices.DeleteFunc(slices.Clone(o.Owners), func(uid string) bool { return uid == o.Controller })
}

// Scanner reads rows of a SELECT of its columns.
type Scanner struct {
	dialect dialect.Dialect
	memory  *Memory
	// Columns are what is to be selected, and Args the arguments in them.
	Columns []string
	Args    []any
	wanted  Wanted
	// mark is that of the cells that are wanted; empty if none are.
	mark string
	// last has the texts that following rows often share.
	last    object.Object
	texts   [texts]dialect.Bytes
	targets [texts + 3]any
	deleted *time.Time
	created time.Time
	synced  time.Time
	// packer restores documents, into scratch those that are not given out.
	packer  *packed.Packer
	scratch []byte
	// ownerUIDs is where the owners of many objects stand.
	ownerUIDs []string
	// cellsRead is where their cells stand.
	cellsRead []object.Cells
}

// Document is how much of a document is wanted.
type Document int

// None, only the metadata, or all of it. CellsOrDocument is the metadata and cells, or all of
// it for objects without fitting cells.
const (
	NoDocument Document = iota
	OnlyMetadata
	WholeDocument
	CellsOrDocument
)

// Wanted is what is read of objects beside the columns that say what they are.
type Wanted struct {
	Document Document
	// CellColumns are the columns of the cells for CellsOrDocument.
	CellColumns string
	Events      bool
	// More is a column that Scan returns as a text beside the object; it may be empty.
	More string
}

// The texts of a row, in the order in which they are selected.
const (
	group = iota
	version
	resource
	cluster
	namespace
	name
	kind
	uid
	resourceVersion
	controller
	owners
	head
	raw
	document
	cells
	events
	extra
	texts
)

// NewScanner returns a scanner, which puts what it reads into memory.
func NewScanner(d dialect.Dialect, packer *packed.Packer, memory *Memory, wanted Wanted) *Scanner {
	s := &Scanner{dialect: d, packer: packer, memory: memory, wanted: wanted}
	s.Columns = []string{d.Column("group"), "version", "resource", "cluster", "namespace", "name", "kind", "uid", "resource_version", "owner_uid", "owners"}
	null := func(column string, wanted bool) string {
		if !wanted {
			return "NULL"
		}
		return column
	}
	var enough string // is when the head, and maybe cells, are all that is wanted
	switch {
	case wanted.Document == OnlyMetadata && d.KeepsHead():
		enough = "WHEN " + dialect.HeadFits + " THEN NULL "
	case wanted.Document == CellsOrDocument && d.KeepsCells() && cellsNamed(wanted.CellColumns):
		s.mark = cellsMark(wanted.CellColumns)
		fit := d.CellsFit(s.mark)
		s.Args, enough = fit.Args, "WHEN "+fit.SQL+" THEN NULL "
	}
	// A row that an older release has changed since is served from its object.
	const current = "raw_rv = resource_version"
	switch {
	case wanted.Document == NoDocument:
		s.Columns = append(s.Columns, "NULL", "NULL", "NULL")
	case d.SeparateRaw():
		s.Columns = append(s.Columns, "CASE WHEN "+current+" THEN head END", "CASE "+enough+"WHEN "+current+" THEN raw END",
			"CASE WHEN "+current+" THEN NULL ELSE object END")
	case enough != "":
		s.Columns = append(s.Columns, "CASE WHEN "+current+" THEN head END", "NULL", "CASE "+enough+"ELSE object END")
	default:
		s.Columns = append(s.Columns, "NULL", "NULL", "object")
	}
	s.Columns = append(s.Columns, null("cells", s.mark != ""), null("events", wanted.Events), null(wanted.More, wanted.More != ""), "created_at", "synced_at", "deleted_at")
	return s
}

// Free takes back the memory of all objects that were read.
func (s *Scanner) Free() {
	s.memory.Free()
	s.ownerUIDs, s.cellsRead = s.ownerUIDs[:0], s.cellsRead[:0]
}

// Scan reads one row into o, whose bytes are valid until the memory is freed, and so is
// the text of the column beyond. Texts of an object stay valid.
func (s *Scanner) Scan(scan dialect.Scan, o *object.Object) (more []byte, err error) {
	for i := range s.texts {
		s.texts[i] = nil
		s.targets[i] = &s.texts[i]
	}
	s.deleted = nil
	s.targets[texts], s.targets[texts+1], s.targets[texts+2] = &s.created, &s.synced, &s.deleted
	if err := scan(s.targets[:]...); err != nil {
		return nil, err
	}
	*o = object.Object{}
	s.scanTexts(o)
	o.CreatedAt, o.SyncedAt = s.dialect.FromTime(s.created), s.dialect.FromTime(s.synced)
	if s.deleted != nil {
		o.DeletedAt = s.dialect.FromTime(*s.deleted)
	}
	if err := s.finish(o); err != nil {
		return nil, fmt.Errorf("row of %s: %w", o.Key, err)
	}
	return s.memory.copy(s.texts[extra]), nil
}

// scanTexts makes one string of the texts that are an object's own, and takes the others
// from the row before if they are the same.
func (s *Scanner) scanTexts(o *object.Object) {
	for _, t := range []struct {
		column int
		last   *string
		into   *string
	}{
		{group, &s.last.Group, &o.Group},
		{version, &s.last.Version, &o.Version},
		{resource, &s.last.Resource.Resource, &o.Resource.Resource},
		{cluster, &s.last.Cluster, &o.Cluster},
		{namespace, &s.last.Namespace, &o.Namespace},
		{kind, &s.last.Kind, &o.Kind},
		{controller, &s.last.Controller, &o.Controller},
	} {
		if string(s.texts[t.column]) != *t.last {
			*t.last = string(s.texts[t.column])
		}
		*t.into = *t.last
	}
	var own strings.Builder
	own.Grow(len(s.texts[name]) + len(s.texts[uid]) + len(s.texts[resourceVersion]))
	for _, column := range []int{name, uid, resourceVersion} {
		own.Write(s.texts[column])
	}
	all := own.String()
	o.Name, all = all[:len(s.texts[name])], all[len(s.texts[name]):]
	o.UID, o.ResourceVersion = all[:len(s.texts[uid])], all[len(s.texts[uid]):]
}

func (s *Scanner) finish(o *object.Object) error {
	if err := s.readOwners(o); err != nil {
		return err
	}
	if err := s.readDocument(o); err != nil {
		return err
	}
	if len(s.texts[events]) > 0 {
		var err error
		o.Events, err = eventList(s.texts[events])
		return err
	}
	return nil
}

// readDocument joins what stands apart in a row.
func (s *Scanner) readDocument(o *object.Object) (err error) {
	first, rest := s.texts[head], s.texts[raw]
	// No document is null, but go-mysql-server has that for NULL.
	if whole := s.texts[document]; whole != nil && string(whole) != "null" {
		first, rest = nil, whole
	}
	switch {
	case s.wanted.Document == NoDocument:
	case s.mark != "" && first != nil && rest == nil:
		if err = s.readCells(o); err == nil {
			o.JSON, err = s.closed(first)
		}
	case s.wanted.Document == OnlyMetadata && first == nil:
		if s.scratch, err = s.packer.Restore(s.scratch[:0], rest); err == nil {
			o.JSON, err = onlyMetadata(s.memory.take(len(s.scratch)+1), s.scratch)
		}
	case s.wanted.Document == OnlyMetadata:
		o.JSON, err = s.closed(first)
	default:
		o.JSON, err = s.restore(first, rest)
	}
	return err
}

// readCells reads the cells that stand in for the rest of a document.
func (s *Scanner) readCells(o *object.Object) error {
	values, ok := cutCells(s.texts[cells], o.ResourceVersion, s.mark)
	if !ok { // the database said otherwise
		return fmt.Errorf("cells: %w", errMalformed)
	}
	s.cellsRead = append(s.cellsRead, object.Cells{Columns: s.wanted.CellColumns, Values: s.memory.copy(values)})
	o.Cells = &s.cellsRead[len(s.cellsRead)-1]
	return nil
}

// closed restores a head, and makes a document of it.
func (s *Scanner) closed(head dialect.Bytes) ([]byte, error) {
	doc, err := s.restore(head)
	if err != nil {
		return nil, err
	}
	return append(doc, '}'), nil
}

// restore puts the parts of a document into memory, with room for one byte more.
func (s *Scanner) restore(parts ...dialect.Bytes) (doc []byte, err error) {
	size := 1
	for _, p := range parts {
		n, err := s.packer.Size(p)
		if err != nil {
			return nil, err
		}
		size += n
	}
	doc = s.memory.take(size)
	for _, p := range parts {
		if doc, err = s.packer.Restore(doc, p); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

func (s *Scanner) readOwners(o *object.Object) error {
	text := s.texts[owners]
	if len(text) > 0 {
		if err := json.Unmarshal(text, &o.Owners); err != nil {
			return fmt.Errorf("owners: %w", err)
		}
		return nil
	}
	if o.Controller != "" {
		s.ownerUIDs = append(s.ownerUIDs, o.Controller)
		o.Owners = s.ownerUIDs[len(s.ownerUIDs)-1 : len(s.ownerUIDs) : len(s.ownerUIDs)]
	}
	return nil
}

// eventList turns the map of column events into a list.
func eventList(text []byte) ([]byte, error) {
	var events map[string]json.RawMessage
	if err := json.Unmarshal(text, &events); err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	if len(events) == 0 {
		return nil, nil
	}
	list := make([][]byte, 0, len(events))
	for _, event := range events {
		list = append(list, event)
	}
	return append(append([]byte{'['}, bytes.Join(list, []byte(","))...), ']'), nil
}
