package resources

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/component-base/version"

	"clusterpedia.io/api/client/listers/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/apiserver/discovery"
	"clusterpedia.io/clusterpedia/internal/apiserver/listoptions"
	"clusterpedia.io/clusterpedia/internal/apiserver/memberaccess"
	"clusterpedia.io/clusterpedia/internal/apiserver/table"
	"clusterpedia.io/clusterpedia/internal/apiserver/visibility"
	"clusterpedia.io/clusterpedia/internal/builtin"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// Config holds what a Handler is made of.
type Config struct {
	Storage storage.Storage
	// Params are the URL parameters that the storage layer reads itself.
	Params   []string
	Scheme   *builtin.Scheme
	Catalog  *discovery.Catalog
	Clusters v1alpha2.PediaClusterLister
	// Count is whether the objects behind a list are counted if the client doesn't say.
	Count query.Count
	// KeepVersion leaves kind and apiVersion in the items of lists that are served as
	// stored.
	KeepVersion bool
	// Checker limits searches to what callers may see; nil: whoever may reach the path
	// may see all of it.
	Checker *visibility.Checker
	// RecheckWatches is how often a Checker is asked again what a running watch may show;
	// zero: every 15 seconds.
	RecheckWatches time.Duration
	// Members says what is passed on to member clusters; what it has in common with this
	// is filled in.
	Members memberaccess.Config
}

// Handler serves the paths below the root of one cluster, or of all, as their API
// server would.
type Handler struct {
	Config
	discovery *discovery.Handler
	members   *memberaccess.Proxy
	printer   *table.Printer
	// definitions are the columns of custom resources.
	definitions *printColumns
	resolver    request.RequestInfoResolver
	// errors writes Statuses where no resource is known yet.
	codecs runtime.NegotiatedSerializer
	// scopes holds the scope of each resource that was asked for.
	lock   sync.Mutex
	scopes map[discovery.Resource]*scope
	// answers are what lists are written with.
	answers answers
}

// NewHandler returns a handler.
func NewHandler(c Config) *Handler {
	verbs := []string{"get", "list"}
	if _, ok := c.Storage.(storage.Watcher); ok {
		verbs = append(verbs, "watch")
	}
	if c.RecheckWatches == 0 {
		c.RecheckWatches = recheckWatches
	}
	codecs := serializer.NewCodecFactory(metaKinds)
	h := &Handler{
		Config:      c,
		discovery:   discovery.NewHandler(c.Catalog, codecs, verbs, c.Members.Allowed.Discovery),
		printer:     table.NewPrinter(c.Scheme),
		definitions: newPrintColumns(c.Storage),
		resolver:    newResolver(),
		codecs:      codecs,
		scopes:      map[discovery.Resource]*scope{},
	}
	c.Members.Clusters, c.Members.Checker = c.Clusters, c.Checker
	c.Members.Parameters, c.Members.Resolver, c.Members.Fail = runtime.NewParameterCodec(c.Scheme.Runtime()), h.resolver, h.fail
	h.members = memberaccess.New(c.Members)
	return h
}

func newResolver() request.RequestInfoResolver {
	return &request.RequestInfoFactory{
		APIPrefixes:          sets.NewString("api", "apis"),
		GrouplessAPIPrefixes: sets.NewString("api"),
	}
}

// Serve answers a request for path, what follows the root of the cluster, as the client
// wrote it; an empty cluster stands for all.
func (h *Handler) Serve(w http.ResponseWriter, req *http.Request, cluster, path string) {
	inner, err := below(req, path)
	if err != nil {
		h.fail(w, req, err)
		return
	}
	path = inner.URL.Path
	if strings.HasPrefix(path, "//") { // also by an escape: it was authorized as another path
		discovery.NotFound(w)
		return
	}
	if h.members.ServeProxyPath(w, inner, cluster) {
		return
	}
	if !plain(path) { // an empty segment was authorized as none, and would be taken for the core group
		discovery.NotFound(w)
		return
	}
	info, err := h.resolver.NewRequestInfo(inner)
	if err != nil { // as /api/v1/watch, with nothing behind it
		discovery.NotFound(w)
		return
	}
	forward := memberaccess.Forward(inner, info)
	switch {
	case forward && h.Members.NoForward && (info.IsResourceRequest || isAPI(path)):
		h.fail(w, req, apierrors.NewBadRequest("this server forwards no requests to member clusters: its feature gate AllowForwardRequestToClusters is off"))
		return
	case forward && (h.Members.ForwardUnsynced || !info.IsResourceRequest) && isAPI(path):
		h.members.ServeForward(w, inner, cluster, info)
		return
	case !info.IsResourceRequest:
		h.serveNonResource(w, inner, cluster, path)
		return
	}
	if cluster != "" {
		if err := h.reach(req.Context(), cluster, info, forward, inner.URL.Query()); err != nil {
			h.fail(w, req, APIError(err, schema.GroupResource{Group: info.APIGroup, Resource: info.Resource}, ""))
			return
		}
		if _, err := h.Clusters.Get(cluster); err != nil {
			h.fail(w, req, apierrors.NewBadRequest("the server could not find the requested cluster"))
			return
		}
	}
	gvr := schema.GroupVersionResource{Group: info.APIGroup, Version: info.APIVersion, Resource: info.Resource}
	view, known := h.Catalog.View(cluster)
	if !known {
		discovery.NotFound(w)
		return
	}
	resource, known := view.Resource(gvr)
	switch {
	case !known:
		discovery.NotFound(w)
		return
	case forward:
		h.members.ServeForward(w, inner, cluster, info)
		return
	case info.Subresource != "":
		if !h.members.ServeSubresource(w, inner, cluster, info) {
			h.fail(w, req, memberaccess.ErrNoSubresource())
		}
		return
	case gvr.GroupResource() == schema.GroupResource{Resource: "namespaces"}:
		info.Namespace = ""
	case !resource.Namespaced && info.Namespace != "":
		discovery.NotFound(w)
		return
	}
	s, err := h.scope(req.Context(), resource)
	if err != nil {
		h.fail(w, req, apierrors.NewInternalError(err))
		return
	}
	h.serveResource(w, inner.WithContext(request.WithRequestInfo(inner.Context(), info)), s, cluster, info) //nolint:contextcheck // that of the request
}

