package apiserver

import (
	"context"
	"errors"
	"net/http"
	"time"

	"k8s.io/apiserver/pkg/endpoints/responsewriter"
)

// lateGrace is how long an answer that begins too late is held back. It only has to be longer
// than the generic server takes to see that a request's time is over.
const lateGrace = time.Second

// withTimeoutFirst is a filter that leaves it to the generic server to answer when a request's
// time is over. A handler sees the end of that time at the same moment: if it is the first to
// answer, by an error of its own, the generic server resets the stream, and the client does
// not learn what has happened.
func withTimeoutFirst(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		late := &lateWriter{ResponseWriter: w, ctx: req.Context()}
		next.ServeHTTP(responsewriter.WrapForHTTP1Or2(late), req)
	})
}

// lateWriter holds an answer back that begins when the time of its request is over.
type lateWriter struct {
	http.ResponseWriter
	ctx   context.Context //nolint:containedctx // that of the request
	begun bool
}

// Unwrap implements responsewriter.UserProvidedDecorator.
func (w *lateWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *lateWriter) WriteHeader(code int) {
	w.begin()
	w.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (w *lateWriter) Write(p []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(p)
}

func (w *lateWriter) begin() {
	if !w.begun && errors.Is(w.ctx.Err(), context.DeadlineExceeded) {
		<-time.After(lateGrace)
	}
	w.begun = true
}
