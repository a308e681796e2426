package storagetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

func testContext(t *testing.T, s suite) {
	s.each(t, []test{
		{"canceled before the call", contextCancelled},
		{"canceled while yield runs", contextDuringList},
		{"an error of yield", contextYieldError},
	})
	t.Run("closed", func(t *testing.T) {
		t.Parallel()
		testClosed(t, s)
	})
}

// call is one method with usual arguments.
type call struct {
	name string
	run  func(context.Context, storage.Storage) error
}

func calls(t testing.TB, stored *object.Object) []call {
	w := storage.Writer{Cluster: stored.Cluster}
	list := func(q query.Query) func(context.Context, storage.Storage) error {
		return func(ctx context.Context, st storage.Storage) error {
			_, err := st.List(ctx, &q, noYield(t))
			return err
		}
	}
	return []call{
		{"Get", func(ctx context.Context, st storage.Storage) error {
			_, err := st.Get(ctx, stored.Key)
			return err
		}},
		{"List", list(query.Query{})},
		{"List in order", list(query.Query{Order: []query.Order{{By: query.ByName}}, Limit: 1, Count: query.CountExact})},
		{"List owned", list(query.Query{Owner: &query.Owner{UID: "owner"}})},
		{"Apply put", func(ctx context.Context, st storage.Storage) error {
			return st.Apply(ctx, w, puts(thing{cluster: stored.Cluster, name: "new"}.object()))
		}},
		{"Apply delete", func(ctx context.Context, st storage.Storage) error { return st.Apply(ctx, w, deletes(stored)) }},
		{"Apply event", func(ctx context.Context, st storage.Storage) error {
			return st.Apply(ctx, w, []storage.Change{recorded(stored, "event", 1)})
		}},
		{"Versions", func(ctx context.Context, st storage.Storage) error {
			return st.Versions(ctx, stored.Cluster, func(storage.Version) error {
				t.Error("yield of Versions was called")
				return nil
			})
		}},
		{"Purge resource", func(ctx context.Context, st storage.Storage) error { return st.Purge(ctx, w, &stored.Resource) }},
		{"Purge cluster", func(ctx context.Context, st storage.Storage) error { return st.Purge(ctx, w, nil) }},
	}
}

func contextCancelled(t *testing.T, st storage.Storage) {
	o := thing{name: "web", owners: []string{"owner"}}.object()
	put(t, st, o)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
	defer cancel()
	for _, c := range calls(t, o) {
		if err := c.run(canceled, st); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a canceled context: %v", c.name, err)
		}
		if err := c.run(late, st); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s behind its deadline: %v", c.name, err)
		}
	}
	checkStored(t, st, o)
	if got := eventsOf(t, st, o); got != "" {
		t.Errorf("a canceled call recorded the event %s", got)
	}
}

func contextDuringList(t *testing.T, st storage.Storage) {
	const stored = 3000
	put(t, st, manyPods("c1", stored)...)
	for _, order := range [][]query.Order{nil, {{By: query.ByName}}} {
		ctx, cancel := context.WithCancel(t.Context())
		given := 0
		_, err := st.List(ctx, &query.Query{Order: order}, func(*object.Object) error {
			given++
			cancel()
			return nil
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("order %v: list: %v", order, err)
		}
		if given == stored {
			t.Errorf("order %v: all objects were given after the context ended", order)
		}
	}
}

// yieldError is compared by its address.
type yieldError struct{ text string }

func (e *yieldError) Error() string { return e.text }

// asItIs reports whether err is want itself, and no error that wraps it.
func asItIs(err, want error) bool {
	return err == want //nolint:errorlint // the contract says so
}

func contextYieldError(t *testing.T, st storage.Storage) {
	put(t, st, manyPods("c1", 50)...)
	for _, want := range []error{
		&yieldError{"the client is gone"},
		fmt.Errorf("wrapped: %w", storage.Retryable(&yieldError{"retryable"})),
		&query.InvalidQueryError{Field: "none", Reason: "made by yield"},
		storage.ErrNotFound,
		context.Canceled,
	} {
		given := 0
		fail := func() error {
			if given++; given == 3 {
				return want
			}
			return nil
		}
		_, err := st.List(t.Context(), &query.Query{}, func(*object.Object) error { return fail() })
		if !asItIs(err, want) || given != 3 {
			t.Errorf("list: yield ran %d times and returned %v, got %v", given, want, err)
		}
		given = 0
		_, err = st.List(t.Context(), &query.Query{Order: []query.Order{{By: query.ByName}}, Limit: 10}, func(*object.Object) error { return fail() })
		if !asItIs(err, want) || given != 3 {
			t.Errorf("list in order: yield ran %d times and returned %v, got %v", given, want, err)
		}
		given = 0
		err = st.Versions(t.Context(), "c1", func(storage.Version) error { return fail() })
		if !asItIs(err, want) || given != 3 {
			t.Errorf("versions: yield ran %d times and returned %v, got %v", given, want, err)
		}
	}

	// What yield returns counts more than a context that ends meanwhile.
	ctx, cancel := context.WithCancel(t.Context())
	want := &yieldError{"and canceled"}
	_, err := st.List(ctx, &query.Query{}, func(*object.Object) error {
		cancel()
		return want
	})
	if !asItIs(err, want) {
		t.Errorf("list: yield returned %v and canceled, got %v", want, err)
	}
	checkStored(t, st, manyPods("c1", 50)...)
}

func testClosed(t *testing.T, s suite) {
	st := s.open(t)
	o := thing{name: "web"}.object()
	put(t, st, o)
	closeStorage(t, st)
	for _, c := range calls(t, o) {
		err := c.run(t.Context(), st)
		if err == nil {
			t.Errorf("%s succeeds after Close", c.name)
		}
		if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrFenced) {
			t.Errorf("%s after Close says something about what is stored: %v", c.name, err)
		}
	}
	if prober, ok := st.(storage.Prober); ok && prober.Probe(t.Context()) == nil {
		t.Error("Probe succeeds after Close")
	}
}
