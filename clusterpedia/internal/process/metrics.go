package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/component-base/metrics/legacyregistry"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"  // of requests to the host cluster, and of the lease
	_ "k8s.io/component-base/metrics/prometheus/workqueue" // of the queues
	"k8s.io/klog/v2"

	"clusterpedia.io/storage-api/storage"
)

// MetricsOptions are the address that metrics and health are served on.
type MetricsOptions struct {
	Host string
	Port int
}

// NewMetricsOptions returns the defaults. Servers that may run side by side have
// different ports.
func NewMetricsOptions(port int) *MetricsOptions { return &MetricsOptions{Host: "::", Port: port} }

// AddFlags adds --metrics-host and --metrics-port.
func (o *MetricsOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Host, "metrics-host", o.Host, "The address on which metrics and health are served.")
	fs.IntVar(&o.Port, "metrics-port", o.Port, "The port on which metrics and health are served.")
}

// Validate checks the options.
func (o *MetricsOptions) Validate() []error {
	if o.Port < 1 || o.Port > 65535 {
		return []error{fmt.Errorf("--metrics-port must be from 1 to 65535, not %d", o.Port)}
	}
	return nil
}

// shutdownLimit bounds the wait for requests that are being answered.
const shutdownLimit = 5 * time.Second

// Listen binds the address and returns a function that serves until its context
// ends: /metrics with the process's and the storage layer's metrics, /healthz, and
// /readyz, which asks the storage layer. A process without one gives nil.
func (o *MetricsOptions) Listen(ctx context.Context, st storage.Storage) (serve func(context.Context) error, err error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", net.JoinHostPort(o.Host, strconv.Itoa(o.Port)))
	if err != nil {
		return nil, fmt.Errorf("--metrics-host, --metrics-port: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", MetricsHandler(st))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, req *http.Request) {
		if prober, ok := st.(storage.Prober); ok {
			ctx, cancel := context.WithTimeout(req.Context(), shutdownLimit)
			defer cancel()
			if err := prober.Probe(ctx); err != nil {
				klog.ErrorS(err, "The storage layer is not ready")
				http.Error(w, "the storage layer is not ready, the log has the reason", http.StatusServiceUnavailable)
				return
			}
		}
		fmt.Fprint(w, "ok")
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: shutdownLimit}
	return func(ctx context.Context) error {
		stopped := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(stopped)
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
			defer cancel()
			_ = server.Shutdown(ctx) // what is left is cut off by the end of the process
		})
		err := server.Serve(listener)
		if !stop() {
			<-stopped
		}
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("serve metrics: %w", err)
	}, nil
}

// MetricsHandler serves the process's and the storage layer's metrics. It is called once
// in a process.
func MetricsHandler(st storage.Storage) http.Handler {
	if err := registerVersion(); err != nil {
		klog.ErrorS(err, "The metrics lack the build info")
	}
	own := legacyregistry.Handler()
	writer, ok := st.(storage.MetricsWriter)
	if !ok {
		return own
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		// What follows is the text format, uncompressed.
		req = req.Clone(req.Context())
		req.Header.Del("Accept")
		req.Header.Del("Accept-Encoding")
		own.ServeHTTP(w, req)
		if err := writer.WriteMetrics(w); err != nil {
			klog.ErrorS(err, "The storage layer's metrics were not written")
		}
	})
}
