package membercluster

import (
	"errors"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// readKubeconfig returns the configuration of a kubeconfig's current context. The
// kubeconfig is a user's: whatever would run a command or read a file of this
// process is refused.
func readKubeconfig(data []byte) (*rest.Config, error) {
	all, err := clientcmd.Load(data)
	if err != nil {
		return nil, err
	}
	name := all.CurrentContext
	if name == "" {
		return nil, errors.New("current-context is not set")
	}
	current := all.Contexts[name]
	if current == nil {
		return nil, fmt.Errorf("current-context %q is not among the contexts", name)
	}
	cluster := all.Clusters[current.Cluster]
	if cluster == nil {
		return nil, fmt.Errorf("contexts[%s].cluster %q is not among the clusters", name, current.Cluster)
	}
	if cluster.Server == "" {
		return nil, fmt.Errorf("clusters[%s].server is not set", current.Cluster)
	}
	if cluster.CertificateAuthority != "" {
		return nil, refused("clusters", current.Cluster, "certificate-authority", "certificate-authority-data")
	}
	used := clientcmdapi.NewConfig()
	used.CurrentContext = name
	used.Contexts[name] = current
	used.Clusters[current.Cluster] = cluster
	if current.AuthInfo != "" {
		user := all.AuthInfos[current.AuthInfo]
		if user == nil {
			return nil, fmt.Errorf("contexts[%s].user %q is not among the users", name, current.AuthInfo)
		}
		if err := checkUser(current.AuthInfo, user); err != nil {
			return nil, err
		}
		used.AuthInfos[current.AuthInfo] = user
	}
	return clientcmd.NewDefaultClientConfig(*used, &clientcmd.ConfigOverrides{}).ClientConfig()
}

func checkUser(name string, user *clientcmdapi.AuthInfo) error {
	switch {
	case user.Exec != nil:
		return refused("users", name, "exec", "token or client-certificate-data")
	case user.AuthProvider != nil:
		return refused("users", name, "auth-provider", "token or client-certificate-data")
	case user.TokenFile != "":
		return refused("users", name, "tokenFile", "token")
	case user.ClientCertificate != "":
		return refused("users", name, "client-certificate", "client-certificate-data")
	case user.ClientKey != "":
		return refused("users", name, "client-key", "client-key-data")
	}
	return nil
}

func refused(list, name, field, instead string) error {
	return fmt.Errorf("%s[%s].%s is not allowed, since it would use a file or a program of Clusterpedia's own machine: give %s", list, name, field, instead)
}
