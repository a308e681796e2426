package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpedia.io/testbed/stack"
)

// accessArgs allow whatever can be passed on to members.
func accessArgs() []string {
	return []string{
		"--feature-gates=AllowProxyRequestToClusters=true,ClusterAuthenticationFromSecret=true", "--allowed-proxy-subresources=log,exec,attach,portfowrd,proxy",
		"--allow-pediacluster-config-for-proxy-request", "--enable-proxy-path-for-forward-request",
	}
}

// TestMemberAccess reaches real members through the apiserver: with nothing allowed, with
// everything allowed, and limited to what single callers may do.
func TestMemberAccess(t *testing.T) {
	d := deploy(t, "internal", sqlStorages()["SQLite"](t).config)
	kubelet := startKubelet(t, shared.members[0], "team-1")
	d.startManager(t)
	d.startAPIServer(t)
	d.register(t)
	restart := func(t *testing.T, args ...string) {
		t.Helper()
		require.NoError(t, d.apiserver.Stop(stopLimit))
		d.APIServerArgs = args
		d.startAPIServer(t)
	}
	stub := startStub(t, d)
	t.Run("by default", func(t *testing.T) { accessByDefault(t, d, stub) })
	restart(t, accessArgs()...)
	t.Run("status codes", func(t *testing.T) { accessCodes(t, d, stub) })
	t.Run("kubectl", func(t *testing.T) { accessByKubectl(t, d, kubelet) })
	restart(t, append(accessArgs(), "--search-authorization=PerResource")...)
	t.Run("per resource", func(t *testing.T) { accessPerResource(t, d) })
}

// stubMember is the API server of a cluster that answers every request with what it
// received.
type stubMember struct{ *httptest.Server }

type received struct {
	Method, URI, Body string
	Header            http.Header
}

// startStub registers a stub as the PediaCluster stub, of which pods are said to be
// synced, and others that lead to it, or nowhere, in other ways.
func startStub(t *testing.T, d *deployment) *stubMember {
	t.Helper()
	s := &stubMember{httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		w.Header().Set("Set-Cookie", "a=b")
		_ = json.NewEncoder(w).Encode(received{req.Method, req.RequestURI, string(body), req.Header})
	}))}
	t.Cleanup(s.Close)
	secret := map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "stub", "namespace": stack.Namespace},
		"data": map[string]any{"token": []byte("secret"), "ca": s.ca()},
	}
	d.applyObject(t, secret)
	for name, spec := range map[string]map[string]any{
		"stub":       {"apiserver": s.URL, "tokenData": []byte("own"), "caData": s.ca()},
		"stub-no-ca": {"apiserver": s.URL, "tokenData": []byte("own")},
		"stub-secret": {"apiserver": s.URL, "authenticationFrom": map[string]any{
			"token": map[string]any{"name": "stub", "key": "token"}, "ca": map[string]any{"name": "stub", "key": "ca"},
		}},
		"stub-nowhere": {},
		"stub-closed":  {"apiserver": "https://127.0.0.1:1", "tokenData": []byte("own"), "caData": s.ca()},
	} {
		spec["shardingName"] = "nobody"
		spec["syncResources"] = []any{}
		d.applyObject(t, map[string]any{
			"apiVersion": "cluster.clusterpedia.io/v1alpha2", "kind": "PediaCluster", "metadata": map[string]any{"name": name}, "spec": spec,
		})
		d.mustKubectl(t, "--context", "host", "patch", "pediacluster", name, "--subresource=status", "--type=merge", "-p",
			`{"status":{"syncResources":[{"group":"","resources":[{"name":"pods","kind":"Pod","namespaced":true,"syncConditions":[{"version":"v1","syncVersion":"v1","storageVersion":"v1","status":"Syncing","reason":"Test","lastTransitionTime":"2026-01-01T00:00:00Z"}]}]}]}}`)
	}
	return s
}

func (s *stubMember) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// apply applies objects to the host cluster.
func (d *deployment) apply(t *testing.T, text string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(shared.binaries, "kubectl"), "--kubeconfig", d.Host.Kubeconfig(), "apply", "--server-side", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, string(output))
}

func (d *deployment) applyObject(t *testing.T, object map[string]any) {
	t.Helper()
	text, err := json.Marshal(object)
	require.NoError(t, err)
	d.apply(t, string(text))
}

