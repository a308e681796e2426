package memberaccess

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"clusterpedia.io/api/cluster/v1alpha2"
)

// secrets are the host cluster's, by name.
type secrets map[string]map[string][]byte

func (s secrets) Data(name string) (map[string][]byte, error) {
	if data, ok := s[name]; ok {
		return data, nil
	}
	return nil, fmt.Errorf("secret %q not found", name)
}

func kubeconfig(user, cluster string) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"c","user":"u"}}],"clusters":[{"name":"c","cluster":{"server":"https://kube.example"%s}}],"users":[{"name":"u","user":{%s}}]}`, cluster, user)
}

func TestConnect(t *testing.T) {
	t.Parallel()
	ref := func(key string) *v1alpha2.SecretKeySelector { return &v1alpha2.SecretKeySelector{Name: "s", Key: key} }
	encoded := base64.StdEncoding.EncodeToString([]byte("theirs"))
	const ca = `,"certificate-authority-data":"b3Vycw=="` // "ours"
	var (
		withToken = v1alpha2.ClusterSpec{APIServer: "https://spec.example", TokenData: []byte("own"), CAData: []byte("ours")}
		withoutCA = v1alpha2.ClusterSpec{APIServer: "spec.example:6443", TokenData: []byte("own")}
		fromFile  = v1alpha2.ClusterSpec{Kubeconfig: kubeconfig(`"token":"own"`, ca+`,"tls-server-name":"other"`)}
		insecure  = v1alpha2.ClusterSpec{Kubeconfig: kubeconfig(`"token":"own"`, `,"insecure-skip-tls-verify":true`)}
		inSecret  = v1alpha2.ClusterSpec{APIServer: "https://spec.example", AuthenticationFrom: &v1alpha2.ClusterAuthentication{Token: ref("token"), CA: ref("ca")}}
		broken    = v1alpha2.ClusterSpec{Kubeconfig: kubeconfig(`"tokenFile":"/etc/passwd"`, "")}
	)
	type want struct {
		host, token, ca, server, err string
		insecure                     bool
		code                         int
	}
	for name, tc := range map[string]struct {
		spec   v1alpha2.ClusterSpec
		status string // the address in it
		own    bool   // the flag
		header map[string]string
		want   want
	}{
		"nothing":                        {spec: withToken, want: want{host: "https://spec.example", ca: "ours"}},
		"the status comes first":         {spec: withToken, status: "https://status.example", want: want{host: "https://status.example", ca: "ours"}},
		"the caller's token":             {spec: withToken, header: map[string]string{"Token": "t"}, want: want{host: "https://spec.example", token: "t", ca: "ours"}},
		"the caller's CA":                {spec: withToken, header: map[string]string{"Ca": encoded}, want: want{host: "https://spec.example", ca: "theirs"}},
		"no CA is no reason to trust":    {spec: withoutCA, header: map[string]string{"Token": "t"}, want: want{host: "https://spec.example:6443", token: "t"}},
		"the PediaCluster's token":       {spec: withToken, own: true, want: want{host: "https://spec.example", token: "own", ca: "ours"}},
		"the PediaCluster's, no CA":      {spec: withoutCA, own: true, want: want{host: "https://spec.example:6443", token: "own"}},
		"the caller's come first":        {spec: withToken, own: true, header: map[string]string{"Token": "t"}, want: want{host: "https://spec.example", token: "t", ca: "ours"}},
		"even if they are empty":         {spec: withToken, own: true, header: map[string]string{"Token": ""}, want: want{host: "https://spec.example", ca: "ours"}},
		"a CA is the caller's, too":      {spec: withToken, own: true, header: map[string]string{"Ca": encoded}, want: want{host: "https://spec.example", ca: "theirs"}},
		"a kubeconfig's token":           {spec: fromFile, own: true, want: want{host: "https://kube.example", token: "own", ca: "ours", server: "other"}},
		"a kubeconfig without its token": {spec: fromFile, status: "https://status.example", header: map[string]string{"Token": "t"}, want: want{host: "https://status.example", token: "t", ca: "ours", server: "other"}},
		"a kubeconfig with other CA":     {spec: fromFile, status: "https://status.example", header: map[string]string{"Ca": encoded}, want: want{host: "https://status.example", ca: "theirs", server: "other"}},
		"an insecure kubeconfig":         {spec: insecure, own: true, want: want{host: "https://kube.example", token: "own", insecure: true}},
		"insecure, the caller's":         {spec: insecure, status: "https://status.example", header: map[string]string{"Token": "t"}, want: want{host: "https://status.example", token: "t", insecure: true}},
		"insecure but for the caller":    {spec: insecure, status: "https://status.example", header: map[string]string{"Ca": encoded}, want: want{host: "https://status.example", ca: "theirs"}},
		"from Secrets":                   {spec: inSecret, own: true, want: want{host: "https://spec.example", token: "secret", ca: "ours"}},
		"the CA alone from Secrets":      {spec: inSecret, header: map[string]string{"Token": "t"}, want: want{host: "https://spec.example", token: "t", ca: "ours"}},
		"no address":                     {header: map[string]string{"Token": "t"}, want: want{code: 400, err: ".Spec.APIServer and .Status.APIServer are empty"}},
		"no address, own":                {own: true, want: want{code: 400, err: ".Spec.APIServer and .Status.APIServer are empty"}},
		"a kubeconfig is no address":     {spec: fromFile, want: want{code: 400, err: ".Spec.APIServer and .Status.APIServer are empty"}},
		"no credentials, own":            {spec: v1alpha2.ClusterSpec{APIServer: "https://spec.example"}, own: true, want: want{code: 500, err: "Cluster APIServer's Token or Cert is required"}},
		"a kubeconfig with a file":       {spec: broken, status: "https://status.example", own: true, want: want{code: 500, err: "users[u].tokenFile is not allowed"}},
		"the same, for another token":    {spec: broken, status: "https://status.example", header: map[string]string{"Token": "t"}, want: want{code: 500, err: "users[u].tokenFile is not allowed"}},
		"the same, and another CA":       {spec: broken, status: "https://status.example", header: map[string]string{"Token": "t", "Ca": encoded}, want: want{host: "https://status.example", token: "t", ca: "theirs"}},
		"no base64":                      {spec: withToken, header: map[string]string{"Ca": "!!!"}, want: want{code: 400, err: "illegal base64 data at input byte 0"}},
		"without TLS":                    {spec: v1alpha2.ClusterSpec{APIServer: "http://spec.example"}, want: want{host: "http://spec.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := New(Config{UsePediaClusterConfig: tc.own, Secrets: secrets{"s": {"token": []byte("secret"), "ca": []byte("ours")}}})
			header := http.Header{}
			for key, value := range tc.header {
				header.Set("X-Clusterpedia-Proxy-"+key, value)
			}
			c, err := p.connect(&v1alpha2.PediaCluster{Spec: tc.spec, Status: v1alpha2.ClusterStatus{APIServer: tc.status}}, header)
			if tc.want.err != "" {
				require.ErrorContains(t, err, tc.want.err)
				var status apierrors.APIStatus
				require.ErrorAs(t, err, &status)
				require.EqualValues(t, tc.want.code, status.Status().Code)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, want{host: c.config.Host, token: c.config.BearerToken, ca: string(c.config.CAData), server: c.config.ServerName, insecure: c.config.Insecure})
			require.Empty(t, c.config.CertData)
		})
	}
}

// TestConnectionsAreNotShared checks that nobody gets transports that hold another one's
// client certificate or trust.
func TestConnectionsAreNotShared(t *testing.T) {
	t.Parallel()
	pair := `"client-certificate-data":"` + base64.StdEncoding.EncodeToString([]byte("c")) + `","client-key-data":"` + base64.StdEncoding.EncodeToString([]byte("k")) + `"`
	cluster := &v1alpha2.PediaCluster{Spec: v1alpha2.ClusterSpec{Kubeconfig: kubeconfig(pair, "")}, Status: v1alpha2.ClusterStatus{APIServer: "https://status.example"}}
	encoded := base64.StdEncoding.EncodeToString
	seen := map[[32]byte]string{}
	p := New(Config{UsePediaClusterConfig: true})
	for name, header := range map[string]http.Header{
		"own":         {},
		"token":       {"X-Clusterpedia-Proxy-Token": {"t"}},
		"CA":          {"X-Clusterpedia-Proxy-Ca": {encoded([]byte("ca"))}},
		"certificate": {"X-Clusterpedia-Proxy-Client-Cert": {encoded([]byte("c"))}, "X-Clusterpedia-Proxy-Client-Key": {encoded([]byte("k"))}},
		"another":     {"X-Clusterpedia-Proxy-Client-Cert": {encoded([]byte("c"))}, "X-Clusterpedia-Proxy-Client-Key": {encoded([]byte("k2"))}},
	} {
		c, err := p.connect(cluster, header)
		require.NoError(t, err)
		require.Empty(t, seen[c.key], "%s has the transports of %s", name, seen[c.key])
		seen[c.key] = name
	}
	a, err := p.connect(cluster, http.Header{"X-Clusterpedia-Proxy-Token": {"a"}})
	require.NoError(t, err)
	require.Equal(t, "token", seen[a.key], "tokens are no part of the transport")
}
