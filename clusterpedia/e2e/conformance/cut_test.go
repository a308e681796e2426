package conformance

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCutConnections has clients go away in the middle of long answers, of all forms: the
// server goes on, and keeps nothing of them.
func TestCutConnections(t *testing.T) {
	for _, storage := range []string{sqlite, memory} {
		t.Run(storage, func(t *testing.T) {
			d := shared.deployment(t, storage)
			ctx := t.Context()
			l := &loader{newStub("heavy", 4999, served()...), 4, 4000}
			t.Cleanup(l.close)
			for n := range 60 {
				l.load(configMaps, "default", fmt.Sprintf("cm-%02d", n), document{"data": document{"text": strings.Repeat("x", 200_000)}})
			}
			require.NoError(t, d.join(ctx, l.stub))
			t.Cleanup(func() { require.NoError(t, d.RemoveCluster(context.WithoutCancel(ctx), l.name)) })
			before := d.goroutines(ctx, t)
			var clients sync.WaitGroup
			for _, path := range []string{"M/api/v1/configmaps", "C(heavy)/api/v1/namespaces/default/configmaps?limit=50", "M/api/v1/configmaps?pretty=1", "CO/any?resources=/configmaps", "M/api/v1/configmaps?watch=1"} {
				for n := range 8 {
					clients.Go(func() {
						if err := d.cut(ctx, path, []string{"", "Accept: application/yaml\r\n", "Accept-Encoding: gzip\r\n"}[n%3]); err != nil {
							t.Error(err)
						}
					})
				}
			}
			clients.Wait()
			require.NoError(t, d.until(ctx, func() error {
				if now := d.goroutines(ctx, t); now > before+20 {
					return fmt.Errorf("%d goroutines, and %d before", now, before)
				}
				return nil
			}))
			r, err := d.send(ctx, &Case{}, "M/api/v1/configmaps?clusters=heavy")
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, r.status)
			require.Equal(t, 60, strings.Count(string(r.body), `"name":"cm-`))
		})
	}
}

// cut reads the beginning of an answer, and goes away.
func (d *deployment) cut(ctx context.Context, path, header string) error {
	address, err := url.Parse(d.URL() + expand(path))
	if err != nil {
		return err
	}
	transport, _ := d.client.Transport.(*http.Transport)                                                                                                     // as connect made it
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: transport.TLSClientConfig.RootCAs, ServerName: address.Hostname(), NextProtos: []string{"http/1.1"}}} //nolint:gosec // a loopback server
	conn, err := dialer.DialContext(ctx, "tcp", address.Host)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it may be cut already
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s\r\n", address.RequestURI(), address.Host, users()["admin"], header); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 64))
	return err
}

var goroutines = regexp.MustCompile(`(?m)^go_goroutines (\S+)$`)

// goroutines returns how many a server has.
func (d *deployment) goroutines(ctx context.Context, t *testing.T) int {
	t.Helper()
	r, err := d.send(ctx, &Case{}, "/metrics")
	require.NoError(t, err)
	found := goroutines.FindSubmatch(r.body)
	require.Len(t, found, 2, r)
	n, err := strconv.ParseFloat(string(found[1]), 64)
	require.NoError(t, err)
	return int(n)
}
