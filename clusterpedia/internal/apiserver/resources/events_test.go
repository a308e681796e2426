package resources

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/storage"
)

func TestWithEvents(t *testing.T) {
	t.Parallel()

	const events = `[{"reason":"Killing <b>"}]`
	for doc, want := range map[string]string{
		`{}`: `{"metadata": {"annotations": {"shadow.clusterpedia.io/events": EVENTS}}}`,
		`{"metadata": {"annotations": null, "name": "a"}, "spec": {"n": 12345678901234567890, "f": 1.50}}`: `{"metadata": {"name": "a", "annotations": {"shadow.clusterpedia.io/events": EVENTS}}, "spec": {"n": 12345678901234567890, "f": 1.50}}`,
		`{"metadata": {"annotations": {"a": "<b>", "shadow.clusterpedia.io/events": "of the member"}}}`:    `{"metadata": {"annotations": {"a": "<b>", "shadow.clusterpedia.io/events": EVENTS}}}`,
	} {
		o := &storage.Object{JSON: []byte(doc), Events: []byte(events)}
		got := WithEvents(o)
		require.Equal(t, doc, string(o.JSON), "the object stays as it is")
		quoted, err := json.Marshal(events)
		require.NoError(t, err)
		require.JSONEq(t, strings.ReplaceAll(want, "EVENTS", string(quoted)), string(got.JSON))
		for _, number := range []string{"12345678901234567890", "1.50"} {
			require.Equal(t, strings.Contains(doc, number), strings.Contains(string(got.JSON), number), "numbers stay as they are")
		}
	}
	o := &storage.Object{JSON: []byte(`null`)}
	require.Same(t, o, WithEvents(o), "without events nothing is to be done")
	o.Events = []byte(events)
	require.Same(t, o, WithEvents(o), "it has no place for them")
}
