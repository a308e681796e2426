package resources_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/tools/cache"

	"clusterpedia.io/api/client/listers/cluster/v1alpha2"
	clusterv1alpha2 "clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/apiserver/discovery"
	"clusterpedia.io/clusterpedia/internal/apiserver/resources"
	"clusterpedia.io/clusterpedia/internal/builtin"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// shelf is a read-only storage layer over a slice, with faults to provoke.
type shelf struct {
	storage.Storage
	objects []storage.Object
	// failAfter ends a list with fault after that many objects.
	failAfter int
	fault     error
}

func (s *shelf) Get(_ context.Context, key storage.Key) (storage.Object, error) {
	for _, o := range s.objects {
		if o.Key == key {
			return o, nil
		}
	}
	if !utf8.ValidString(key.Namespace) || strings.ContainsRune(key.Name, 0) {
		return storage.Object{}, errors.New("the database fails on it")
	}
	return storage.Object{}, fmt.Errorf("%s: %w", key, storage.ErrNotFound)
}

func (s *shelf) List(_ context.Context, q *query.Query, yield func(*storage.Object) error) (storage.Page, error) {
	if err := q.Validate(); err != nil {
		return storage.Page{}, err
	}
	var found []*storage.Object
	for i := range s.objects {
		if query.Match(q, &s.objects[i], nil) {
			found = append(found, &s.objects[i])
		}
	}
	slices.SortFunc(found, func(a, b *storage.Object) int { return query.Compare(q, a, b) })
	if q.Continue != "" {
		after, _ := q.Position()
		found = slices.DeleteFunc(found, func(o *storage.Object) bool { return query.Compare(q, o, after) <= 0 })
	}
	found = found[min(int(q.Offset), len(found)):]
	var page storage.Page
	if q.Limit > 0 && int64(len(found)) > q.Limit {
		left := int64(len(found)) - q.Limit
		page.Continue, page.Remaining = q.ContinueAfter(found[q.Limit-1]), &left
		found = found[:q.Limit]
	}
	for i, o := range found {
		if s.fault != nil && i == s.failAfter {
			return page, s.fault
		}
		if err := yield(o); err != nil {
			return page, err
		}
	}
	if s.fault != nil && s.failAfter >= len(found) {
		return page, s.fault
	}
	return page, nil
}

func pod(cluster, name string) storage.Object {
	return storage.Object{
		Key:  storage.Key{Cluster: cluster, Resource: storage.Resource{Version: "v1", Resource: "pods"}, Namespace: "default", Name: name},
		Kind: "Pod", UID: cluster + name, ResourceVersion: "7", Labels: map[string]string{"app": name},
		JSON: fmt.Appendf(nil, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":%q,"namespace":"default","annotations":{"shadow.clusterpedia.io/cluster-name":%q},"labels":{"app":%q}},"spec":{"containers":[{"name":"c"}],"future":1},"status":{"phase":"Running"}}`, name, cluster, name),
	}
}

func widget(cluster, name string) storage.Object {
	return storage.Object{
		Key:  storage.Key{Cluster: cluster, Resource: storage.Resource{Group: "example.io", Version: "v1", Resource: "widgets"}, Namespace: "default", Name: name},
		Kind: "Widget", UID: cluster + name, ResourceVersion: "7",
		JSON: fmt.Appendf(nil, `{"apiVersion":"example.io/v1","kind":"Widget","metadata":{"name":%q,"namespace":"default"},"spec":{"size":3}}`, name),
	}
}

// since is when the clusters' states began.
var since = metav1.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func serve(t *testing.T, st storage.Storage) *httptest.Server {
	t.Helper()
	return serveHandler(t, newHandler(t, st))
}

func serveHandler(t *testing.T, h *resources.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(filters.WithWarningRecorder(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		cluster, path, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
		h.Serve(w, req, strings.TrimPrefix(cluster, "all"), "/"+path)
	})))
	t.Cleanup(server.Close)
	return server
}

