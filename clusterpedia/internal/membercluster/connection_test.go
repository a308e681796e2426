package membercluster

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/api/cluster/v1alpha2"
)

type secrets map[string]map[string][]byte

func (s secrets) Data(name string) (map[string][]byte, error) {
	data, ok := s[name]
	if !ok {
		return nil, errors.New(`secret "` + name + `" not found`)
	}
	return data, nil
}

func kubeconfig(user, cluster string) []byte {
	return fmt.Appendf(nil, `
current-context: here
contexts: [{name: here, context: {cluster: c, user: u}}, {name: there, context: {cluster: c, user: evil}}]
clusters: [{name: c, cluster: {server: "https://kube.example", %s}}]
users: [{name: u, user: {%s}}, {name: evil, user: {exec: {command: rm}}}]
`, cluster, user)
}

func ref(name, key string) *v1alpha2.SecretKeySelector {
	return &v1alpha2.SecretKeySelector{Name: name, Key: key}
}

func TestConnect(t *testing.T) {
	t.Parallel()
	const caData = "certificate-authority-data: Y2E="
	stored := secrets{
		"s":  {"token": []byte("secret-token\n"), "ca": []byte("ca"), "empty": nil, "kubeconfig": kubeconfig("token: k", caData)},
		"s2": {"cert": []byte("cert"), "key": []byte("key")},
	}
	token, pair, ca := []byte("token"), []byte("pem"), []byte("ca")
	for name, test := range map[string]struct {
		spec     v1alpha2.ClusterSpec
		gateOff  bool
		err      string
		token    string
		cert     string
		ca       string
		insecure bool
	}{
		"kubeconfig":        {spec: v1alpha2.ClusterSpec{Kubeconfig: kubeconfig("token: k", caData), APIServer: "https://other", TokenData: token}, token: "k"},
		"kubeconfig, no CA": {spec: v1alpha2.ClusterSpec{Kubeconfig: kubeconfig("token: k", "insecure-skip-tls-verify: true")}, token: "k", insecure: true},
		"token and CA":      {spec: v1alpha2.ClusterSpec{APIServer: "https://kube.example", TokenData: token, CAData: ca}, token: "token"},
		"token, no CA":      {spec: v1alpha2.ClusterSpec{APIServer: "https://kube.example", TokenData: token}, token: "token", insecure: true},
		"plain HTTP":        {spec: v1alpha2.ClusterSpec{APIServer: "http://kube.example", TokenData: token}, token: "token"},
		"cert":              {spec: v1alpha2.ClusterSpec{APIServer: "https://kube.example", CertData: pair, KeyData: pair, CAData: ca}, cert: "pem"},
		"token and cert":    {spec: v1alpha2.ClusterSpec{APIServer: "https://kube.example", TokenData: token, CertData: pair, KeyData: pair, CAData: ca}, token: "token", cert: "pem"},
		"cert without key":  {spec: v1alpha2.ClusterSpec{APIServer: "https://kube.example", CertData: pair}, err: "Cluster APIServer's Token or Cert is required"},
		"nothing":           {err: "Cluster APIServer Endpoint is required"},
		"no endpoint":       {spec: v1alpha2.ClusterSpec{TokenData: token}, err: "Cluster APIServer Endpoint is required"},
		"no YAML":           {spec: v1alpha2.ClusterSpec{Kubeconfig: []byte("{")}, err: "kubeconfig: "},
		"from secret, gate off": {
			spec:    v1alpha2.ClusterSpec{APIServer: "https://kube.example", AuthenticationFrom: &v1alpha2.ClusterAuthentication{Token: ref("s", "token")}},
			gateOff: true, err: "Cluster Authentication Error: cluster authentication secret listers is nil, perhaps you need to enable feature gate ClusterAuthenticationFromSecret",
		},
		"from secret": {
			spec:  v1alpha2.ClusterSpec{APIServer: "https://kube.example", AuthenticationFrom: &v1alpha2.ClusterAuthentication{Token: ref("s", "token"), CA: ref("s", "ca")}},
			token: "secret-token",
		},
		"token from secret, CA inline": {
			spec:  v1alpha2.ClusterSpec{APIServer: "https://kube.example", CAData: []byte("inline"), AuthenticationFrom: &v1alpha2.ClusterAuthentication{Token: ref("s", "token")}},
			token: "secret-token", ca: "inline",
		},
		"CA of the secret wins": {
			spec:  v1alpha2.ClusterSpec{APIServer: "https://kube.example", CAData: []byte("inline"), AuthenticationFrom: &v1alpha2.ClusterAuthentication{Token: ref("s", "token"), CA: ref("s", "ca")}},
			token: "secret-token", ca: "ca",
		},
		"from two secrets": {
			spec: v1alpha2.ClusterSpec{APIServer: "https://kube.example", CertData: pair, AuthenticationFrom: &v1alpha2.ClusterAuthentication{Cert: ref("s2", "cert"), Key: ref("s2", "key"), CA: ref("s", "ca")}},
			cert: "cert",
		},
		"kubeconfig from secret": {
			spec:  v1alpha2.ClusterSpec{AuthenticationFrom: &v1alpha2.ClusterAuthentication{KubeConfig: ref("s", "kubeconfig"), Token: ref("none", "x")}},
			token: "k",
		},
		"inline wins": {
			spec:  v1alpha2.ClusterSpec{APIServer: "https://kube.example", TokenData: token, CAData: ca, AuthenticationFrom: &v1alpha2.ClusterAuthentication{Token: ref("s", "token")}},
			token: "token",
		},
		"secret without endpoint": {
			spec: v1alpha2.ClusterSpec{AuthenticationFrom: &v1alpha2.ClusterAuthentication{Token: ref("s", "token")}},
			err:  "Cluster Authentication Error: Cluster APIServer Endpoint is required",
		},
		"secret without credentials": {
			spec: v1alpha2.ClusterSpec{APIServer: "https://kube.example", AuthenticationFrom: &v1alpha2.ClusterAuthentication{CA: ref("s", "ca"), Cert: ref("s2", "cert")}},
			err:  "Cluster Authentication Error: token or cert is required",
		},
		"missing secret": {
			spec: v1alpha2.ClusterSpec{APIServer: "https://kube.example", AuthenticationFrom: &v1alpha2.ClusterAuthentication{Token: ref("none", "token")}},
			err:  `Cluster Authentication Error: secret "none" not found`,
		},
		"empty key": {
			spec: v1alpha2.ClusterSpec{APIServer: "https://kube.example", AuthenticationFrom: &v1alpha2.ClusterAuthentication{Token: ref("s", "empty")}},
			err:  "Cluster Authentication Error: secret s's empty is empty",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var from Secrets
			if !test.gateOff {
				from = stored
			}
			c, err := Connect(&test.spec, from)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Contains(t, c.Config.Host, "kube.example")
			require.Equal(t, test.token, c.Config.BearerToken)
			require.Equal(t, test.cert, string(c.Config.CertData))
			require.Equal(t, test.insecure, c.Insecure)
			if test.ca != "" {
				require.Equal(t, test.ca, string(c.Config.CAData))
			}
		})
	}
}

