// Package apiserver is the aggregated API server: it serves what the synchro has
// stored, at /apis/clusterpedia.io/v1beta1, behind the kube-apiserver of the host
// cluster or on its own.
package apiserver

import (
	"errors"
	"fmt"
	"net"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/featuregate"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/component-base/metrics"
	openapi "k8s.io/kube-openapi/pkg/common"

	openapidefinitions "clusterpedia.io/api/generated/openapi"
	"clusterpedia.io/clusterpedia/internal/apiserver/collections"
	"clusterpedia.io/clusterpedia/internal/apiserver/cork"
	"clusterpedia.io/clusterpedia/internal/apiserver/memberaccess"
	"clusterpedia.io/clusterpedia/internal/apiserver/resources"
	"clusterpedia.io/clusterpedia/internal/process"

	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
)

// Options are the flags of the server.
type Options struct {
	Storage        *process.StorageOptions
	SecureServing  *genericoptions.SecureServingOptionsWithLoopback
	Authentication *genericoptions.DelegatingAuthenticationOptions
	Authorization  *genericoptions.DelegatingAuthorizationOptions
	Audit          *genericoptions.AuditOptions
	Features       *genericoptions.FeatureOptions
	CoreAPI        *genericoptions.CoreAPIOptions
	Traces         *genericoptions.TracingOptions
	Metrics        *metrics.Options
	Logs           *logs.Options
	Members        memberaccess.Options

	// SearchAuthorization is one of the constants of that name.
	SearchAuthorization string
	// MaxRequestsInFlight and MaxMutatingRequestsInFlight bound the requests that
	// are served at once. Zero: no bound.
	MaxRequestsInFlight         int
	MaxMutatingRequestsInFlight int
}

// How searches are authorized: by the path alone, as earlier releases do, or also by
// the resource, namespace and cluster of what is searched.
const (
	SearchAuthorizationCompatible  = "Compatible"
	SearchAuthorizationPerResource = "PerResource"
)

// NewOptions returns the defaults.
func NewOptions() *Options {
	serving := genericoptions.NewSecureServingOptions()
	serving.HTTP2MaxStreamsPerConnection = 1000 // the kube-apiserver sends all requests over one connection
	o := &Options{
		Storage:        process.NewStorageOptions(),
		SecureServing:  serving.WithLoopback(),
		Authentication: genericoptions.NewDelegatingAuthenticationOptions(),
		Authorization:  genericoptions.NewDelegatingAuthorizationOptions(),
		Audit:          genericoptions.NewAuditOptions(),
		Features:       genericoptions.NewFeatureOptions(),
		CoreAPI:        genericoptions.NewCoreAPIOptions(),
		Traces:         genericoptions.NewTracingOptions(),
		Metrics:        metrics.NewOptions(),
		Logs:           logs.NewOptions(),
	}
	o.SearchAuthorization = SearchAuthorizationCompatible
	o.Features.EnablePriorityAndFairness = false
	// As the kube-apiserver: one client must not take all of the server.
	o.MaxRequestsInFlight, o.MaxMutatingRequestsInFlight = 400, 200
	return o
}

const (
	// gateKeepVersion lets items of lists that are served as stored keep their kind and
	// apiVersion.
	gateKeepVersion featuregate.Feature = "NotConvertToMemoryVersion"
	// gateCount counts the objects that remain behind a list unless the client says
	// otherwise.
	gateCount featuregate.Feature = "RemainingItemCount"
)

// AddGates adds the feature gates of the server and its logs to those that the libraries
// of Kubernetes register by themselves. counts is the default of RemainingItemCount. It is
// called once for a gate.
func AddGates(gate featuregate.MutableVersionedFeatureGate, counts bool) error {
	if err := logsapi.AddFeatureGates(gate); err != nil {
		return fmt.Errorf("feature gates of the logs: %w", err)
	}
	err := gate.Add(map[featuregate.Feature]featuregate.FeatureSpec{
		gateKeepVersion: {PreRelease: featuregate.Alpha},
		gateCount:       {PreRelease: featuregate.GA, Default: counts},
	})
	if err != nil {
		return err
	}
	return memberaccess.AddGates(gate)
}

// Flags returns all flags, by section.
func (o *Options) Flags() cliflag.NamedFlagSets {
	var sets cliflag.NamedFlagSets
	o.Storage.AddFlags(sets.FlagSet("storage"))
	sets.FlagSet("authorization").StringVar(&o.SearchAuthorization, "search-authorization", o.SearchAuthorization,
		"How searches are authorized. Compatible: whoever may get a path below resources sees all that it leads to. "+
			"PerResource: beyond that, only what the caller may get or list of the resource PLURAL[.GROUP] of the API group search.clusterpedia.io, in the objects' namespace, with the cluster as the name.")
	o.Members.AddFlags(sets.FlagSet("member access"))
	generic := sets.FlagSet("generic")
	generic.IntVar(&o.MaxRequestsInFlight, "max-requests-inflight", o.MaxRequestsInFlight, "The greatest number of non-mutating requests to serve at once. Zero for no limit.")
	generic.IntVar(&o.MaxMutatingRequestsInFlight, "max-mutating-requests-inflight", o.MaxMutatingRequestsInFlight, "The greatest number of mutating requests to serve at once. Zero for no limit.")
	utilfeature.DefaultMutableFeatureGate.AddFlag(generic)
	o.CoreAPI.AddFlags(sets.FlagSet("global"))
	o.SecureServing.AddFlags(sets.FlagSet("secure serving"))
	o.Authentication.AddFlags(sets.FlagSet("authentication"))
	o.Authorization.AddFlags(sets.FlagSet("authorization"))
	o.Audit.AddFlags(sets.FlagSet("auditing"))
	o.Features.AddFlags(sets.FlagSet("features"))
	o.Traces.AddFlags(sets.FlagSet("traces"))
	o.Metrics.AddFlags(sets.FlagSet("metrics"))
	logsapi.AddFlags(o.Logs, sets.FlagSet("logs"))
	return sets
}