// plain reports whether a path has no segment that is empty, or "." or "..", but at its
// end, or behind a proxy subresource, whose path is the member's.
func plain(path string) bool {
	parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
	if proxy := proxyIndex(parts); proxy > 0 {
		parts = parts[:proxy]
	}
	if len(parts) == 1 && parts[0] == "" {
		return true // the root
	}
	return !slices.ContainsFunc(parts, func(p string) bool { return p == "" || p == "." || p == ".." })
}

// proxyIndex returns where the path of an API names a proxy subresource; 0: nowhere.
func proxyIndex(parts []string) int {
	at := map[string]int{"api": 2, "apis": 3}[parts[0]]
	if at == 0 {
		return 0
	}
	if len(parts) > at+2 && parts[at] == "namespaces" && parts[at+2] != "proxy" {
		at += 2
	}
	if at += 2; len(parts) > at && parts[at] == "proxy" {
		return at
	}
	return 0
}

// reach returns an error unless the caller may see or do anything of what is asked for. A
// cluster of which he may not is to him as one that is not there.
func (h *Handler) reach(ctx context.Context, cluster string, info *request.RequestInfo, forward bool, values url.Values) error {
	switch {
	case h.Checker == nil:
		return nil
	case forward:
		return h.Checker.Member(ctx, cluster, info)
	}
	return h.Checker.Reach(ctx, cluster, info, listoptions.Namespaces(values)...)
}

// isAPI reports whether a path is one of the API, and not of the server itself.
func isAPI(path string) bool {
	first, _, _ := strings.Cut(strings.Trim(path, "/"), "/")
	return first == "api" || first == "apis"
}

func (h *Handler) serveNonResource(w http.ResponseWriter, req *http.Request, cluster, path string) {
	trimmed := strings.Trim(path, "/")
	switch {
	case isAPI(path):
		if h.Checker != nil && cluster != "" {
			allowed, err := h.Checker.Discover(req.Context(), cluster)
			if err != nil {
				h.fail(w, req, APIError(err, schema.GroupResource{}, ""))
				return
			}
			if !allowed {
				cluster = "" // what some cluster has tells nothing of this one
			}
			w = private{w}
		}
		h.discovery.ServeHTTP(w, req, cluster, path)
	case trimmed == "version":
		responsewriters.WriteRawJSON(http.StatusOK, version.Get(), w)
	case trimmed == "healthz" || trimmed == "livez" || trimmed == "readyz":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprint(w, "ok")
	default:
		discovery.NotFound(w)
	}
}

func (h *Handler) serveResource(w http.ResponseWriter, req *http.Request, s *scope, cluster string, info *request.RequestInfo) {
	r := newReader(req, h.Storage, s, cluster)
	defer r.close()
	switch info.Verb {
	case "get":
		if cluster == "" {
			h.fail(w, req, apierrors.NewBadRequest("please specify the cluster name when using the resource name to get a specific resource."))
			return
		}
		if h.Checker != nil {
			if err := h.Checker.Get(req.Context(), s.resource, cluster, info.Namespace); err != nil {
				h.fail(w, req, APIError(err, s.Resource.GroupResource(), info.Name))
				return
			}
		}
		r.events = listoptions.InjectEvents(req.URL.Query())
		if h.Checker != nil && r.events {
			place := &query.Query{Clusters: []string{cluster}, Events: true, Visible: &query.Visibility{Scopes: []query.Scope{{Clusters: []string{cluster}}}}}
			if info.Namespace != "" {
				place.Visible.Scopes[0].Namespaces = []string{info.Namespace}
			}
			if err := WithoutForbiddenEvents(req.Context(), h.Checker, place); err != nil {
				h.fail(w, req, APIError(err, s.Resource.GroupResource(), info.Name))
				return
			}
			r.events = place.Events
		}
		h.warn(req.Context(), s, &query.Query{Clusters: []string{cluster}})
		s = h.forTable(req.Context(), r, cluster)
		handlers.GetResource(r, &s.RequestScope)(w, req)
	case "list", "watch":
		h.serveList(w, req, r, info)
	default:
		h.fail(w, req, apierrors.NewMethodNotSupported(s.Resource.GroupResource(), info.Verb))
	}
}

