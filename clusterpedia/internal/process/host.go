package process

import (
	"fmt"
	"net/url"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// HostOptions are how a controller reaches the host cluster.
type HostOptions struct {
	Kubeconfig, Master, ContentType string
	// QPS is in requests a second.
	QPS   float32
	Burst int
}

// NewHostOptions returns the defaults.
func NewHostOptions() *HostOptions {
	return &HostOptions{ContentType: "application/json", QPS: 50, Burst: 100}
}

// AddFlags adds --kubeconfig, --master and the --kube-api flags.
func (o *HostOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig, "The path of the host cluster's kubeconfig. Empty: that of the pod's service account.")
	fs.StringVar(&o.Master, "master", o.Master, "The address of the host cluster's API server, in place of that in the kubeconfig.")
	fs.Float32Var(&o.QPS, "kube-api-qps", o.QPS, "The number of requests a second to the host cluster.")
	fs.IntVar(&o.Burst, "kube-api-burst", o.Burst, "The number of requests to the host cluster beyond that, for a moment.")
	fs.StringVar(&o.ContentType, "kube-api-content-type", o.ContentType, "The content type of requests to the host cluster.")
}

// Validate checks the options.
func (o *HostOptions) Validate() []error {
	if _, err := url.Parse(o.Master); err != nil {
		return []error{fmt.Errorf("--master: %w", err)}
	}
	return nil
}

// Config returns the connection of a component, which names it to the API server.
func (o *HostOptions) Config(userAgent string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags(o.Master, o.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig: %w", err)
	}
	config.QPS, config.Burst, config.ContentType = o.QPS, o.Burst, o.ContentType
	return rest.AddUserAgent(config, userAgent), nil
}
