package process

import (
	"compress/gzip"
	"net/http"
	"strings"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"  // of requests to the host cluster, and of the lease
	_ "k8s.io/component-base/metrics/prometheus/workqueue" // of the queues
	"k8s.io/klog/v2"

	"clusterpedia.io/storage-api/storage"
)

// MetricsHandler serves the process's and the storage layer's metrics, in the text format.
// It is called once in a process.
func MetricsHandler(st storage.Storage, compress bool) http.Handler {
	if err := registerVersion(); err != nil {
		klog.ErrorS(err, "The metrics lack the build info")
	}
	own := metrics.HandlerFor(legacyregistry.DefaultGatherer, metrics.HandlerOpts{DisableCompression: true})
	writer, _ := st.(storage.MetricsWriter)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if compress && acceptsGzip(req) {
			zipped := &gzipResponse{ResponseWriter: w, gzip: gzip.NewWriter(w)}
			w.Header().Set("Content-Encoding", "gzip")
			w = zipped
			defer func() {
				if err := zipped.gzip.Close(); err != nil {
					klog.V(2).InfoS("The metrics were not sent to the end", "err", err)
				}
			}()
		}
		// What follows is the text format.
		req = req.Clone(req.Context())
		req.Header.Del("Accept")
		own.ServeHTTP(w, req)
		if writer == nil {
			return
		}
		if err := writer.WriteMetrics(w); err != nil {
			klog.ErrorS(err, "The storage layer's metrics were not written")
		}
	})
}

// gzipResponse compresses a response.
type gzipResponse struct {
	http.ResponseWriter
	gzip *gzip.Writer
}

// Write implements io.Writer.
func (w *gzipResponse) Write(b []byte) (int, error) { return w.gzip.Write(b) }

// acceptsGzip reports whether a client says that it does.
func acceptsGzip(req *http.Request) bool {
	for _, list := range req.Header.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(list, ",") {
			name, parameter, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				return strings.ReplaceAll(parameter, " ", "") != "q=0"
			}
		}
	}
	return false
}