func newHandler(t *testing.T, st storage.Storage, changes ...func(*resources.Config)) *resources.Handler {
	t.Helper()
	one := func(name, kind string) clusterv1alpha2.ClusterResourceStatus {
		return clusterv1alpha2.ClusterResourceStatus{Name: name, Kind: kind, Namespaced: name != "nodes", SyncConditions: []clusterv1alpha2.ClusterResourceSyncCondition{{Version: "v1"}}}
	}
	kinds := builtin.NewScheme()
	catalog := discovery.NewCatalog(kinds)
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for name, healthy := range map[string]metav1.ConditionStatus{"one": metav1.ConditionTrue, "two": metav1.ConditionFalse, "three": ""} {
		c := &clusterv1alpha2.PediaCluster{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: since}, Status: clusterv1alpha2.ClusterStatus{
			SyncResources: []clusterv1alpha2.ClusterGroupResourcesStatus{
				{Resources: []clusterv1alpha2.ClusterResourceStatus{one("pods", "Pod"), one("nodes", "Node")}},
				{Group: "apps", Resources: []clusterv1alpha2.ClusterResourceStatus{one("deployments", "Deployment")}},
				{Group: "example.io", Resources: []clusterv1alpha2.ClusterResourceStatus{one("widgets", "Widget")}},
				{Group: "policy", Resources: []clusterv1alpha2.ClusterResourceStatus{one("podsecuritypolicies", "PodSecurityPolicy")}}, // which this release does not know any more
			},
		}}
		if healthy != "" {
			c.Status.Conditions = []metav1.Condition{{Type: clusterv1alpha2.ClusterHealthyCondition, Status: healthy, Reason: "NotReachable", LastTransitionTime: since}}
		}
		if name != "three" {
			c.Status.SyncResources[2].Resources[0].SyncConditions[0].InitialListPhase = true
			c.Status.SyncResources[2].Resources[0].SyncConditions[0].LastTransitionTime = since
		}
		require.NoError(t, indexer.Add(c))
		catalog.Handler().OnAdd(c, true)
	}
	config := resources.Config{Storage: st, Scheme: kinds, Catalog: catalog, Clusters: v1alpha2.NewPediaClusterLister(indexer)}
	for _, change := range changes {
		change(&config)
	}
	return resources.NewHandler(config)
}

// answer is a response whose body was read.
type answer struct {
	StatusCode int
	Header     http.Header
}

func get(t *testing.T, server *httptest.Server, path, accept string) (answer, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
	require.NoError(t, err)
	req.Header.Set("Accept", accept)
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := server.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header}, string(body)
}

func fixture() *shelf {
	return &shelf{objects: []storage.Object{pod("one", "a"), pod("one", "b"), pod("two", "a"), widget("one", "w"), widget("two", "w")}}
}

const (
	asJSON  = "application/json"
	asTable = "application/json;as=Table;v=v1;g=meta.k8s.io"
)