// ask sends a request as the host cluster's administrator, below the root of a cluster,
// or of all clusters if it is empty. Headers are pairs of name and value.
func (d *deployment) ask(t *testing.T, method, cluster, path, body string, headers ...string) (int, string) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", d.Host.Kubeconfig())
	require.NoError(t, err)
	client, err := rest.HTTPClientFor(config)
	require.NoError(t, err)
	root := d.Host.URL() + stack.Root
	if cluster != "" {
		root += "/clusters/" + cluster
	}
	req, err := http.NewRequestWithContext(t.Context(), method, root+path, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Empty(t, resp.Header["Set-Cookie"])
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

const (
	forwardHeader = "x-clusterpedia-forward"
	somePods      = "/api/v1/namespaces/team-1/pods"
	theLog        = somePods + "/" + stubPod + "/log"
)

// accessByDefault forwards reads, as nobody or with what the caller brings, and nothing
// else.
func accessByDefault(t *testing.T, d *deployment, stub *stubMember) {
	forwarded := func(headers ...string) received {
		headers = append(headers, forwardHeader, "true")
		code, text := d.ask(t, http.MethodGet, "stub", "/api/v1/pods?limit=5&x=y", "", headers...)
		require.Equal(t, 200, code, text)
		var r received
		require.NoError(t, json.Unmarshal([]byte(text), &r))
		require.Equal(t, "GET", r.Method)
		require.Equal(t, "/api/v1/pods?limit=5&x=y", r.URI)
		return r
	}
	foreign := []string{"Authorization", "", "Cookie", "session=1", "X-Foreign", "1", "Proxy-Authorization", "Basic x"}
	r := forwarded(foreign[2:]...)
	for name := range r.Header {
		require.Contains(t, []string{"Accept", "Accept-Encoding", "Audit-Id", "User-Agent", "X-Forwarded-For"}, name)
	}
	r = forwarded("X-Clusterpedia-Proxy-Token", "t", "Cookie", "session=1")
	require.Equal(t, []string{"Bearer t"}, r.Header["Authorization"])
	require.Empty(t, r.Header["X-Clusterpedia-Proxy-Token"])
	require.Empty(t, r.Header["Cookie"])

	for _, tc := range []struct {
		method, cluster, path string
		code                  int
		body                  string
	}{
		{http.MethodGet, "stub", theLog, 500, "not found request scope or resource storage"},
		{http.MethodGet, "stub", "/proxy/version", 404, "404 page not found\n"},
		{http.MethodGet, "stub-secret", "/api/v1/pods?labelSelector=search.clusterpedia.io/forward", 500, "perhaps you need to enable feature gate ClusterAuthenticationFromSecret"},
		{http.MethodPost, "stub", somePods, 405, "the server does not allow this method on the requested resource"},
		{http.MethodGet, "member-1", somePods + "?labelSelector=search.clusterpedia.io/forward", 403, `User \"system:anonymous\" cannot list resource \"pods\"`},
	} {
		code, text := d.ask(t, tc.method, tc.cluster, tc.path, "")
		require.Equal(t, tc.code, code, text)
		require.Contains(t, text, tc.body)
	}
	// The caller's own credentials for the member, whose CA is that of the PediaCluster.
	cert, err := os.ReadFile(shared.members[0].PKI("admin.crt"))
	require.NoError(t, err)
	key, err := os.ReadFile(shared.members[0].PKI("admin.key"))
	require.NoError(t, err)
	certificate := []string{
		"X-Clusterpedia-Proxy-Client-Cert", base64.StdEncoding.EncodeToString(cert), "X-Clusterpedia-Proxy-Client-Key", base64.StdEncoding.EncodeToString(key), forwardHeader, "TRUE",
	}
	code, text := d.ask(t, http.MethodGet, "member-1", somePods, "", certificate...)
	require.Equal(t, 200, code, text)
	require.Contains(t, text, stubPod)
	require.NotContains(t, text, clusterAnnotation, "as the member has it")
	code, text = d.ask(t, http.MethodGet, "member-1", somePods, "", append(certificate, "X-Clusterpedia-Proxy-Ca", base64.StdEncoding.EncodeToString(stub.ca()))...)
	require.Equal(t, 500, code)
	require.Contains(t, text, "x509: certificate signed by unknown authority")
}

func accessCodes(t *testing.T, d *deployment, stub *stubMember) {
	forward := []string{forwardHeader, "true"}
	for name, tc := range map[string]struct {
		method, cluster, path string
		headers               []string
		code                  int
		body                  string
	}{
		"the PediaCluster's token":         {"GET", "stub", "/api/v1/pods", forward, 200, `"Authorization":["Bearer own"]`},
		"a token of a Secret":              {"GET", "stub-secret", "/api/v1/pods", forward, 200, `"Authorization":["Bearer secret"]`},
		"the caller's token":               {"GET", "stub", "/api/v1/pods", append([]string{"X-Clusterpedia-Proxy-Token", "t"}, forward...), 200, `"Authorization":["Bearer t"]`},
		"no base64":                        {"GET", "stub", "/api/v1/pods", append([]string{"X-Clusterpedia-Proxy-Ca", "!!!"}, forward...), 400, "illegal base64 data at input byte 0"},
		"not synced":                       {"GET", "stub", "/api/v1/services", forward, 404, "404 page not found\n"},
		"unknown cluster":                  {"GET", "nope", "/api/v1/pods", forward, 400, "the server could not find the requested cluster"},
		"unknown cluster, discovery":       {"GET", "nope", "/api", forward, 400, `pediacluster.cluster.clusterpedia.io \"nope\" not found`},
		"no cluster":                       {"GET", "", "/api/v1/pods", forward, 400, "please specify the cluster name when using proxy model."},
		"no cluster, logs":                 {"GET", "", theLog, nil, 400, "please specify the cluster name when using proxy model."},
		"no cluster, proxy path":           {"GET", "", "/proxy/version", nil, 400, "please specify the cluster name when using proxy model."},
		"all options of logs":              {"GET", "stub", theLog + "?follow=true&foo=bar", nil, 200, theLog + `?follow=true\u0026foo=bar`},
		"a bad option of logs":             {"GET", "stub", theLog + "?tailLines=abc", nil, 400, "abc"},
		"logs by POST":                     {"POST", "stub", theLog, nil, 405, `create is not supported on resources of kind \"pods\"`},
		"exec without upgrade":             {"GET", "stub", somePods + "/x/exec", nil, 400, "Upgrade request required"},
		"a subresource that is not there":  {"GET", "stub", somePods + "/x/eviction", nil, 500, "not found request scope or resource storage"},
		"of a resource that is not synced": {"GET", "stub", "/api/v1/nodes/x/proxy/", nil, 404, "404 page not found\n"},
		"an application":                   {"PUT", "stub", somePods + "/x:80/proxy/a//b?c=d", nil, 200, `"URI":"` + somePods + `/x:80/proxy/a//b?c=d"`},
		"the proxy path":                   {"GET", "stub", "/proxy/api/v1/namespaces/kube-system/secrets", nil, 200, `"URI":"/api/v1/namespaces/kube-system/secrets"`},
		"the proxy path by POST":           {"POST", "stub", "/proxy/api/v1/namespaces/kube-system/secrets", nil, 200, `"Method":"POST"`},
		"a create":                         {"POST", "stub", somePods, nil, 405, `create is not supported on resources of kind \"pods\"`},
		"a delete":                         {"DELETE", "stub", somePods + "/x", nil, 405, `delete is not supported on resources of kind \"pods\"`},
		"no address":                       {"GET", "stub-nowhere", "/api/v1/pods", forward, 400, ".Spec.APIServer and .Status.APIServer are empty"},
		"no server":                        {"GET", "stub-closed", "/api/v1/pods", forward, 500, "dial tcp 127.0.0.1:1: connect: connection refused"},
		"no CA":                            {"GET", "stub-no-ca", "/api/v1/pods", forward, 500, "x509: certificate signed by unknown authority"},
		"the caller's CA":                  {"GET", "stub-no-ca", "/api/v1/pods", append([]string{"X-Clusterpedia-Proxy-Ca", base64.StdEncoding.EncodeToString(stub.ca())}, forward...), 200, "/api/v1/pods"},
		"a dry run":                        {"POST", "stub", "/proxy/api/v1/namespaces/x/pods?dryRun=All", nil, 400, "dryRun is not supported"},
	} {
		body := ""
		if tc.method != http.MethodGet {
			body = "some text"
		}
		code, text := d.ask(t, tc.method, tc.cluster, tc.path, body, tc.headers...)
		require.Equal(t, tc.code, code, "%s: %s", name, text)
		require.Contains(t, text, tc.body, name)
		if tc.code == http.StatusOK {
			require.Contains(t, text, `"Body":"`+body+`"`, name)
		}
	}
	// Discovery of the aggregated API, and of a member's.
	verbs := regexp.MustCompile(`"name":"resources"[^}]*"verbs":\["create","delete","get","patch","update"\]`)
	require.Regexp(t, verbs, d.mustKubectl(t, "--context", "host", "get", "--raw", "/apis/clusterpedia.io/v1beta1"))
	require.Contains(t, d.mustKubectl(t, "--context", "member-1", "get", "--raw", "/api/v1"), `{"name":"pods/exec","singularName":"","namespaced":true,"kind":"","verbs":["create","get"]}`)
}

// accessByKubectl does what users do.
func accessByKubectl(t *testing.T, d *deployment, kubelet *kubelet) {
	member := func(args ...string) []string {
		return append([]string{"--context", "member-1", "-n", "team-1"}, args...)
	}
	require.Equal(t, "hello from the kubelet, tailLines=2\nline 1\n", d.mustKubectl(t, member("logs", stubPod, "--tail=2")...))
	require.Equal(t, "running echo hello\n", d.mustKubectl(t, member("exec", stubPod, "--", "echo", "hello")...))
	out, err := d.kubectl(t.Context(), member("exec", stubPod, "--", "false")...)
	require.ErrorContains(t, err, "exit status 3")
	require.ErrorContains(t, err, "it failed")
	require.Equal(t, "running false\n", out)
	// What a member refuses, it refuses itself: loopback addresses, as those of all that
	// runs here.
	for _, path := range []string{somePods + "/" + stubPod + ":80/proxy/", "/api/v1/nodes/" + stubNode + "/proxy/healthz"} {
		_, err = d.kubectl(t.Context(), member("get", "--raw", path)...)
		require.ErrorContains(t, err, "address not allowed")
	}

	d.setContext(t, "direct", d.URL()+stack.Root+"/clusters/member-1")
	require.Equal(t, "line 1\n", strings.SplitAfterN(d.mustKubectl(t, "--context", "direct", "-n", "team-1", "logs", stubPod), "\n", 2)[1])
	require.Equal(t, "running echo hello\n", d.mustKubectl(t, "--context", "direct", "-n", "team-1", "exec", stubPod, "--", "echo", "hello"))

	// Through the proxy path a member is a cluster like any other.
	d.setContext(t, "proxied", d.Host.URL()+stack.Root+"/clusters/member-1/proxy")
	proxied := func(args ...string) []string {
		return append([]string{"--context", "proxied", "-n", "team-1"}, args...)
	}
	d.mustKubectl(t, proxied("create", "configmap", "made", "--from-literal=a=b")...)
	require.Equal(t, "b", d.mustKubectl(t, proxied("get", "configmap", "made", "-o", "jsonpath={.data.a}")...))
	eventually(t, seconds, func() error {
		_, err := d.kubectl(t.Context(), member("get", "configmap", "made")...)
		return err
	})
	d.mustKubectl(t, proxied("delete", "configmap", "made")...)
	require.Equal(t, "running echo hello\n", d.mustKubectl(t, proxied("exec", stubPod, "--", "echo", "hello")...))

	t.Run("follow", func(t *testing.T) {
		logs := d.startKubectl(t, member("logs", "-f", stubPod)...)
		for _, want := range []string{"hello from the kubelet, follow=true", "line 1", "line 2", "line 3"} {
			require.Equal(t, want, logs.line(t))
		}
		logs.kill(t)
		waitFor(t, kubelet.gone)
	})
	t.Run("shell", func(t *testing.T) {
		shell := d.startKubectl(t, member("exec", "-i", stubPod, "--", "sh")...)
		require.Equal(t, "running sh", shell.line(t))
		fmt.Fprintln(shell.in, "one")
		require.Equal(t, "read one", shell.line(t))
		fmt.Fprintln(shell.in, "two")
		require.Equal(t, "read two", shell.line(t))
		require.NoError(t, shell.in.Close())
		require.NoError(t, shell.wait(t))
	})
	t.Run("port", func(t *testing.T) {
		forwarded := d.startKubectl(t, member("port-forward", "pod/"+stubPod, ":8080", "--address=127.0.0.1")...)
		found := regexp.MustCompile(`^Forwarding from (127\.0\.0\.1:\d+) -> 8080$`).FindStringSubmatch(forwarded.line(t))
		require.Len(t, found, 2)
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", found[1])
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close()) }()
		fmt.Fprintln(conn, "hello")
		answer, err := bufio.NewReader(conn).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "port 8080: hello\n", answer)
		forwarded.kill(t)
	})
	t.Run("watch", func(t *testing.T) {
		watch := d.startKubectl(t, member("get", "pods", "--watch-only", "-o", "name", "-l", "search.clusterpedia.io/forward,app=watched")...)
		eventually(t, seconds, func() error {
			_, err := d.kubectl(t.Context(), proxied("run", "watched", "--image=x", "--labels=app=watched")...)
			if err == nil {
				_, err = d.kubectl(t.Context(), proxied("delete", "pod", "watched", "--force")...)
			}
			if err != nil {
				return err
			}
			if len(watch.lines) == 0 {
				return fmt.Errorf("not seen")
			}
			return nil
		})
		require.Equal(t, "pod/watched", watch.line(t))
		watch.kill(t)
	})
	t.Run("a server that stops", func(t *testing.T) {
		logs := d.startKubectl(t, member("logs", "-f", stubPod)...)
		logs.line(t)
		shell := d.startKubectl(t, member("exec", "-i", stubPod, "--", "sh")...)
		shell.line(t)
		start := time.Now()
		require.NoError(t, d.apiserver.Stop(stopLimit))
		require.Less(t, time.Since(start), stopLimit/2, "streams do not keep a server from stopping")
		_, _ = logs.wait(t), shell.wait(t) // kubectl does not always say that it was cut off
		d.startAPIServer(t)
	})
}

