package resources

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"clusterpedia.io/api/clusterpedia/v1beta1"
	"clusterpedia.io/clusterpedia/internal/apiserver/discovery"
	"clusterpedia.io/clusterpedia/internal/apiserver/memberaccess"
)

// Connecter hangs a Handler below the resource "resources" of the aggregated API,
// so that the outer server authenticates and authorizes its requests.
type Connecter struct{ handler *Handler }

var (
	_ rest.Connecter            = &Connecter{}
	_ rest.Scoper               = &Connecter{}
	_ rest.SingularNameProvider = &Connecter{}
)

// NewConnecter returns the storage of "resources".
func NewConnecter(h *Handler) *Connecter { return &Connecter{handler: h} }

// New implements rest.Storage.
func (*Connecter) New() runtime.Object { return &v1beta1.Resources{} }

// Destroy implements rest.Storage.
func (*Connecter) Destroy() {}

// NamespaceScoped implements rest.Scoper.
func (*Connecter) NamespaceScoped() bool { return false }

// GetSingularName implements rest.SingularNameProvider.
func (*Connecter) GetSingularName() string { return "resources" }

// ConnectMethods implements rest.Connecter.
func (c *Connecter) ConnectMethods() []string { return c.handler.members.Methods() }

// NewConnectOptions implements rest.Connecter: everything below a name is its own.
func (*Connecter) NewConnectOptions() (runtime.Object, bool, string) { return nil, true, "" }

// Connect implements rest.Connecter. The paths are
//
//	…/resources/PATH                     of all clusters
//	…/resources/clusters/CLUSTER/PATH    of one
func (c *Connecter) Connect(ctx context.Context, _ string, _ runtime.Object, responder rest.Responder) (http.Handler, error) {
	info, ok := request.RequestInfoFrom(ctx)
	if !ok {
		return nil, apierrors.NewInternalError(errNoRequestInfo)
	}
	root := rootOf(info)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		cluster, path, found := splitPath(root, req.URL.EscapedPath())
		if !found {
			responder.Error(&apierrors.StatusError{ErrStatus: metav1.Status{
				Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
				Message: "the server could not find the requested resource", Details: &metav1.StatusDetails{},
			}})
			return
		}
		// What was authorized is the path without such escapes and slashes.
		if strings.Contains(cluster, "%") || strings.HasPrefix(path, "//") {
			discovery.NotFound(w)
			return
		}
		c.handler.Serve(w, req, cluster, path)
	}), nil
}

// LongRunning reports whether a request below "resources" may take as long as its
// client wants. What it asks of the cluster says so, and no word in its URL.
func LongRunning() request.LongRunningRequestCheck {
	resolver := newResolver()
	return func(req *http.Request, info *request.RequestInfo) bool {
		if info.APIGroup != v1beta1.GroupName || info.Resource != "resources" {
			return info.Verb == "watch"
		}
		_, path, found := splitPath(rootOf(info), req.URL.EscapedPath())
		if !found {
			return false
		}
		inner, err := below(req, path)
		return err == nil && memberaccess.LongRunning(inner, resolver)
	}
}

func rootOf(info *request.RequestInfo) string {
	return "/" + strings.Join([]string{info.APIPrefix, info.APIGroup, info.APIVersion, info.Resource}, "/")
}

// below returns the request as the API server of a cluster would see it, whose URL has
// path as the client wrote it: names may be escaped, as of cluster roles with a colon.
func below(req *http.Request, path string) (*http.Request, error) {
	unescaped, err := url.PathUnescape(path)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("path %q: %v", path, err))
	}
	inner := req.Clone(req.Context())
	inner.URL.Path, inner.URL.RawPath = unescaped, path
	return inner, nil
}

// splitPath splits the path of a request into the cluster and the path that its
// API server would see. The path is compared as the client wrote it: names of
// clusters need no escapes.
func splitPath(root, escaped string) (cluster, path string, found bool) {
	path, ok := strings.CutPrefix(escaped, root+"/")
	if !ok {
		return "", "", false
	}
	first, rest, _ := strings.Cut(path, "/")
	if first != "clusters" {
		return "", "/" + path, true
	}
	cluster, path, _ = strings.Cut(rest, "/")
	if cluster == "" || strings.Trim(path, "/") == "" {
		return "", "", false
	}
	return cluster, "/" + path, true
}