// Validate checks the options and returns all that is wrong.
func (o *Options) Validate() error {
	var errs []error
	if o.SearchAuthorization != SearchAuthorizationCompatible && o.SearchAuthorization != SearchAuthorizationPerResource {
		errs = append(errs, fmt.Errorf("--search-authorization must be %s or %s, not %q", SearchAuthorizationCompatible, SearchAuthorizationPerResource, o.SearchAuthorization))
	}
	for flag, value := range map[string]int{
		"--max-requests-inflight": o.MaxRequestsInFlight, "--max-mutating-requests-inflight": o.MaxMutatingRequestsInFlight,
	} {
		if value < 0 {
			errs = append(errs, fmt.Errorf("%s can not be negative value", flag))
		}
	}
	errs = append(errs, o.Members.Validate(utilfeature.DefaultFeatureGate))
	for _, validate := range []func() []error{
		o.Storage.Validate, o.CoreAPI.Validate, o.SecureServing.Validate, o.Authentication.Validate, o.Authorization.Validate,
		o.Audit.Validate, o.Features.Validate, o.Traces.Validate, o.Metrics.Validate,
	} {
		errs = append(errs, validate()...)
	}
	return errors.Join(errs...)
}

// reviews returns an authorizer like that of requests, but for its memory: a Checker has
// one of its own, and knows by it what a search costs.
func (o *Options) reviews() (authorizer.Authorizer, error) {
	forgetful := *o.Authorization
	forgetful.AllowCacheTTL, forgetful.DenyCacheTTL = -1, -1
	var info genericapiserver.AuthorizationInfo
	if err := forgetful.ApplyTo(&info); err != nil {
		return nil, err
	}
	return info.Authorizer, nil
}

// genericConfig returns the configuration of the generic server and the client
// configuration of the host cluster.
func (o *Options) genericConfig(scheme *runtime.Scheme) (*genericapiserver.RecommendedConfig, *rest.Config, error) {
	if err := o.SecureServing.MaybeDefaultWithSelfSignedCerts("localhost", nil, []net.IP{net.ParseIP("127.0.0.1")}); err != nil {
		return nil, nil, fmt.Errorf("create a self-signed certificate: %w", err)
	}
	config := genericapiserver.NewRecommendedConfig(serializer.NewCodecFactory(scheme))
	config.EffectiveVersion = compatibility.DefaultBuildEffectiveVersion()
	definitions := openapi.GetOpenAPIDefinitions(openapidefinitions.GetOpenAPIDefinitions)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, openapinamer.NewDefinitionNamer(scheme))
	config.OpenAPIConfig.Info.Title = "Clusterpedia"
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, openapinamer.NewDefinitionNamer(scheme))
	config.OpenAPIV3Config.Info.Title = "Clusterpedia"
	config.MaxRequestsInFlight = o.MaxRequestsInFlight
	config.MaxMutatingRequestsInFlight = o.MaxMutatingRequestsInFlight
	config.BuildHandlerChainFunc = func(handler http.Handler, c *genericapiserver.Config) http.Handler {
		chain := genericapiserver.DefaultBuildHandlerChain(withTimeoutFirst(collections.WithRequest(handler)), c)
		return withWriteDeadline(resources.WithAggregator(chain), c, writeGrace)
	}
	config.LongRunningFunc = resources.LongRunning()

	if err := o.CoreAPI.ApplyTo(config); err != nil {
		return nil, nil, fmt.Errorf("--kubeconfig: %w", err)
	}
	steps := []func() error{
		func() error { return o.SecureServing.ApplyToConfig(&config.Config) },
		func() error {
			if config.SecureServing != nil {
				config.SecureServing.Listener = cork.Listener(config.SecureServing.Listener)
			}
			return nil
		},
		func() error {
			return o.Authentication.ApplyTo(&config.Authentication, config.SecureServing, config.OpenAPIConfig)
		},
		func() error { return o.Authorization.ApplyTo(&config.Authorization) },
		func() error { return o.Audit.ApplyTo(&config.Config) },
		func() error { return o.Features.ApplyTo(&config.Config, nil, config.SharedInformerFactory) },
		func() error { return o.Traces.ApplyTo(nil, &config.Config) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	return config, config.ClientConfig, nil
}
