package reflector

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"clusterpedia.io/clusterpedia/internal/membercluster"
	"clusterpedia.io/clusterpedia/internal/synchro/document"
)

const (
	patience = 30 * time.Second
	tick     = 2 * time.Millisecond
)

// journal is a Sink that writes down what it is told.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

func (j *journal) BeginList() { j.add("begin") }

func (j *journal) Behind() { j.add("behind") }
func (j *journal) Listed(_ context.Context, h document.Head, doc []byte) error {
	j.add("listed %s %s", h.Name, h.ResourceVersion)
	return nil
}
func (j *journal) EndList(context.Context) error { j.add("end"); return nil }
func (j *journal) Changed(_ context.Context, h document.Head, doc []byte) error {
	j.add("changed %s %s", h.Name, h.ResourceVersion)
	return nil
}

func (j *journal) Deleted(_ context.Context, h document.Head) error {
	j.add("deleted %s", h.Name)
	return nil
}
func (j *journal) Unreadable(err error) { j.add("unreadable") }
func (j *journal) Watching()            { j.add("watching") }
func (j *journal) Bookmark()            {}
func (j *journal) Failed(err error)     { j.add("failed %v", err) }

// step answers one request, whose query must contain all words of wants.
type step struct {
	wants  string
	answer func(w http.ResponseWriter, r *http.Request)
}

func text(body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
}

func list(version, token string, names ...string) func(http.ResponseWriter, *http.Request) {
	return text(listText(version, token, names...))
}

func listText(version, token string, names ...string) string {
	var items []string
	for _, n := range names {
		name, v, _ := strings.Cut(n, " ")
		items = append(items, fmt.Sprintf(`{"metadata":{"name":%q,"resourceVersion":%q}}`, name, v))
	}
	return fmt.Sprintf(`{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":%q,"continue":%q},"items":[%s]}`, version, token, strings.Join(items, ","))
}

func event(kind, name, version string) string {
	return fmt.Sprintf(`{"type":%q,"object":{"metadata":{"name":%q,"resourceVersion":%q}}}`+"\n", kind, name, version)
}

func status(code int, reason string) string {
	return fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":"told to","reason":%q,"code":%d}`, reason, code)
}

func fails(code int, reason string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		fmt.Fprint(w, status(code, reason))
	}
}

// silence sends what was given and then nothing, until the client goes away.
func silence(body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		text(body)(w, r)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// cutOff ends the connection in the middle of the answer.
func cutOff(body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		text(body)(w, r)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) //nolint:forbidigo // This is how a handler ends a connection.
	}
}

// play runs a reflector against a member that answers step by step, the last of
// which must be a silence, until the journal has as many lines as expected.
func play(t *testing.T, steps []step, act func(*Reflector, *journal), expected []string) {
	t.Helper()
	var mu sync.Mutex
	next := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n := next
		next++
		mu.Unlock()
		if n >= len(steps) {
			<-r.Context().Done()
			return
		}
		for _, word := range strings.Fields(steps[n].wants) {
			if word, not := strings.CutPrefix(word, "!"); strings.Contains(r.URL.RawQuery, word) == not {
				t.Errorf("request %d: query %q, wanted %q", n, r.URL.RawQuery, steps[n].wants)
			}
		}
		steps[n].answer(w, r)
	}))
	defer server.Close()
	client, err := membercluster.NewClient(&rest.Config{Host: server.URL})
	require.NoError(t, err)
	defer client.Close()
	j := &journal{}
	r := New(Options{
		Client: client, Path: "/api/v1/pods", PageSize: 2, Sink: j, Logger: klog.Background(), Stall: 200 * time.Millisecond,
		Backoff: wait.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 100}, Restored: func(time.Time) { j.add("restored") },
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	if act != nil {
		act(r, j)
	}
	require.Eventually(t, func() bool { return len(j.all()) >= len(expected) }, patience, tick, "%q", expected)
	cancel()
	running.Wait()
	require.Equal(t, expected, j.all())
}

