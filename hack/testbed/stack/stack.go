// Package stack runs Clusterpedia's built servers on a host cluster of the test
// bed, as an operator would: CRDs, storage configuration, servers, APIService,
// PediaClusters, kubeconfig. It knows the servers by their flags and APIs alone.
package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"clusterpedia.io/testbed/cluster"
	"clusterpedia.io/testbed/process"
)

const (
	// Namespace of the servers' leases and services.
	Namespace = "clusterpedia-system"
	service   = "clusterpedia-apiserver"
	// Root is the path of the aggregated API that kubeconfigs point to.
	Root = "/apis/clusterpedia.io/v1beta1/resources"
)

// Stack is Clusterpedia on a host cluster.
type Stack struct {
	Host *cluster.Cluster
	// Dir holds the logs, certificates and the storage layer's configuration.
	Dir string
	// Bin is the directory of the built servers, with plugins/ in it.
	Bin string
	// CRDs is the directory of the custom resource definitions.
	CRDs string
	// Storage is the name of the storage layer, and StorageConfig the content of
	// its configuration file.
	Storage, StorageConfig string
	// Env is added to the servers' environment.
	Env []string
	// ServerKubeconfigs are the kubeconfigs that servers use, by their names; the host's
	// administrator's is the default.
	ServerKubeconfigs map[string]string
	// ShardingName is the name of the clustersynchro-manager, and of the one that
	// PediaClusters ask for.
	ShardingName string
	// ManagerArgs are added to the arguments of both managers, APIServerArgs to those of
	// the apiserver.
	ManagerArgs, APIServerArgs []string

	config  *rest.Config
	kube    kubernetes.Interface
	dynamic dynamic.Interface
	port    int
}

var (
	pediaClusters = schema.GroupVersionResource{Group: "cluster.clusterpedia.io", Version: "v1alpha2", Resource: "pediaclusters"}
	crds          = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	apiServices   = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}
)

// Install prepares the host cluster: namespace, CRDs and the storage layer's
// configuration.
func (s *Stack) Install(ctx context.Context) error {
	var err error
	if s.config, err = clientcmd.BuildConfigFromFlags("", s.Host.Kubeconfig()); err != nil {
		return err
	}
	s.config.QPS = -1
	if s.kube, err = kubernetes.NewForConfig(s.config); err != nil {
		return err
	}
	if s.dynamic, err = dynamic.NewForConfig(s.config); err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(s.storageConfig(), []byte(s.StorageConfig), 0o600); err != nil {
		return err
	}
	if err := s.apply(ctx, schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, "", object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": Namespace}}); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(s.CRDs, "*.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no custom resource definitions in %s: %w", s.CRDs, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		crd := object{}
		if err := yaml.Unmarshal(text, &crd); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := s.apply(ctx, crds, "", crd); err != nil {
			return err
		}
	}
	return s.poll(ctx, time.Minute, func() error {
		_, err := s.dynamic.Resource(pediaClusters).List(ctx, metav1.ListOptions{})
		return err
	})
}

type object = map[string]any

func (s *Stack) storageConfig() string { return filepath.Join(s.Dir, "storage.yaml") }

// apply creates an object, or changes it to what is given.
func (s *Stack) apply(ctx context.Context, gvr schema.GroupVersionResource, namespace string, o object) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: o}
	client := dynamic.ResourceInterface(s.dynamic.Resource(gvr))
	if namespace != "" {
		client = s.dynamic.Resource(gvr).Namespace(namespace)
	}
	force := true
	_, err = client.Patch(ctx, u.GetName(), types.ApplyPatchType, text, metav1.PatchOptions{FieldManager: "testbed", Force: &force})
	if err != nil {
		return fmt.Errorf("apply %s %s: %w", gvr.Resource, u.GetName(), err)
	}
	return nil
}

// kubeconfig returns that of a server.
func (s *Stack) kubeconfig(server string) string {
	if path, ok := s.ServerKubeconfigs[server]; ok {
		return path
	}
	return s.Host.Kubeconfig()
}

// common are the arguments that all servers with a storage layer take.
func (s *Stack) common(server string) []string {
	return []string{"--kubeconfig", s.kubeconfig(server), "--storage-name", s.Storage, "--storage-config", s.storageConfig()}
}

// StartManager starts the clustersynchro-manager.
func (s *Stack) StartManager(context.Context) (*process.Process, error) {
	free, err := process.FreePorts(1)
	if err != nil {
		return nil, err
	}
	args := append(s.common("clustersynchro-manager"), "--leader-elect-resource-namespace", Namespace, "--metrics-host", "127.0.0.1", "--metrics-port", fmt.Sprint(free[0]))
	if s.ShardingName != "" {
		args = append(args, "--sharding-name", s.ShardingName)
	}
	return s.start("clustersynchro-manager", append(args, s.ManagerArgs...))
}

