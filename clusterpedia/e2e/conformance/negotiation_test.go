package conformance

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// asking is how a client wants an answer.
type asking struct{ accept, query, agent, encoding string }

func (a asking) String() string {
	return fmt.Sprintf("Accept: %q, ?%s, User-Agent: %q, Accept-Encoding: %q", a.accept, a.query, a.agent, a.encoding)
}

const (
	asTable   = ";as=Table;v=v1;g=meta.k8s.io"
	asPartial = ";as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
)

func accepts() []string {
	const asJSON, asYAML, protobuf = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
	return []string{
		"", asJSON, asYAML, protobuf, "*/*", "application/*", "text/*", "application/xml", "application/cbor", "garbage", ";", ",",
		asJSON + ";q=0.1," + asYAML + ";q=0.9", asYAML + ";q=0.5, " + asJSON, asYAML + ";q=0", "application/xml, " + asJSON, protobuf + "," + asJSON,
		asJSON + ";pretty=1", asJSON + ";pretty=0", asJSON + ";charset=utf-8", asJSON + ";stream=watch", asJSON + ";stream=nope", asJSON + ";sv=v1", asJSON + ";export=1",
		asJSON + asTable, asYAML + asTable, protobuf + asTable, asJSON + ";as=Table;v=v1beta1;g=meta.k8s.io", asJSON + ";as=Table;v=v2;g=meta.k8s.io", asJSON + asTable + ";pretty=1",
		asJSON + asTable + "," + asJSON + ";as=Table;v=v1beta1;g=meta.k8s.io," + asJSON, asJSON + ";as=Table;v=v2;g=meta.k8s.io," + asYAML, "*/*" + asTable,
		asJSON + asPartial, asYAML + asPartial, protobuf + asPartial, asJSON + ";as=PartialObjectMetadataList;v=v1beta1;g=meta.k8s.io", asJSON + asPartial + ";q=0.3," + asJSON + asTable + ";q=0.7",
		asJSON + ";as=PartialObjectMetadata;v=v1;g=meta.k8s.io", protobuf + ";as=PartialObjectMetadata;v=v1;g=meta.k8s.io", asJSON + ";as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io",
		asJSON + ";as=Nope;v=v1;g=meta.k8s.io", asJSON + ";as=Table", asJSON + ";g=meta.k8s.io;v=v1",
	}
}

// askings are what clients may want: each Accept indented and not, and some in all encodings.
func askings() []asking {
	var all []asking
	for _, accept := range accepts() {
		for _, pretty := range []asking{{}, {query: "pretty=1"}, {agent: "curl/8.0"}, {agent: "Mozilla/5.0", query: "pretty=false"}} {
			pretty.accept = accept
			all = append(all, pretty)
		}
	}
	for _, accept := range []string{"", "application/yaml", "application/vnd.kubernetes.protobuf", "application/json" + asTable, "application/json" + asPartial} {
		for _, encoding := range []string{"gzip", "gzip;q=0", "identity", "deflate, gzip;q=0.5", "*", "br"} {
			all = append(all, asking{accept: accept, encoding: encoding})
		}
		all = append(all, asking{accept: accept, encoding: "gzip", agent: "Wget/1"}, asking{accept: accept, query: "pretty=maybe", agent: "curl/8.0"})
	}
	return all
}

// mirrored is the host cluster as its own member: its API server, and Clusterpedia, answer the
// same requests about the same objects.
type mirrored struct {
	*deployment
	client *http.Client
	// server are the arguments of the apiserver.
	server string
}

// oddName is that of an object, as it stands in a path.
const mirrorName, mirrorNamespace, oddName = "mirror", "negotiated", "odd:%E6%97%A5%E6%9C%AC%20%22%27x"

// TestNegotiation compares the answers with those of a real API server, in all formats: status,
// headers, form and content. The answers do not depend on the storage.
func TestNegotiation(t *testing.T) {
	d := shared.deployment(t, sqlite)
	ctx := t.Context()
	require.NoError(t, d.mirror(ctx))
	t.Cleanup(func() { require.NoError(t, d.RemoveCluster(context.WithoutCancel(ctx), mirrorName)) })
	transport, ok := d.client.Transport.(*http.Transport)
	require.True(t, ok)
	transport = transport.Clone()
	transport.DisableCompression = true
	m := &mirrored{d, &http.Client{Transport: transport}, ""}

	t.Run("all", func(t *testing.T) { m.compareAll(t, askings()) })
	t.Run("columns", m.testColumns)
	t.Run("HTTP 1.0", m.testHTTP10)
	t.Run("audited", m.testAudited)
}

