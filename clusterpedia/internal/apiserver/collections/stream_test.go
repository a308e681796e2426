package collections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"

	"clusterpedia.io/api/clusterpedia/v1beta1"
	"clusterpedia.io/clusterpedia/internal/apiserver/resources"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// faulty lists some objects, and then fails. It tells when a list has ended.
type faulty struct {
	*shelf
	after int
	fault error
	ended chan error
}

func (f *faulty) List(ctx context.Context, q *query.Query, yield func(*storage.Object) error) (page storage.Page, err error) {
	defer func() { f.ended <- err }()
	n := 0
	return f.shelf.List(ctx, q, func(o *storage.Object) error {
		if n++; n > f.after && f.fault != nil {
			return f.fault
		}
		return yield(o)
	})
}

// serveStorage answers as the stock handler does.
func serveStorage(t *testing.T, st storage.Storage) *httptest.Server {
	t.Helper()
	encoders := codecs(t)
	s, err := New(t.Context(), st, nil, query.CountNone, warner(t), nil, encoders)
	require.NoError(t, err)
	server := httptest.NewServer(WithRequest(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		obj, err := s.Get(req.Context(), "any", nil)
		if err != nil {
			responsewriters.ErrorNegotiated(err, encoders, v1beta1.GroupVersion, w, req)
			return
		}
		responsewriters.WriteObjectNegotiated(encoders, negotiation.DefaultEndpointRestrictions, v1beta1.GroupVersion, w, req, http.StatusOK, obj, false)
	})))
	t.Cleanup(server.Close)
	return server
}

func read(t *testing.T, server *httptest.Server, path, accept string) (code int, text string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
	require.NoError(t, err)
	req.Header.Set("Accept", accept)
	resp, err := server.Client().Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }() // after it was cut off
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// What flows is the same JSON as that of the whole.
func TestStream(t *testing.T) {
	t.Parallel()
	shown := fixture(t).storage.(*shelf)
	for _, query := range []string{"groups=*", "groups=*&limit=3", "groups=*&limit=2&withContinue=true", "groups=nobody.io", "resources=/pods", "groups=*&onlyMetadata=true"} {
		f := &faulty{shelf: shown, ended: make(chan error, 10)}
		server := serveStorage(t, f)
		code, flowed, err := read(t, server, "/?"+query, "application/json")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, code, flowed)
		_, pretty, err := read(t, server, "/?"+query+"&pretty=true", "application/json")
		require.NoError(t, err)
		require.Contains(t, pretty, "\n  ", "it is encoded as a whole")
		require.JSONEq(t, pretty, flowed)
		require.Equal(t, byte('\n'), flowed[len(flowed)-1])
		_, yaml, err := read(t, server, "/?"+query, "application/yaml")
		require.NoError(t, err)
		require.Contains(t, yaml, "kind: CollectionResource")
		for range 3 {
			require.NoError(t, <-f.ended)
		}
	}
}

// A search that fails before its answer is on its way is answered with a Status; one that
// fails later is cut off, since its end would be taken for that of the collection.
func TestStreamFails(t *testing.T) {
	t.Parallel()
	many := &shelf{}
	for i := range 2000 {
		many.objects = append(many.objects, thing(t, "one", "", "v1", "pods", "Pod", fmt.Sprint("pod-", i)))
	}
	for after, told := range map[int]bool{0: true, 1: true, 1900: false} {
		f := &faulty{shelf: many, after: after, fault: errors.New("secret of the database"), ended: make(chan error, 10)}
		server := serveStorage(t, f)
		got, body, err := read(t, server, "/?groups=*", "application/json")
		if told {
			require.NoError(t, err)
			require.Equal(t, http.StatusInternalServerError, got)
			require.Contains(t, body, `"kind":"Status"`)
		} else {
			require.Error(t, err)
		}
		require.NotContains(t, body, "secret")
		require.Error(t, <-f.ended)
		got, body, err = read(t, server, "/?groups=*", "application/yaml")
		require.NoError(t, err)
		require.Equal(t, http.StatusInternalServerError, got, body)
	}
}

