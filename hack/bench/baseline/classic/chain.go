package classic

import (
	"fmt"
	"net/http"
	"os"

	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	genericapiserver "k8s.io/apiserver/pkg/server"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/util/cert"
)

// WithChain puts the filters of an API server in front of a handler: every aggregated
// API server has them. Who has a certificate of the authority in that file, and is an
// administrator, may do everything.
func WithChain(h *Handler, authority string) (http.Handler, error) {
	text, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	roots, err := cert.NewPoolFromBytes(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", authority, err)
	}
	options := x509.DefaultVerifyOptions()
	options.Roots = roots
	c := genericapiserver.NewConfig(h.codecs)
	c.Authentication.Authenticator = group.NewAuthenticatedGroupAdder(x509.New(options, x509.CommonNameUserConversion))
	c.Authorization.Authorizer = authorizerfactory.NewPrivilegedGroups(user.SystemPrivilegedGroup)
	c.FeatureGate = utilfeature.DefaultFeatureGate
	c.RequestInfoResolver = genericapiserver.NewRequestInfoResolver(c)
	return genericapiserver.DefaultBuildHandlerChain(h, c), nil
}
