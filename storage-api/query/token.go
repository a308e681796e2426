package query

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"clusterpedia.io/storage-api/object"
)

// A continue token is unpadded base64url of a JSON document: the format's
// version, a fingerprint of the query's conditions and order, and the last
// object's values of all fields that the order compares. It is no secret and is
// not trusted: it can only move the start of a list within what its query
// selects.
type token struct {
	Version int        `json:"v"`
	Query   string     `json:"q"`
	Key     object.Key `json:"k"`
	// The values of Query.Order that are not part of the key.
	Kind            string    `json:"kind,omitempty"`
	UID             string    `json:"uid,omitempty"`
	Controller      string    `json:"owner,omitempty"`
	ResourceVersion string    `json:"rv,omitempty"`
	CreatedAt       time.Time `json:"created,omitzero"`
	DeletedAt       time.Time `json:"deleted,omitzero"`
	SyncedAt        time.Time `json:"synced,omitzero"`
}

const tokenVersion = 1

// ContinueAfter returns the token for the page that starts behind last.
func (q *Query) ContinueAfter(last *object.Object) string {
	t := token{Version: tokenVersion, Query: q.fingerprint(), Key: last.Key}
	for _, by := range q.Order {
		switch by.By {
		case ByKind:
			t.Kind = last.Kind
		case ByUID:
			t.UID = last.UID
		case ByController:
			t.Controller = last.Controller
		case ByResourceVersion:
			t.ResourceVersion = last.ResourceVersion
		case ByCreatedAt:
			t.CreatedAt = last.CreatedAt.UTC()
		case ByDeletedAt:
			t.DeletedAt = last.DeletedAt.UTC()
		case BySyncedAt:
			t.SyncedAt = last.SyncedAt.UTC()
		}
	}
	text, err := json.Marshal(t)
	if err != nil {
		return "" // a struct of strings and times of the years 0 to 9999
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// Position decodes q.Continue into an object that holds the key and the values
// of all fields that q.Order compares: the page holds the objects that Compare
// puts behind it. It returns an *InvalidQueryError for a token that is damaged,
// or that belongs to a query with other conditions or another order.
func (q *Query) Position() (*object.Object, error) {
	invalid := func(reason string) error {
		return &InvalidQueryError{Field: "continue", Value: q.Continue, Reason: reason}
	}
	text, err := base64.RawURLEncoding.DecodeString(q.Continue)
	if err != nil {
		return nil, invalid("not a token of this server")
	}
	var t token
	if err := json.Unmarshal(text, &t); err != nil || t.Version != tokenVersion {
		return nil, invalid("not a token of this server")
	}
	if t.Query != q.fingerprint() {
		return nil, invalid("the token belongs to another query, start again without it")
	}
	return &object.Object{
		Key: t.Key, Kind: t.Kind, UID: t.UID, Controller: t.Controller, ResourceVersion: t.ResourceVersion,
		CreatedAt: t.CreatedAt, DeletedAt: t.DeletedAt, SyncedAt: t.SyncedAt,
	}, nil
}

// fingerprint tells apart queries whose pages must not be mixed. What a caller
// may see, the projection, the count and the page size may change between pages.
func (q *Query) fingerprint() string {
	same := *q
	same.Visible, same.Projection, same.Columns, same.Events, same.Packed = nil, Full, "", false, false
	same.Limit, same.Offset, same.Continue, same.Count = 0, 0, "", CountNone
	text, err := json.Marshal(same)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}
