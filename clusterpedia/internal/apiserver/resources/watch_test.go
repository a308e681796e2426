package resources_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/clusterpedia/internal/apiserver/resources"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// history is a shelf whose later changes are told from a script.
type history struct {
	*shelf
	events []storage.WatchEvent
	// err ends a watch; nil: it lasts until its reader has gone, which closes gone, also if
	// that is while it lists what there is.
	err  error
	gone chan struct{}
	left sync.Once
	// from is the version that was asked for.
	from chan string
	// slow has a list give out its first object alone, and wait for the end of its reader.
	slow bool
}

func newHistory(events ...storage.WatchEvent) *history {
	return &history{shelf: fixture(), events: events, gone: make(chan struct{}), from: make(chan string, 1)}
}

func (h *history) List(ctx context.Context, q *query.Query, yield func(*storage.Object) error) (storage.Page, error) {
	page, err := h.shelf.List(ctx, q, func(o *storage.Object) error {
		if err := yield(o); err != nil || !h.slow {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	})
	page.Version = "40"
	h.leave(ctx)
	return page, err
}

func (h *history) leave(ctx context.Context) {
	if ctx.Err() != nil {
		h.left.Do(func() { close(h.gone) })
	}
}

// arrive waits until something has happened, and says so if it does not.
func arrive(t *testing.T, happened <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-happened:
	case <-time.After(30 * time.Second):
		require.FailNow(t, "This does not happen: "+what)
	}
}

func (h *history) Watch(ctx context.Context, q *query.Query, since string, yield func(storage.WatchEvent) error) error {
	defer h.leave(ctx)
	h.from <- since
	for _, e := range h.events {
		if e.Object != nil && !query.Match(q, e.Object, nil) {
			continue
		}
		if err := yield(e); err != nil {
			return err
		}
	}
	if h.err != nil {
		return h.err
	}
	<-ctx.Done()
	return ctx.Err()
}

// told is what a test compares of an event.
type told struct{ Type, Kind, Cluster, Name, Version string }

// events reads so many events of a watch, and ends it.
func events(t *testing.T, h *history, path, accept string, n int) []told {
	t.Helper()
	server := serve(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, nil)
	require.NoError(t, err)
	req.Header.Set("Accept", accept)
	resp, err := server.Client().Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	lines := bufio.NewScanner(resp.Body)
	var all []told
	for len(all) < n && lines.Scan() {
		var event struct {
			Type   string
			Object struct {
				Kind, APIVersion, Message string
				Code                      int
				Metadata                  struct {
					Name, ResourceVersion string
					Annotations           map[string]string
				}
				Rows []struct{ Cells []any }
			}
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &event), lines.Text())
		o := event.Object
		one := told{event.Type, o.Kind, o.Metadata.Annotations["shadow.clusterpedia.io/cluster-name"], o.Metadata.Name, o.Metadata.ResourceVersion}
		switch {
		case o.Code != 0:
			one.Name = fmt.Sprint(o.Code)
		case len(o.Rows) > 0:
			one.Cluster, one.Name = fmt.Sprint(o.Rows[0].Cells[0]), fmt.Sprint(o.Rows[0].Cells[1])
		case o.Metadata.Annotations["k8s.io/initial-events-end"] == "true":
			one.Name = "end of the beginning"
		}
		all = append(all, one)
	}
	require.NoError(t, lines.Err())
	return all
}

