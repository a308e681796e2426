package memberaccess

import (
	"errors"

	"github.com/spf13/pflag"
	"k8s.io/component-base/featuregate"
)

// Gates are the feature gates of this package, all but GateForward off by default.
const (
	// GateAllowProxy permits the flags that let more than reads of what is synced through.
	GateAllowProxy featuregate.Feature = "AllowProxyRequestToClusters"
	// GateForward permits requests to ask for an answer of the member, by header or label.
	// Earlier releases have no gate for that, so clients may count on it.
	GateForward featuregate.Feature = "AllowForwardRequestToClusters"
	// GateSecrets lets the credentials of members come from Secrets. The synchro has a gate
	// of the same name.
	GateSecrets featuregate.Feature = "ClusterAuthenticationFromSecret"
)

// AddGates adds the feature gates.
func AddGates(gate featuregate.MutableFeatureGate) error {
	alpha := featuregate.FeatureSpec{PreRelease: featuregate.Alpha}
	return gate.Add(map[featuregate.Feature]featuregate.FeatureSpec{
		GateAllowProxy: alpha, GateSecrets: alpha, GateForward: {Default: true, PreRelease: featuregate.Beta},
	})
}

// Options are the flags that say what is passed on to members.
type Options struct {
	// AllowedSubresources are RESOURCE/SUBRESOURCE, or SUBRESOURCE for all that have it.
	AllowedSubresources []string
	// UsePediaClusterConfig connects with the PediaCluster's own credentials if a request
	// brings none.
	UsePediaClusterConfig bool
	// ProxyPath passes on what is below …/clusters/CLUSTER/proxy.
	ProxyPath bool
	// ForwardUnsynced lets requests be forwarded for resources that are not synced.
	ForwardUnsynced bool
}

// AddFlags adds the flags.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	fs.StringSliceVar(&o.AllowedSubresources, "allowed-proxy-subresources", o.AllowedSubresources,
		"The subresources whose requests are passed on to the member cluster, as RESOURCE/SUBRESOURCE, or SUBRESOURCE for every resource that has it. "+
			"Supported: "+supported()+". Needs the feature gate AllowProxyRequestToClusters.")
	fs.BoolVar(&o.UsePediaClusterConfig, "allow-pediacluster-config-for-proxy-request", o.UsePediaClusterConfig,
		"Pass requests without credentials of their own on with those of the PediaCluster: callers then have its rights in the member cluster.")
	fs.BoolVar(&o.ProxyPath, "enable-proxy-path-for-forward-request", o.ProxyPath,
		"Pass on every request below …/resources/clusters/CLUSTER/proxy. Needs the feature gate AllowProxyRequestToClusters.")
	fs.BoolVar(&o.ForwardUnsynced, "allow-forward-unsync-resource-request", o.ForwardUnsynced,
		"Forward requests also for resources that are not synced. Needs the feature gate AllowProxyRequestToClusters.")
}

// Validate returns what is wrong with the flags.
func (o *Options) Validate(gate featuregate.FeatureGate) error {
	if (len(o.AllowedSubresources) > 0 || o.ProxyPath || o.ForwardUnsynced) && !gate.Enabled(GateAllowProxy) {
		return errors.New("please enable feature gate AllowProxyRequestToClusters to allow apiserver to handle the proxy and forward requests")
	}
	if o.ForwardUnsynced && !gate.Enabled(GateForward) {
		return errors.New("--allow-forward-unsync-resource-request needs the feature gate " + string(GateForward))
	}
	_, err := ParseSubresources(o.AllowedSubresources)
	return err
}
