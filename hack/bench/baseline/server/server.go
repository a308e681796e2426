// Package server runs a baseline as a server of its own, so that what it costs is
// measured from outside, as it is of Clusterpedia's.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/metrics"
	"time"
)

// Options are the address and the certificate's files. With Clients, certificates of
// clients are asked for.
type Options struct {
	Address, Certificate, Key string
	Clients                   bool
}

// Run serves a handler over TLS and HTTP/2 until ctx ends, with the runtime's metrics at
// /metrics.
func Run(ctx context.Context, o Options, handler http.Handler) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", writeMetrics)
	mux.Handle("/", handler)
	s := &http.Server{Addr: o.Address, Handler: mux, ReadHeaderTimeout: time.Minute, BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) }}
	if o.Clients {
		s.TLSConfig = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() }) // nobody waits for an answer any more
	defer stop()
	if err := s.ListenAndServeTLS(o.Certificate, o.Key); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve at %s: %w", o.Address, err)
	}
	return nil
}

// writeMetrics writes what Prometheus' collector writes, of the same names.
func writeMetrics(w http.ResponseWriter, _ *http.Request) {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/tiny/allocs:objects"}}
	metrics.Read(samples)
	fmt.Fprintf(w, "go_memstats_alloc_bytes_total %d\ngo_memstats_mallocs_total %d\n", samples[0].Value.Uint64(), samples[1].Value.Uint64()+samples[2].Value.Uint64())
}
