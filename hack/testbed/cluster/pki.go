package cluster

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"clusterpedia.io/testbed/pki"
)

// makePKI writes the keys and certificates of a control plane into dir, once.
func makePKI(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "front-proxy.crt")); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	ca, caKey, err := pki.MakeCA(dir)
	if err != nil {
		return err
	}
	key, err := pki.WriteKey(dir, "sa")
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := pki.WritePEM(dir, "sa.pub", "PUBLIC KEY", public); err != nil {
		return err
	}
	server := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1)},
	}
	client := func(name string, groups ...string) *x509.Certificate {
		return &x509.Certificate{
			Subject:     pkix.Name{CommonName: name, Organization: groups},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
	}
	for name, template := range map[string]*x509.Certificate{
		"apiserver": server, "admin": client("testbed-admin", "system:masters"), "front-proxy": client("front-proxy-client"),
	} {
		if err := pki.Sign(dir, name, template, ca, caKey); err != nil {
			return fmt.Errorf("certificate %s: %w", name, err)
		}
	}
	return nil
}

// Issue returns the paths of a certificate and a key for a server in front of which
// this cluster stands, such as an aggregated API server, signed by the cluster's
// authority. They are made once for each name.
func (c *Cluster) Issue(name string, dnsNames ...string) (certificate, key string, err error) {
	certificate, key = c.pki(name+".crt"), c.pki(name+".key")
	if _, err := os.Stat(certificate); err == nil {
		return certificate, key, nil
	}
	authority, err := tls.LoadX509KeyPair(c.pki("ca.crt"), c.pki("ca.key"))
	if err != nil {
		return "", "", err
	}
	ca, err := x509.ParseCertificate(authority.Certificate[0])
	if err != nil {
		return "", "", err
	}
	caKey, ok := authority.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return "", "", fmt.Errorf("the authority's key is a %T", authority.PrivateKey)
	}
	return certificate, key, pki.Sign(c.pki(""), name, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: dnsNames, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, ca, caKey)
}