// serveList answers a list or a watch.
func (h *Handler) serveList(w http.ResponseWriter, req *http.Request, r *reader, info *request.RequestInfo) {
	s, cluster := r.scope, r.cluster
	source, ok := h.Storage.(storage.Watcher)
	if info.Verb == "watch" && !ok {
		h.fail(w, req, apierrors.NewMethodNotSupported(s.Resource.GroupResource(), "watch"))
		return
	}
	// As the stock handler: first of all, whether there is a format to say anything in.
	if r.refused != nil {
		responsewriters.ErrorNegotiated(r.refused, s.Serializer, s.Kind.GroupVersion(), w, req)
		return
	}
	options, err := listoptions.Parse(listoptions.Input{
		Values:    req.URL.Query(),
		Cluster:   cluster,
		Namespace: info.Namespace,
		Types:     []query.Type{{Group: s.resource.Stored.Group, Version: s.resource.Stored.Version, Resource: s.resource.Stored.Resource}},
		Params:    h.Params,
		Count:     h.Count,
	})
	if err != nil {
		h.fail(w, req, err)
		return
	}
	if info.Verb == "watch" && info.Name != "" && inOldPath(info) { // else it is that of the field selector
		options.Query.Names = []string{info.Name}
	}
	for _, text := range options.Warnings {
		warning.AddWarning(req.Context(), "", text)
	}
	if h.Checker != nil {
		if r.limits, err = applyLimits(req.Context(), h.Checker, s.resource, info.Verb, options.Query, ok); err != nil {
			h.fail(w, req, APIError(err, s.Resource.GroupResource(), ""))
			return
		}
	}
	h.warn(req.Context(), s, options.Query)
	r.options = options
	if cluster == "" && len(options.Query.Clusters) == 1 {
		cluster = options.Query.Clusters[0]
	}
	visible := options.Query.Visible
	if visible != nil && len(visible.Scopes) > 0 && cluster == "" {
		cluster = first(visible.Scopes[0].Clusters) // of no other one the caller may know
	}
	if visible == nil || len(visible.Scopes) > 0 {
		s = h.forTable(req.Context(), r, cluster)
	}
	if info.Verb == "list" {
		if f := r.format(req); f != nil {
			h.flow(w, req, r, f)
			return
		}
	}
	handlers.ListResource(r, watcher{r, source, h.RecheckWatches}, &s.RequestScope, info.Verb == "watch", minWatch)(w, forStockHandler(req, info.Verb))
}

// inOldPath reports whether a request has one of the old paths for watches, as
// /api/v1/watch/namespaces/NAMESPACE/pods/NAME.
func inOldPath(info *request.RequestInfo) bool {
	parts := strings.Split(strings.Trim(info.Path, "/"), "/")
	version := 1
	if info.APIPrefix == "apis" {
		version = 2
	}
	return len(parts) > version+1 && parts[version+1] == "watch"
}

// forStockHandler removes from a list request what the stock handler would
// misunderstand: the field selector has a grammar of its own here.
func forStockHandler(req *http.Request, verb string) *http.Request {
	values := req.URL.Query()
	values.Del("fieldSelector")
	if verb == "watch" {
		limitWatch(req.Context(), values)
	}
	stock := *req
	stock.URL = &url.URL{Path: req.URL.Path, RawQuery: values.Encode()}
	return &stock
}

func (h *Handler) scope(ctx context.Context, r discovery.Resource) (*scope, error) {
	h.lock.Lock()
	defer h.lock.Unlock()
	if s, ok := h.scopes[r]; ok {
		return s, nil
	}
	s, err := newScope(ctx, r, h.Scheme, h.printer)
	if err != nil {
		return nil, err
	}
	if h.KeepVersion {
		s.itemStarts = nil
	}
	h.scopes[r] = s
	return s, nil
}

// fail answers with a Status.
func (h *Handler) fail(w http.ResponseWriter, req *http.Request, err error) {
	responsewriters.ErrorNegotiated(err, h.codecs, schema.GroupVersion{Version: "v1"}, w, req)
}