// StartControllerManager starts the controller-manager.
func (s *Stack) StartControllerManager(context.Context) (*process.Process, error) {
	free, err := process.FreePorts(1)
	if err != nil {
		return nil, err
	}
	args := []string{"--kubeconfig", s.kubeconfig("controller-manager"), "--leader-elect-resource-namespace", Namespace, "--metrics-host", "127.0.0.1", "--metrics-port", fmt.Sprint(free[0])}
	return s.start("controller-manager", append(args, s.ManagerArgs...))
}

// StartAPIServer starts the apiserver and returns when the host cluster serves its
// API.
func (s *Stack) StartAPIServer(ctx context.Context) (*process.Process, error) {
	return s.startAPIServer(ctx, "apiserver")
}

// StartBindingAPIServer starts the binding-apiserver, which is apiserver and
// clustersynchro-manager in one.
func (s *Stack) StartBindingAPIServer(ctx context.Context) (*process.Process, error) {
	return s.startAPIServer(ctx, "binding-apiserver")
}

func (s *Stack) startAPIServer(ctx context.Context, program string) (*process.Process, error) {
	if s.port == 0 {
		free, err := process.FreePorts(1)
		if err != nil {
			return nil, err
		}
		s.port = free[0]
	}
	certificate, key, err := s.Host.Issue(service, service+"."+Namespace+".svc", "localhost")
	if err != nil {
		return nil, err
	}
	if err := s.register(ctx); err != nil {
		return nil, err
	}
	args := append(s.common(program),
		"--authentication-kubeconfig", s.kubeconfig(program), "--authorization-kubeconfig", s.kubeconfig(program),
		"--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(s.port),
		"--tls-cert-file", certificate, "--tls-private-key-file", key)
	p, err := s.start(program, append(args, s.APIServerArgs...))
	if err != nil {
		return nil, err
	}
	return p, p.Until(ctx, 2*time.Minute, func(ctx context.Context) error {
		_, err := s.kube.Discovery().RESTClient().Get().AbsPath(Root, "api").DoRaw(ctx)
		return err
	})
}

// URL returns the address of the apiserver itself, beside the host cluster.
func (s *Stack) URL() string { return fmt.Sprintf("https://localhost:%d", s.port) }

func (s *Stack) start(program string, args []string) (*process.Process, error) {
	return process.Start(process.Spec{
		Name: program, Dir: s.Dir, Env: append([]string{"CLUSTERPEDIA_NAMESPACE=" + Namespace}, s.Env...),
		Command: append([]string{filepath.Join(s.Bin, program)}, args...),
	})
}

// register tells the host cluster's aggregation layer where the apiserver is.
func (s *Stack) register(ctx context.Context) error {
	ca, err := os.ReadFile(s.Host.PKI("ca.crt"))
	if err != nil {
		return err
	}
	err = s.apply(ctx, schema.GroupVersionResource{Version: "v1", Resource: "services"}, Namespace, object{
		"apiVersion": "v1", "kind": "Service", "metadata": object{"name": service, "namespace": Namespace},
		"spec": object{"type": "ExternalName", "externalName": "localhost", "ports": []object{{"port": s.port, "protocol": "TCP"}}},
	})
	if err != nil {
		return err
	}
	return s.apply(ctx, apiServices, "", object{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": object{"name": "v1beta1.clusterpedia.io"},
		"spec": object{
			"group": "clusterpedia.io", "version": "v1beta1", "groupPriorityMinimum": 1000, "versionPriority": 100,
			"service": object{"name": service, "namespace": Namespace, "port": s.port}, "caBundle": ca,
		},
	})
}

// SyncResource selects resources of one group.
type SyncResource struct {
	Group     string   `json:"group"`
	Versions  []string `json:"versions,omitempty"`
	Resources []string `json:"resources"`
	// EventsInvolvedResources are those whose Events are stored with them.
	EventsInvolvedResources []string `json:"eventsInvolvedResources,omitempty"`
}

// AddCluster registers a member cluster by its kubeconfig, or changes what is
// synced of it.
func (s *Stack) AddCluster(ctx context.Context, name, kubeconfig string, resources ...SyncResource) error {
	text, err := os.ReadFile(kubeconfig)
	if err != nil {
		return err
	}
	spec := object{"kubeconfig": text, "syncResources": resources}
	if s.ShardingName != "" {
		spec["shardingName"] = s.ShardingName
	}
	return s.apply(ctx, pediaClusters, "", object{
		"apiVersion": pediaClusters.GroupVersion().String(), "kind": "PediaCluster", "metadata": object{"name": name}, "spec": spec,
	})
}

// RemoveCluster deletes a PediaCluster and returns when it is gone.
func (s *Stack) RemoveCluster(ctx context.Context, name string) error {
	err := s.dynamic.Resource(pediaClusters).Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return s.poll(ctx, time.Minute, func() error {
		_, err := s.dynamic.Resource(pediaClusters).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("PediaCluster %s is still there: %w", name, err)
	})
}

// poll calls check until it returns nil, and returns its last error after limit.
func (s *Stack) poll(ctx context.Context, limit time.Duration, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s: %w", limit, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
