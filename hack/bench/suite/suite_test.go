package suite

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/bench/baseline/oldtable"
	"clusterpedia.io/bench/report"
)

func TestPercentiles(t *testing.T) {
	t.Parallel()
	var many []float64
	for i := range 100 {
		many = append(many, float64(100-i))
	}
	for name, c := range map[string]struct {
		values           []float64
		least, p50, last float64
	}{
		"one":  {[]float64{3}, 3, 3, 3},
		"two":  {[]float64{4, 2}, 2, 2, 4},
		"many": {many, 1, 50, 99},
	} {
		least, p50, p99 := percentiles(c.values)
		require.InDelta(t, c.least, least, 0, name)
		require.InDelta(t, c.p50, p50, 0, name)
		require.InDelta(t, c.last, p99, 0, name)
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	r := request{cluster: "c", path: pods, limit: 5, offset: 7, query: url.Values{"continue": {"token"}}}
	require.Equal(t, "u/apis/clusterpedia.io/v1beta1/resources/clusters/c/api/v1/pods?continue=7&limit=5", r.url(&server{name: report.Classic, url: "u"}))
	require.Equal(t, "u/apis/clusterpedia.io/v1beta1/resources/clusters/c/api/v1/pods?continue=token&limit=5", r.url(&server{name: report.Own, url: "u"}))
}

// Every profile has rows of its own objects.
func TestRows(t *testing.T) {
	t.Parallel()
	for _, name := range ProfileNames() {
		p, err := Named(name)
		require.NoError(t, err)
		if p.Depth > 0 {
			require.Greater(t, p.Fleet.Pods(), p.Depth+500, "the page is full")
		}
		if p.Depth > 0 && testing.Short() {
			continue
		}
		p.Depth = 0 // would make all objects
		s := &suite{Config: Config{Profile: p, Engine: oldtable.PostgreSQL}}
		rows := s.rows()
		require.NotEmpty(t, rows)
		names := map[string]bool{}
		for _, r := range rows {
			require.False(t, names[r.name])
			names[r.name] = true
		}
	}
	_, err := Named("huge")
	require.EqualError(t, err, `unknown profile "huge", want one of million, pods, small`)
}

func TestSame(t *testing.T) {
	t.Parallel()
	item := func(text string) []json.RawMessage { return []json.RawMessage{json.RawMessage(text)} }
	for name, c := range map[string]struct{ a, b, fails string }{
		"other order":   {`{"metadata":{"uid":"1","name":"x"},"kind":"Pod"}`, `{"metadata":{"name":"x","uid":"1"}}`, ""},
		"other objects": {`{"metadata":{"uid":"1"}}`, `{"metadata":{"uid":"2","name":"x"}}`, ""},
		"differs":       {`{"metadata":{"uid":"1"}}`, `{"metadata":{"uid":"1","name":"x"}}`, "object 1 differs"},
		"no object":     {`{"metadata":{"uid":"1"}}`, `{"metadata":{}}`, "without metadata.uid"},
		"no JSON":       {`{"metadata":{"uid":"1"}}`, `{`, "unexpected end"},
	} {
		err := same(item(c.a), item(c.b))
		if c.fails == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, c.fails, name)
	}
}

func TestItems(t *testing.T) {
	t.Parallel()
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	_, err := w.Write([]byte(`{"kind":"PodList","items":[{},{}]}`))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	for name, c := range map[string]struct {
		text  string
		gzip  bool
		items int
	}{
		"list":       {`{"kind":"PodList","items":[{},{}]}`, false, 2},
		"compressed": {compressed.String(), true, 2},
		"table":      {`{"kind":"Table","rows":[{}]}`, false, 1},
		"none":       {`{"kind":"PodList","items":[]}`, false, 0},
		"object":     {`{"kind":"Pod","metadata":{}}`, false, 1},
	} {
		got, err := items(strings.NewReader(c.text), c.gzip)
		require.NoError(t, err, name)
		require.Len(t, got, c.items, name)
	}
}
