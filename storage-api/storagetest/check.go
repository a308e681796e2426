package storagetest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// apply writes changes of cluster c1 without an epoch.
func apply(t testing.TB, st storage.Storage, changes ...storage.Change) {
	t.Helper()
	if err := st.Apply(t.Context(), storage.Writer{Cluster: "c1"}, changes); err != nil {
		t.Fatalf("apply %d changes: %v", len(changes), err)
	}
}

// put stores objects of any clusters.
func put(t testing.TB, st storage.Storage, all ...*object.Object) {
	t.Helper()
	clusters := map[string][]*object.Object{}
	for _, o := range all {
		clusters[o.Cluster] = append(clusters[o.Cluster], o)
	}
	for _, name := range slices.Sorted(maps.Keys(clusters)) {
		for part := range slices.Chunk(clusters[name], 500) {
			if err := st.Apply(t.Context(), storage.Writer{Cluster: name}, puts(part...)); err != nil {
				t.Fatalf("apply %d puts to cluster %q: %v", len(part), name, err)
			}
		}
	}
}

// get returns a stored object.
func get(t testing.TB, st storage.Storage, key object.Key) *object.Object {
	t.Helper()
	o, err := st.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	return &o
}

// absent checks that nothing is stored under the keys.
func absent(t testing.TB, st storage.Storage, keys ...object.Key) {
	t.Helper()
	for _, key := range keys {
		if o, err := st.Get(t.Context(), key); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("get %s: want ErrNotFound, got error %v and version %q", key, err, o.ResourceVersion)
		}
	}
}

// list returns copies of what a query yields.
func list(t testing.TB, st storage.Storage, q query.Query) []*object.Object {
	t.Helper()
	all, _ := listPage(t, st, q)
	return all
}

func listPage(t testing.TB, st storage.Storage, q query.Query) ([]*object.Object, storage.Page) {
	t.Helper()
	var all []*object.Object
	page, err := st.List(t.Context(), &q, func(o *object.Object) error {
		all = append(all, snapshot(o))
		return nil
	})
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	return all, page
}

// snapshot copies an object that is valid only for now.
func snapshot(o *object.Object) *object.Object {
	c := *o
	c.Owners, c.Labels = slices.Clone(o.Owners), maps.Clone(o.Labels)
	c.JSON, c.Events = bytes.Clone(o.JSON), bytes.Clone(o.Events)
	if o.Cells != nil {
		c.Cells = &object.Cells{Columns: o.Cells.Columns, Values: bytes.Clone(o.Cells.Values)}
	}
	if o.Packed != nil {
		c.Packed = &object.Packed{Deflate: bytes.Clone(o.Packed.Deflate), CRC32: o.Packed.CRC32, Size: o.Packed.Size}
	}
	return &c
}

// versions returns what is stored of a cluster.
func versions(t testing.TB, st storage.Storage, cluster string) []storage.Version {
	t.Helper()
	var all []storage.Version
	err := st.Versions(t.Context(), cluster, func(v storage.Version) error {
		v.Events = maps.Clone(v.Events)
		all = append(all, v)
		return nil
	})
	if err != nil {
		t.Fatalf("versions of cluster %q: %v", cluster, err)
	}
	return all
}

// names returns the objects' names, separated by blanks.
func names(all []*object.Object) string {
	var list []string
	for _, o := range all {
		list = append(list, o.Name)
	}
	return strings.Join(list, " ")
}

// keys returns one line for each object.
func keys(all []*object.Object) string {
	var lines strings.Builder
	for _, o := range all {
		lines.WriteString("\n\t" + o.Key.String())
	}
	return lines.String()
}

// reference returns the objects that satisfy q, in its order, as the reference
// evaluation has them. Paging and projection play no part.
func reference(q *query.Query, all []*object.Object) []*object.Object {
	var owners query.OwnerSet
	if q.Owner != nil {
		owners = query.FindOwners(q, slices.Values(all))
	}
	var found []*object.Object
	for _, o := range all {
		if query.Match(q, o, owners) {
			found = append(found, o)
		}
	}
	slices.SortFunc(found, func(a, b *object.Object) int { return query.Compare(q, a, b) })
	return found
}

// sameKeys reports whether both hold objects of the same keys in the same order.
func sameKeys(a, b []*object.Object) bool {
	return slices.EqualFunc(a, b, func(a, b *object.Object) bool { return a.Key == b.Key })
}

// checkObject checks that got is the whole of want as a storage layer returns it.
func checkObject(t testing.TB, got, want *object.Object) {
	t.Helper()
	if got.Key != want.Key {
		t.Errorf("got the object %s, want %s", got.Key, want.Key)
		return
	}
	for _, f := range []struct{ name, got, want string }{
		{"kind", got.Kind, want.Kind},
		{"UID", got.UID, want.UID},
		{"resource version", got.ResourceVersion, want.ResourceVersion},
		{"controller", got.Controller, want.Controller},
		{"document", string(got.JSON), string(want.JSON)},
	} {
		if f.got != f.want {
			t.Errorf("%s of %s:\ngot  %.500q\nwant %.500q", f.name, want.Key, f.got, f.want)
		}
	}
	checkTimes(t, got, want)
	if got.Labels != nil && !maps.Equal(got.Labels, want.Labels) {
		t.Errorf("labels of %s: got %v, want %v or nil", want.Key, got.Labels, want.Labels)
	}
	if !slices.Equal(slices.Sorted(slices.Values(got.Owners)), slices.Sorted(slices.Values(want.Owners))) ||
		want.Controller != "" && got.Owners[0] != want.Controller {
		t.Errorf("owners of %s: got %q, want %q, the controller %q first", want.Key, got.Owners, want.Owners, want.Controller)
	}
}

func checkTimes(t testing.TB, got, want *object.Object) {
	t.Helper()
	for _, f := range []struct {
		name      string
		got, want time.Time
	}{
		{"CreatedAt", got.CreatedAt, want.CreatedAt},
		{"DeletedAt", got.DeletedAt, want.DeletedAt},
		{"SyncedAt", got.SyncedAt, got.SyncedAt.Truncate(time.Millisecond)},
	} {
		if !f.got.Equal(f.want) || f.got.Location() != time.UTC {
			t.Errorf("%s of %s: got %v, want %v in UTC", f.name, want.Key, f.got, f.want)
		}
	}
	if got.SyncedAt.IsZero() {
		t.Errorf("SyncedAt of %s is not set", want.Key)
	}
}

// checkStored checks that the storage holds exactly the wanted objects.
func checkStored(t testing.TB, st storage.Storage, want ...*object.Object) {
	t.Helper()
	want = reference(&query.Query{}, want)
	got := list(t, st, query.Query{})
	if !sameKeys(got, want) {
		t.Errorf("stored are: %s\nwant: %s", keys(got), keys(want))
		return
	}
	for i := range got {
		checkObject(t, got[i], want[i])
	}
}

// noYield is for calls that must yield nothing.
func noYield(t testing.TB) func(*object.Object) error {
	return func(o *object.Object) error {
		t.Errorf("yield was called with %s", o.Key)
		return nil
	}
}

// patience ends calls that would otherwise wait for ever, as on a lock that their
// own caller holds.
func patience(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