func TestKubeconfigMustBeSelfContained(t *testing.T) {
	t.Parallel()
	for field, config := range map[string][]byte{
		"users[u].exec":                     kubeconfig(`exec: {apiVersion: client.authentication.k8s.io/v1, command: touch, args: [x]}`, ""),
		"users[u].auth-provider":            kubeconfig("auth-provider: {name: gcp}", ""),
		"users[u].tokenFile":                kubeconfig("tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token, token: x", ""),
		"users[u].client-certificate":       kubeconfig("client-certificate: /etc/x, client-key-data: eA==", ""),
		"users[u].client-key":               kubeconfig("client-certificate-data: eA==, client-key: /etc/x", ""),
		"clusters[c].certificate-authority": kubeconfig("token: x", "certificate-authority: /etc/ca"),
	} {
		_, err := Connect(&v1alpha2.ClusterSpec{Kubeconfig: config}, nil)
		require.ErrorContains(t, err, "kubeconfig: "+field+" is not allowed")
	}
	for problem, config := range map[string]string{
		"current-context is not set":                        `{}`,
		`current-context "x" is not among the contexts`:     `{current-context: x}`,
		`contexts[x].cluster "c" is not among the clusters`: `{current-context: x, contexts: [{name: x, context: {cluster: c}}]}`,
		`clusters[c].server is not set`:                     `{current-context: x, contexts: [{name: x, context: {cluster: c}}], clusters: [{name: c, cluster: {}}]}`,
		`contexts[x].user "u" is not among the users`:       `{current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}], clusters: [{name: c, cluster: {server: "https://x"}}]}`,
	} {
		_, err := Connect(&v1alpha2.ClusterSpec{Kubeconfig: []byte(config)}, nil)
		require.ErrorContains(t, err, problem)
	}
	c, err := Connect(&v1alpha2.ClusterSpec{Kubeconfig: kubeconfig("token: x, as: somebody", "proxy-url: http://proxy.example:3128, tls-server-name: other")}, nil)
	require.NoError(t, err)
	require.NotNil(t, c.Config.Proxy)
	require.Equal(t, "other", c.Config.ServerName)
}