func TestWatch(t *testing.T) {
	t.Parallel()

	object := func(o storage.Object) *storage.Object { return &o }
	script := func() *history {
		return newHistory(
			storage.WatchEvent{Type: storage.Added, Object: object(pod("two", "c")), Version: "41"},
			storage.WatchEvent{Type: storage.Modified, Object: object(pod("one", "a")), Version: "42"},
			storage.WatchEvent{Type: storage.Bookmark, Version: "43"},
			storage.WatchEvent{Type: storage.Deleted, Object: object(pod("one", "b")), Version: "44"},
			storage.WatchEvent{Type: storage.Added, Object: object(widget("two", "x")), Version: "45"},
		)
	}
	beginning := []told{{"ADDED", "Pod", "one", "a", ""}, {"ADDED", "Pod", "one", "b", ""}, {"ADDED", "Pod", "two", "a", ""}}
	later := []told{{"ADDED", "Pod", "two", "c", "41"}, {"MODIFIED", "Pod", "one", "a", "42"}, {"DELETED", "Pod", "one", "b", "44"}}
	end, bookmark := told{"BOOKMARK", "Pod", "", "end of the beginning", "40"}, told{"BOOKMARK", "Pod", "", "", "43"}
	for name, tc := range map[string]struct {
		path, accept, from string
		want               []told
	}{
		"from nothing":      {"/all/api/v1/pods?watch=true", asJSON, "40", slices.Concat(beginning, later)},
		"from zero":         {"/all/api/v1/pods?watch=1&resourceVersion=0", asJSON, "40", slices.Concat(beginning, later)},
		"from a version":    {"/all/api/v1/pods?watch=true&resourceVersion=40", asJSON, "40", later},
		"an old path":       {"/all/api/v1/watch/pods?resourceVersion=40", asJSON, "40", later},
		"an old named path": {"/one/api/v1/watch/namespaces/default/pods/b?resourceVersion=40", asJSON, "40", later[2:]},
		"with bookmarks":    {"/all/api/v1/pods?watch=true&resourceVersion=40&allowWatchBookmarks=true", asJSON, "40", []told{later[0], later[1], bookmark, later[2]}},
		"as a list": {
			"/one/api/v1/pods?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", asJSON, "40",
			[]told{beginning[0], beginning[1], end, later[1], bookmark, later[2]},
		},
		"from now":          {"/all/api/v1/pods?watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan", asJSON, "", later},
		"one cluster":       {"/one/api/v1/namespaces/default/pods?watch=true&resourceVersion=40", asJSON, "40", later[1:]},
		"by label":          {"/all/api/v1/pods?watch=true&resourceVersion=40&labelSelector=app%3Dc", asJSON, "40", later[:1]},
		"by field":          {"/all/api/v1/pods?watch=true&resourceVersion=40&fieldSelector=metadata.name%3Da", asJSON, "40", later[1:2]},
		"by field and name": {"/all/api/v1/pods?watch=true&resourceVersion=40&fieldSelector=metadata.name%3Db&names=a,b", asJSON, "40", later[2:]},
		"by other names":    {"/all/api/v1/pods?watch=true&resourceVersion=40&fieldSelector=metadata.name%3Da&names=c&allowWatchBookmarks=true", asJSON, "40", []told{bookmark}},
		"paging means nil":  {"/all/api/v1/pods?watch=true&limit=1&orderby=name%20desc", asJSON, "40", slices.Concat(beginning, later)},
		"tables":            {"/one/api/v1/pods?watch=true&resourceVersion=40", asTable, "40", []told{{"MODIFIED", "Table", "one", "a", "42"}, {"DELETED", "Table", "one", "b", "44"}}},
		"custom resources":  {"/all/apis/example.io/v1/widgets?watch=true&resourceVersion=40&allowWatchBookmarks=true", asJSON, "40", []told{{"BOOKMARK", "Widget", "", "", "43"}, {"ADDED", "Widget", "", "x", "45"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := script()
			require.Equal(t, tc.want, events(t, h, tc.path, tc.accept, len(tc.want)))
			require.Equal(t, tc.from, <-h.from)
			arrive(t, h.gone, "the storage layer's watch ends")
		})
	}
}

func TestWatchEnds(t *testing.T) {
	t.Parallel()

	for want, err := range map[string]error{
		"410": fmt.Errorf("7: %w", storage.ErrExpired),
		"503": storage.Retryable(errors.New("secret of the database")),
		"500": errors.New("secret of the database"),
		"400": &query.InvalidQueryError{},
	} {
		h := newHistory()
		h.err = err
		require.Equal(t, []told{{"ERROR", "Status", "", want, ""}}, events(t, h, "/all/api/v1/pods?watch=true&resourceVersion=7", asJSON, 2), want)
	}
	h := newHistory()
	h.err = storage.ErrExpired
	require.Equal(t, []told{{"ERROR", "Status", "", "410", ""}}, events(t, h, "/all/apis/example.io/v1/widgets?watch=true&resourceVersion=7", asJSON, 2))
	h = newHistory()
	h.fault = storage.Retryable(errors.New("no list either"))
	require.Equal(t, []told{{"ERROR", "Status", "", "503", ""}}, events(t, h, "/all/api/v1/pods?watch=true", asJSON, 2))

	h = newHistory()
	began := time.Now()
	require.Empty(t, events(t, h, "/all/api/v1/pods?watch=true&resourceVersion=40&timeoutSeconds=1", asJSON, 1))
	require.Greater(t, time.Since(began), 900*time.Millisecond)

	answer, body := get(t, serve(t, fixture()), "/all/api/v1/pods?watch=true", asJSON)
	require.Equal(t, http.StatusMethodNotAllowed, answer.StatusCode)
	require.Contains(t, body, `watch is not supported on resources of kind \"pods\"`)
	answer, body = get(t, serve(t, newHistory()), "/all/api/v1/pods?watch=true&labelSelector=%3D", asJSON)
	require.Equal(t, http.StatusBadRequest, answer.StatusCode, body)
}

// Through the host cluster a watch must end before it is cut off there.
func TestWatchThroughAggregator(t *testing.T) {
	t.Parallel()

	for query, want := range map[string]string{
		"": "50", "timeoutSeconds=600": "50", "timeoutSeconds=0": "50", "timeoutSeconds=20": "20", "timeoutSeconds=x": "x", "timeoutSeconds=-1": "50",
	} {
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		var got string
		handler := resources.WithAggregator(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			resources.LimitWatch(req.Context(), values)
			got = values.Get("timeoutSeconds")
		}))
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		handler.ServeHTTP(nil, req)
		direct, _, _ := strings.Cut(strings.TrimPrefix(query, "timeoutSeconds="), "&")
		require.Equal(t, direct, got, "directly it may take as long as it wants")
		req.Header.Set("X-Remote-User", "alice")
		handler.ServeHTTP(nil, req)
		require.Equal(t, want, got, query)
	}
}

