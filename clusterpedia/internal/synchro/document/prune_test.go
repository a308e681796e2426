package document

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParsePath(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Path{
		"data":                          {"data"},
		".spec.template":                {"spec", "template"},
		"$.spec.template":               {"spec", "template"},
		"spec.containers[*].env":        {"spec", "containers", "env"},
		"spec.containers[].env":         {"spec", "containers", "env"},
		"spec.containers.env":           {"spec", "containers", "env"},
		"metadata.annotations['a.b/c']": {"metadata", "annotations", "a.b/c"},
		`metadata.annotations["a.b/c"]`: {"metadata", "annotations", "a.b/c"},
		"data['it is']['x]y'].z":        {"data", "it is", "x]y", "z"},
		`data["it's"]`:                  {"data", "it's"},
		"['data']":                      {"data"},
		"metadata.labels":               {"metadata", "labels"},
		"metadata.nameless":             {"metadata", "nameless"},
		"status":                        {"status"},
		"apiVersions":                   {"apiVersions"},
	} {
		path, err := ParsePath(text)
		require.NoError(t, err, text)
		require.Equal(t, want, path, text)
		again, err := ParsePath(path.String())
		require.NoError(t, err, path.String())
		require.Equal(t, path, again, path.String())
	}
}

func TestParsePathRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                           "a name is missing",
		".":                          "a name is missing",
		"spec.":                      "a name is missing",
		"spec..a":                    "a name is missing",
		"spec[0]":                    "what stands in brackets must be a name in quotes, or *",
		"spec['']":                   "what stands in brackets must be a name in quotes, or *",
		"spec['a":                    "not closed",
		"spec[":                      "not closed",
		"[*].spec":                   "an object is no list",
		"spec]a":                     `unexpected "]"`,
		"spec['a']b":                 `unexpected "b"`,
		"metadata":                   "objects are known by metadata.name",
		"metadata.name":              "objects are known by metadata.name",
		"metadata['name']":           "objects are known by metadata.name",
		"metadata.uid.x":             "objects are known by metadata.uid",
		"metadata.namespace":         "objects are known by metadata.namespace",
		"metadata.resourceVersion":   "objects are known by metadata.resourceVersion",
		"metadata.creationTimestamp": "objects are known by metadata.creationTimestamp",
		"metadata.deletionTimestamp": "objects are known by metadata.deletionTimestamp",
		"kind":                       "objects are known by kind",
		"apiVersion":                 "objects are known by apiVersion",
	} {
		_, err := ParsePath(text)
		require.ErrorContains(t, err, want, text)
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	const doc = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{"app":"x"},"ownerReferences":[{"uid":"o"}],` +
		`"annotations":{"a.b/c":"big","d":"small"}},"spec":{"containers":[{"name":"one","env":[{"name":"A","value":"1"}],"n":1.50},{"name":"two"},"odd",[{"env":1}]],"éé\n":"<&>"},"data":{"k":"dg=="},"status":null}`
	const end = `"annotations":{"a.b/c":"big","d":"small","shadow.clusterpedia.io/cluster-name":"one"}`
	for name, tc := range map[string]struct {
		paths []string
		// without says what is cut out of the document.
		without []string
	}{
		"nothing":                {nil, nil},
		"what is not there":      {[]string{"spec.nothing", "status.conditions", "data.k.deeper", "nothing"}, nil},
		"a field of the top":     {[]string{"data"}, []string{`,"data":{"k":"dg=="}`}},
		"the last":               {[]string{"status"}, []string{`,"status":null`}},
		"an annotation":          {[]string{"metadata.annotations['a.b/c']"}, []string{`"a.b/c":"big",`}},
		"labels":                 {[]string{"metadata.labels"}, []string{`,"labels":{"app":"x"}`}},
		"all elements":           {[]string{"spec.containers[*].env"}, []string{`,"env":[{"name":"A","value":"1"}]`, `"env":1`}},
		"below two lists":        {[]string{"spec.containers.env.value"}, []string{`,"value":"1"`}},
		"one within another":     {[]string{"spec.containers.env", "spec", "spec.containers"}, []string{doc[strings.Index(doc, `,"spec"`):strings.Index(doc, `,"data"`)]}},
		"another order of these": {[]string{"spec", "spec.containers.env"}, []string{doc[strings.Index(doc, `,"spec"`):strings.Index(doc, `,"data"`)]}},
		"names with escapes":     {[]string{"spec['éé\n']"}, []string{`,"éé\n":"<&>"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var paths []Path
			for _, text := range tc.paths {
				path, err := ParsePath(text)
				require.NoError(t, err)
				paths = append(paths, path)
			}
			want := strings.Replace(doc, `"annotations":{"a.b/c":"big","d":"small"}`, end, 1)
			for _, part := range tc.without {
				require.Contains(t, want, part)
				want = strings.Replace(want, part, "", 1)
			}
			for _, given := range []string{doc, spaced(t, doc)} {
				d, err := (&Rewriter{Cluster: "one", Prune: NewFields(paths...)}).Rewrite([]byte(given))
				require.NoError(t, err)
				if given != doc {
					require.JSONEq(t, want, string(d.JSON))
					continue
				}
				require.Equal(t, want, string(d.JSON))
			}
		})
	}
	d, err := (&Rewriter{Cluster: "one", Prune: NewFields(Path{"spec", "éé"})}).Rewrite([]byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"\u00e9é":1}}`))
	require.NoError(t, err)
	require.Contains(t, string(d.JSON), `"spec":{}`, "names are compared without their escapes")
	d, err = (&Rewriter{Cluster: "one", Prune: NewFields(Path{"metadata", "labels"}, Path{"metadata", "ownerReferences"})}).Rewrite([]byte(doc))
	require.NoError(t, err)
	require.Empty(t, d.Labels, "what is stored beside the document is of it")
	require.Empty(t, d.Owners)
}

func spaced(t *testing.T, doc string) string {
	t.Helper()
	var value any
	require.NoError(t, json.Unmarshal([]byte(doc), &value))
	text, err := json.MarshalIndent(value, "", "  ")
	require.NoError(t, err)
	return string(text)
}

// FuzzPrune takes out what stands at a path, and compares with the same done to the
// decoded document.
func FuzzPrune(f *testing.F) {
	f.Add(`{"metadata":{"name":"a"},"spec":{"a":[{"b":1,"c":2},[{"b":3}]]}}`, "spec.a.b")
	f.Add(`{"metadata":{"name":"a","annotations":{"x/y":"z"}}}`, "metadata.annotations['x/y']")
	f.Add(`{"metadata":{"name":"a"},"data":{"":{"":1}}}`, "data")
	f.Fuzz(func(t *testing.T, doc, text string) {
		path, err := ParsePath(text)
		if err != nil {
			return
		}
		again, err := ParsePath(path.String())
		if !strings.Contains(text, `"`) { // a name with both quotes cannot be written
			require.NoError(t, err)
			require.Equal(t, path, again)
		}
		plain, err := (&Rewriter{Cluster: "one", APIVersion: "v1", Kind: "A"}).Rewrite([]byte(doc))
		if err != nil {
			return
		}
		pruned, err := (&Rewriter{Cluster: "one", APIVersion: "v1", Kind: "A", Prune: NewFields(path)}).Rewrite([]byte(doc))
		if err != nil {
			return // labels that are of a wrong type, for one, are found on both ways
		}
		var want any
		require.NoError(t, json.Unmarshal(plain.JSON, &want))
		take(want, path)
		text2, err := json.Marshal(want)
		require.NoError(t, err)
		if path[0] == "metadata" && (len(path) == 2 && path[1] == "annotations" || len(path) > 2 && path[2] == ClusterAnnotation) {
			return // it is added again
		}
		require.JSONEq(t, string(text2), string(pruned.JSON))
	})
}

func take(value any, path Path) {
	switch v := value.(type) {
	case []any:
		for _, element := range v {
			take(element, path)
		}
	case map[string]any:
		if len(path) == 1 {
			delete(v, path[0])
			return
		}
		take(v[path[0]], path[1:])
	}
}
