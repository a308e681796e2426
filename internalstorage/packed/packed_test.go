package packed

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
)

// TestDictionary keeps every byte of the dictionary: what is stored needs it.
func TestDictionary(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte(dictionary))
	require.Equal(t, "4468904be52c9942f354035b3cf1c1f80f0cc95325950f14d044ad1076edd8a8", hex.EncodeToString(sum[:]), "a stored document cannot be restored by another dictionary")
	require.LessOrEqual(t, len(dictionary), s2.MaxDictSize)
}

func TestPacked(t *testing.T) {
	t.Parallel()
	p := New()
	for _, doc := range []string{"{}", `{"a":"b"}`, dictionary, strings.Repeat(`{"text":"ä"}`, 100_000), random(70_000)} {
		stored := p.Append([]byte("before"), []byte(doc))[len("before"):]
		require.EqualValues(t, form, stored[0])
		size, err := p.Size(stored)
		require.NoError(t, err)
		require.Equal(t, len(doc), size)
		got, err := p.Restore([]byte("x"), stored)
		require.NoError(t, err)
		require.Equal(t, "x"+doc, string(got))
		for _, damaged := range [][]byte{stored[:1], stored[:len(stored)/2], append([]byte{form + 1}, stored[1:]...), append(slices.Clone(stored), 0)} {
			got, err := p.Restore([]byte("x"), damaged)
			require.ErrorIs(t, err, ErrDamaged)
			require.Equal(t, "x", string(got))
		}
	}
	for _, doc := range []string{"", `{"a":1}`, `,"spec":{}}`, "}"} {
		size, err := p.Size([]byte(doc))
		require.NoError(t, err)
		require.Equal(t, len(doc), size)
		got, err := p.Restore([]byte("x"), []byte(doc))
		require.NoError(t, err)
		require.Equal(t, "x"+doc, string(got), "stored as it is")
	}
	_, err := p.Restore(nil, binary.AppendUvarint([]byte{form}, maxSize+1))
	require.ErrorIs(t, err, ErrDamaged)
}

// random is text that nothing can compress much.
func random(n int) string {
	source := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, n)
	for i := range text {
		text[i] = byte('!' + source.IntN('~'-'!'))
	}
	return string(text)
}

// TestForm restores what was stored before: it must always be possible.
func TestForm(t *testing.T) {
	t.Parallel()
	const doc = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"stored","namespace":"default"},"data":{"key":"value"}}`
	stored, err := hex.DecodeString("02701500072e1d0f00431e610a56e9111473746f7265641a380f1ee311d19d007d2a8e1e306579223a2276616c7565227d7d")
	require.NoError(t, err)
	got, err := New().Restore(nil, stored)
	require.NoError(t, err)
	require.Equal(t, doc, string(got)) //nolint:testifylint // each byte counts
}

// TestPackedTogether packs by several goroutines at once.
func TestPackedTogether(t *testing.T) {
	t.Parallel()
	p := New()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			doc := fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","data":{"n":"%d"}}`, i)
			for range 200 {
				got, err := p.Restore(nil, p.Append(nil, []byte(doc)))
				if err != nil || string(got) != doc {
					t.Errorf("%s, %v", got, err)
				}
			}
		})
	}
	group.Wait()
}

func TestWithoutLists(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		`{}`:      `{}`,
		`{"a":1}`: `{"a":1}`,
		`{"a":[1,[2,{"b":"]"}]],"c":{"d":["\"]"],"e":"[\\"}}`: `{"a":[],"c":{"d":[],"e":"[\\"}}`,
		`[{"a":[]}]`: `[]`,
		`{"a":["`:    "",
		`{"a":[1}`:   "",
		`{"a":1]}`:   "",
		`{"a`:        "",
		`"`:          "",
	} {
		got, err := WithoutLists(nil, []byte(doc))
		if want == "" {
			require.Error(t, err, doc)
			continue
		}
		require.NoError(t, err, doc)
		require.Equal(t, want, string(got))
	}
}

// FuzzWithoutLists compares with the decoder.
func FuzzWithoutLists(f *testing.F) {
	f.Add(`{"a":[1,[2,{"b":"]"}]],"c":{"d":["\"]"],"e":"[\\"}}`)
	f.Fuzz(func(t *testing.T, doc string) {
		got, err := WithoutLists(nil, []byte(doc))
		var value any
		if json.Unmarshal([]byte(doc), &value) != nil {
			return // it must only not panic
		}
		require.NoError(t, err)
		want, err := json.Marshal(emptied(value))
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(got))
	})
}

func emptied(value any) any {
	switch v := value.(type) {
	case []any:
		return []any{}
	case map[string]any:
		for key := range v {
			v[key] = emptied(v[key])
		}
	}
	return value
}

// FuzzRestore restores what nobody has packed.
func FuzzRestore(f *testing.F) {
	p := New()
	f.Add(p.Append(nil, []byte(`{"a":"b"}`)))
	f.Fuzz(func(t *testing.T, stored []byte) {
		if size, err := p.Size(stored); err != nil || size > 1<<20 {
			return
		}
		_, _ = p.Restore(nil, stored)
	})
}

// FuzzPack restores what was packed.
func FuzzPack(f *testing.F) {
	f.Add(`{"apiVersion":"v1"}`, 3)
	f.Add(dictionary, 9)
	p := New()
	f.Fuzz(func(t *testing.T, doc string, times int) {
		doc = strings.Repeat(doc, min(max(times, 1), 200))
		got, err := p.Restore(nil, p.Append(nil, []byte(doc)))
		require.NoError(t, err)
		require.Equal(t, doc, string(got))
	})
}