func TestStatusCodes(t *testing.T) {
	t.Parallel()
	server := serve(t, fixture())
	for _, c := range []struct {
		path, accept string
		code         int
		body         string
	}{
		{"/one/api/v1/pods", asJSON, 200, `"kind":"PodList"`},
		{"/all/api/v1/namespaces/nope/pods", asJSON, 200, `"items":[]`},
		{"/one/api/v1/namespaces/default/pods/a", asJSON, 200, `"future":1`},
		{"/one/api/v1/namespaces/default/pods/zz", asJSON, 404, `pods \"zz\" not found`},
		{"/one/api/v1/pods/a", asJSON, 404, `not found`},
		{"/one/api/v1/namespaces/default/pods/%00", asJSON, 404, `not found`},
		{"/one/api/v1/namespaces/%FF/pods/a", asJSON, 404, `pods \"a\" not found`},
		{"/all/api/v1/namespaces/default/pods/a", asJSON, 400, "please specify the cluster name when using the resource name to get a specific resource."},
		{"/nope/api/v1/pods", asJSON, 400, "the server could not find the requested cluster"},
		{"/one/api/v1/services", asJSON, 404, "404 page not found\n"},
		{"/one/api/v1/namespaces/default/nodes", asJSON, 404, "404 page not found\n"},
		{"/one/api/v1/namespaces/default/pods/a/log", asJSON, 500, "not found request scope or resource storage"},
		{"/one/api/v1/pods?watch=true", asJSON, 405, `watch is not supported on resources of kind \"pods\"`},
		{"/one/api/v1/namespaces/default/pods/a?watch=true", asJSON, 200, `"kind":"Pod"`},
		{"/all/api/v1/pods?limit=abc", asJSON, 400, `strconv.ParseInt: parsing \"abc\": invalid syntax`},
		{"/all/api/v1/pods", asTable + ";bogus", 200, `"kind":"Table"`},
		{"/all/api/v1/pods?includeObject=bad", asTable, 400, "includeObject"},
		{"/all/api/v1/pods", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", 406, "PartialObjectMetadata"},
		{"/all/apis/example.io/v1/widgets", "application/vnd.kubernetes.protobuf", 406, "only the following media types are accepted"},
		{"/all/apis/example.io/v2/widgets", asJSON, 404, "404 page not found\n"},
		{"/all/apis/policy/v1/podsecuritypolicies", asJSON, 200, `"kind":"PodSecurityPolicyList"`},
		{"/all/apis/policy/v1/podsecuritypolicies", asTable, 200, `"Created At"`},
		{"/all/api/v1/watch", asJSON, 404, "404 page not found\n"},
		{"/one/apis/apps/v1/proxy/", asJSON, 404, "404 page not found\n"},
		{"/all/version", asJSON, 200, `"gitVersion"`},
		{"/all/healthz", asJSON, 200, "ok"},
		{"/all/openapi/v2", asJSON, 404, "404 page not found\n"},
		{"/all/apis/apps/v1beta1/deployments", asJSON, 200, `"apiVersion":"apps/v1beta1"`},
	} {
		t.Run(c.path, func(t *testing.T) {
			t.Parallel()
			resp, body := get(t, server, c.path, c.accept)
			require.Equal(t, c.code, resp.StatusCode, body)
			require.Contains(t, body, c.body)
		})
	}
}

// The path is compared as it was written: what stands for the same is not the same.
func TestPaths(t *testing.T) {
	t.Parallel()
	c := resources.NewConnecter(newHandler(t, fixture()))
	info := &request.RequestInfo{APIPrefix: "apis", APIGroup: "clusterpedia.io", APIVersion: "v1beta1", Resource: "resources"}
	for path, code := range map[string]int{
		"/clusters/one/api/v1/pods":    http.StatusOK,
		"/clusters/one/api/v1/pods/":   http.StatusOK,
		"/api/v1/pods":                 http.StatusOK,
		"/clusters/one//api/v1/pods":   http.StatusNotFound,
		"//api/v1/pods":                http.StatusNotFound,
		"/clusters/%6Fne/api/v1/pods":  http.StatusNotFound,
		"/clusters/../one/api/v1/pods": http.StatusNotFound,
	} {
		handler, err := c.Connect(request.WithRequestInfo(t.Context(), info), "", nil, nil)
		require.NoError(t, err)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/apis/clusterpedia.io/v1beta1/resources"+path, nil))
		require.Equal(t, code, w.Code, path)
		if code != http.StatusOK {
			require.Equal(t, "404 page not found\n", w.Body.String(), path)
		}
	}
}

func TestListPassesBytesThrough(t *testing.T) {
	t.Parallel()
	server := serve(t, fixture())
	_, body := get(t, server, "/all/api/v1/pods?names=a", asJSON)
	item := func(cluster string) string {
		return strings.Replace(string(pod(cluster, "a").JSON), `"kind":"Pod","apiVersion":"v1",`, "", 1)
	}
	require.Equal(t, `{"kind":"PodList","apiVersion":"v1","items":[`+item("one")+","+item("two")+`],"metadata":{}}`+"\n", body)

	_, body = get(t, server, "/two/apis/example.io/v1/widgets", asJSON)
	require.Equal(t, `{"kind":"WidgetList","apiVersion":"example.io/v1","items":[`+string(widget("two", "w").JSON)+`],"metadata":{}}`+"\n", body)
}

// Every other format has the same objects as the streamed one.
func TestFormats(t *testing.T) {
	t.Parallel()
	server := serve(t, fixture())
	for _, accept := range []string{"application/yaml", "application/vnd.kubernetes.protobuf", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", asTable} {
		resp, body := get(t, server, "/all/api/v1/pods?limit=2", accept)
		require.Equal(t, 200, resp.StatusCode, body)
		require.Equal(t, 2, strings.Count(body, "cluster-name"), accept)
		require.Contains(t, body, "eyJ2Ijox", "%s has no continue token", accept)
	}
	for _, accept := range []string{"application/yaml", asTable, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"} {
		resp, body := get(t, server, "/one/api/v1/namespaces/default/pods/a", accept)
		require.Equal(t, 200, resp.StatusCode, body)
		require.Contains(t, body, "cluster-name", accept)
	}
	resp, body := get(t, server, "/one/api/v1/namespaces/default/pods/a?pretty=true", asJSON)
	require.Equal(t, 200, resp.StatusCode)
	require.Contains(t, body, "\n  \"kind\": \"Pod\"")
}

func TestTable(t *testing.T) {
	t.Parallel()
	server := serve(t, fixture())
	columns := func(path string) (names []string, table metav1.Table) {
		_, body := get(t, server, path, asTable)
		require.NoError(t, json.Unmarshal([]byte(body), &table), body)
		for _, c := range table.ColumnDefinitions {
			names = append(names, c.Name)
		}
		return names, table
	}
	names, table := columns("/all/api/v1/pods")
	require.Equal(t, []string{"Cluster", "Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node", "Readiness Gates"}, names)
	require.Len(t, table.Rows, 3)
	require.Equal(t, []any{"two", "a", "0/1", "Running"}, table.Rows[2].Cells[:4])
	names, _ = columns("/all/apis/apps/v1/deployments")
	require.Equal(t, []string{"Cluster", "Name", "Ready", "Up-to-date", "Available", "Age", "Containers", "Images", "Selector"}, names)
	names, table = columns("/all/apis/example.io/v1/widgets")
	require.Equal(t, []string{"Cluster", "Name", "Created At"}, names)
	require.Equal(t, "w", table.Rows[0].Cells[1])
}

// A search of one cluster has that one's columns, wherever it is named.
func TestColumnsOfCluster(t *testing.T) {
	t.Parallel()
	st := fixture()
	for cluster, column := range map[string]string{"one": "Size", "two": "Weight"} {
		st.objects = append(st.objects, storage.Object{
			Key:  storage.Key{Cluster: cluster, Resource: storage.Resource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}, Name: "widgets.example.io"},
			JSON: fmt.Appendf(nil, `{"spec":{"versions":[{"name":"v1","additionalPrinterColumns":[{"name":%q,"type":"integer","jsonPath":".spec.size"}]}]}}`, column),
		})
	}
	server := serve(t, st)
	for path, want := range map[string]string{
		"/one/apis/example.io/v1/widgets": "Size", "/two/apis/example.io/v1/widgets": "Weight",
		"/all/apis/example.io/v1/widgets?clusters=one": "Size", "/all/apis/example.io/v1/widgets?clusters=two": "Weight",
	} {
		for _, format := range []string{asTable, asTable + ";pretty=1"} {
			_, body := get(t, server, path, format)
			for _, column := range []string{"Size", "Weight"} {
				require.Equal(t, column == want, strings.Contains(body, column), "%s\n%s", path, body)
			}
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	server := serve(t, fixture())
	for _, accept := range []string{asJSON, asTable} {
		var seen []string
		next := ""
		for range 5 {
			_, body := get(t, server, "/all/api/v1/pods?limit=1&continue="+next, accept)
			var list struct {
				Metadata metav1.ListMeta
				Items    []metav1.PartialObjectMetadata
				Rows     []metav1.TableRow
			}
			require.NoError(t, json.Unmarshal([]byte(body), &list), body)
			for _, i := range list.Items {
				seen = append(seen, i.Annotations["shadow.clusterpedia.io/cluster-name"]+"/"+i.Name)
			}
			for _, r := range list.Rows {
				seen = append(seen, fmt.Sprint(r.Cells[0], "/", r.Cells[1]))
			}
			if next = list.Metadata.Continue; next == "" {
				break
			}
		}
		require.Equal(t, []string{"one/a", "one/b", "two/a"}, seen)
	}
	_, body := get(t, server, "/all/api/v1/pods?limit=2&withContinue=true", asJSON)
	require.Contains(t, body, `"continue":"2"`, "who asks for continue explicitly gets the decimals that it always got")
	resp, body := get(t, server, "/all/api/v1/pods?limit=2&continue=nonsense", asJSON)
	require.Equal(t, 400, resp.StatusCode, body)
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	server := serve(t, fixture())
	const (
		first = `299 - "one is still read for the first time and the resources obtained may be incomplete, since 2026-01-02T03:04:05Z"`
		two   = `299 - "two is not ready and the resources obtained may be inaccurate, reason: NotReachable, since 2026-01-02T03:04:05Z"`
		three = `299 - "three is not ready and the resources obtained may be inaccurate. Its health has been unknown since 2026-01-02T03:04:05Z"`
		also  = `299 - "two is still read for the first time and the resources obtained may be incomplete, since 2026-01-02T03:04:05Z"`
	)
	for path, want := range map[string][]string{
		"/one/api/v1/pods":                           nil,
		"/one/apis/example.io/v1/widgets":            {first},
		"/two/api/v1/pods":                           {two},
		"/two/api/v1/namespaces/default/pods/a":      {two},
		"/three/api/v1/pods":                         {three},
		"/all/api/v1/pods":                           {three, two},
		"/all/api/v1/pods?clusters=one,two":          {two},
		"/all/apis/example.io/v1/widgets?names=none": {first, three, two, also},
	} {
		resp, _ := get(t, server, path, asJSON)
		require.Equal(t, want, resp.Header.Values("Warning"), path)
	}
}

func TestStorageFaults(t *testing.T) {
	t.Parallel()
	secret := errors.New(`pq: password authentication failed for user "x"`)
	early := fixture()
	early.fault = secret
	resp, body := get(t, serve(t, early), "/all/api/v1/pods", asJSON)
	require.Equal(t, 500, resp.StatusCode)
	require.NotContains(t, body, "pq:")
	early.fault = storage.Retryable(secret)
	resp, body = get(t, serve(t, early), "/all/api/v1/pods", asJSON)
	require.Equal(t, 503, resp.StatusCode)
	require.NotContains(t, body, "pq:")

	// As long as nothing is on its way an answer says what is wrong, and not what the
	// database says.
	for _, accept := range []string{asJSON, asTable, "application/yaml", "application/vnd.kubernetes.protobuf", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"} {
		late := fixture()
		late.fault, late.failAfter = secret, 2
		resp, body := get(t, serve(t, late), "/all/api/v1/pods", accept)
		require.Equal(t, 500, resp.StatusCode, accept)
		require.NotContains(t, body, "pq:", accept)
		require.Contains(t, body, "the server's log has the reason", accept)
	}

	// A list that breaks off must not look like a whole one.
	for _, accept := range []string{asJSON, asTable, "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"} {
		for _, encoding := range []string{"identity", "gzip"} {
			late := &shelf{fault: secret, failAfter: 3900}
			for i := range 4000 {
				late.objects = append(late.objects, pod("one", fmt.Sprintf("p%04d", i)))
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, serve(t, late).URL+"/all/api/v1/pods", nil)
			require.NoError(t, err)
			req.Header.Set("Accept", accept)
			req.Header.Set("Accept-Encoding", encoding)
			cut, err := http.DefaultClient.Do(req)
			if err == nil {
				_, err = io.ReadAll(cut.Body)
				require.NoError(t, cut.Body.Close())
			}
			require.Error(t, err, accept+" "+encoding)
		}
	}
}

// TestEncodings compresses what is long, for those who take it.
func TestEncodings(t *testing.T) {
	t.Parallel()
	many := &shelf{}
	for i := range 3000 {
		many.objects = append(many.objects, pod("one", fmt.Sprintf("p%04d", i)))
	}
	long, short := serve(t, many), serve(t, fixture())
	for _, x := range []struct {
		accept string
		server *httptest.Server
		want   string
	}{
		{"gzip", long, "gzip"},
		{"deflate, gzip", long, "gzip"},
		{"gzip", short, ""},
		{"gzip;q=0", long, ""},
		{"identity", long, ""},
		{"", long, ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, x.server.URL+"/all/api/v1/pods", nil)
		require.NoError(t, err)
		req.Header.Set("Accept-Encoding", x.accept)
		resp, err := x.server.Client().Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, x.want, resp.Header.Get("Content-Encoding"), x.accept)
	}
}

// TestIndented indents lists for people.
func TestIndented(t *testing.T) {
	t.Parallel()
	server := serve(t, fixture())
	for _, accept := range []string{asJSON, asTable, "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"} {
		_, plain := get(t, server, "/all/api/v1/pods", accept)
		_, indented := get(t, server, "/all/api/v1/pods?pretty=true", accept)
		require.NotContains(t, strings.TrimSpace(plain), "\n")
		require.Contains(t, strings.TrimSpace(indented), "\n  ")
		var a, b any
		require.NoError(t, json.Unmarshal([]byte(plain), &a))
		require.NoError(t, json.Unmarshal([]byte(indented), &b))
		if accept == asTable {
			a.(map[string]any)["rows"], b.(map[string]any)["rows"] = nil, nil // ages, and the members' own order of fields
		}
		require.Len(t, b, len(a.(map[string]any)), accept)
	}
}

// TestUnversioned serves rows of older releases, whose databases sort and space documents.
func TestUnversioned(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		`{"kind": "Pod", "spec": {"a": [1, 2]}, "metadata": {"name": "a"}, "apiVersion": "v1"}`: `{"spec":{"a": [1, 2]},"metadata":{"name": "a"}}`,
		`{"apiVersion":"v1","kind":"Pod"}`: `{}`,
		`{"metadata":{},"q\"":1}`:          `{"metadata":{},"q\"":1}`,
	} {
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		require.NoError(t, resources.WriteUnversioned(w, []byte(doc)))
		require.NoError(t, w.Flush())
		require.Equal(t, want, b.String())
	}
}

