package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

var (
	errSeen = errors.New("enough was seen")
	few     = limits{changes: 16, bytes: 1 << 20, age: time.Hour}
)

// version returns the version of a list.
func version(t *testing.T, s *Store) string {
	t.Helper()
	page, err := s.List(t.Context(), &query.Query{}, func(*storage.Object) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return page.Version
}

// collect watches until there are n events, bookmarks among them.
func collect(t *testing.T, s *Store, q query.Query, since string, n int) ([]storage.WatchEvent, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var all []storage.WatchEvent
	err := s.Watch(ctx, &q, since, func(e storage.WatchEvent) error {
		all = append(all, e)
		if len(all) == n {
			return errSeen
		}
		return nil
	})
	if errors.Is(err, errSeen) {
		err = nil
	}
	return all, err
}

func describe(all []storage.WatchEvent) string {
	var words []string
	for _, e := range all {
		word := string(e.Type)
		if e.Object != nil {
			word += " " + e.Object.Name
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

func puts(from, to int) []storage.Change {
	var all []storage.Change
	for i := from; i < to; i++ {
		all = append(all, storage.Change{Put: pod("c", fmt.Sprint("pod-", i), fmt.Sprint(i))})
	}
	return all
}

func TestWatchSinceExpires(t *testing.T) {
	t.Parallel()
	s, other := newStore(few), newStore(few)
	since := version(t, s)
	apply(t, s, "c", puts(0, 16)...)
	if got, err := collect(t, s, query.Query{}, since, 16); err != nil || len(got) != 16 {
		t.Errorf("as much as is kept: %d events, %v", len(got), err)
	}
	apply(t, s, "c", puts(16, 17)...)
	apply(t, other, "c", puts(0, 40)...)
	future := newStore(few)
	for name, v := range map[string]string{
		"one change too many": since, "of another process": version(t, other), "of a process to come": version(t, future),
		"no number": "eyJtZW0tMSI6IjEwMDMifQ", "zero": "0", "the future": encode(s.history.version(18), nil), "of an earlier release": "eyJtZW0tMSI6IjEwMDEiLCJtZW0tMiI6IjAifQ",
	} {
		for _, q := range []query.Query{{}, {Owner: &query.Owner{Name: "web"}}} {
			if got, err := collect(t, s, q, v, 1); !errors.Is(err, storage.ErrExpired) || len(got) > 0 {
				t.Errorf("%s: got %s, %v", name, describe(got), err)
			}
		}
	}
}

// A watch that is too slow gives what it holds, in order, and then expires.
func TestWatchTooSlow(t *testing.T) {
	t.Parallel()
	s := newStore(few)
	since := version(t, s)
	apply(t, s, "c", puts(0, 1)...)
	var given []string
	err := s.Watch(t.Context(), &query.Query{}, since, func(e storage.WatchEvent) error {
		given = append(given, e.Object.Name)
		if len(given) == 1 {
			apply(t, s, "c", puts(1, 12)...)
		}
		if len(given) == 2 {
			apply(t, s, "c", puts(12, 40)...)
		}
		return nil
	})
	if !errors.Is(err, storage.ErrExpired) || len(given) != 12 || given[11] != "pod-11" {
		t.Errorf("got %q, %v", given, err)
	}
}

// What a purge removes may be more than the history keeps: a watch that has not
// begun to read it must not miss a part of it.
func TestWatchPurgeBeyondHistory(t *testing.T) {
	t.Parallel()
	s := newStore(few)
	apply(t, s, "c", puts(0, 40)...)
	since := version(t, s)
	if err := s.Purge(t.Context(), storage.Writer{Cluster: "c"}, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := collect(t, s, query.Query{}, since, 1); !errors.Is(err, storage.ErrExpired) {
		t.Errorf("got %s, %v", describe(got), err)
	}
}

// Bookmarks keep the version of a watch from expiring, though nothing that it asks
// for changes, and are few.
func TestWatchBookmarks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(limits{changes: 1 << 8, bytes: 1 << 30, age: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		var bookmarks []string
		go func() {
			ended <- s.Watch(ctx, &query.Query{Clusters: []string{"quiet"}}, "", func(e storage.WatchEvent) error {
				if e.Type != storage.Bookmark || e.Object != nil {
					t.Errorf("got %s", describe([]storage.WatchEvent{e}))
				}
				bookmarks = append(bookmarks, e.Version)
				return nil
			})
		}()
		synctest.Wait()
		if want := encode(s.history.version(0), nil); len(bookmarks) != 1 || bookmarks[0] != want {
			t.Errorf("the watch begins with %q, want %s", bookmarks, want)
		}
		for i := range 20 << 8 {
			apply(t, s, "c", puts(i, i+1)...)
			synctest.Wait()
			if position, err := positionOf(s, bookmarks[len(bookmarks)-1]); err != nil || position < s.history.first-1 {
				t.Fatalf("behind change %d the last version is the position %d, %v; the history begins at %d", i+1, position, err, s.history.first)
			}
		}
		if n := len(bookmarks); n < 20 || n > 60 {
			t.Errorf("%d bookmarks", n)
		}
		back := func(a, b string) int {
			before, _ := positionOf(s, a)
			after, _ := positionOf(s, b)
			return cmp.Compare(before, after)
		}
		if !slices.IsSortedFunc(bookmarks, back) {
			t.Errorf("the bookmarks go back: %q", bookmarks)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// The states that a query with an owner is told of at one change of the owner have
// the version of the change at the last of them alone.
func TestWatchOwnerVersions(t *testing.T) {
	t.Parallel()
	s := newStore(few)
	owned := func(name string) *storage.Object {
		o := pod("c", name, name)
		o.Owners = []string{"owner"}
		return o
	}
	for _, name := range []string{"b", "a", "d", "c"} {
		apply(t, s, "c", storage.Change{Put: owned(name)})
	}
	since := version(t, s)
	owner := pod("c", "web", "owner")
	apply(t, s, "c", storage.Change{Put: owner})
	apply(t, s, "c", storage.Change{Delete: &owner.Key})
	q := query.Query{Owner: &query.Owner{Name: "web"}}
	got, err := collect(t, s, q, since, 8)
	want := "ADDED a, ADDED b, ADDED c, ADDED d, DELETED a, DELETED b, DELETED c, DELETED d"
	if err != nil || describe(got) != want {
		t.Fatalf("got %s, %v", describe(got), err)
	}
	for i, e := range got {
		position, err := positionOf(s, e.Version)
		if want := int64(4 + (i+1)/4); err != nil || position != want {
			t.Errorf("event %d has the position %d, %v, want %d", i, position, err, want)
		}
		rest, err := collect(t, s, q, e.Version, 8-(i+1)/4*4)
		if err != nil || !strings.HasSuffix(want, describe(rest)) {
			t.Errorf("resumed behind event %d: %s, %v", i, describe(rest), err)
		}
		if i == 6 {
			break // nothing is to come behind the last one
		}
	}
}

// What ends or was never asked for leaves nothing behind in the store.
func TestWatchLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newStore(few)
	since := version(t, s)
	apply(t, s, "c", puts(0, 5)...)
	if _, err := collect(t, s, query.Query{}, since, 5); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Watch(ctx, &query.Query{}, "", func(storage.WatchEvent) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the watch ends with %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkHistory(t, s.history, 0)
}

// positionOf returns the position that a version stands for.
func positionOf(s *Store, version string) (int64, error) {
	point, _, err := decode(version)
	if err != nil {
		return 0, err
	}
	return s.history.position(point)
}

// Versions tell the latest resource version of each cluster that is asked for.
func TestVersions(t *testing.T) {
	t.Parallel()
	s := newStore(few)
	put := func(cluster, name, version string) storage.Change {
		o := pod(cluster, name, name)
		o.ResourceVersion = version
		return storage.Change{Put: o}
	}
	apply(t, s, "mem-1", put("mem-1", "a", "1001"))
	apply(t, s, "mem-2", put("mem-2", "a", "2001"))
	tells := func(version string, want map[string]string) {
		t.Helper()
		_, seen, err := decode(version)
		if err != nil || !maps.Equal(seen, want) {
			t.Errorf("the version tells %v, %v, want %v", seen, err, want)
		}
	}
	list := func(q query.Query) string {
		page, err := s.List(t.Context(), &q, func(*storage.Object) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		return page.Version
	}
	since := list(query.Query{})
	tells(since, map[string]string{"mem-1": "1001", "mem-2": "2001"})
	tells(list(query.Query{Clusters: []string{"mem-2"}}), map[string]string{"mem-2": "2001"})
	tells(list(query.Query{Visible: &query.Visibility{Scopes: []query.Scope{{Clusters: []string{"mem-1"}}}}}), map[string]string{"mem-1": "1001"})
	tells(list(query.Query{Visible: &query.Visibility{}}), nil)
	apply(t, s, "mem-1", put("mem-1", "b", "1002"), put("mem-1", "c", "1003"))
	got, err := collect(t, s, query.Query{}, since, 2)
	if err != nil || len(got) != 2 {
		t.Fatal(describe(got), err)
	}
	tells(got[0].Version, map[string]string{"mem-1": "1002", "mem-2": "2001"})
	tells(got[1].Version, map[string]string{"mem-1": "1003", "mem-2": "2001"})
	if err := s.Purge(t.Context(), storage.Writer{Cluster: "mem-1"}, nil); err != nil {
		t.Fatal(err)
	}
	tells(list(query.Query{}), map[string]string{"mem-2": "2001"})
}