func TestReflector(t *testing.T) {
	t.Parallel()
	const limit, watching = "limit=2 !watch !continue", "watch=true allowWatchBookmarks=true timeoutSeconds="
	for name, test := range map[string]struct {
		steps []step
		want  []string
	}{
		"list in pages, then watch": {
			steps: []step{
				{limit, list("10", "p2", "a 1", "b 2")},
				{"limit=2 continue=p2", list("10", "", "c 3")},
				{watching + " resourceVersion=10", silence(event("ADDED", "d", "11") + event("MODIFIED", "a", "12") + event("DELETED", "b", "13"))},
			},
			want: []string{"begin", "listed a 1", "listed b 2", "listed c 3", "end", "watching", "changed d 11", "changed a 12", "deleted b"},
		},
		"watch resumes from the last event or bookmark": {
			steps: []step{
				{limit, list("10", "")},
				{watching + " resourceVersion=10", text(event("ADDED", "d", "11"))},
				{"limit=1", list("11", "")},
				{watching + " resourceVersion=11", cutOff(event("BOOKMARK", "", "20") + `{"type":"ADD`)},
				{"limit=1", list("20", "")},
				{watching + " resourceVersion=20", silence("")},
			},
			want: []string{"begin", "end", "watching", "changed d 11", "watching", "watching"},
		},
		"expired watch lists again": {
			steps: []step{
				{limit, list("10", "", "a 1")},
				{watching, text(`{"type":"ERROR","object":` + status(410, "Expired") + `}`)},
				{limit, list("30", "", "a 1")},
				{watching + " resourceVersion=30", fails(410, "Gone")},
				{limit, list("40", "", "a 1")},
				{watching + " resourceVersion=40", silence("")},
			},
			want: []string{"begin", "listed a 1", "end", "watching", "begin", "listed a 1", "end", "begin", "listed a 1", "end", "watching"},
		},
		"a page that is cut is read again": {
			steps: []step{
				{limit, list("10", "p2", "a 1")},
				{"continue=p2", cutOff(strings.TrimSuffix(listText("10", "p3", "b 2"), "]}"))},
				{"continue=p2", list("10", "p3", "b 2")},
				{"continue=p3", fails(500, "InternalError")},
				{"continue=p3", list("10", "", "c 3")},
				{watching + " resourceVersion=10", silence("")},
			},
			want: []string{
				"begin", "listed a 1", "listed b 2", "failed list /api/v1/pods: unexpected EOF", "listed b 2", "failed list /api/v1/pods: told to", "listed c 3", "end", "watching",
			},
		},
		"410 within a list": {
			steps: []step{
				{limit, list("10", "p2", "a 1", "b 2")},
				{"continue=p2", fails(410, "Expired")},
				{limit, list("11", "p3", "a 1", "b 2")},
				{"continue=p3", list("11", "", "c 3")},
				{watching + " resourceVersion=11", silence("")},
			},
			want: []string{"begin", "listed a 1", "listed b 2", "begin", "listed a 1", "listed b 2", "listed c 3", "end", "watching"},
		},
		"410 within each list": {
			steps: []step{
				{limit, list("10", "p2", "a 1")},
				{"continue=p2", fails(410, "Expired")},
				{limit, list("10", "p2", "a 1")},
				{"continue=p2", fails(410, "Expired")},
				{limit, list("10", "p2", "a 1")},
				{"continue=p2", fails(410, "Expired")},
				{"!limit", list("10", "", "a 1")},
				{watching, silence("")},
			},
			want: []string{"begin", "listed a 1", "begin", "listed a 1", "begin", "listed a 1", "begin", "listed a 1", "end", "watching"},
		},
		"a list that is cut is no list": {
			steps: []step{
				{limit, cutOff(strings.TrimSuffix(listText("10", "", "a 1"), "]}"))},
				{limit, list("10", "", "a 1")},
				{watching, silence("")},
			},
			want: []string{"begin", "listed a 1", "failed list /api/v1/pods: unexpected EOF", "begin", "listed a 1", "end", "watching"},
		},
		"an answer that is no list": {
			steps: []step{
				{limit, text(`{"kind":"Status","metadata":{},"status":"Success"}`)},
				{limit, list("10", "")},
				{watching, silence("")},
			},
			want: []string{"begin", `failed list /api/v1/pods: the answer, of kind "Status", is not a list`, "begin", "end", "watching"},
		},
		"forbidden": {
			steps: []step{
				{limit, fails(403, "Forbidden")},
				{limit, list("10", "")},
				{watching, fails(403, "Forbidden")},
				{"limit=1", list("10", "")},
				{watching, silence("")},
			},
			want: []string{"begin", "failed list /api/v1/pods: told to", "begin", "end", "failed watch /api/v1/pods: told to", "watching"},
		},
		"restored from a backup": {
			steps: []step{
				{limit, list("1000", "", "a 900")},
				{watching, cutOff(event("MODIFIED", "a", "1001"))},
				{"limit=1", list("500", "p", "a 400")},
				{limit, list("500", "", "a 400")},
				{watching + " resourceVersion=500", silence("")},
			},
			want: []string{"begin", "listed a 900", "end", "watching", "changed a 1001", "behind", "restored", "begin", "listed a 400", "end", "watching"},
		},
		"a version that is still to come": {
			steps: []step{
				{limit, list("1000", "")},
				{watching, text(`{"type":"ERROR","object":{"kind":"Status","status":"Failure","code":504,"reason":"Timeout","details":{"causes":[{"reason":"ResourceVersionTooLarge"}]}}}`)},
				{limit, list("7", "p2", "a 5")},
				{limit, list("7", "", "a 5")},
				{watching + " resourceVersion=7", silence("")},
			},
			want: []string{"begin", "end", "watching", "begin", "listed a 5", "behind", "restored", "begin", "listed a 5", "end", "watching"},
		},
		"a member that falls silent in a list": {
			steps: []step{
				{limit, silence(strings.TrimSuffix(listText("10", "", "a 1"), "]}"))},
				{limit, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
				{limit, list("10", "")},
				{watching, silence("")},
			},
			want: []string{
				"begin", "listed a 1", "failed list /api/v1/pods: the member sent nothing for 200ms",
				"begin", "failed list /api/v1/pods: the member sent nothing for 200ms", "begin", "end", "watching",
			},
		},
		"objects and events that cannot be read": {
			steps: []step{
				{limit, text(`{"metadata":{"resourceVersion":"10"},"items":[{},7,{"metadata":{"name":"a"}}]}`)},
				{watching, text(`{"type":"ADDED","object":{"metadata":7}}` + event("ADDED", "b", "11") + `{"type":"OTHER","object":{"metadata":{}}}`)},
				{"limit=1", list("11", "")},
				{watching + " resourceVersion=11", silence("")},
			},
			want: []string{
				"begin", "unreadable", "unreadable", "listed a ", "end", "watching", "unreadable", "changed b 11",
				`failed watch /api/v1/pods: unknown type of event "OTHER"`, "watching",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, test.steps, nil, test.want)
		})
	}
}