func TestGzip(t *testing.T) {
	t.Parallel()
	many := &shelf{}
	for i := range 3000 {
		many.objects = append(many.objects, pod("one", fmt.Sprintf("p%04d", i)))
	}
	server := serve(t, many)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/all/api/v1/pods", nil)
	require.NoError(t, err)
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := server.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "gzip", resp.Header.Get("Content-Encoding"))
	unzipped, err := gzip.NewReader(resp.Body)
	require.NoError(t, err)
	var list struct{ Items []json.RawMessage }
	require.NoError(t, json.NewDecoder(unzipped).Decode(&list))
	require.Len(t, list.Items, 3000)
}

// A client that goes away ends the list that was opened for it.
func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	st := &endless{ended: make(chan struct{})}
	server := serve(t, st)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/all/api/v1/pods", nil)
	require.NoError(t, err)
	resp, err := server.Client().Do(req)
	require.NoError(t, err)
	_, err = resp.Body.Read(make([]byte, 100))
	require.NoError(t, err)
	cancel()
	resp.Body.Close()
	arrive(t, st.ended, "the list ends")
}

type endless struct {
	storage.Storage
	ended chan struct{}
}

func (s *endless) List(ctx context.Context, _ *query.Query, yield func(*storage.Object) error) (storage.Page, error) {
	defer close(s.ended)
	for o := pod("one", "a"); ; {
		if err := yield(&o); err != nil {
			return storage.Page{}, err
		}
	}
}