// bomb is a storage layer that fails in the worst way.
type bomb struct{ *shelf }

func (bomb) Get(context.Context, storage.Key) (storage.Object, error) {
	return storage.Object{}, explode()
}

func (bomb) List(context.Context, *query.Query, func(*storage.Object) error) (storage.Page, error) {
	return storage.Page{}, explode()
}

func (bomb) Watch(context.Context, *query.Query, string, func(storage.WatchEvent) error) error {
	return explode()
}

func explode() error {
	panic("bomb") //nolint:forbidigo // that is the test
}

// A panic in one request ends no other one: the process lives, and its client gets an error.
func TestPanics(t *testing.T) {
	t.Parallel()
	server := serve(t, bomb{fixture()})
	for _, path := range []string{"/one/api/v1/namespaces/default/pods/a", "/all/api/v1/pods"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		require.NoError(t, err)
		if resp, err := server.Client().Do(req); err == nil { // net/http ends the connection
			require.NoError(t, resp.Body.Close())
		}
		answer, _ := get(t, server, "/all/version", asJSON)
		require.Equal(t, http.StatusOK, answer.StatusCode)
	}
	for _, since := range []string{"", "&resourceVersion=7"} {
		answer, body := get(t, server, "/all/api/v1/pods?watch=true"+since, asJSON)
		require.Equal(t, http.StatusOK, answer.StatusCode)
		require.Contains(t, body, `"type":"ERROR"`)
		require.Contains(t, body, `"code":500`)
		require.NotContains(t, body, "bomb")
	}
}

// Events that are asked for come with watched objects, too.
func TestWatchEvents(t *testing.T) {
	t.Parallel()
	changed := pod("one", "a")
	changed.Events = []byte(`[{"reason":"Tested"}]`)
	h := newHistory(storage.WatchEvent{Type: storage.Modified, Object: &changed, Version: "41"})
	server := serve(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/all/api/v1/pods?watch=true&resourceVersion=40&injectEvents=true", nil)
	require.NoError(t, err)
	resp, err := server.Client().Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	lines := bufio.NewScanner(resp.Body)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), `shadow.clusterpedia.io/events`)
	require.Contains(t, lines.Text(), `Tested`)
}
