package query_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

// full returns an object in which every field that can be sorted by is set.
func full() *object.Object {
	o := pod()
	o.DeletedAt = created.Add(time.Hour).In(time.FixedZone("UTC-3", -3*60*60))
	o.SyncedAt = created.Add(1234 * time.Millisecond)
	return o
}

func TestTokenRoundTrip(t *testing.T) {
	t.Parallel()
	for _, by := range query.OrderFields() {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			q := &query.Query{Order: []query.Order{{By: by, Desc: true}}, Limit: 1}
			q.Continue = q.ContinueAfter(full())
			if err := q.Validate(); err != nil {
				t.Fatal(err)
			}
			position, err := q.Position()
			if err != nil {
				t.Fatal(err)
			}
			if query.Compare(q, position, full()) != 0 {
				t.Errorf("the position %+v is not that of the object", position)
			}
		})
	}
}

func TestTokenHoldsOddKeys(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "é😀", `"'\`, "a\x00b", "<&>", strings.Repeat("n", 253), "\u2028"} {
		q := &query.Query{}
		o := &object.Object{Key: object.Key{Cluster: name, Resource: object.Resource{Group: name, Version: name, Resource: name}, Namespace: name, Name: name}}
		q.Continue = q.ContinueAfter(o)
		position, err := q.Position()
		if err != nil {
			t.Fatal(err)
		}
		if position.Key != o.Key {
			t.Errorf("got the key %q, want %q", position.Key, o.Key)
		}
	}
}

func TestTokenBelongsToItsQuery(t *testing.T) {
	t.Parallel()
	base := query.Query{
		Types: []query.Type{{Version: "v1", Resource: "pods"}}, Order: []query.Order{{By: query.ByCreatedAt}},
		Params: map[string][]string{"a": {"1"}, "b": {"2"}},
	}
	token := base.ContinueAfter(full())
	for name, x := range map[string]struct {
		change func(*query.Query)
		fits   bool
	}{
		"same":       {func(*query.Query) {}, true},
		"limit":      {func(q *query.Query) { q.Limit = 7 }, true},
		"count":      {func(q *query.Query) { q.Count = query.CountExact }, true},
		"projection": {func(q *query.Query) { q.Projection = query.Metadata }, true},
		"events":     {func(q *query.Query) { q.Events = true }, true},
		"packed":     {func(q *query.Query) { q.Packed = true }, true},
		"visible":    {func(q *query.Query) { q.Visible = &query.Visibility{} }, true},
		"types":      {func(q *query.Query) { q.Types = nil }, false},
		"clusters":   {func(q *query.Query) { q.Clusters = []string{"c1"} }, false},
		"namespaces": {func(q *query.Query) { q.Namespaces = []string{""} }, false},
		"names":      {func(q *query.Query) { q.Names = []string{"a"} }, false},
		"part":       {func(q *query.Query) { q.NameContains = []string{"a"} }, false},
		"labels": {func(q *query.Query) {
			q.Labels = []query.LabelRequirement{{Key: "a", Operator: query.Exists}}
		}, false},
		"fields": {func(q *query.Query) {
			q.Fields = []query.FieldRequirement{{Path: words("a"), Operator: query.Exists}}
		}, false},
		"owner":     {func(q *query.Query) { q.Owner = &query.Owner{UID: "a"} }, false},
		"since":     {func(q *query.Query) { q.Since = created }, false},
		"before":    {func(q *query.Query) { q.Before = created }, false},
		"params":    {func(q *query.Query) { q.Params = map[string][]string{"a": {"2"}} }, false},
		"order":     {func(q *query.Query) { q.Order = nil }, false},
		"direction": {func(q *query.Query) { q.Order = []query.Order{{By: query.ByCreatedAt, Desc: true}} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := base
			q.Continue = token
			x.change(&q)
			checkToken(t, &q, x.fits)
		})
	}
}

// checkToken checks whether the query's token fits.
func checkToken(t *testing.T, q *query.Query, fits bool) {
	t.Helper()
	err := q.Validate()
	var invalid *query.InvalidQueryError
	switch {
	case fits && err != nil:
		t.Errorf("the token is refused: %v", err)
	case !fits && !errors.As(err, &invalid):
		t.Errorf("want an InvalidQueryError, got %v", err)
	case !fits && (invalid.Field != "continue" || invalid.Value != q.Continue):
		t.Errorf("the error is about %s %q", invalid.Field, invalid.Value)
	}
}

func TestTokenTampered(t *testing.T) {
	t.Parallel()
	q := &query.Query{}
	good := q.ContinueAfter(full())
	encode := base64.RawURLEncoding.EncodeToString
	text, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	edited := func(change func(map[string]any)) string {
		var members map[string]any
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatal(err)
		}
		change(members)
		changed, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		return encode(changed)
	}
	for name, token := range map[string]string{
		"no base64":          "%%%",
		"padded":             base64.URLEncoding.EncodeToString(append(text, ' ')) + "=",
		"decimal":            "500",
		"cut":                good[:len(good)-5],
		"no JSON":            encode([]byte("hello")),
		"another JSON":       encode([]byte("[]")),
		"null":               encode([]byte("null")),
		"empty object":       encode([]byte("{}")),
		"two documents":      encode(append(text, text...)),
		"another version":    edited(func(m map[string]any) { m["v"] = 2 }),
		"no version":         edited(func(m map[string]any) { delete(m, "v") }),
		"another query":      edited(func(m map[string]any) { m["q"] = "AAAAAAAAAAAA" }),
		"no query":           edited(func(m map[string]any) { delete(m, "q") }),
		"a name that is 7":   edited(func(m map[string]any) { m["k"] = map[string]any{"name": 7} }),
		"a time that isn't":  edited(func(m map[string]any) { m["created"] = "yesterday" }),
		"a key that is text": edited(func(m map[string]any) { m["k"] = "default/web" }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkToken(t, &query.Query{Continue: token}, false)
		})
	}
	// The position itself is the client's choice.
	moved := edited(func(m map[string]any) { m["k"] = map[string]any{"name": "elsewhere"} })
	position, err := (&query.Query{Continue: moved}).Position()
	if err != nil || position.Name != "elsewhere" {
		t.Errorf("got %v, %v", position, err)
	}
}

// FuzzPosition checks that no token, whatever a client sends, does more than move
// the start of a list or be refused.
func FuzzPosition(f *testing.F) {
	q := &query.Query{Order: []query.Order{{By: query.ByCreatedAt}, {By: query.ByKind, Desc: true}}}
	f.Add(q.ContinueAfter(full()))
	f.Add((&query.Query{}).ContinueAfter(full()))
	f.Add("")
	f.Add("500")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"v":1,"q":"","k":{"name":"a"},"created":"2026-03-29T01:30:00+23:59"}`)))
	f.Fuzz(func(t *testing.T, token string) {
		q := &query.Query{Order: q.Order, Continue: token}
		position, err := q.Position()
		if err != nil {
			var invalid *query.InvalidQueryError
			if !errors.As(err, &invalid) || invalid.Field != "continue" || position != nil {
				t.Fatalf("got %v and the error %v", position, err)
			}
			return
		}
		// A position that was read can be written and read again.
		again := &query.Query{Order: q.Order}
		again.Continue = again.ContinueAfter(position)
		second, err := again.Position()
		if err != nil {
			t.Fatalf("the position %+v cannot be written: %v", position, err)
		}
		if query.Compare(again, position, second) != 0 {
			t.Errorf("the position %+v became %+v", position, second)
		}
	})
}
