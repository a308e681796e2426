// Package memberaccess passes requests on to the API servers of member clusters, with
// the credentials of the caller or of the PediaCluster: requests that ask for it, those
// for logs and shells of pods, and whatever is below the proxy path.
//
// It stands beside the data's path (member cluster -> synchro -> storage -> apiserver
// -> client): what it answers comes from the member at this moment, and not from the
// storage layer.
package memberaccess

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/cache"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"

	"clusterpedia.io/api/client/listers/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/apiserver/visibility"
	"clusterpedia.io/clusterpedia/internal/membercluster"
)

const (
	// Connections of that many callers and members are kept for the next request; idle
	// ones end by themselves.
	maxTransports = 1000
	transportsFor = 10 * time.Minute
)

// Config holds what a Proxy is made of.
type Config struct {
	Allowed                                           Subresources
	UsePediaClusterConfig, ProxyPath, ForwardUnsynced bool
	// NoForward refuses requests that ask for the member's own answer.
	NoForward bool

	Clusters v1alpha2.PediaClusterLister
	// Secrets may be nil: then credentials from Secrets are refused.
	Secrets membercluster.Secrets
	// Checker asks what callers may do; nil: whoever may reach the path may do all.
	Checker *visibility.Checker
	// Parameters decodes the queries of the core group.
	Parameters runtime.ParameterCodec
	// Resolver is that of an API server.
	Resolver request.RequestInfoResolver
	// Stopping ends when the server stops, and all streams with it; nil: never.
	Stopping context.Context
	// Fail answers with an error.
	Fail func(http.ResponseWriter, *http.Request, error)
}

// Proxy passes requests on. All methods may be called concurrently.
type Proxy struct {
	Config
	transports *cache.LRUExpireCache
}

// New returns a proxy.
func New(c Config) *Proxy {
	return &Proxy{Config: c, transports: cache.NewLRUExpireCache(maxTransports)}
}

// Methods are those of the requests that this proxy may have to pass on.
func (p *Proxy) Methods() []string {
	allowed := []string{http.MethodGet}
	if p.ProxyPath {
		return allMethods()
	}
	for _, method := range allMethods() {
		for _, s := range p.Allowed {
			if slices.Contains(s.methods, method) && !slices.Contains(allowed, method) {
				allowed = append(allowed, method)
			}
		}
	}
	return allowed
}

// ServeForward passes a request on that asks for it, whose URL is the one that the member is
// to see: one that reads. What does more needs a flag, whether it asks to be passed on or not.
func (p *Proxy) ServeForward(w http.ResponseWriter, req *http.Request, cluster string, info *request.RequestInfo) {
	switch {
	case cluster == "", p.ProxyPath: // of nobody, or with a flag that lets everything through
	case connects(req, info):
		if !p.ServeSubresource(w, req, cluster, info) {
			p.Fail(w, req, ErrNoSubresource())
		}
		return
	case !slices.Contains([]string{"get", "list", "watch", "head"}, info.Verb):
		p.Fail(w, req, apierrors.NewMethodNotSupported(schema.GroupResource{Group: info.APIGroup, Resource: info.Resource}, info.Verb))
		return
	}
	p.serve(w, req, cluster, false)
}

// connects reports whether a request reaches behind the member's API, as shells do, or may
// do so: through which more goes than what its method says.
func connects(req *http.Request, info *request.RequestInfo) bool {
	switch info.Subresource {
	case "", "log":
		return false
	case "exec", "attach", "portforward", "proxy":
		return true
	}
	return httpstream.IsUpgradeRequest(req)
}

// ErrNoSubresource is the answer to a request for a subresource that is not served.
func ErrNoSubresource() error {
	return apierrors.NewInternalError(errors.New("not found request scope or resource storage"))
}

// ServeProxyPath passes a request on that is below the proxy path, and returns false
// if it is not, or the path is not enabled.
func (p *Proxy) ServeProxyPath(w http.ResponseWriter, req *http.Request, cluster string) bool {
	if !p.ProxyPath {
		return false
	}
	inner, ok := belowProxyPath(req)
	if ok {
		p.serve(w, inner, cluster, false)
	}
	return ok
}

const proxyPath = "/proxy"

// belowProxyPath returns the request as the member is to see it.
func belowProxyPath(req *http.Request) (*http.Request, bool) {
	escaped, ok := strings.CutPrefix(req.URL.EscapedPath(), proxyPath)
	if !ok || (escaped != "" && escaped[0] != '/') {
		return nil, false
	}
	inner := *req
	url := *req.URL
	url.Path, url.RawPath = strings.TrimPrefix(url.Path, proxyPath), escaped
	if escaped == "" {
		url.Path, url.RawPath = "/", "/"
	}
	inner.URL = &url
	return &inner, true
}

