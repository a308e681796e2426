// Package rows is what is kept in the database: the table of objects, the tables
// beside it, and the changes that bring an older schema up to date.
package rows

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/storage-api/object"
)

// Row is one row of table resources as it is written.
type Row struct {
	*object.Object
	SyncedAt time.Time
}

// Columns are the columns that a row writes, in the order of Values.
func Columns(d dialect.Dialect) []string {
	columns := []string{
		"group", "version", "resource", "cluster", "namespace", "name", "kind", "owner_uid", "uid",
		"resource_version", "object", "created_at", "synced_at", "deleted_at", "owners",
	}
	if d.SeparateRaw() {
		columns = append(columns, "raw", "raw_rv")
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
	if len(r.Owners) > 0 {
		text, err := json.Marshal(r.Owners)
		if err != nil {
			return nil, fmt.Errorf("owners: %w", err)
		}
		s := string(text)
		owners = &s
	}
	values := []any{
		r.Group, r.Version, r.Resource.Resource, r.Cluster, r.Namespace, r.Name, r.Kind, r.Controller, r.UID,
		r.ResourceVersion, string(r.JSON), d.Time(r.CreatedAt), d.Time(r.SyncedAt), deleted, owners,
	}
	if d.SeparateRaw() {
		values = append(values, r.JSON, r.ResourceVersion)
	}
	return values, nil
}

// OtherOwners are the owners beside the controller, which has a column of its own.
func OtherOwners(o *object.Object) []string {
	return slices.DeleteFunc(slices.Clone(o.Owners), func(uid string) bool { return uid == o.Controller })
}

// Scanner reads rows of a SELECT of its columns.
type Scanner struct {
	dialect               dialect.Dialect
	document, raw, events bool
	jsonText, owners      []byte
	rawText               []byte
	eventText             []byte
	deleted               *time.Time
	created, synced       time.Time
}

// NewScanner returns a scanner of rows that hold document, an expression for the
// document, unless that is empty. With full the bytes that were put are preferred
// to it.
func NewScanner(d dialect.Dialect, document string, events bool) (*Scanner, []string) {
	s := &Scanner{dialect: d, document: document != "", events: events, raw: document == Full && d.SeparateRaw()}
	columns := []string{d.Column("group"), "version", "resource", "cluster", "namespace", "name", "kind", "uid", "resource_version", "owner_uid", "owners", "created_at", "synced_at", "deleted_at"}
	switch {
	case s.raw:
		// A row that an older release has changed since is served from its object.
		columns = append(columns, "CASE WHEN raw_rv = resource_version THEN raw END", "CASE WHEN raw IS NOT NULL AND raw_rv = resource_version THEN NULL ELSE object END")
	case s.document:
		columns = append(columns, document)
	}
	if events {
		columns = append(columns, "events")
	}
	return s, columns
}

// Full is the expression for the whole document.
const Full = "object"

// Scan reads one row. Its bytes are the caller's.
func (s *Scanner) Scan(scan func(...any) error) (*object.Object, error) {
	o := &object.Object{}
	s.jsonText, s.rawText, s.eventText, s.owners, s.deleted = nil, nil, nil, nil, nil
	targets := []any{
		&o.Group, &o.Version, &o.Resource.Resource, &o.Cluster, &o.Namespace, &o.Name, &o.Kind, &o.UID, &o.ResourceVersion,
		&o.Controller, &s.owners, &s.created, &s.synced, &s.deleted,
	}
	if s.raw {
		targets = append(targets, &s.rawText)
	}
	if s.document {
		targets = append(targets, &s.jsonText)
	}
	if s.events {
		targets = append(targets, &s.eventText)
	}
	if err := scan(targets...); err != nil {
		return nil, err
	}
	o.JSON = s.jsonText
	if s.rawText != nil {
		o.JSON = s.rawText
	}
	o.CreatedAt, o.SyncedAt = s.dialect.FromTime(s.created), s.dialect.FromTime(s.synced)
	if s.deleted != nil {
		o.DeletedAt = s.dialect.FromTime(*s.deleted)
	}
	if err := s.finish(o); err != nil {
		return nil, fmt.Errorf("row of %s: %w", o.Key, err)
	}
	return o, nil
}

func (s *Scanner) finish(o *object.Object) error {
	switch {
	case len(s.owners) > 0:
		if err := json.Unmarshal(s.owners, &o.Owners); err != nil {
			return fmt.Errorf("owners: %w", err)
		}
	case o.Controller != "":
		o.Owners = []string{o.Controller}
	}
	if len(s.eventText) > 0 {
		var err error
		o.Events, err = eventList(s.eventText)
		return err
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