// paths are those of lists, long and short and empty, of objects, of another version than
// the stored one, of custom resources, and of what there is not.
func paths() []string {
	const core, apps, gadget = "/api/v1/namespaces/" + mirrorNamespace, "/apis/apps/v1/namespaces/" + mirrorNamespace, "/apis/negotiated.example.io/v1/namespaces/" + mirrorNamespace
	return []string{
		core + "/configmaps", core + "/configmaps/long", core + "/configmaps?labelSelector=no=such", apps + "/deployments", apps + "/deployments/web", apps + "/deployments/nope",
		"/apis/autoscaling/v1/namespaces/" + mirrorNamespace + "/horizontalpodautoscalers", "/apis/autoscaling/v1/namespaces/" + mirrorNamespace + "/horizontalpodautoscalers/web",
		gadget + "/gadgets", gadget + "/gadgets/one", gadget + "/gadgets?labelSelector=no=such", gadget + "/gadgets/nope",
		core + "/configmaps?labelSelector=a=b=c", core + "/configmaps?limit=abc", apps + "/deployments?includeObject=Object", apps + "/deployments?includeObject=None", apps + "/deployments?includeObject=nope",
		"/apis/rbac.authorization.k8s.io/v1/clusterroles/" + oddName, "/apis/rbac.authorization.k8s.io/v1/clusterroles?labelSelector=odd=true",
		gadget + "/gadgets?includeObject=Object", gadget + "/gadgets/one?includeObject=None", apps + "/deployments/web?includeObject=Object",
	}
}

func (m *mirrored) compareAll(t *testing.T, all []asking) {
	for _, path := range paths() {
		failed := map[string]bool{}
		for _, a := range all {
			if err := m.compare(t.Context(), path, a); err != nil && !failed[a.accept] {
				failed[a.accept] = true // once is enough
				t.Errorf("%s\n%s\n%v", path, a, err)
			}
		}
	}
}

// compare asks both servers.
func (m *mirrored) compare(ctx context.Context, path string, a asking) error {
	base, err := m.with(ctx, m.server)
	if err != nil {
		return err
	}
	want, err := m.ask(ctx, m.Host.URL()+path, a)
	if err != nil {
		return err
	}
	got, err := m.ask(ctx, base+expand("C("+mirrorName+")")+path, a)
	if err != nil {
		return err
	}
	// The router of a kube-apiserver compares the header with the types of built-in kinds, and
	// knows no application/*; the handlers do.
	if bytes.Contains(want.body, []byte("Available representations")) {
		if got.status != http.StatusNotAcceptable && !strings.Contains(a.accept, "application/*") {
			return fmt.Errorf("the status is %d, not 406", got.status)
		}
		return nil
	}
	return same(want, got)
}

func (m *mirrored) ask(ctx context.Context, address string, a asking) (*response, error) {
	if a.query != "" && strings.Contains(address, "?") {
		address += "&" + a.query
	} else if a.query != "" {
		address += "?" + a.query
	}
	c := &Case{Accept: a.accept, Header: map[string]string{"User-Agent": a.agent}}
	if a.encoding != "" {
		c.Header["Accept-Encoding"] = a.encoding
	}
	return m.requestBy(ctx, m.client, c, address)
}

// same compares the answer of a real API server with ours.
func same(want, got *response) error {
	if want.status != got.status {
		return fmt.Errorf("the status is %d, not %d\n%.300q\n%.300q", got.status, want.status, got.body, want.body)
	}
	for _, name := range []string{"Content-Type", "Content-Encoding", "Vary", "Cache-Control"} {
		if w, g := strings.Join(want.header.Values(name), "\n"), strings.Join(got.header.Values(name), "\n"); w != g {
			return fmt.Errorf("the header %s is %q, not %q", name, g, w)
		}
	}
	wanted, err := want.content()
	if err != nil {
		return err
	}
	given, err := got.content()
	if err != nil {
		return err
	}
	if wanted != given {
		return fmt.Errorf("the content is\n%s\nand not\n%s", around(given, wanted), around(wanted, given))
	}
	return nil
}

