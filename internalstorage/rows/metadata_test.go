package rows

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOnlyMetadata(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{}}`:                       `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}`,
		`{"kind": "Pod", "spec": {"a": ["metadata", {"b": "}\"]\\"}]}, "metadata": {"name": "a"}}`: `{"kind":"Pod","metadata":{"name": "a"}}`,
		` { "metadata" : { "x" : [ 1 , true , null ] } , "n" : -1.5e3 } `:                          `{"metadata":{ "x" : [ 1 , true , null ] }}`,
		`{}`:                 `{}`,
		`{"data":{"a":"b"}}`: `{}`,
	} {
		got, err := onlyMetadata(nil, []byte(doc))
		require.NoError(t, err, doc)
		require.Equal(t, want, string(got), doc)
	}
	for doc, head := range map[string]string{
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{}}`: `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}`,
		`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}`:           `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}`,
		`{"metadata":{"name":"a"},"apiVersion":"v1","kind":"Pod"}`:           "",
		`{"apiVersion":"v1","kind":"Pod"}`:                                   "",
		`{"apiVersion":"v1","kind":"Pod","metadata":{`:                       "",
	} {
		got, rest := cutHead([]byte(doc))
		require.Equal(t, head, string(got))
		require.Equal(t, head == "", got == nil)
		require.Equal(t, doc, string(got)+string(rest))
		if head != "" {
			got, err := onlyMetadata(nil, []byte(head))
			require.NoError(t, err)
			require.Equal(t, head+"}", string(got))
		}
	}
	for _, doc := range []string{``, `null`, `[]`, `{"a`, `{"a":`, `{"a":{`, `{"metadata":{"a":"b}`, `{a:1}`} {
		_, err := onlyMetadata(nil, []byte(doc))
		require.ErrorIs(t, err, errMalformed, doc)
	}
}

// FuzzOnlyMetadata compares with encoding/json on whatever is JSON.
func FuzzOnlyMetadata(f *testing.F) {
	f.Add(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a\"","l":[{},[]]},"spec":{"a":"\\"}}`)
	f.Add(`{ "spec" : [ 1 , 2 ] , "metadata" : null , "kind" : "" }`)
	f.Fuzz(func(t *testing.T, doc string) {
		var want map[string]json.RawMessage
		valid := json.Unmarshal([]byte(doc), &want) == nil && want != nil
		text, err := onlyMetadata(nil, []byte(doc))
		if !valid {
			return // it must only not panic
		}
		require.NoError(t, err)
		var got map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(text, &got), string(text))
		for name := range want {
			switch name {
			case "apiVersion", "kind", "metadata":
			default:
				delete(want, name)
			}
		}
		for name := range got {
			require.Contains(t, want, name)
		}
	})
}