func TestFingerfingerprint(t *testing.T) {
	t.Parallel()
	fingerprint := func(spec v1alpha2.ClusterSpec, from Secrets) string {
		c, err := Connect(&spec, from)
		require.NoError(t, err)
		return c.Fingerprint
	}
	spec := v1alpha2.ClusterSpec{APIServer: "https://x", TokenData: []byte("t")}
	one := fingerprint(spec, nil)
	require.Equal(t, one, fingerprint(spec, nil))
	spec.SyncResourcesRefName = "irrelevant"
	require.Equal(t, one, fingerprint(spec, nil))
	spec.CAData = []byte("ca")
	require.NotEqual(t, one, fingerprint(spec, nil))
	proxied := v1alpha2.ClusterSpec{Kubeconfig: kubeconfig("token: x", "proxy-url: http://proxy.example:3128")}
	again := fingerprint(proxied, nil)
	require.Equal(t, fingerprint(proxied, nil), again)
	fromSecret := v1alpha2.ClusterSpec{APIServer: "https://x", AuthenticationFrom: &v1alpha2.ClusterAuthentication{Token: ref("s", "t")}}
	require.NotEqual(t, fingerprint(fromSecret, secrets{"s": {"t": []byte("1")}}), fingerprint(fromSecret, secrets{"s": {"t": []byte("2")}}))
	require.Equal(t, []string{"s"}, SecretNames(&fromSecret))
	require.Empty(t, SecretNames(&spec))
}

func TestConnectAnonymously(t *testing.T) {
	t.Parallel()
	stored := secrets{"s": {"token": []byte("secret"), "ca": []byte("ca"), "kubeconfig": kubeconfig("token: k", "tls-server-name: other")}}
	for name, test := range map[string]struct {
		spec           v1alpha2.ClusterSpec
		host, ca, name string
		insecure, noCA bool
		err            string
	}{
		"kubeconfig":       {spec: v1alpha2.ClusterSpec{Kubeconfig: kubeconfig("token: k", "insecure-skip-tls-verify: true, tls-server-name: other")}, host: "https://kube.example", name: "other", insecure: true},
		"fields":           {spec: v1alpha2.ClusterSpec{APIServer: "https://x", CAData: []byte("ca"), TokenData: []byte("t")}, host: "https://x", ca: "ca"},
		"no CA":            {spec: v1alpha2.ClusterSpec{APIServer: "https://x", TokenData: []byte("t")}, host: "https://x", insecure: true, noCA: true},
		"no credentials":   {spec: v1alpha2.ClusterSpec{APIServer: "https://x", CAData: []byte("ca")}, host: "https://x", ca: "ca"},
		"nothing":          {insecure: true, noCA: true},
		"CA from a Secret": {spec: v1alpha2.ClusterSpec{APIServer: "https://x", AuthenticationFrom: &v1alpha2.ClusterAuthentication{CA: ref("s", "ca"), Token: ref("missing", "x")}}, host: "https://x", ca: "ca"},
		"a Secret with a kubeconfig": {
			spec: v1alpha2.ClusterSpec{AuthenticationFrom: &v1alpha2.ClusterAuthentication{KubeConfig: ref("s", "kubeconfig")}}, host: "https://kube.example", name: "other",
		},
		"a Secret without CA": {spec: v1alpha2.ClusterSpec{APIServer: "https://x", CAData: []byte("ca"), AuthenticationFrom: &v1alpha2.ClusterAuthentication{Token: ref("missing", "x")}}, host: "https://x", ca: "ca"},
		"missing Secret":      {spec: v1alpha2.ClusterSpec{APIServer: "https://x", AuthenticationFrom: &v1alpha2.ClusterAuthentication{CA: ref("missing", "ca")}}, err: `secret "missing" not found`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := ConnectAnonymously(&test.spec, stored)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Empty(t, c.Config.BearerToken+string(c.Config.CertData)+string(c.Config.KeyData)+c.Config.Username)
			require.Equal(t, test.host, c.Config.Host)
			require.Equal(t, test.ca, string(c.Config.CAData))
			require.Equal(t, test.name, c.Config.ServerName)
			require.Equal(t, test.insecure, c.Config.Insecure)
			require.Equal(t, test.noCA, c.NoCA)
		})
	}
	_, err := ConnectAnonymously(&v1alpha2.ClusterSpec{AuthenticationFrom: &v1alpha2.ClusterAuthentication{CA: ref("s", "ca")}}, nil)
	require.ErrorContains(t, err, "perhaps you need to enable feature gate ClusterAuthenticationFromSecret")
}
