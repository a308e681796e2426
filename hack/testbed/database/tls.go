package database

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"os"
	"path/filepath"

	"clusterpedia.io/testbed/pki"
)

// tlsDir is below a server's directory. The authority there, ca.crt, has signed the server's
// certificate, which is for the name localhost alone, so that 127.0.0.1 is a wrong name, and
// that of the user client.
const tlsDir = "tls"

// makeTLS makes the keys and certificates of a server below dir, once, for its account.
func makeTLS(dir, account string) error {
	dir = filepath.Join(dir, tlsDir)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	aside := dir + ".new"
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if err := os.Mkdir(aside, 0o755); err != nil {
		return err
	}
	ca, key, err := pki.MakeCA(aside)
	if err != nil {
		return err
	}
	if err := pki.Sign(aside, "server", &x509.Certificate{
		Subject: pkix.Name{CommonName: "server"}, DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca, key); err != nil {
		return err
	}
	if err := pki.Sign(aside, "client", &x509.Certificate{
		Subject: pkix.Name{CommonName: "client"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca, key); err != nil {
		return err
	}
	for _, name := range []string{"ca.crt", "server.crt", "server.key"} {
		if err := give(filepath.Join(aside, name), account); err != nil {
			return err
		}
	}
	return os.Rename(aside, dir)
}
