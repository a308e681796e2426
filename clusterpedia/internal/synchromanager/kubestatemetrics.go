package synchromanager

import (
	"errors"

	"github.com/spf13/pflag"
)

// KubeStateMetrics are the flags of the metrics of members' objects, which v0.9 makes by
// kube-state-metrics. They are read, since manifests have them, and cannot be turned on:
// docs/design.md says why.
type KubeStateMetrics struct {
	Enabled             bool
	Host                string
	Port                int
	Allowlist, Denylist []string
	OptIn               []string
	Resources           []string
	// Namespaces are those whose objects are shown, but for those of NamespacesDenylist.
	Namespaces, NamespacesDenylist []string
}

// NewKubeStateMetrics returns the defaults.
func NewKubeStateMetrics() *KubeStateMetrics {
	return &KubeStateMetrics{Host: "::", Port: 8080, Resources: []string{"deployments", "pods", "services"}}
}

// AddFlags adds --enable-kube-state-metrics and those that begin with
// --kube-state-metrics.
func (o *KubeStateMetrics) AddFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&o.Enabled, "enable-kube-state-metrics", o.Enabled, "Serve metrics of the members' objects. Not available: only false is accepted.")
	fs.StringVar(&o.Host, "kube-state-metrics-host", o.Host, "The address on which they would be served.")
	fs.IntVar(&o.Port, "kube-state-metrics-port", o.Port, "The port on which they would be served.")
	fs.StringSliceVar(&o.Allowlist, "kube-state-metrics-metric-allowlist", o.Allowlist, "The metrics that would be served; empty: all.")
	fs.StringSliceVar(&o.Denylist, "kube-state-metrics-metric-denylist", o.Denylist, "The metrics that would not be served.")
	fs.StringSliceVar(&o.OptIn, "kube-state-metrics-metric-opt-in-list", o.OptIn, "The metrics that would be served only if they are named here.")
	fs.StringSliceVar(&o.Resources, "kube-state-metrics-resources", o.Resources, "The resources of whose objects they would be.")
	fs.StringSliceVar(&o.Namespaces, "kube-state-metrics-namespaces", o.Namespaces, "The namespaces of whose objects they would be; empty: all.")
	fs.StringSliceVar(&o.NamespacesDenylist, "kube-state-metrics-namespaces-denylist", o.NamespacesDenylist, "The namespaces of whose objects they would not be.")
}

// Validate checks the options.
func (o *KubeStateMetrics) Validate() []error {
	if !o.Enabled {
		return nil
	}
	return []error{errors.New("--enable-kube-state-metrics is not available, since no release of kube-state-metrics builds with the Kubernetes libraries of this program: leave it out, and run kube-state-metrics in the member clusters")}
}
