package resources_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpedia.io/storage-api/storage"
)

// Answers name a stored document that cannot be read, and repeat nothing of it. A Table shows
// its row with what is known of it.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	const (
		asPartial, asYAML, asProtobuf = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/yaml", "application/vnd.kubernetes.protobuf"
		asPartialList                 = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
	)
	for doc, why := range map[string]string{
		`null`:           "it is no JSON object",
		`["topsecret"]`:  "it is no JSON object",
		` "topsecret"`:   "it is no JSON object",
		`{"topsecret":1`: "it is malformed JSON",
		`{"metadata":{"name":"b","namespace":"default"},"spec":"topsecret"}`:                         "it has no kind",
		`{"kind":"Pod","metadata":{"name":"b"},"spec":"topsecret"}`:                                  "it has no apiVersion",
		`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"b"},"spec":{"containers":"topsecret"}}`: "the value of PodSpec.spec.containers is of another type",
		`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"b","creationTimestamp":"topsecret"}}`:   "a value is none that its field may have",
		`{"kind":"Pod","apiVersion":"v1","metadata":"topsecret"}`:                                    "its metadata is no object",
	} {
		t.Run(doc, func(t *testing.T) {
			t.Parallel()
			st := fixture()
			st.objects[1].JSON, st.objects[1].Events = []byte(doc), []byte(`[{"reason":"Tested"}]`)
			server := serve(t, st)
			const list, one = "/all/api/v1/pods", "/one/api/v1/namespaces/default/pods/b"
			for path, formats := range map[string][]string{
				list: {asYAML, asProtobuf, asJSON + ";pretty=1", asJSON, asPartialList, asPartialList + ";pretty=1"},
				one:  {asYAML, asProtobuf, asJSON + ";pretty=1", asJSON, asPartial},
			} {
				for _, format := range formats {
					answer, body := get(t, server, path, format)
					body = strings.Join(strings.Fields(body), " ") // YAML breaks lines
					if answer.StatusCode == http.StatusOK {        // as it is, which some formats can be
						require.NotContains(t, format, "yaml")
						require.NotContains(t, why, "no JSON object", "%s %s", format, body)
						continue
					}
					require.Equal(t, http.StatusInternalServerError, answer.StatusCode)
					require.NotContains(t, body, "topsecret", "%s %s", path, format)
					require.Contains(t, body, "the stored object one v1/pods default/b cannot be read as Pod", "%s %s", path, format)
					require.Contains(t, body, why, "%s %s", path, format)
				}
			}
			for _, path := range []string{list, one, list + "?injectEvents=true", one + "?injectEvents=true"} {
				for _, format := range []string{asTable, asTable + ";pretty=1"} {
					_, body := get(t, server, path, format)
					var table metav1.Table
					require.NoError(t, json.Unmarshal([]byte(body), &table), body)
					row := table.Rows[len(table.Rows)/2]
					require.Equal(t, []any{"one", "b"}, row.Cells[:2], body)
					require.Contains(t, string(row.Object.Raw), `b"`, body)
				}
			}
		})
	}
}

// A custom resource that is no object hides behind its error, too.
func TestUnreadableCustom(t *testing.T) {
	t.Parallel()
	st := fixture()
	broken := widget("one", "w")
	broken.JSON = []byte(`["topsecret"]`)
	st.objects = []storage.Object{broken}
	for _, path := range []string{"/all/apis/example.io/v1/widgets", "/one/apis/example.io/v1/namespaces/default/widgets/w"} {
		for _, format := range []string{asJSON, asJSON + ";pretty=1"} {
			answer, body := get(t, serve(t, st), path, format)
			require.Equal(t, http.StatusInternalServerError, answer.StatusCode, body)
			require.Contains(t, strings.Join(strings.Fields(body), " "), "the stored object one example.io/v1/widgets default/w cannot be read as Widget: it is no JSON object")
		}
	}
}
