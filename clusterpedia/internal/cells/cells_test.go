package cells

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/meta"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/randfill"

	"clusterpedia.io/clusterpedia/internal/builtin"
)

// kinds are the compiled-in kinds, in the versions in which they are stored.
func kinds(scheme *builtin.Scheme) []schema.GroupVersionKind {
	var all []schema.GroupVersionKind
	for gvk := range scheme.Runtime().AllKnownTypes() {
		if stored, ok := scheme.StorageVersion(gvk.GroupKind()); ok && stored == gvk.GroupVersion() && scheme.Runtime().Recognizes(gvk.GroupVersion().WithKind(gvk.Kind+"List")) {
			all = append(all, gvk)
		}
	}
	return all
}

// random fills objects of any kind. Times are near to now, or missing.
func random(scheme *builtin.Scheme, seed int64, now time.Time) *randfill.Filler {
	near := func(c randfill.Continue) time.Time {
		if c.Intn(5) == 0 {
			return time.Time{}
		}
		return now.Add(time.Duration(c.Intn(200)-180) * time.Duration([]int64{1, 60, 3600, 24 * 3600}[c.Intn(4)]) * time.Second)
	}
	funcs := func(serializer.CodecFactory) []any {
		return []any{
			func(t *metav1.Time, c randfill.Continue) { t.Time = near(c) },
			func(t *metav1.MicroTime, c randfill.Continue) {
				if t.Time = near(c); !t.IsZero() {
					t.Time = t.Add(time.Duration(c.Intn(1e6)) * time.Microsecond)
				}
			},
		}
	}
	return fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, funcs), rand.NewSource(seed), scheme.Codecs()) //nolint:gosec // a test
}

// checkKept prints a stored document, and completes the cells as time goes by: they must
// be what the printer then prints.
func checkKept(t *testing.T, k *Kind, doc []byte, waits ...time.Duration) {
	t.Helper()
	values, err := k.Print(doc)
	require.NoError(t, err, "%s", doc)
	for _, wait := range append([]time.Duration{0}, waits...) {
		time.Sleep(wait) //nolint:forbidigo // in a bubble, whose time is not the real one
		obj, err := k.Read(doc, k.decode)
		require.NoError(t, err)
		row, err := k.Row(obj)
		require.NoError(t, err)
		want, err := json.Marshal(row.Cells)
		require.NoError(t, err)
		got, conditions, err := k.AppendCells([]byte(`[""`), values, time.Now())
		require.NoError(t, err)
		require.JSONEq(t, `["",`+string(want[1:]), string(got)+"]", "after %s: %s of %s", wait, values, doc)
		if len(row.Conditions) == 0 {
			require.Empty(t, conditions)
			continue
		}
		want, err = json.Marshal(row.Conditions)
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(conditions))
	}
}

// TestKept keeps cells of random objects of all kinds.
func TestKept(t *testing.T) {
	t.Parallel()
	scheme := builtin.NewScheme()
	printer := NewPrinter(scheme)
	names := map[string]schema.GroupVersionKind{}
	for _, gvk := range kinds(scheme) {
		k := printer.Kind(gvk.GroupKind())
		if k == nil || k.Columns == "" {
			continue
		}
		other, taken := names[k.Columns]
		require.False(t, taken, "%s and %s have the same name for their columns", gvk, other)
		names[k.Columns] = gvk
		t.Run(gvk.GroupVersion().String()+" "+gvk.Kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				printed := 0
				for seed := range int64(30) {
					obj, err := scheme.Runtime().New(gvk)
					require.NoError(t, err)
					filler, created := random(scheme, seed, time.Now()), metav1.Time{}
					filler.Fill(obj)
					filler.Fill(&created)
					doc := document(t, obj, gvk, created)
					if bytes.Contains(doc, []byte(`"timeAdded":null`)) { // for which the defaults have now
						continue
					}
					if internal, err := k.Read(doc, k.decode); err != nil { // some types cannot have just any value
						continue
					} else if _, err := k.Row(internal); err != nil {
						continue
					}
					printed++
					checkKept(t, k, doc, time.Second, time.Minute, 7*time.Hour, 100*24*time.Hour)
				}
				require.Greater(t, printed, 5)
			})
		})
	}
	require.Greater(t, len(names), 50)
}

// document encodes an object as it is stored.
func document(t *testing.T, obj runtime.Object, gvk schema.GroupVersionKind, created metav1.Time) []byte {
	t.Helper()
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	accessor, err := meta.Accessor(obj)
	require.NoError(t, err)
	accessor.SetManagedFields(nil)
	accessor.SetCreationTimestamp(created)
	doc, err := json.Marshal(obj)
	require.NoError(t, err)
	return doc
}