// around returns the part of a text in which it begins to differ from another one.
func around(text, from string) string {
	same := 0
	for same < min(len(text), len(from)) && text[same] == from[same] {
		same++
	}
	return text[max(0, same-100):min(len(text), same+200)]
}

// content returns what an answer says, and whether it is indented, without what must differ
// between a cluster and its copy.
func (r *response) content() (string, error) {
	body := r.body
	if r.header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return "", err
		}
		if body, err = io.ReadAll(unzipped); err != nil {
			return "", err
		}
	}
	var text []byte
	var err error
	switch r.header.Get("Content-Type") {
	case "application/json":
		text = body
	case "application/yaml":
		text, err = yaml.YAMLToJSON(body)
	case "application/vnd.kubernetes.protobuf":
		text, err = fromProtobuf(body)
	default:
		return string(body), nil
	}
	if err != nil {
		return "", fmt.Errorf("%w in %s", err, r)
	}
	var content document
	if err := json.Unmarshal(text, &content); err != nil {
		return "", fmt.Errorf("%w in %s", err, r)
	}
	scrub(content)
	scrubTable(content)
	text, err = json.Marshal(content)
	if r.header.Get("Content-Type") == runtime.ContentTypeJSON {
		text = fmt.Appendf(nil, "indented: %t, ends with a line: %t, %s", bytes.HasPrefix(body, []byte("{\n ")), bytes.HasSuffix(body, []byte("}\n")), text)
	}
	return string(text), err
}

func fromProtobuf(body []byte) ([]byte, error) {
	known := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(known), metav1.AddMetaToScheme(known)); err != nil {
		return nil, err
	}
	obj, gvk, err := serializer.NewCodecFactory(known).UniversalDeserializer().Decode(body, nil, nil)
	if err != nil {
		return nil, err
	}
	obj.GetObjectKind().SetGroupVersionKind(*gvk)
	return json.Marshal(obj)
}

// scrub removes what is not copied, what Clusterpedia adds, and the versions of lists.
func scrub(v any) {
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			scrub(element)
		}
	case document:
		if metadata, ok := v["metadata"].(document); ok {
			delete(metadata, "managedFields")
			if annotations, ok := metadata["annotations"].(document); ok {
				if delete(annotations, clusterAnnotation); len(annotations) == 0 {
					delete(metadata, "annotations")
				}
			}
			if metadata["name"] == nil {
				delete(metadata, "resourceVersion")
			}
			if metadata["continue"] == "" { // as lists of custom resources have it
				delete(metadata, "continue")
			}
		}
		if list, ok := v["items"]; ok && list == nil { // as empty lists of metadata have it
			v["items"] = []any{}
		}
		for _, element := range v {
			scrub(element)
		}
	}
}

// scrubTable removes the column of the cluster, and ages.
func scrubTable(table document) {
	columns, _ := table["columnDefinitions"].([]any)
	rows, _ := table["rows"].([]any)
	for i := len(columns) - 1; i >= 0; i-- {
		column, _ := columns[i].(document)
		switch column["name"] {
		case "Cluster":
			table["columnDefinitions"] = columns[i+1:] // it is the first one
		case "Age":
		default:
			continue
		}
		for _, row := range rows {
			if row, ok := row.(document); ok {
				cells, _ := row["cells"].([]any)
				if column["name"] == "Cluster" {
					row["cells"] = cells[i+1:]
				} else {
					cells[i] = ""
				}
			}
		}
	}
}

// testHTTP10 asks as old clients and load balancers do, which know no chunks: the end of the
// connection is that of the answer.
func (m *mirrored) testHTTP10(t *testing.T) {
	for _, path := range paths() {
		for _, a := range []asking{{}, {encoding: "gzip"}, {accept: "application/yaml"}, {accept: "application/json" + asTable}, {query: "pretty=1"}} {
			address := m.URL() + expand("C("+mirrorName+")") + path
			want, err := m.ask(t.Context(), address, a)
			require.NoError(t, err)
			got, err := m.askHTTP10(t.Context(), address, a)
			require.NoError(t, err)
			require.NoError(t, same(want, got), "%s\n%s", path, a)
		}
	}
}

