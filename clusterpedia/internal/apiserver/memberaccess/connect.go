package memberaccess

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/membercluster"
)

// connection is how one request reaches a member.
type connection struct {
	config *rest.Config
	// key is the same for connections that can share their transports, and for no others.
	key [sha256.Size]byte
	// callers says that the caller has brought what the connection is made of.
	callers bool
}

// connect chooses the connection of a request: with the caller's credentials, with
// those of the PediaCluster, or with none. The member's certificate is verified by the
// caller's CA, that of the PediaCluster, or the system's, in this order. It is not
// verified only if the PediaCluster's kubeconfig says so and the caller brings no CA.
func (p *Proxy) connect(cluster *v1alpha2.PediaCluster, header http.Header) (connection, error) {
	c, err := readCredentials(header)
	if err != nil {
		return connection{}, err
	}
	own := p.UsePediaClusterConfig && !c.given
	address := cluster.Status.APIServer
	if address == "" {
		address = cluster.Spec.APIServer
	}
	var of membercluster.Connection
	switch {
	case own:
		of, err = membercluster.Connect(&cluster.Spec, p.Secrets)
	case address != "":
		of, err = membercluster.ConnectAnonymously(&cluster.Spec, p.Secrets)
		if err != nil && len(c.ca) > 0 {
			of, err = membercluster.Connection{Config: &rest.Config{}}, nil // nothing else is needed
		}
	}
	if err != nil && (address != "" || !own) {
		return connection{}, apierrors.NewInternalError(fmt.Errorf("connect to PediaCluster %q: %w", cluster.Name, err))
	}
	if err != nil || of.Config == nil {
		return connection{}, apierrors.NewBadRequest(".Spec.APIServer and .Status.APIServer are empty")
	}
	config := of.Config
	if of.NoCA {
		config.Insecure = false
	}
	if !own {
		config.Host = address
		config.BearerToken, config.CertData, config.KeyData = c.token, c.cert, c.key
		if len(c.ca) > 0 {
			config.CAData, config.Insecure = c.ca, false
		}
	}
	if !strings.Contains(config.Host, "://") {
		config.Host = "https://" + config.Host // and never without TLS, for want of a CA
	}
	config.DisableCompression = true // bodies go on as they are
	key := sha256.Sum256(fmt.Appendf(nil, "%t %s %q %q %q %q", own, of.Fingerprint, config.CAData, config.CertData, config.KeyData, config.ServerName))
	return connection{config: config, key: key, callers: c.given}, nil
}

// transports are the two to a member: requests that upgrade their connection need
// HTTP/1.1.
type transports struct{ plain, upgrade http.RoundTripper }

// transport returns the transport for a connection, with its credentials, and the
// address of its server.
func (p *Proxy) transport(c connection, upgrade bool) (http.RoundTripper, *url.URL, error) {
	server, err := membercluster.ServerURL(c.config)
	if err != nil {
		return nil, nil, p.unusable(c, err)
	}
	t, ok := p.pool(c)
	if !ok {
		if t, err = newTransports(c.config); err != nil {
			return nil, nil, p.unusable(c, err)
		}
		p.transports.Add(c.key, t, transportsFor)
	}
	chosen := t.plain
	if upgrade {
		chosen = t.upgrade
	}
	wrapped, err := rest.HTTPWrappersForConfig(c.config, chosen)
	if err != nil {
		return nil, nil, p.unusable(c, err)
	}
	return wrapped, server, nil
}

func (p *Proxy) pool(c connection) (transports, bool) {
	found, ok := p.transports.Get(c.key)
	if !ok {
		return transports{}, false
	}
	t, ok := found.(transports)
	return t, ok
}

func newTransports(config *rest.Config) (transports, error) {
	plain, err := membercluster.NewTransport(config)
	if err != nil {
		return transports{}, err
	}
	config = rest.CopyConfig(config)
	config.NextProtos = []string{"http/1.1"}
	upgrade, err := membercluster.NewTransport(config)
	if err != nil {
		return transports{}, err
	}
	return transports{plain, upgrade}, nil
}

// unusable blames who has made the connection.
func (*Proxy) unusable(c connection, err error) error {
	if c.callers {
		return apierrors.NewBadRequest(fmt.Sprintf("the X-Clusterpedia-Proxy headers: %v", err))
	}
	return apierrors.NewInternalError(errors.Join(errors.New("the PediaCluster's connection"), err))
}