// ServeSubresource passes a request for a subresource on, and returns false if the
// subresource is not allowed.
func (p *Proxy) ServeSubresource(w http.ResponseWriter, req *http.Request, cluster string, info *request.RequestInfo) bool {
	sub, ok := p.Allowed[info.Resource+"/"+info.Subresource]
	if !ok || info.APIGroup != "" {
		return false
	}
	switch {
	case cluster == "":
		p.Fail(w, req, errNoCluster())
	case !slices.Contains(sub.methods, req.Method) || info.Verb == "watch":
		p.Fail(w, req, apierrors.NewMethodNotSupported(schema.GroupResource{Resource: sub.resource}, info.Verb))
	default:
		if err := p.Parameters.DecodeParameters(req.URL.Query(), schema.GroupVersion{Version: "v1"}, sub.options()); err != nil {
			p.Fail(w, req, apierrors.NewBadRequest(err.Error()))
			return true
		}
		p.serve(w, req, cluster, sub.upgrade)
	}
	return true
}

func errNoCluster() error {
	return apierrors.NewBadRequest("please specify the cluster name when using proxy model.")
}

func (p *Proxy) serve(w http.ResponseWriter, req *http.Request, cluster string, upgradeNeeded bool) {
	if cluster == "" {
		p.Fail(w, req, errNoCluster())
		return
	}
	info, err := p.resolve(req)
	if err != nil {
		p.Fail(w, req, err)
		return
	}
	if p.Checker != nil { // before anything tells whether there is such a cluster
		if err := p.Checker.Member(req.Context(), cluster, info); err != nil {
			p.Fail(w, req, err)
			return
		}
	}
	pediacluster, err := p.Clusters.Get(cluster)
	if err != nil {
		p.Fail(w, req, apierrors.NewBadRequest(err.Error()))
		return
	}
	upgrade := httpstream.IsUpgradeRequest(req)
	if upgradeNeeded && !upgrade {
		p.Fail(w, req, apierrors.NewBadRequest("Upgrade request required"))
		return
	}
	c, err := p.connect(pediacluster, req.Header)
	if err != nil {
		p.Fail(w, req, err)
		return
	}
	transport, server, err := p.transport(c, upgrade)
	if err != nil {
		p.Fail(w, req, err)
		return
	}
	ctx, cancel := p.untilStopping(req.Context())
	defer cancel()
	passed := passedHeader
	if info.Subresource == "proxy" {
		passed = passedHeaderToApplication
	}
	reverse := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(server)
			filterHeader(r.Out.Header, passed)
			if id := audit.GetAuditIDTruncated(ctx); id != "" {
				r.Out.Header.Set(auditinternal.HeaderAuditID, id)
			}
			if before := r.In.Header["X-Forwarded-For"]; len(before) > 0 {
				r.Out.Header["X-Forwarded-For"] = before
			}
			utilnet.AppendForwardedForHeader(r.Out)
		},
		Transport:      transport,
		FlushInterval:  -1, // logs are to be seen as they come
		ErrorLog:       klog.NewStandardLogger("INFO"),
		ModifyResponse: func(answer *http.Response) error { return checkAnswer(answer, w.Header()) },
		ErrorHandler:   p.failed,
	}
	reverse.ServeHTTP(newFinalWriter(w), req.WithContext(ctx))
}

// resolve returns what the member takes a request for. Paths that somebody between here
// and there could take for another one are refused.
func (p *Proxy) resolve(req *http.Request) (*request.RequestInfo, error) {
	info, err := p.Resolver.NewRequestInfo(req)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	path := strings.TrimPrefix(req.URL.Path, "/")
	// What is below a proxy subresource is the application's, which may have empty
	// segments.
	api := strings.Count(strings.Trim(path, "/"), "/") + 1
	if info.Subresource == "proxy" {
		api -= len(info.Parts) - len([]string{"resource", "name", "proxy"})
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		last := i == len(segments)-1
		if segment == "." || segment == ".." || (segment == "" && i < api && !last) {
			return nil, apierrors.NewBadRequest("the path to be passed on must not have segments that are empty, . or ..: " + req.URL.Path)
		}
	}
	return info, nil
}

// untilStopping returns a context that ends when the server stops, too.
func (p *Proxy) untilStopping(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	if p.Stopping == nil {
		return ctx, cancel
	}
	forget := context.AfterFunc(p.Stopping, cancel)
	return ctx, func() { forget(); cancel() }
}

// checkAnswer refuses redirections: clients would follow them with their credentials
// for this server, to wherever the member says.
func checkAnswer(answer *http.Response, given http.Header) error {
	if location := answer.Header.Get("Location"); location != "" && answer.StatusCode >= 300 && answer.StatusCode <= 399 {
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusBadGateway, Reason: metav1.StatusReason("BadGateway"),
			Message: "the member cluster redirects to " + location + ", which is not passed on; ask for that path instead",
		}}
	}
	filterAnswer(answer.Header, given)
	return nil
}

// failed answers when the member could not be asked.
func (p *Proxy) failed(w http.ResponseWriter, req *http.Request, err error) {
	var status apierrors.APIStatus
	var timeout net.Error
	switch {
	case errors.As(err, &status):
	case req.Context().Err() != nil && errors.Is(err, context.Canceled):
		// The client has gone, or the server stops.
		err = apierrors.NewServiceUnavailable("the request was canceled")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		err = apierrors.NewTimeoutError("the member cluster did not answer in time: "+err.Error(), 0)
	default:
		err = &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Message: err.Error()}}
	}
	p.Fail(w, req, err)
}
