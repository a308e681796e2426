package memberaccess

import "net/http"

// finalWriter takes a member's answer for httputil.ReverseProxy, whose other habits do not
// fit: it passes on interim answers as they are, of which what stands around this server
// takes the first for the last, and clears the header behind them; and it passes on
// trailers. Here interim answers are dropped, and so is what comes behind the body.
type finalWriter struct {
	http.ResponseWriter
	header http.Header
	final  bool
}

func newFinalWriter(w http.ResponseWriter) *finalWriter {
	return &finalWriter{ResponseWriter: w, header: http.Header{}}
}

// Header implements http.ResponseWriter.
func (w *finalWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *finalWriter) WriteHeader(code int) {
	if w.final || code >= 100 && code < 200 && code != http.StatusSwitchingProtocols {
		return
	}
	w.final = true
	w.header.Del("Trailer")
	given := w.ResponseWriter.Header()
	for name, values := range w.header {
		given[name] = append(given[name], values...)
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write implements io.Writer.
func (w *finalWriter) Write(p []byte) (int, error) {
	if !w.final {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController flush and hijack.
func (w *finalWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
