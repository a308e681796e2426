package membercluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"

	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"

	"clusterpedia.io/api/cluster/v1alpha2"
)

// Errors of an incomplete connection. Users see and search for these texts, so
// they stay as they are.
var (
	//nolint:staticcheck // The texts are part of the interface.
	errNoEndpoint = errors.New("Cluster APIServer Endpoint is required")
	//nolint:staticcheck // The texts are part of the interface.
	errNoCredentials       = errors.New("Cluster APIServer's Token or Cert is required")
	errNoSecretCredentials = errors.New("token or cert is required")
	errNoSecrets           = errors.New("cluster authentication secret listers is nil, perhaps you need to enable feature gate ClusterAuthenticationFromSecret")
)

// Secrets reads the Secrets of the namespace that Clusterpedia runs in.
type Secrets interface {
	// Data returns the data of the named Secret.
	Data(name string) (map[string][]byte, error)
}

// SecretLister is Secrets from an informer's memory.
type SecretLister struct {
	corelisters.SecretNamespaceLister
}

// Data implements Secrets.
func (l SecretLister) Data(name string) (map[string][]byte, error) {
	secret, err := l.Get(name)
	if err != nil {
		return nil, err
	}
	return secret.Data, nil
}

// Connection is how a member cluster is reached.
type Connection struct {
	// Config holds all credentials inline: it refers to no file and runs no
	// command.
	Config *rest.Config
	// Insecure says that the server's certificate is not verified.
	Insecure bool
	// NoCA says that Config leaves it unverified only because there is no CA to verify it
	// with, and not because a kubeconfig asks for it.
	NoCA bool
	// Fingerprint differs whenever what the connection was made from does. It
	// reveals no credentials.
	Fingerprint string
}

// Connect returns the connection that a PediaCluster describes. Secrets may be
// nil: then authenticationFrom is refused.
//
// It doesn't contact the member.
func Connect(spec *v1alpha2.ClusterSpec, secrets Secrets) (Connection, error) {
	c := inline(spec)
	missing := errNoCredentials
	if c.fromElsewhere(spec) {
		var err error
		if c, err = fromSecrets(spec, secrets); err != nil {
			return Connection{}, authenticationError(err)
		}
		missing = authenticationError(errNoSecretCredentials)
	}
	if len(c.kubeconfig) == 0 {
		if c.endpoint == "" {
			return Connection{}, errNoEndpoint
		}
		if !c.canAuthenticate() {
			return Connection{}, missing
		}
	}
	return c.connect()
}

// ConnectAnonymously returns the connection to a PediaCluster's server without
// credentials: its CA, and what its kubeconfig says of the way there. The address is
// empty if the spec has none.
func ConnectAnonymously(spec *v1alpha2.ClusterSpec, secrets Secrets) (Connection, error) {
	c := inline(spec)
	if c.fromElsewhere(spec) {
		var err error
		if c, err = caFromSecrets(spec, secrets); err != nil {
			return Connection{}, authenticationError(err)
		}
	}
	c.token, c.cert, c.key = nil, nil, nil
	connection, err := c.connect()
	if err != nil {
		return Connection{}, err
	}
	connection.Config = rest.AnonymousClientConfig(connection.Config)
	return connection, nil
}

// inline returns what stands in a spec itself.
func inline(spec *v1alpha2.ClusterSpec) credentials {
	return credentials{
		kubeconfig: spec.Kubeconfig,
		endpoint:   spec.APIServer,
		token:      spec.TokenData,
		ca:         spec.CAData,
		cert:       spec.CertData,
		key:        spec.KeyData,
	}
}

func authenticationError(err error) error {
	return fmt.Errorf("Cluster Authentication Error: %w", err) //nolint:staticcheck // The text is part of the interface.
}

// credentials are the parts that a connection is made from.
type credentials struct {
	kubeconfig           []byte
	endpoint             string
	token, ca, cert, key []byte
}

func (c credentials) canAuthenticate() bool {
	return len(c.token) > 0 || (len(c.cert) > 0 && len(c.key) > 0)
}

