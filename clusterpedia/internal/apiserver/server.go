package apiserver

import (
	"context"
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	clientdiscovery "k8s.io/client-go/discovery"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	clientrest "k8s.io/client-go/rest"

	"clusterpedia.io/api/client/clientset/versioned"
	"clusterpedia.io/api/client/informers/externalversions"
	"clusterpedia.io/api/clusterpedia/v1beta1"
	"clusterpedia.io/clusterpedia/internal/apiserver/collections"
	"clusterpedia.io/clusterpedia/internal/apiserver/discovery"
	"clusterpedia.io/clusterpedia/internal/apiserver/memberaccess"
	"clusterpedia.io/clusterpedia/internal/apiserver/resources"
	"clusterpedia.io/clusterpedia/internal/apiserver/visibility"
	"clusterpedia.io/clusterpedia/internal/builtin"
	"clusterpedia.io/clusterpedia/internal/membercluster"
	"clusterpedia.io/clusterpedia/internal/process"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// newScheme returns what knows the aggregated API itself; the objects of the members
// have the scheme of package builtin.
func newScheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	if err := v1beta1.AddToScheme(s); err != nil {
		return nil, fmt.Errorf("register the API's kinds: %w", err)
	}
	collections.AddToScheme(s)
	unversioned := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(s, unversioned)
	s.AddUnversionedTypes(unversioned, &metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
	return s, nil
}

// Server is the aggregated API server, ready to run.
type Server struct {
	generic  *genericapiserver.GenericAPIServer
	catalog  *discovery.Catalog
	host     clientdiscovery.DiscoveryInterface
	informer externalversions.SharedInformerFactory
	// secrets is nil unless credentials of members may come from Secrets.
	secrets informers.SharedInformerFactory
}

// New builds a server on a storage layer. params are the URL parameters that the
// storage layer reads itself.
func New(ctx context.Context, o *Options, st storage.Storage, params []string) (*Server, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	config, client, err := o.genericConfig(scheme)
	if err != nil {
		return nil, err
	}
	if prober, ok := st.(storage.Prober); ok {
		config.ReadyzChecks = append(config.ReadyzChecks, storageCheck(prober))
	}
	generic, err := config.Complete().New("clusterpedia", genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, fmt.Errorf("build the server: %w", err)
	}
	const metrics = "/metrics"
	generic.Handler.NonGoRestfulMux.Unregister(metrics)
	generic.Handler.NonGoRestfulMux.Handle(metrics, process.MetricsHandler(st, true))
	s := &Server{generic: generic}
	if err := s.install(ctx, scheme, client, st, params, o); err != nil {
		return nil, err
	}
	return s, nil
}

// install hangs the aggregated API into the generic server.
func (s *Server) install(ctx context.Context, scheme *runtime.Scheme, client *clientrest.Config, st storage.Storage, params []string, o *Options) error {
	clients, err := versioned.NewForConfig(client)
	if err != nil {
		return fmt.Errorf("connect to the host cluster: %w", err)
	}
	s.host = clients.Discovery()
	s.informer = externalversions.NewSharedInformerFactory(clients, 0)
	clusters := s.informer.Cluster().V1alpha2().PediaClusters()

	kinds := builtin.NewScheme()
	s.catalog = discovery.NewCatalog(kinds)
	registration, err := clusters.Informer().AddEventHandler(s.catalog.Handler())
	if err != nil {
		return fmt.Errorf("follow the PediaClusters: %w", err)
	}
	var checker *visibility.Checker
	if o.SearchAuthorization == SearchAuthorizationPerResource {
		reviews, err := o.reviews()
		if err != nil {
			return err
		}
		checker = visibility.New(visibility.Config{
			Authorizer: reviews, AllowedFor: o.Authorization.AllowCacheTTL, DeniedFor: o.Authorization.DenyCacheTTL,
			Clusters: clusters.Lister(), Catalog: s.catalog, Storage: st,
		})
	}
	members, err := s.members(ctx, client, &o.Members)
	if err != nil {
		return err
	}
	count := query.CountNone
	if utilfeature.DefaultFeatureGate.Enabled(gateCount) {
		count = query.CountCheap
	}
	handler := resources.NewHandler(resources.Config{
		Storage: st, Params: params, Scheme: kinds, Catalog: s.catalog, Clusters: clusters.Lister(), Checker: checker, Members: members,
		Count: count, KeepVersion: utilfeature.DefaultFeatureGate.Enabled(gateKeepVersion),
	})
	group := genericapiserver.NewDefaultAPIGroupInfo(v1beta1.GroupName, scheme, runtime.NewParameterCodec(scheme), serializer.NewCodecFactory(scheme))
	collected, err := collections.New(ctx, st, params, count, resources.Warner{Clusters: clusters.Lister()}, checker, group.NegotiatedSerializer)
	if err != nil {
		return err
	}
	group.VersionedResourcesStorageMap[v1beta1.GroupVersion.Version] = map[string]rest.Storage{
		"resources":          resources.NewConnecter(handler),
		collections.Resource: collected,
	}
	if err := s.generic.InstallAPIGroup(&group); err != nil {
		return fmt.Errorf("install %s: %w", v1beta1.GroupName, err)
	}
	synced := healthz.NamedCheck("clusters-synced", func(*http.Request) error {
		if !registration.HasSynced() {
			return fmt.Errorf("the PediaClusters are not listed yet")
		}
		if s.secrets != nil && !s.secrets.Core().V1().Secrets().Informer().HasSynced() {
			return fmt.Errorf("the Secrets are not listed yet")
		}
		return nil
	})
	return s.generic.AddReadyzChecks(synced)
}

// members returns what is passed on to member clusters until ctx ends.
func (s *Server) members(ctx context.Context, client *clientrest.Config, o *memberaccess.Options) (memberaccess.Config, error) {
	allowed, err := memberaccess.ParseSubresources(o.AllowedSubresources)
	if err != nil {
		return memberaccess.Config{}, err
	}
	c := memberaccess.Config{
		Allowed: allowed, UsePediaClusterConfig: o.UsePediaClusterConfig, ProxyPath: o.ProxyPath, ForwardUnsynced: o.ForwardUnsynced, Stopping: ctx,
		NoForward: !utilfeature.DefaultFeatureGate.Enabled(memberaccess.GateForward),
	}
	if !utilfeature.DefaultFeatureGate.Enabled(memberaccess.GateSecrets) {
		return c, nil
	}
	host, err := kubernetes.NewForConfig(client)
	if err != nil {
		return c, fmt.Errorf("connect to the host cluster: %w", err)
	}
	namespace := process.Namespace()
	s.secrets = informers.NewSharedInformerFactoryWithOptions(host, 0, informers.WithNamespace(namespace))
	c.Secrets = membercluster.SecretLister{SecretNamespaceLister: s.secrets.Core().V1().Secrets().Lister().Secrets(namespace)}
	return c, nil
}

// Run serves until ctx ends, and returns when everything has stopped.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.informer.Start(ctx.Done())
	if s.secrets != nil {
		s.secrets.Start(ctx.Done())
		defer s.secrets.Shutdown()
	}
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		s.catalog.FollowHost(ctx, s.host)
	}()
	err := s.generic.PrepareRun().RunWithContext(ctx)
	cancel()
	<-followed
	s.informer.Shutdown()
	return err
}

// probeTimeout bounds a readiness check.
const probeTimeout = 5 * time.Second

func storageCheck(prober storage.Prober) healthz.HealthChecker {
	return healthz.NamedCheck("storage", func(req *http.Request) error {
		ctx, cancel := context.WithTimeout(req.Context(), probeTimeout)
		defer cancel()
		return prober.Probe(ctx)
	})
}
