package synchro

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestKnownIsAMap does at random what a map would do, too.
func TestKnownIsAMap(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 2))
			k, model := newKnown(), map[objectName]revision{}
			for step := range 4000 {
				name := objectName{fmt.Sprintf("ns%d", rng.IntN(5)), fmt.Sprintf("name-%d", rng.IntN(1+step/10))}
				r := revision(1 + rng.IntN(3))
				old, ok := model[name]
				switch rng.IntN(8) {
				case 0, 1, 2:
					require.Equal(t, ok && old == r, k.put(name, r))
					model[name] = r
				case 3, 4:
					k.remove(name)
					delete(model, name)
				case 5:
					k.doubt(name, r)
					if ok && old == r {
						model[name] = 0
					}
				case 6:
					k.doubtRemoval(name)
					if !ok {
						model[name] = 0
					}
				default:
					require.Equal(t, ok, k.has(name))
				}
				require.Equal(t, len(model), k.len())
			}
			doubted := 0
			for _, r := range model {
				if r == 0 {
					doubted++
				}
			}
			gotCertain, gotDoubted := k.counts()
			require.Equal(t, []int{len(model) - doubted, doubted}, []int{gotCertain, gotDoubted})
			listed := map[objectName]bool{}
			k.beginList()
			for name := range model {
				if rng.IntN(2) == 0 {
					k.put(name, 9)
					listed[name] = true
				}
			}
			k.put(objectName{"", "new"}, 9)
			var want []objectName
			for name := range model {
				if !listed[name] {
					want = append(want, name)
				}
			}
			require.ElementsMatch(t, want, k.unlisted())
			k.restored()
			for name := range listed {
				require.False(t, k.put(name, 9), "doubted")
				require.True(t, k.put(name, 9))
			}
		})
	}
}

// TestNamespacesAreForgotten has namespaces come and go.
func TestNamespacesAreForgotten(t *testing.T) {
	t.Parallel()
	table := newNameTable()
	n, _ := table.add(objectName{"stays", "a"})
	for i := range 1000 {
		name := objectName{fmt.Sprint("ci-", i), "a"}
		table.add(name)
		table.add(objectName{name.namespace, "b"})
		table.remove(name)
		require.Len(t, table.namespaces, 2)
		table.remove(objectName{name.namespace, "b"})
		_, found := table.find(name)
		require.False(t, found)
	}
	require.Len(t, table.namespaces, 1)
	require.LessOrEqual(t, len(table.byNumber), 2)
	require.Equal(t, objectName{"stays", "a"}, table.name(n))
}

// TestKnownListsWhatWasNotRemoved has removals that fail while a list is read.
func TestKnownListsWhatWasNotRemoved(t *testing.T) {
	t.Parallel()
	k := newKnown()
	one, two := objectName{"", "one"}, objectName{"", "two"}
	k.put(one, 1)
	k.beginList()
	k.put(one, 1)
	k.remove(one)
	k.doubtRemoval(one)
	k.put(two, 1)
	require.Equal(t, []objectName{one}, k.unlisted())
	k.beginList()
	require.ElementsMatch(t, []objectName{one, two}, k.unlisted())
}

// TestKnownDoubtsAnAbandonedList has a list that is not read to its end: what it renewed
// is spared when versions are given a second time, and not when all is in doubt.
func TestKnownDoubtsAnAbandonedList(t *testing.T) {
	t.Parallel()
	one := objectName{"", "one"}
	for name, test := range map[string]struct {
		doubt  func(*known)
		spared bool
	}{
		"restored":            {doubt: (*known).restored, spared: true},
		"all":                 {doubt: (*known).doubtAll},
		"abandoned, restored": {doubt: func(k *known) { k.abandonList(); k.restored() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKnown()
			k.beginList()
			k.put(one, 1)
			test.doubt(k)
			require.Equal(t, test.spared, k.put(one, 1))
		})
	}
}

func TestKnownRevisions(t *testing.T) {
	t.Parallel()
	k := newKnown()
	revisions := []revision{k.revision("u", "1"), k.revision("u", "2"), k.revision("v", "1"), k.revision("", "u1"), k.revision("u1", ""), k.revision("", "")}
	for i, r := range revisions {
		require.NotZero(t, r)
		require.False(t, slices.Contains(revisions[:i], r))
	}
	require.Equal(t, revisions[0], k.revision("u", "1"))
	for _, version := range []string{"7", "opaque", "", "5"} {
		k.reached(version)
	}
	require.EqualValues(t, 7, k.newest())
}

// knownLimit is the memory that is kept for an object, in bytes, if its name is as long
// as those of pods are.
const knownLimit = 52

// fill makes it know so many pods.
func fill(k *known, n int) {
	k.beginList()
	for i := range n {
		name := objectName{fmt.Sprintf("team-%d", i%100), podName(i)}
		k.put(name, k.revision(fmt.Sprintf("uid-%d", i), fmt.Sprint(i)))
		k.stored(name, fmt.Sprintf("uid-%d", i))
	}
	k.unlisted()
}

func podName(i int) string { return fmt.Sprintf("web-%04d-7d4b9c6f5d-%05x", i/10, i) }

// keptPerObject returns the memory that is kept for one of n objects, in bytes.
func keptPerObject(n int) (float64, *known) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	k := newKnown()
	fill(k, n)
	return float64(heap()-before) / float64(n), k
}

// TestKnownIsSmall checks the memory that is kept for each object while nothing happens.
// It is alone, for it measures the process.
func TestKnownIsSmall(t *testing.T) { //nolint:paralleltest // see above
	kept, k := keptPerObject(100_000)
	require.Less(t, kept, float64(knownLimit))
	runtime.KeepAlive(k)
}

// BenchmarkKnownMemory prints that memory.
func BenchmarkKnownMemory(b *testing.B) {
	for b.Loop() {
		kept, k := keptPerObject(100_000)
		b.ReportMetric(kept, "B/object")
		runtime.KeepAlive(k)
	}
}

// BenchmarkKnownPut has all objects listed that are known.
func BenchmarkKnownPut(b *testing.B) {
	const n = 100_000
	k := newKnown()
	fill(k, n)
	names := make([]objectName, n)
	for i := range names {
		names[i] = objectName{fmt.Sprintf("team-%d", i%100), podName(i)}
	}
	i := 0
	for b.Loop() {
		k.put(names[i], k.revision("uid", "1"))
		i = (i + 1) % n
	}
}