// setContext adds a context of the administrator.
func (d *deployment) setContext(t *testing.T, name, server string) {
	t.Helper()
	for _, args := range [][]string{
		{"set-cluster", name, "--server", server, "--certificate-authority", d.Host.PKI("ca.crt"), "--embed-certs"},
		{"set-context", name, "--cluster", name, "--user=admin"},
	} {
		d.mustKubectl(t, append([]string{"config"}, args...)...)
	}
}

// running is a kubectl that goes on.
type running struct {
	in    io.WriteCloser
	lines chan string
	ended chan error
	stop  context.CancelFunc
	err   bytes.Buffer
}

func (d *deployment) startKubectl(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, filepath.Join(shared.binaries, "kubectl"), append([]string{"--kubeconfig", d.kubeconfig, "--cache-dir", d.cache}, args...)...)
	r := &running{lines: make(chan string, 1000), ended: make(chan error, 1), stop: cancel}
	cmd.Stderr = &r.err
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	r.in, err = cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			select {
			case r.lines <- scanner.Text():
			default: // nobody reads that many
			}
		}
		close(r.lines)
		r.ended <- cmd.Wait()
	}()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

// line returns the next line that it prints.
func (r *running) line(t *testing.T) string {
	t.Helper()
	select {
	case line, ok := <-r.lines:
		if !ok {
			require.NoError(t, r.wait(t), "%s", &r.err)
			require.Fail(t, "it has ended")
		}
		return line
	case <-time.After(seconds):
		require.Fail(t, "it prints nothing")
		return ""
	}
}

