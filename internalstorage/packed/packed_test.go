package packed

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDictionary keeps every byte of the dictionary: what is stored needs it.
func TestDictionary(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte(dictionary))
	require.Equal(t, "4468904be52c9942f354035b3cf1c1f80f0cc95325950f14d044ad1076edd8a8", hex.EncodeToString(sum[:]), "a stored document cannot be restored by another dictionary")
	require.Less(t, len(dictionary), 1<<15, "the window of DEFLATE")
}

func TestPacked(t *testing.T) {
	t.Parallel()
	var p Packer
	var u Unpacker
	for _, doc := range []string{"{}", `{"a":"b"}`, dictionary, strings.Repeat(`{"text":"ä"}`, 100_000)} {
		stored, err := p.Append([]byte("before"), []byte(doc))
		require.NoError(t, err)
		stored = stored[len("before"):]
		require.True(t, Is(stored))
		size, err := Size(stored)
		require.NoError(t, err)
		require.Equal(t, len(doc), size)
		got, err := u.Append([]byte("x"), stored)
		require.NoError(t, err)
		require.Equal(t, "x"+doc, string(got))
		for _, damaged := range [][]byte{nil, stored[:1], stored[:len(stored)/2], append([]byte{mark + 1}, stored[1:]...), flipped(stored)} {
			_, err := u.Append(nil, damaged)
			require.ErrorIs(t, err, ErrDamaged)
		}
	}
	require.False(t, Is([]byte(`{"a":1}`)))
	require.False(t, Is(nil))
}

// flipped has another checksum.
func flipped(stored []byte) []byte {
	stored = bytes.Clone(stored)
	_, length, _ := header(stored)
	stored[length-1] ^= 1
	return stored
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

// FuzzUnpack restores what nobody has packed.
func FuzzUnpack(f *testing.F) {
	stored, err := new(Packer).Append(nil, []byte(`{"a":"b"}`))
	require.NoError(f, err)
	f.Add(stored)
	f.Fuzz(func(t *testing.T, stored []byte) {
		if size, err := Size(stored); err != nil || size > 1<<20 {
			return
		}
		_, _ = new(Unpacker).Append(nil, stored)
	})
}

// FuzzPack restores what was packed, by both ways of compression.
func FuzzPack(f *testing.F) {
	f.Add(`{"apiVersion":"v1"}`, 3)
	f.Add(dictionary, 9)
	f.Fuzz(func(t *testing.T, doc string, times int) {
		doc = strings.Repeat(doc, min(max(times, 1), 200))
		e := newEncoder()
		for range 2 { // the second time beside what is left of the first
			stream := e.append(nil, []byte(doc))
			got, err := io.ReadAll(flate.NewReaderDict(bytes.NewReader(stream), []byte(dictionary)))
			require.NoError(t, err)
			require.Equal(t, doc, string(got))
		}
		stored, err := new(Packer).Append(nil, []byte(doc))
		require.NoError(t, err)
		got, err := new(Unpacker).Append(nil, stored)
		require.NoError(t, err)
		require.Equal(t, doc, string(got))
	})
}

// TestEncoder goes through all lengths of matches, and many distances.
func TestEncoder(t *testing.T) {
	t.Parallel()
	var e *encoder
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		if round%100 == 0 {
			e = newEncoder()
		}
		if round == 150 {
			e.base = 1<<32 - 200_000 // soon it begins anew
		}
		var doc []byte
		for len(doc) < 100*round {
			if len(doc) > 0 && random.IntN(3) > 0 {
				at := random.IntN(len(doc))
				doc = append(doc, doc[at:min(len(doc), at+random.IntN(400))]...)
			} else {
				for range random.IntN(30) {
					doc = append(doc, byte(random.IntN(256)))
				}
			}
		}
		got, err := io.ReadAll(flate.NewReaderDict(bytes.NewReader(e.append(nil, doc)), []byte(dictionary)))
		require.NoError(t, err)
		require.True(t, bytes.Equal(doc, got))
	}
}