// TestKeptPods keeps cells of pods of random states, which are many.
func TestKeptPods(t *testing.T) {
	t.Parallel()
	k := NewPrinter(builtin.NewScheme()).Kind(pods)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2020, 2, 1, 0, 0, 0, 0, time.UTC))) //nolint:forbidigo // a bubble's; what they have went before
		for seed := range uint64(1000) {
			doc, err := json.Marshal(randomPod(newRand(seed)))
			require.NoError(t, err)
			checkKept(t, k, doc, time.Hour)
		}
	})
}

// What decodes and prints may trust that an object was validated: nothing ends but its row.
func TestPanics(t *testing.T) {
	t.Parallel()
	boom := func() { panic("boom") } //nolint:forbidigo // it is what is tested
	decode := func([]byte) (runtime.Object, error) { return &metav1.Status{}, nil }
	one := func(runtime.Object) (*metav1.Table, error) {
		return &metav1.Table{Rows: []metav1.TableRow{{Cells: []any{"a"}}}}, nil
	}
	columns := []metav1.TableColumnDefinition{{Name: "Age"}}
	for name, k := range map[string]*Kind{
		"decode": {Definitions: columns, print: one, decode: func([]byte) (runtime.Object, error) { boom(); return nil, nil }},
		"print":  {Definitions: columns, decode: decode, print: func(runtime.Object) (*metav1.Table, error) { boom(); return nil, nil }},
		"age":    {Definitions: columns, decode: decode, print: one, ages: []bool{true}, age: func(runtime.Object, int, []any) any { boom(); return nil }},
	} {
		values, err := k.Print(nil)
		require.ErrorIs(t, err, errPrinter, name)
		require.ErrorContains(t, err, "boom", name)
		require.Nil(t, values, name)
	}
}

func TestAppendCells(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	k := &Kind{ages: []bool{false, true}}
	for values, want := range map[string]string{
		`["a","2025-12-31T23:59:00Z"]`:                `,"a","60s"`,
		`["2025-12-31T23:59:00Z","<unknown>"]`:        `,"2025-12-31T23:59:00Z","<unknown>"`,
		`[1,["3 (","2025-12-31T00:00:00Z"," ago)"]]`:  `,1,"3 (24h ago)"`,
		`[{"a":[1]},"2025-12-31T23:59:59.5Z",[{}]]`:   `,{"a":[1]},"0s" [{}]`,
		`["a",["b","c"]]`:                             `,"a",["b","c"]`,
		`["a",["b","2025-12-31T00:00:00Z",1]]`:        `,"a",["b","2025-12-31T00:00:00Z",1]`,
		`["a",["b","2025-12-31T00:00:00Z","c","d"]]`:  `,"a",["b","2025-12-31T00:00:00Z","c","d"]`,
		`["a",12345678901234567890123]`:               `,"a",12345678901234567890123`,
		`["a","2026-01-01T00:01:00Z"]`:                `,"a","<invalid>"`,
		`["a"]`:                                       "error",
		`["a","b",[],"c"]`:                            "error",
		`["a","b"`:                                    "error",
		`{}`:                                          "error",
		``:                                            "error",
		`["a",["\"(","2025-12-31T00:00:00Z"," \\)"]]`: `,"a","\"(24h \\)"`,
	} {
		got, conditions, err := k.AppendCells(nil, []byte(values), now)
		text := strings.TrimSpace(fmt.Sprintf("%s %s", got, conditions))
		if err != nil {
			text = "error"
		}
		require.Equal(t, want, text, values)
	}
}

// A quantity that takes minutes to be read is left to those who ask for it.
func TestGreatExponent(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]bool{
		`{"a":"1e-99999999"}`: true, `{"a":1E+9999}`: true, `["+1.5e12345"]`: true, `[1e1234]`: true, `{"a": -1e1234 }`: true,
		`{"a":"1e999"}`: false, `{"uid":"1e1234-5e67"}`: false, `{"a":"x1e12345"}`: false, `{"a":"1e12345x"}`: false, `{"a":"e12345"}`: false, `1e12345`: false, ``: false, `e`: false,
	} {
		require.Equal(t, want, greatExponent([]byte(doc)), doc)
	}
	kind := NewPrinter(builtin.NewScheme()).Kind(schema.GroupKind{Kind: "PersistentVolume"})
	_, err := kind.Print([]byte(`{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"a"},"spec":{"capacity":{"storage":"1e-99999999"}}}`))
	require.ErrorIs(t, err, errNumber)
}

// TestRelease compares the version that cells are called by with the one that prints them.
func TestRelease(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	found := regexp.MustCompile(`\n\s*k8s\.io/kubernetes (v\S+)`).FindSubmatch(mod)
	require.NotNil(t, found)
	require.Equal(t, release, string(found[1]), "set release to the version of k8s.io/kubernetes in go.mod")
}