// wait waits for its end.
func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(seconds):
		require.Fail(t, "it does not end")
		return nil
	}
}

func (r *running) kill(t *testing.T) {
	t.Helper()
	r.stop()
	require.Error(t, r.wait(t))
}

func waitFor(t *testing.T, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(seconds):
		require.Fail(t, "it does not happen")
	}
}

// accessRights are those of docs/member-access.md: alice may read logs in one namespace
// of one cluster, bob may do so and open shells in all of one cluster.
const accessRights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: clusterpedia-access}
rules:
- {apiGroups: [clusterpedia.io], resources: ["*"], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: clusterpedia-access}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: clusterpedia-access}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:authenticated"}
---
apiVersion: v1
kind: Namespace
metadata: {name: team-1}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: logs-member-1, namespace: team-1}
rules:
- {apiGroups: [search.clusterpedia.io], resources: [pods, pods/log], resourceNames: [member-1], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: logs-member-1, namespace: team-1}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: logs-member-1}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: alice}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: shells-member-1}
rules:
- {apiGroups: [search.clusterpedia.io], resources: [pods, pods/log], resourceNames: [member-1], verbs: [get]}
- {apiGroups: [search.clusterpedia.io], resources: [pods/exec], resourceNames: [member-1], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: shells-member-1}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: shells-member-1}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: bob}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: discover-member-1}
rules:
- {apiGroups: [search.clusterpedia.io], resources: [discoveryurls], resourceNames: [member-1], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: discover-member-1}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: discover-member-1}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: alice}
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: bob}
`

func accessPerResource(t *testing.T, d *deployment) {
	d.apply(t, accessRights)
	documented, err := os.ReadFile(filepath.Join(shared.root, "docs", "member-access.md"))
	require.NoError(t, err)
	for rule := range strings.SplitSeq(accessRights, "\n") {
		if strings.Contains(rule, "apiGroups:") {
			require.Contains(t, string(documented), strings.TrimPrefix(rule, "- "), "the documented roles are those that are tested")
		}
	}
	for _, tc := range []struct {
		who  string
		args []string
		want string // empty: allowed
	}{
		{"alice", []string{"--context", "member-1", "-n", "team-1", "logs", stubPod}, ""},
		{"alice", []string{"--context", "member-1", "-n", "default", "logs", "web-5d8f-0"}, "is forbidden"},
		{"alice", []string{"--context", "member-2", "-n", "team-1", "logs", "web-5d8f-0"}, "is forbidden"},
		{"alice", []string{"--context", "member-1", "-n", "team-1", "exec", stubPod, "--", "true"}, `cannot create resource "pods/exec" in API group "search.clusterpedia.io" in the namespace "team-1" of cluster member-1`},
		{"bob", []string{"--context", "member-1", "-n", "team-1", "exec", stubPod, "--", "true"}, ""},
		{"bob", []string{"--context", "member-1", "-n", "team-1", "port-forward", "pod/" + stubPod, ":8080"}, `cannot create resource "pods/portforward"`},
		{"bob", []string{"--context", "proxied", "-n", "team-1", "get", "pod", stubPod}, ""},
		{"bob", []string{"--context", "proxied", "-n", "team-1", "delete", "pod", stubPod}, `cannot delete resource "pods"`},
		{"bob", []string{"--context", "proxied", "get", "--raw", "/metrics"}, `cannot get resource "nonresourceurls"`},
		{"bob", []string{"--context", "proxied", "version"}, ""},
		{"carol", []string{"--context", "proxied", "get", "--raw", "/version"}, `cannot get resource "discoveryurls"`},
		{"bob", []string{"--context", "member-1", "-n", "team-1", "get", "pods", "-l", "search.clusterpedia.io/forward"}, `cannot list resource "pods"`},
		{"alice", []string{"--context", "proxied", "get", "secrets", "-A"}, `cannot list resource "secrets"`},
	} {
		out, err := d.kubectl(t.Context(), append([]string{"--as", tc.who, "--as-group", "system:authenticated"}, tc.args...)...)
		if tc.want == "" {
			require.NoError(t, err, "%s: %v: %s", tc.who, tc.args, out)
		} else {
			require.ErrorContains(t, err, tc.want, "%s: %v", tc.who, tc.args)
		}
	}
}

// TestMemberAccessRefusals checks that a server does not start with flags that it cannot
// obey.
func TestMemberAccessRefusals(t *testing.T) {
	t.Parallel()
	const gateOff = "please enable feature gate AllowProxyRequestToClusters to allow apiserver to handle the proxy and forward requests"
	for _, host := range []string{"apiserver", "binding-apiserver"} {
		for _, tc := range []struct {
			args    []string
			message string
		}{
			{[]string{"--allowed-proxy-subresources=log"}, gateOff},
			{[]string{"--enable-proxy-path-for-forward-request"}, gateOff},
			{[]string{"--allow-forward-unsync-resource-request"}, gateOff},
			{[]string{"--feature-gates=AllowProxyRequestToClusters=true", "--allowed-proxy-subresources=foo"}, `unsupported subresources or invalid format "foo"`},
			{[]string{"--feature-gates=AllowProxyRequestToClusters=true", "--allowed-proxy-subresources=a/b/c"}, `--allowed-proxy-subresources: invalid format "a/b/c"`},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), refusalLimit)
			cmd := exec.CommandContext(ctx, filepath.Join(shared.bin, host), append([]string{"--kubeconfig=" + kubeconfigOfNobody(t), "--storage-name=memory"}, tc.args...)...)
			cmd.Dir = t.TempDir()
			output, err := cmd.CombinedOutput()
			cancel()
			require.Error(t, err)
			require.Equal(t, 1, cmd.ProcessState.ExitCode(), string(output))
			require.Contains(t, strings.ReplaceAll(string(output), `\"`, `"`), tc.message)
		}
	}
}
