package apiserver

import (
	"net/http"
	"time"

	genericapiserver "k8s.io/apiserver/pkg/server"
)

// writeGrace is how long what a request ends with may take to be sent when its time is over.
const writeGrace = 5 * time.Second

// withWriteDeadline is a filter that ends answers whose clients do not read them. A write
// that waits for its client keeps the timeout of the generic server from ending the request
// too, which would hold one of the places of --max-requests-inflight, and what is read of
// the answer, until the connection ends. Watches and streams have no deadline, nor answers.
//
// It stands before that timeout, behind which a handler may go on when its connection has the
// next request already. With HTTP/1.1 net/http takes the deadline back after each.
func withWriteDeadline(next http.Handler, c *genericapiserver.Config, grace time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if info, err := c.RequestInfoResolver.NewRequestInfo(req); err == nil && !c.LongRunningFunc(req, info) {
			// Fails for a writer without deadlines, which is none of a connection.
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(c.RequestTimeout + grace))
		}
		next.ServeHTTP(w, req)
	})
}
