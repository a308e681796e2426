package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/exporter-toolkit/web"
	"github.com/spf13/pflag"
	"k8s.io/component-base/metrics"
	"k8s.io/klog/v2"

	"clusterpedia.io/storage-api/storage"
)

// Values of --profiling.
const (
	ProfilingLoopback = "loopback"
	ProfilingAll      = "true"
	ProfilingNone     = "false"
)

// MetricsOptions are the address that metrics and health are served on, and how.
type MetricsOptions struct {
	Host string
	Port int
	// DisableGzip leaves answers uncompressed.
	DisableGzip bool
	// TLSConfig is the path of a web configuration file of Prometheus' exporters, with
	// a certificate, users and more; empty: plain HTTP for everybody.
	TLSConfig string
	// Profiling says who may profile the process: one of the constants.
	Profiling string
	// Title is that of the page that leads to the others.
	Title string

	component *metrics.Options
}

// NewMetricsOptions returns the defaults. Servers that may run side by side have
// different ports.
func NewMetricsOptions(title string, port int) *MetricsOptions {
	return &MetricsOptions{Host: "::", Port: port, Profiling: ProfilingLoopback, Title: title, component: metrics.NewOptions()}
}

// AddFlags adds the flags of metrics.
func (o *MetricsOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Host, "metrics-host", o.Host, "The address on which metrics and health are served.")
	fs.IntVar(&o.Port, "metrics-port", o.Port, "The port on which metrics and health are served.")
	fs.BoolVar(&o.DisableGzip, "metrics-disable-gzip-encoding", o.DisableGzip, "Do not compress metrics, not even for clients that accept it.")
	fs.StringVar(&o.TLSConfig, "metrics-tls-config", o.TLSConfig, "The path of a web configuration file as Prometheus' exporters have it, with a certificate or users. Empty: plain HTTP for everybody.")
	fs.StringVar(&o.Profiling, "profiling", o.Profiling, "Who may profile the process below /debug/pprof: loopback (who connects from the same host or pod), true (whoever reaches the port) or false (nobody).")
	o.component.AddFlags(fs)
}

// Validate checks the options.
func (o *MetricsOptions) Validate() []error {
	var errs []error
	if o.Port < 1 || o.Port > 65535 {
		errs = append(errs, fmt.Errorf("--metrics-port must be from 1 to 65535, not %d", o.Port))
	}
	if !slices.Contains([]string{ProfilingLoopback, ProfilingAll, ProfilingNone}, o.Profiling) {
		errs = append(errs, fmt.Errorf("--profiling must be %s, %s or %s, not %q", ProfilingLoopback, ProfilingAll, ProfilingNone, o.Profiling))
	}
	if err := web.Validate(o.TLSConfig); err != nil {
		errs = append(errs, fmt.Errorf("--metrics-tls-config: %w", err))
	}
	return append(errs, o.component.Validate()...)
}

// Apply has the flags of single metrics obeyed. It is called before any is registered.
func (o *MetricsOptions) Apply() {
	if reflect.ValueOf(o.component.MetricsConfiguration).IsZero() {
		return // it would complain that there is no manifest
	}
	o.component.Apply()
}

// shutdownLimit bounds the wait for requests that are being answered.
const shutdownLimit = 5 * time.Second

// Listen binds the address and returns a function that serves until its context
// ends: /metrics with the process's and the storage layer's metrics, /healthz,
// /readyz, which asks the storage layer, and /debug/pprof. A process without a storage
// layer gives nil.
func (o *MetricsOptions) Listen(ctx context.Context, st storage.Storage) (serve func(context.Context) error, err error) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", MetricsHandler(st, !o.DisableGzip))
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
	o.addProfiling(mux)
	landing, err := web.NewLandingPage(web.LandingConfig{
		Name: o.Title, Version: Version().GitVersion, Profiling: strconv.FormatBool(o.Profiling != ProfilingNone),
		Links: []web.LandingLinks{{Address: "/metrics", Text: "Metrics"}, {Address: "/healthz", Text: "Health"}, {Address: "/readyz", Text: "Readiness"}},
	})
	if err != nil {
		return nil, fmt.Errorf("make the landing page: %w", err)
	}
	mux.Handle("GET /{$}", landing)
	serve, err = ListenWeb(ctx, net.JoinHostPort(o.Host, strconv.Itoa(o.Port)), o.TLSConfig, mux)
	if err != nil {
		return nil, fmt.Errorf("--metrics-host, --metrics-port: %w", err)
	}
	return serve, nil
}

// addProfiling adds /debug/pprof. Profiles tell much of a process, and to make one
// slows it down: unless it is said otherwise, they are for who can log in to the host,
// or forward a port of the pod.
func (o *MetricsOptions) addProfiling(mux *http.ServeMux) {
	allow := func(h http.HandlerFunc) http.HandlerFunc { return h }
	switch o.Profiling {
	case ProfilingNone:
		return
	case ProfilingLoopback:
		allow = loopbackOnly
	}
	mux.HandleFunc("GET /debug/pprof/", allow(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/cmdline", allow(pprof.Cmdline))
	mux.HandleFunc("GET /debug/pprof/profile", allow(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/symbol", allow(pprof.Symbol))
	mux.HandleFunc("POST /debug/pprof/symbol", allow(pprof.Symbol))
	mux.HandleFunc("GET /debug/pprof/trace", allow(pprof.Trace))
}

func loopbackOnly(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		peer, err := netip.ParseAddrPort(req.RemoteAddr)
		if err != nil || !peer.Addr().Unmap().IsLoopback() {
			http.Error(w, "profiles are for callers on the same host or pod; --profiling=true lets everybody see them", http.StatusForbidden)
			return
		}
		h(w, req)
	}
}

// ListenWeb binds an address and returns a function that serves until its context ends,
// with what a web configuration file says, if there is one.
func ListenWeb(ctx context.Context, address, config string, handler http.Handler) (serve func(context.Context) error, err error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: shutdownLimit}
	log := slog.New(logr.ToSlogHandler(klog.Background().WithName("web").V(1)))
	return func(ctx context.Context) error {
		stopped := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(stopped)
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
			defer cancel()
			_ = server.Shutdown(ctx) // what is left is cut off by the end of the process
		})
		err := web.Serve(listener, server, &web.FlagConfig{WebConfigFile: &config}, log)
		if !stop() {
			<-stopped
		}
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("serve %s: %w", address, err)
	}, nil
}
