package memberaccess

import (
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/server/filters"
	"k8s.io/streaming/pkg/httpstream"
)

// LongRunning reports whether a request, whose URL is that of one cluster, may take as
// long as its client wants: those that an API server lets do so, by verb and
// subresource, and others that are passed on with an upgraded connection.
func LongRunning(req *http.Request, resolver request.RequestInfoResolver) bool {
	passedOn := strings.EqualFold(req.Header.Get(forwardHeader), "true")
	if inner, ok := belowProxyPath(req); ok {
		req, passedOn = inner, true
	}
	info, err := resolver.NewRequestInfo(req)
	if err != nil {
		return false
	}
	if passedOn && httpstream.IsUpgradeRequest(req) {
		return true
	}
	check := filters.BasicLongRunningRequestCheck(sets.NewString("watch"), sets.NewString("attach", "exec", "proxy", "log", "portforward"))
	return check(req, info)
}