func TestResumesAnEarlierRun(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var queries []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		queries = append(queries, r.URL.RawQuery)
		mu.Unlock()
		if r.URL.Query().Get("watch") == "" {
			list("11", "")(w, r)
			return
		}
		silence(event("ADDED", "a", "11"))(w, r)
	}))
	defer server.Close()
	client, err := membercluster.NewClient(&rest.Config{Host: server.URL})
	require.NoError(t, err)
	j := &journal{}
	r := New(Options{Client: client, Path: "/api/v1/pods", PageSize: 2, Sink: j, Logger: klog.Background(), Stall: patience, Backoff: DefaultBackoff()})
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		n := len(j.all())
		running.Go(func() { r.Run(ctx) })
		require.Eventually(t, func() bool { return slices.Contains(j.all()[n:], "changed a 11") }, patience, tick)
		cancel()
		running.Wait()
		require.True(t, r.Resumes())
	}
	server.Close()
	require.Equal(t, []string{"begin", "end", "watching", "changed a 11", "watching", "changed a 11"}, j.all())
	require.Equal(t, "limit=2", queries[0])
	require.Equal(t, "limit=1", queries[2])
	require.Contains(t, queries[3], "resourceVersion=11")
}

func TestRelist(t *testing.T) {
	t.Parallel()
	play(t, []step{
		{"limit=2", list("10", "")},
		{"watch=true", silence("")},
		{"limit=2", list("12", "")},
		{"watch=true resourceVersion=12", silence("")},
	}, func(r *Reflector, j *journal) {
		require.Eventually(t, func() bool { return slices.Contains(j.all(), "watching") }, patience, tick)
		r.Relist()
	}, []string{"begin", "end", "watching", "begin", "end", "watching"})
}

