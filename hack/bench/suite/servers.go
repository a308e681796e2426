package suite

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/bench/measure"
	"clusterpedia.io/bench/report"
	"clusterpedia.io/testbed/build"
	"clusterpedia.io/testbed/cluster"
	"clusterpedia.io/testbed/process"
	"clusterpedia.io/testbed/stack"
)

const (
	readyLimit = time.Minute
	stopLimit  = 10 * time.Second
)

// server is one of those that are compared.
type server struct {
	name string
	// url is what the paths of requests are below.
	url     string
	process *process.Process
	// scrape is what reading the server's metrics allocates, and scrapeCPU how long it
	// takes.
	scrape    measure.Allocated
	scrapeCPU time.Duration
	client    *http.Client
}

// startHost starts the host cluster, and prepares it.
func (s *suite) startHost(ctx context.Context) error {
	testbed := filepath.Join(s.Repository, "hack", "testbed")
	binaries, err := build.Programs(ctx, testbed, os.Stderr, build.ControlPlane()...)
	if err != nil {
		return err
	}
	s.host = &cluster.Cluster{Name: "host", Dir: filepath.Join(s.dir, "host"), Binaries: binaries}
	s.cleanup(s.host.Stop)
	if err := s.host.Start(ctx); err != nil {
		return err
	}
	config, err := s.engine.config(ownDatabase, s.storage())
	if err != nil {
		return err
	}
	s.stack = &stack.Stack{
		Host: s.host, Dir: filepath.Join(s.dir, "servers"), Bin: filepath.Join(s.Repository, "bin"),
		CRDs: filepath.Join(s.Repository, "charts", "clusterpedia", "crds"), Storage: "internal", StorageConfig: string(config),
		APIServerArgs: []string{"--feature-gates=AllowRawSQLQuery=true"},
	}
	return s.stack.Install(ctx)
}

// startServers starts the apiserver and the baselines, and calibrates what is measured of
// them.
func (s *suite) startServers(ctx context.Context) error {
	own, err := s.stack.StartAPIServer(ctx)
	if own != nil {
		s.cleanup(func() error { return own.Stop(stopLimit) })
	}
	if err != nil {
		return err
	}
	if err := s.addServer(report.Own, s.stack.URL(), own); err != nil {
		return err
	}
	for name, database := range map[string]string{report.Classic: classicDatabase, report.Floor: floorDatabase} {
		if err := s.startBaseline(ctx, name, database); err != nil {
			return err
		}
	}
	if err := s.awaitObjects(ctx); err != nil {
		return err
	}
	return s.calibrate(ctx)
}

// restart gives all servers processes of their own again. What has served great lists has
// room for the garbage of hundreds of small ones, and collects none while they are measured.
func (s *suite) restart(ctx context.Context) error {
	for _, server := range s.servers {
		if err := server.process.Stop(stopLimit); err != nil {
			return err
		}
	}
	return s.startServers(ctx)
}

// startBaseline starts this program once more, as a server.
func (s *suite) startBaseline(ctx context.Context, name, database string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ports, err := process.FreePorts(1)
	if err != nil {
		return err
	}
	certificate, key, err := s.host.Issue("baseline", "localhost")
	if err != nil {
		return err
	}
	p, err := process.Start(process.Spec{
		Name: name, Dir: filepath.Join(s.dir, "servers"),
		Command: []string{
			self, "serve", name, "--engine", string(s.engine.kind), "--dsn", s.engine.dsn(database), "--listen", fmt.Sprintf("127.0.0.1:%d", ports[0]),
			"--certificate", certificate, "--key", key, "--authority", s.host.PKI("ca.crt"), fmt.Sprintf("--count=%t", s.Count),
		},
	})
	if err != nil {
		return err
	}
	s.cleanup(func() error { return p.Stop(stopLimit) })
	url := fmt.Sprintf("https://localhost:%d", ports[0])
	if err := s.addServer(name, url, p); err != nil {
		return err
	}
	return p.Until(ctx, readyLimit, func(ctx context.Context) error {
		_, err := s.ask(ctx, s.servers[name], request{path: "/api/v1/pods", limit: 1})
		return err
	})
}

func (s *suite) addServer(name, url string, p *process.Process) error {
	client, err := s.newClient()
	if err != nil {
		return err
	}
	s.servers[name] = &server{name: name, url: url, process: p, client: client}
	return nil
}

// newClient returns a client with a connection of its own, who is an administrator: no
// server has to ask the host cluster what it may do.
func (s *suite) newClient() (*http.Client, error) {
	ca, err := os.ReadFile(s.host.PKI("ca.crt"))
	if err != nil {
		return nil, err
	}
	admin, err := tls.LoadX509KeyPair(s.host.PKI("admin.crt"), s.host.PKI("admin.key"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{admin}, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true, DisableCompression: true,
	}}, nil
}

// registerClusters makes the PediaClusters, with the status that a manager would have
// written: nobody synchronizes them any more.
func (s *suite) registerClusters(ctx context.Context) error {
	client, err := unlimited(s.host)
	if err != nil {
		return err
	}
	clusters := client.Resource(schema.GroupVersionResource{Group: "cluster.clusterpedia.io", Version: "v1alpha2", Resource: "pediaclusters"})
	for i := range s.Profile.Fleet.Clusters {
		made, err := clusters.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "cluster.clusterpedia.io/v1alpha2", "kind": "PediaCluster", "metadata": map[string]any{"name": s.Profile.Fleet.Cluster(i)},
			"spec": map[string]any{"apiserver": "https://127.0.0.1:1", "syncResources": []any{}, "shardingName": "nobody"},
		}}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("create PediaCluster: %w", err)
		}
		made.Object["status"] = status()
		if _, err := clusters.UpdateStatus(ctx, made, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("update PediaCluster: %w", err)
		}
	}
	return nil
}

// status says that everything was read, and that all is well.
func status() map[string]any {
	const since = "2026-01-01T00:00:00Z"
	resources := func(group string, names map[string]string) map[string]any {
		var list []any
		for name, kind := range names {
			list = append(list, map[string]any{"name": name, "kind": kind, "namespaced": true, "syncConditions": []any{
				map[string]any{"version": "v1", "storageVersion": "v1", "status": "Syncing", "lastTransitionTime": since},
			}})
		}
		return map[string]any{"group": group, "resources": list}
	}
	var conditions []any
	for _, name := range []string{"ClusterHealthy", "Ready"} {
		conditions = append(conditions, map[string]any{"type": name, "status": "True", "reason": "Healthy", "message": "", "lastTransitionTime": since})
	}
	return map[string]any{"conditions": conditions, "syncResources": []any{
		resources("", map[string]string{"pods": "Pod", "services": "Service", "configmaps": "ConfigMap", "secrets": "Secret"}),
		resources("apps", map[string]string{"deployments": "Deployment", "replicasets": "ReplicaSet"}),
		resources("discovery.k8s.io", map[string]string{"endpointslices": "EndpointSlice"}),
	}}
}

// awaitObjects returns when the apiserver knows the clusters.
func (s *suite) awaitObjects(ctx context.Context) error {
	own := s.servers[report.Own]
	return own.process.Until(ctx, readyLimit, func(ctx context.Context) error {
		for i := range s.Profile.Fleet.Clusters {
			a, err := s.ask(ctx, own, request{cluster: s.Profile.Fleet.Cluster(i), path: "/api/v1/pods", limit: 1, read: true})
			if err != nil {
				return err
			}
			if len(a.items) != 1 {
				return errors.New("there are no pods")
			}
		}
		return nil
	})
}
