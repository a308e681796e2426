package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func readAll(r io.Reader) (List, []string, error) {
	var items []string
	list, err := ReadList(r, func(item []byte) error {
		items = append(items, string(item))
		return nil
	})
	return list, items, err
}

func TestReadList(t *testing.T) {
	t.Parallel()
	long := `{"metadata":{"name":"` + strings.Repeat("x", 3*firstBuffer) + `"}}`
	for name, test := range map[string]struct {
		list  string
		items []string
	}{
		"plain":          {`{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"c"},"items":[{"a":1},{"b":"}]"}]}`, []string{`{"a":1}`, `{"b":"}]"}`}},
		"metadata last":  {`{"items":[{"a":"\"{\\"}],"kind":"PodList","apiVersion":"v1","metadata":{"continue":"c","resourceVersion":"7"}}`, []string{`{"a":"\"{\\"}`}},
		"null":           {`{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"c"},"items":null}` + "\n", nil},
		"empty, spaces":  {` { "kind" : "PodList" , "apiVersion":"v1", "metadata" : { "resourceVersion":"7","continue":"c" } , "items" : [ ] } `, nil},
		"long":           {`{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"c"},"items":[` + long + `,{},` + long + `]}`, []string{long, `{}`, long}},
		"unknown fields": {`{"x":[1,{"items":[]}],"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"c"},"y":-1.5,"items":[{}],"z":true}`, []string{`{}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []io.Reader{strings.NewReader(test.list), iotest.OneByteReader(strings.NewReader(test.list)), iotest.DataErrReader(strings.NewReader(test.list))} {
				list, items, err := readAll(r)
				require.NoError(t, err)
				require.Equal(t, test.items, items)
				require.Equal(t, "PodList", list.Kind)
				require.Equal(t, "v1", list.APIVersion)
				require.Equal(t, "7", list.ResourceVersion)
				require.Equal(t, "c", list.Continue)
			}
		})
	}
}

func TestReadListIsCompleteOrFails(t *testing.T) {
	t.Parallel()
	whole := `{"kind":"PodList","metadata":{"resourceVersion":"7"},"items":[{"a":1},{"b":2}]}`
	for i := range len(whole) {
		_, _, err := readAll(strings.NewReader(whole[:i]))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, whole[:i])
		lost := errors.New("connection lost")
		_, _, err = readAll(io.MultiReader(strings.NewReader(whole[:i]), iotest.ErrReader(lost)))
		require.ErrorIs(t, err, lost, whole[:i])
	}
	for _, list := range []string{
		`{"kind":"Status","metadata":{},"status":"Failure"}`, `{"kind":"PodList","items":[]}`, `{"metadata":{},"items":{}}`, `[]`, `"x"`,
		`{"metadata":{},"items":[,]}`, `{"metadata":{},"items":[{}}`, `{"metadata":{},"items":[{} {}]}`, `{"metadata":7,"items":[]}`,
		`{7:8}`, `{"metadata":{},"items":[]}{}`, `{"metadata":{},"items":[]`, `{"metadata" {},"items":[]}`, `<html>`,
	} {
		_, _, err := readAll(strings.NewReader(list))
		require.Error(t, err, list)
	}
	stop := errors.New("stop")
	_, err := ReadList(strings.NewReader(whole), func([]byte) error { return stop })
	require.Equal(t, stop, err)
	_, _, err = readAll(io.MultiReader(strings.NewReader(`{"metadata":{},"items":["`), endless{}))
	require.ErrorIs(t, err, ErrTooLarge)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestNext(t *testing.T) {
	t.Parallel()
	frames := `{"type":"ADDED","object":{"a":"}"}}` + "\n" + `{"object":{"b":1},"type":"MODIFIED"}{"type":"BOOKMARK","object":{"c":` + strings.Repeat(" ", 2*largeBuffer) + `1}}` + "\n"
	for _, body := range []io.Reader{strings.NewReader(frames + frames), iotest.OneByteReader(strings.NewReader(frames + frames))} {
		r := NewReader(body)
		for range 2 {
			for _, want := range []string{"ADDED {\"a\":\"}\"}", "MODIFIED {\"b\":1}", "BOOKMARK {\"c\":1}"} {
				event, err := r.Next()
				require.NoError(t, err)
				require.Equal(t, want, fmt.Sprintf("%s %s", event.Type, bytes.ReplaceAll(event.Object, []byte(" "), nil)))
			}
		}
		_, err := r.Next()
		require.Equal(t, io.EOF, err)
	}
	for _, frame := range []string{`{"type":"ADDED"}`, `{"object":{}}`, `[]`, `7 `, `{"type":7,"object":{}}`, `{"type":"ADDED","object":{}`, `{"type":"ADDED","object"}`, `{]`} {
		_, err := NewReader(strings.NewReader(frame)).Next()
		require.Error(t, err, frame)
		require.NotEqual(t, io.EOF, err, frame)
	}
}

// FuzzReadList compares with encoding/json.
func FuzzReadList(f *testing.F) {
	f.Add([]byte(`{"kind":"PodList","metadata":{"resourceVersion":"7"},"items":[{"a":"\"]"},{"b":[1,{}]}]}`))
	f.Add([]byte(`{"items":null,"metadata":{}} `))
	f.Fuzz(func(t *testing.T, doc []byte) {
		_, items, err := readAll(iotest.HalfReader(bytes.NewReader(doc)))
		if err != nil || !json.Valid(doc) {
			return
		}
		var want map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(doc, &want))
		var wantItems []json.RawMessage
		require.NoError(t, json.Unmarshal(want["items"], &wantItems))
		if bytes.Count(doc, []byte(`items`)) > 1 || bytes.Contains(doc, []byte(`\`)) {
			return // the name may occur twice
		}
		require.Len(t, items, len(wantItems))
		for i := range items {
			require.Equal(t, string(wantItems[i]), items[i])
		}
	})
}
