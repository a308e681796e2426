package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func rewriter() *Rewriter {
	return &Rewriter{Cluster: "one", APIVersion: "v1", Kind: "Pod", DropManagedFields: true, DropLastApplied: true}
}

func TestRewrite(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		doc, want string
		change    func(*Rewriter)
	}{
		"item of a list": {
			doc:  `{"metadata":{"name":"a"},"spec":{"x":[1,2,{"y":null}]}}`,
			want: `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","annotations":{"shadow.clusterpedia.io/cluster-name":"one"}},"spec":{"x":[1,2,{"y":null}]}}`,
		},
		"keeps its own kind": {
			doc:  `{"kind":"Widget","apiVersion":"example.io/v2","metadata":{"name":"a"}}`,
			want: `{"apiVersion":"example.io/v2","kind":"Widget","metadata":{"name":"a","annotations":{"shadow.clusterpedia.io/cluster-name":"one"}}}`,
		},
		"spaces": {
			doc:  " { \"metadata\" : { \"name\" : \"a b\" } ,\n\t\"spec\" : [ ] } ",
			want: `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a b","annotations":{"shadow.clusterpedia.io/cluster-name":"one"}},"spec":[]}`,
		},
		"prunes": {
			doc:  `{"metadata":{"managedFields":[{"a":"}"}],"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"a\":\"\\\\\"}","keep":"me"},"name":"a"}}`,
			want: `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","annotations":{"keep":"me","shadow.clusterpedia.io/cluster-name":"one"}}}`,
		},
		"prunes nothing": {
			doc:    `{"metadata":{"managedFields":[],"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}"},"name":"a"}}`,
			change: func(r *Rewriter) { r.DropManagedFields, r.DropLastApplied = false, false },
			want:   `{"apiVersion":"v1","kind":"Pod","metadata":{"managedFields":[],"name":"a","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}","shadow.clusterpedia.io/cluster-name":"one"}}}`,
		},
		"replaces the cluster's name": {
			doc:  `{"metadata":{"name":"a","annotations":{"shadow.clusterpedia.io/cluster-name":"other"}}}`,
			want: `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","annotations":{"shadow.clusterpedia.io/cluster-name":"one"}}}`,
		},
		"annotations null": {
			doc:  `{"metadata":{"name":"a","annotations":null}}`,
			want: `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","annotations":{"shadow.clusterpedia.io/cluster-name":"one"}}}`,
		},
		"names with escapes": {
			doc:  `{"met\u0061data":{"n\u0061me":"\u0061","manag\u0065dFields":[]},"a\"b":1}`,
			want: `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"\u0061","annotations":{"shadow.clusterpedia.io/cluster-name":"one"}},"a\"b":1}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rewriter()
			if test.change != nil {
				test.change(r)
			}
			d, err := r.Rewrite([]byte(test.doc))
			require.NoError(t, err)
			require.Equal(t, test.want, string(d.JSON))
		})
	}
}

func TestRewriteReadsMetadata(t *testing.T) {
	t.Parallel()
	d, err := rewriter().Rewrite([]byte(`{"metadata":{
		"namespace":"ns","name":"a","uid":"u","resourceVersion":"7",
		"creationTimestamp":"2024-05-06T09:08:09+02:00","deletionTimestamp":"2024-05-07T07:08:09Z",
		"labels":{"app":"web","q":"\"é"},
		"ownerReferences":[{"uid":"o1"},{"uid":"o2","controller":true},{"uid":"o1"},{"controller":false,"uid":"o3"},{}]}}`))
	require.NoError(t, err)
	d.JSON = nil
	require.Equal(t, &Document{
		Head:       Head{Namespace: "ns", Name: "a", UID: "u", ResourceVersion: "7"},
		APIVersion: "v1", Kind: "Pod",
		Labels:     map[string]string{"app": "web", "q": "\"é"},
		Controller: "o2", Owners: []string{"o2", "o1", "o3"},
		CreatedAt: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC),
		DeletedAt: time.Date(2024, 5, 7, 7, 8, 9, 0, time.UTC),
	}, d)

	d, err = rewriter().Rewrite([]byte(`{"metadata":{"name":"a","creationTimestamp":null,"labels":null,"ownerReferences":null}}`))
	require.NoError(t, err)
	require.Zero(t, d.CreatedAt)
	require.Empty(t, d.Labels)
	require.Empty(t, d.Owners)
}

func TestRewriteRefuses(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		``, `null`, `[]`, `{`, `{}`, `{"metadata":null}`, `{"metadata":{}}`, `{"metadata":{"name":7}}`, `{"metadata":{"name":""}}`,
		`{"metadata":{"name":"a"}}x`, `{"metadata":{"name":"a"},}`, `{"metadata":{"name":"a"},"x":01}`, `{"metadata":{"name":"a"},"x":+1}`,
		`{"metadata":{"name":"a"},"x":"` + "\xff" + `"}`, `{"metadata":{"name":"a"},"x":"` + "\n" + `"}`, `{"metadata":{"name":"a"},"x":"\x"}`,
		`{"metadata":{"name":"a"},"x":1,"x":2}`, `{"metadata":{"name":"a","name":"b"}}`, `{"metadata":{"name":"a","n\u0061me":"b"}}`,
		`{"metadata":{"name":"a"},"x":{"q\"":1,"q\u0022":2}}`, `{"metadata":{"name":"a"},"x":{"q\"":1,"q\"":2}}`, `{"metadata":{"name":"a"},"x":{"/":1,"\/":2}}`,
		`{"metadata":{"name":"a","labels":{"a":1}}}`, `{"metadata":{"name":"a","labels":{"a":"b","a":"c"}}}`,
		`{"metadata":{"name":"a"},"metadata":{"name":"b"}}`, `{"metadata":{"name":"a","creationTimestamp":"yesterday"}}`,
		`{"metadata":{"name":"a"},"x":tru}`, `{"metadata":{"name":"a"},"x":1.}`, `{"metadata":{"name":"a"},"x":1e}`, `{"metadata":{"name":"a"},"x":-}`,
		`{"metadata":{"name":"a"},"x":[1,]}`, `{"metadata":{"name":"a"},"x":[}`, `{"metadata":{"name":"a"},"x":{"a" 1}}`,
		`{"metadata":{"name":"a"},"x":` + strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1) + `}`,
	} {
		_, err := rewriter().Rewrite([]byte(doc))
		require.Error(t, err, doc)
	}

	_, err := rewriter().Rewrite([]byte(`{"metadata":{"name":"a"},"x":{"q\"":1,"q\\":2,"q\u0061":3,"q":4}}`))
	require.NoError(t, err)

	var many strings.Builder
	for i := range 2 * manyKeys {
		fmt.Fprintf(&many, `"k%d":1,`, i)
	}
	_, err = rewriter().Rewrite([]byte(`{"metadata":{"name":"a"},"x":{` + many.String() + `"last":1}}`))
	require.NoError(t, err)
	_, err = rewriter().Rewrite([]byte(`{"metadata":{"name":"a"},"x":{` + many.String() + `"k3":1}}`))
	require.ErrorContains(t, err, `"k3" occurs twice`)

	_, err = (&Rewriter{Cluster: "one"}).Rewrite([]byte(`{"metadata":{"name":"a"}}`))
	require.ErrorContains(t, err, "apiVersion or kind is missing")
}

func TestReadHead(t *testing.T) {
	t.Parallel()
	head, err := ReadHead([]byte(`{"kind":"Pod","metadata":{"labels":{"name":"no"},"name":"a","namespace":"n","uid":"u","resourceVersion":"7"},"spec":`))
	require.NoError(t, err)
	require.Equal(t, Head{Namespace: "n", Name: "a", UID: "u", ResourceVersion: "7"}, head)
	for _, doc := range []string{``, `[]`, `{}`, `{"metadata":7}`, `{"metadata":{"name":7}}`, `{"metadata":{"name":"a"`, `{"x":}`, `{"x":"\`, `{7:8}`} {
		_, err := ReadHead([]byte(doc))
		require.Error(t, err, doc)
	}
}

// FuzzRewrite checks that what comes out is valid, and means what went in.
func FuzzRewrite(f *testing.F) {
	for _, doc := range []string{
		`{"metadata":{"name":"a","annotations":{"x":"y"},"labels":{"a":"b"}},"spec":{"a":[1,2.5e3,"x\u00e9\n",true,null]}}`,
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","managedFields":[],"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}"}}}`,
		" {\"metadata\": {\"name\":\"a\"} , \"b\\\"\" : {} } ",
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		d, err := rewriter().Rewrite(doc)
		if err != nil {
			return
		}
		require.True(t, json.Valid(doc))
		var compact bytes.Buffer
		require.NoError(t, json.Compact(&compact, d.JSON))
		require.Equal(t, compact.String(), string(d.JSON))
		head, err := ReadHead(doc)
		require.NoError(t, err)
		require.Equal(t, head, d.Head)

		want, got := decodeObject(t, doc), decodeObject(t, d.JSON)
		metadata, ok := want["metadata"].(map[string]any)
		require.True(t, ok)
		delete(metadata, "managedFields")
		annotations, _ := metadata["annotations"].(map[string]any)
		if annotations == nil {
			annotations = map[string]any{}
		}
		delete(annotations, lastAppliedAnnotation)
		annotations[ClusterAnnotation] = "one"
		metadata["annotations"] = annotations
		want["apiVersion"], want["kind"] = d.APIVersion, d.Kind
		require.Equal(t, want, got)
	})
}

func decodeObject(t *testing.T, doc []byte) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(doc))
	decoder.UseNumber()
	var object map[string]any
	require.NoError(t, decoder.Decode(&object))
	return object
}

func BenchmarkRewrite(b *testing.B) {
	doc := []byte(`{"metadata":{"name":"web-0","namespace":"default","uid":"0e1d1c9f","resourceVersion":"12345","labels":{"app":"web"},"managedFields":[` +
		strings.TrimSuffix(strings.Repeat(`{"manager":"kubelet","fieldsV1":{"f:status":{"f:conditions":{}}}},`, 30), ",") + `]},"spec":{"containers":[` +
		strings.TrimSuffix(strings.Repeat(`{"name":"c","image":"registry.example.org/image:v1","env":[{"name":"A","value":"some longer value for this variable"}]},`, 50), ",") + `]}}`)
	r := rewriter()
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Rewrite(doc); err != nil {
			b.Fatal(err)
		}
	}
}