// What was opened and never read ends with its request.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	f := &faulty{shelf: fixture(t).storage.(*shelf), ended: make(chan error, 1)}
	s, err := New(t.Context(), f, nil, query.CountNone, warner(t), nil, codecs(t))
	require.NoError(t, err)
	var obj any
	running := 0
	WithRequest(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		obj, err = s.Get(req.Context(), "any", nil)
		running = cap(f.ended) - len(f.ended)
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?groups=*", nil))
	require.NoError(t, err)
	require.IsType(t, &stream{}, obj)
	require.Equal(t, 1, running)
	require.ErrorIs(t, <-f.ended, resources.ErrClosed)
}

// A long collection is compressed, as a whole one would be.
func TestStreamCompressed(t *testing.T) {
	t.Parallel()
	many := &shelf{}
	for i := range 2000 {
		many.objects = append(many.objects, thing(t, "one", "", "v1", "pods", "Pod", fmt.Sprint("pod-", i)))
	}
	server := serveStorage(t, &faulty{shelf: many, ended: make(chan error, 10)})
	for query, compressed := range map[string]bool{"groups=*": true, "groups=*&limit=3": false} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/?"+query, nil)
		require.NoError(t, err)
		resp, err := server.Client().Do(req) // which decompresses what it has asked to be
		require.NoError(t, err)
		var found v1beta1.CollectionResource
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&found))
		require.NoError(t, resp.Body.Close())
		require.Equal(t, compressed, resp.Uncompressed, query)
		require.Equal(t, compressed, len(found.Items) == len(many.objects))
	}
}

// A stored document that cannot be read is named, and nothing of it repeated; a Table shows
// its row with what is known of it.
func TestStreamUnreadable(t *testing.T) {
	t.Parallel()
	for doc, why := range map[string]string{
		`null`:           "it is no JSON object",
		`["topsecret"]`:  "it is no JSON object",
		`{"topsecret":1`: "it is malformed JSON",
		`{"kind":"Pod","apiVersion":"v1","metadata":"topsecret"}`:                                           "",
		`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","creationTimestamp":"topsecret"}}`:          "",
		`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","labels":"topsecret","namespace":"other"}}`: "",
		`{}`: "",
	} {
		st := &shelf{objects: []storage.Object{thing(t, "one", "", "v1", "pods", "Pod", "o"), thing(t, "two", "", "v1", "pods", "Pod", "p")}}
		st.objects[1].JSON = []byte(doc)
		server := serveStorage(t, &faulty{shelf: st, ended: make(chan error, 10)})
		for _, accept := range []string{"application/json", "application/json;pretty=1", "application/yaml"} {
			code, body, err := read(t, server, "/?groups=*", accept)
			require.NoError(t, err)
			if why == "" || code == http.StatusOK && why == "it is malformed JSON" && accept == "application/json" {
				require.Equal(t, http.StatusOK, code, body) // as it is
				continue
			}
			body = strings.Join(strings.Fields(body), " ") // YAML breaks lines
			require.Equal(t, http.StatusInternalServerError, code, "%s %s %s", doc, accept, body)
			require.Contains(t, body, "the stored object two v1/pods default/p cannot be read as Pod", body)
			require.Contains(t, body, why, body)
			require.NotContains(t, body, "topsecret")
		}
		s, err := New(t.Context(), st, nil, query.CountNone, warner(t), nil, codecs(t))
		require.NoError(t, err)
		for _, include := range []string{"Metadata", "Object"} {
			found, err := get(t, s, "any", "groups=*&includeObject="+include, asTable)
			require.NoError(t, err, doc)
			table, err := s.ConvertToTable(t.Context(), found, nil)
			require.NoError(t, err)
			require.Len(t, table.Rows, 2)
			require.Equal(t, []any{"two", "", "v1", "Pod", "default", "p", "<unknown>"}, table.Rows[1].Cells, doc)
			object, err := json.Marshal(table.Rows[1].Object)
			require.NoError(t, err)
			require.NotContains(t, string(object), "topsecret")
		}
	}
}