func (m *mirrored) askHTTP10(ctx context.Context, address string, a asking) (*response, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if a.query != "" {
		values := parsed.Query()
		for key, value := range map[string]string{"pretty": "1"} {
			values.Set(key, value)
		}
		parsed.RawQuery = values.Encode()
	}
	transport, _ := m.client.Transport.(*http.Transport)                                                                                                    // as above
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: transport.TLSClientConfig.RootCAs, ServerName: parsed.Hostname(), NextProtos: []string{"http/1.1"}}} //nolint:gosec // a loopback server
	conn, err := dialer.DialContext(ctx, "tcp", parsed.Host)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // what it said is read
	lines := []string{"GET " + parsed.RequestURI() + " HTTP/1.0", "Host: " + parsed.Host, "Authorization: Bearer " + users()["admin"]}
	if a.accept != "" {
		lines = append(lines, "Accept: "+a.accept)
	}
	if a.encoding != "" {
		lines = append(lines, "Accept-Encoding: "+a.encoding)
	}
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if len(resp.TransferEncoding) > 0 {
		return nil, fmt.Errorf("the transfer encoding is %v", resp.TransferEncoding)
	}
	body, err := io.ReadAll(resp.Body)
	return &response{address, resp.StatusCode, resp.Header, body}, err
}

// testAudited has the answers written to the audit log, too: they are the same as those of a
// real API server, and the log has them.
func (m *mirrored) testAudited(t *testing.T) {
	policy, log := filepath.Join(m.dir, "answers.yaml"), filepath.Join(m.dir, "answers.log")
	require.NoError(t, os.WriteFile(policy, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: RequestResponse}]\n"), 0o600))
	audited := *m
	audited.server = "--audit-policy-file " + policy + " --audit-log-path " + log + " --audit-log-mode blocking"
	require.NoError(t, m.until(t.Context(), func() error { return audited.compare(t.Context(), paths()[0], asking{}) }))
	var all []asking
	for _, a := range askings() {
		if a.encoding == "" || a.encoding == "gzip" {
			all = append(all, a)
		}
	}
	audited.compareAll(t, all)
	base, err := m.with(t.Context(), audited.server)
	require.NoError(t, err)
	for i, tc := range []struct{ path, accept, kind, has string }{
		{paths()[0], "", "ConfigMapList", "a long"},
		{paths()[0], "application/yaml", "ConfigMapList", "a long"},
		{paths()[0], "application/vnd.kubernetes.protobuf", "ConfigMapList", "a long"},
		{paths()[1], "", "ConfigMap", "a long"},
		{paths()[3], "application/json" + asTable, "Table", `"web"`},
		{paths()[3], "application/json" + asPartial, "PartialObjectMetadataList", `"web"`},
		{paths()[5], "", "Status", "not found"},
		{paths()[6], "", "HorizontalPodAutoscalerList", "AverageUtilization"},
		{paths()[8], "", "GadgetList", `"size":3`},
		{paths()[8], "application/json" + asTable, "Table", `"one"`},
		{paths()[9], "", "Gadget", `"size":3`},
	} {
		id := fmt.Sprintf("audit-%d", i)
		r, err := m.requestBy(t.Context(), m.client, &Case{Accept: tc.accept, Header: map[string]string{"Audit-Id": id}}, base+expand("C("+mirrorName+")")+tc.path)
		require.NoError(t, err)
		require.Equal(t, id, r.header.Get("Audit-Id"))
		kind, text := loggedAnswer(t, log, id)
		require.Equal(t, tc.kind, kind, "%s %s: %.500s", tc.path, tc.accept, text)
		require.Contains(t, text, tc.has, "%s %s", tc.path, tc.accept)
	}
}

// loggedAnswer returns what the audit log has of an answer, and its kind.
func loggedAnswer(t *testing.T, log, id string) (kind, text string) {
	t.Helper()
	lines, err := os.ReadFile(log)
	require.NoError(t, err)
	for line := range bytes.Lines(lines) {
		var entry struct {
			AuditID        string
			ResponseObject json.RawMessage
		}
		require.NoError(t, json.Unmarshal(line, &entry))
		if entry.AuditID != id {
			continue
		}
		var of metav1.TypeMeta
		require.NoError(t, json.Unmarshal(entry.ResponseObject, &of), "%s", line)
		return of.Kind, string(entry.ResponseObject)
	}
	require.Fail(t, "the audit log has no "+id)
	return "", ""
}