// fromElsewhere reports whether a spec leaves its credentials to Secrets.
func (c credentials) fromElsewhere(spec *v1alpha2.ClusterSpec) bool {
	return spec.AuthenticationFrom != nil && len(c.kubeconfig) == 0 && !c.canAuthenticate()
}

func (c credentials) connect() (Connection, error) {
	config := c.config()
	if len(c.kubeconfig) > 0 {
		var err error
		if config, err = readKubeconfig(c.kubeconfig); err != nil {
			return Connection{}, fmt.Errorf("kubeconfig: %w", err)
		}
	}
	config.UserAgent = rest.DefaultKubernetesUserAgent()
	return Connection{
		Config:      config,
		Insecure:    config.Insecure && !strings.HasPrefix(config.Host, "http://"),
		NoCA:        config.Insecure && len(c.kubeconfig) == 0,
		Fingerprint: c.fingerprint(),
	}, nil
}

func (c credentials) config() *rest.Config {
	config := &rest.Config{
		Host:        c.endpoint,
		BearerToken: string(bytes.TrimSpace(c.token)),
	}
	if len(c.ca) > 0 {
		config.CAData = c.ca
	} else {
		config.Insecure = true
	}
	if len(c.cert) > 0 && len(c.key) > 0 {
		config.CertData, config.KeyData = c.cert, c.key
	}
	return config
}

func (c credentials) fingerprint() string {
	h := sha256.New()
	for _, part := range [][]byte{c.kubeconfig, []byte(c.endpoint), c.token, c.ca, c.cert, c.key} {
		writePart(h, part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func writePart(h hash.Hash, part []byte) {
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
	h.Write(part)
}

// SecretNames returns the names of the Secrets that the connection is made from.
func SecretNames(spec *v1alpha2.ClusterSpec) []string {
	from := spec.AuthenticationFrom
	if from == nil {
		return nil
	}
	var names []string
	for _, ref := range []*v1alpha2.SecretKeySelector{from.KubeConfig, from.CA, from.Cert, from.Key, from.Token} {
		if ref != nil {
			names = append(names, ref.Name)
		}
	}
	return names
}

func fromSecrets(spec *v1alpha2.ClusterSpec, secrets Secrets) (credentials, error) {
	if secrets == nil {
		return credentials{}, errNoSecrets
	}
	from := spec.AuthenticationFrom
	if from.KubeConfig != nil {
		kubeconfig, err := secretValue(secrets, from.KubeConfig)
		return credentials{kubeconfig: kubeconfig}, err
	}
	c := credentials{endpoint: spec.APIServer, ca: spec.CAData}
	for _, part := range []struct {
		ref  *v1alpha2.SecretKeySelector
		into *[]byte
	}{{from.CA, &c.ca}, {from.Cert, &c.cert}, {from.Key, &c.key}, {from.Token, &c.token}} {
		if part.ref == nil {
			continue
		}
		value, err := secretValue(secrets, part.ref)
		if err != nil {
			return credentials{}, err
		}
		*part.into = value
	}
	if c.endpoint == "" {
		return credentials{}, errNoEndpoint
	}
	return c, nil
}

// caFromSecrets reads what verifies the server, and no credentials but those that a
// kubeconfig holds too.
func caFromSecrets(spec *v1alpha2.ClusterSpec, secrets Secrets) (credentials, error) {
	from, c := spec.AuthenticationFrom, credentials{endpoint: spec.APIServer, ca: spec.CAData}
	ref, into := from.CA, &c.ca
	if from.KubeConfig != nil {
		ref, into = from.KubeConfig, &c.kubeconfig
	}
	if ref == nil {
		return c, nil
	}
	if secrets == nil {
		return credentials{}, errNoSecrets
	}
	value, err := secretValue(secrets, ref)
	*into = value
	return c, err
}

func secretValue(secrets Secrets, ref *v1alpha2.SecretKeySelector) ([]byte, error) {
	data, err := secrets.Data(ref.Name)
	if err != nil {
		return nil, err
	}
	value := data[ref.Key]
	if len(value) == 0 {
		return nil, fmt.Errorf("secret %s's %s is empty", ref.Name, ref.Key)
	}
	return value, nil
}