// TestDoubt has another reflector see that the member was restored, which has given more
// versions since than before.
func TestDoubt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		// watches are how many there are before the doubt.
		watches int
		// since is when the member was restored; zero: at any time.
		since time.Time
		steps []step
		want  []string
	}{
		"watched since without a break": {
			watches: 1,
			since:   time.Now().Add(time.Hour),
			steps:   []step{{"limit=2", list("10", "")}, {"watch=true", silence("")}, {"limit=2", list("12", "")}, {"watch=true", silence("")}},
			want:    []string{"begin", "end", "watching", "begin", "end", "watching"},
		},
		"resumed": {
			watches: 2,
			steps: []step{
				{"limit=2", list("10", "")},
				{"watch=true", text("")},
				{"limit=1", list("12", "")},
				{"watch=true resourceVersion=10", silence("")},
				{"limit=2", list("13", "")},
				{"watch=true resourceVersion=13", silence("")},
			},
			want: []string{"begin", "end", "watching", "watching", "begin", "behind", "begin", "end", "watching"},
		},
		"has seen it by itself": {
			watches: 2,
			steps: []step{
				{"limit=2", list("1000", "")},
				{"watch=true", text("")},
				{"limit=1", list("12", "")},
				{"limit=2", list("12", "")},
				{"watch=true resourceVersion=12", silence("")},
				{"limit=2", list("13", "")},
				{"watch=true resourceVersion=13", silence("")},
			},
			want: []string{"begin", "end", "watching", "behind", "restored", "begin", "end", "watching", "begin", "end", "watching"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, test.steps, func(r *Reflector, j *journal) {
				require.Eventually(t, func() bool {
					return len(slices.DeleteFunc(j.all(), func(line string) bool { return line != "watching" })) == test.watches
				}, patience, tick)
				r.Doubt(test.since)
				r.Relist() // by which it tells what it does
			}, test.want)
		})
	}
}

// TestDoubtWithoutAWatch has another reflector see that the member was restored, while this
// one has no watch that could have lasted.
func TestDoubtWithoutAWatch(t *testing.T) {
	t.Parallel()
	const silent = "failed list /api/v1/pods: the member sent nothing for 200ms"
	for name, test := range map[string]struct {
		before []step
		// hangs is what is asked for in vain when the doubt comes.
		hangs string
		want  []string
	}{
		"the watch is refused": {
			before: []step{{"limit=2", list("10", "")}, {"watch=true", fails(403, "Forbidden")}},
			hangs:  "limit=1",
			want:   []string{"begin", "end", "failed watch /api/v1/pods: told to", silent},
		},
		"in the middle of a list": {
			before: []step{{"limit=2", list("10", "p2", "a 1")}},
			hangs:  "continue=p2",
			want:   []string{"begin", "listed a 1", silent},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan struct{})
			steps := append(slices.Clone(test.before),
				step{test.hangs, func(_ http.ResponseWriter, r *http.Request) { close(asked); <-r.Context().Done() }},
				step{"limit=2 !continue", list("12", "")},
				step{"watch=true resourceVersion=12", silence("")},
			)
			play(t, steps, func(r *Reflector, _ *journal) {
				<-asked
				r.Doubt(time.Now().Add(time.Hour))
			}, append(test.want, "begin", "behind", "begin", "end", "watching"))
		})
	}
}

// TestRetryAfter has a member ask for a wait: it is bounded, and whoever asks for a list
// doesn't wait for its end.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	r := New(Options{Backoff: wait.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 100}})
	for seconds, want := range map[int]time.Duration{0: time.Millisecond, 6: 6 * time.Second, 86400: time.Minute} {
		require.Equal(t, want, r.delay(apierrors.NewTooManyRequests("told to", seconds)))
	}

	busy := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	start := time.Now()
	const failed = "failed list /api/v1/pods: the server is currently unable to handle the request"
	play(t, []step{
		{"limit=2 !continue", busy},
		{"limit=2 !continue", list("10", "p2", "a 1")},
		{"continue=p2", busy},
		{"limit=2 !continue", list("10", "", "a 1")},
		{"watch=true", text("")},
		{"limit=1", busy},
		{"limit=2 !continue", list("10", "")},
		{"watch=true", silence("")},
	}, func(r *Reflector, j *journal) {
		for n := range 3 {
			require.Eventually(t, func() bool {
				return len(slices.DeleteFunc(j.all(), func(line string) bool { return line != failed })) > n
			}, patience, tick)
			r.Relist()
		}
	}, []string{"begin", failed, "begin", "listed a 1", failed, "begin", "listed a 1", "end", "watching", failed, "begin", "end", "watching"})
	require.Less(t, time.Since(start), time.Minute)
}
