// Package cluster runs real Kubernetes control planes on the loopback address: an
// etcd and a kube-apiserver each, without nodes, and without controllers but the garbage
// collector, if that is asked for.
package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"clusterpedia.io/testbed/process"
)

// Cluster is a control plane. Its data, certificates, logs and ports are kept in
// its directory, so that it can be stopped and started again.
type Cluster struct {
	Name string
	Dir  string
	// Binaries is the directory of kube-apiserver and etcd.
	Binaries string
	// Args are more arguments of the kube-apiserver.
	Args []string
	// Detached lets the control plane outlive this process.
	Detached bool

	ports     ports
	etcd      *process.Process
	apiserver *process.Process
}

type ports struct {
	APIServer int `json:"apiserver"`
	Etcd      int `json:"etcd"`
	Peer      int `json:"peer"`
}

// readyLimit bounds the start of each process, generously: machines are busy.
const readyLimit = 3 * time.Minute

// Start starts the control plane and returns when it is ready.
func (c *Cluster) Start(ctx context.Context) error {
	if err := makePKI(c.pki("")); err != nil {
		return fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	if err := c.choosePorts(); err != nil {
		return fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	if err := c.writeKubeconfig(); err != nil {
		return fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	if err := c.StartEtcd(ctx); err != nil {
		return errors.Join(fmt.Errorf("cluster %s: %w", c.Name, err), c.Stop())
	}
	if err := c.StartAPIServer(ctx); err != nil {
		return errors.Join(fmt.Errorf("cluster %s: %w", c.Name, err), c.Stop())
	}
	return nil
}

// StartEtcd starts etcd alone, after it was stopped.
func (c *Cluster) StartEtcd(ctx context.Context) error {
	client, peer := fmt.Sprintf("http://127.0.0.1:%d", c.ports.Etcd), fmt.Sprintf("http://127.0.0.1:%d", c.ports.Peer)
	p, err := c.start("etcd",
		"--name", "testbed", "--data-dir", c.etcdDir(), "--unsafe-no-fsync",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "testbed="+peer,
		"--quota-backend-bytes", "4294967296", "--snapshot-count", "10000", "--log-level", "warn")
	if err != nil {
		return err
	}
	c.etcd = p
	return p.Until(ctx, readyLimit, func(ctx context.Context) error { return get(ctx, http.DefaultClient, client+"/health") })
}

// StartAPIServer starts the kube-apiserver alone, after it was stopped.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	args := []string{
		"--etcd-servers", fmt.Sprintf("http://127.0.0.1:%d", c.ports.Etcd),
		"--secure-port", fmt.Sprint(c.ports.APIServer), "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1",
		"--endpoint-reconciler-type", "none", "--cert-dir", c.pki(""),
		"--tls-cert-file", c.pki("apiserver.crt"), "--tls-private-key-file", c.pki("apiserver.key"),
		"--client-ca-file", c.pki("ca.crt"), "--authorization-mode", "RBAC",
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", c.pki("sa.pub"),
		"--service-account-signing-key-file", c.pki("sa.key"), "--service-cluster-ip-range", "10.96.0.0/16",
		// The aggregation layer.
		"--requestheader-client-ca-file", c.pki("ca.crt"), "--requestheader-allowed-names", "front-proxy-client",
		"--requestheader-username-headers", "X-Remote-User", "--requestheader-group-headers", "X-Remote-Group",
		"--requestheader-extra-headers-prefix", "X-Remote-Extra-",
		"--proxy-client-cert-file", c.pki("front-proxy.crt"), "--proxy-client-key-file", c.pki("front-proxy.key"),
		"--disable-admission-plugins", "ServiceAccount", "--enable-priority-and-fairness=false",
		"--max-requests-inflight", "0", "--max-mutating-requests-inflight", "0", "--event-ttl", "24h", "-v", "1",
	}
	p, err := c.start("kube-apiserver", append(args, c.Args...)...)
	if err != nil {
		return err
	}
	c.apiserver = p
	client, err := c.httpClient()
	if err != nil {
		return err
	}
	return p.Until(ctx, readyLimit, func(ctx context.Context) error { return get(ctx, client, c.URL()+"/readyz") })
}

// StartGarbageCollector starts Kubernetes' own controller that deletes objects whose
// owners are gone. Kube-controller-manager is among the binaries then.
func (c *Cluster) StartGarbageCollector() error {
	free, err := process.FreePorts(1)
	if err != nil {
		return err
	}
	_, err = c.start("kube-controller-manager", "--kubeconfig", c.Kubeconfig(), "--controllers", "garbage-collector-controller",
		"--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(free[0]), "--leader-elect=false", "-v", "1")
	return err
}

func (c *Cluster) start(name string, args ...string) (*process.Process, error) {
	if p, running := process.Find(c.Dir, name); running {
		return p, nil
	}
	return process.Start(process.Spec{
		Name: name, Dir: c.Dir, Detached: c.Detached,
		Command: append([]string{filepath.Join(c.Binaries, name)}, args...),
	})
}

// Stop stops the control plane. Its data stays.
func (c *Cluster) Stop() error {
	return errors.Join(c.stop("kube-controller-manager"), c.stop("kube-apiserver"), c.stop("etcd"))
}

func (c *Cluster) stop(name string) error {
	p, running := process.Find(c.Dir, name)
	if !running {
		return nil
	}
	// Without nodes there is nobody to say goodbye to.
	return p.Stop(3 * time.Second)
}

// Remove stops the control plane and deletes its data.
func (c *Cluster) Remove() error {
	return errors.Join(c.Stop(), os.RemoveAll(c.Dir))
}

// APIServer returns the running kube-apiserver, to provoke faults.
func (c *Cluster) APIServer() *process.Process { return c.apiserver }

// Etcd returns the running etcd, to provoke faults.
func (c *Cluster) Etcd() *process.Process { return c.etcd }

// URL returns the address of the API server.
func (c *Cluster) URL() string { return fmt.Sprintf("https://127.0.0.1:%d", c.ports.APIServer) }

// Kubeconfig returns the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.Dir, "admin.kubeconfig") }

// PKI returns the path of a key or certificate: ca.crt, admin.crt, admin.key,
// front-proxy.crt, front-proxy.key. The authority signs servers, clients and the
// aggregation layer's proxy alike.
func (c *Cluster) PKI(name string) string { return c.pki(name) }

func (c *Cluster) pki(name string) string { return filepath.Join(c.Dir, "pki", name) }

// choosePorts takes the ports of an earlier start, or free ones.
func (c *Cluster) choosePorts() error {
	file := filepath.Join(c.Dir, "ports.json")
	if text, err := os.ReadFile(file); err == nil {
		return json.Unmarshal(text, &c.ports)
	}
	free, err := process.FreePorts(3)
	if err != nil {
		return err
	}
	c.ports = ports{APIServer: free[0], Etcd: free[1], Peer: free[2]}
	text, err := json.Marshal(c.ports)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// writeKubeconfig writes JSON, which is YAML too.
func (c *Cluster) writeKubeconfig() error {
	data := map[string][]byte{}
	for _, name := range []string{"ca.crt", "admin.crt", "admin.key"} {
		text, err := os.ReadFile(c.pki(name))
		if err != nil {
			return err
		}
		data[name] = text
	}
	type object = map[string]any
	text, err := json.MarshalIndent(object{
		"apiVersion": "v1", "kind": "Config", "current-context": c.Name,
		"clusters": []object{{"name": c.Name, "cluster": object{"server": c.URL(), "certificate-authority-data": data["ca.crt"]}}},
		"users":    []object{{"name": "admin", "user": object{"client-certificate-data": data["admin.crt"], "client-key-data": data["admin.key"]}}},
		"contexts": []object{{"name": c.Name, "context": object{"cluster": c.Name, "user": "admin"}}},
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(c.Kubeconfig(), text, 0o600)
}

func (c *Cluster) httpClient() (*http.Client, error) {
	ca, err := os.ReadFile(c.pki("ca.crt"))
	if err != nil {
		return nil, err
	}
	admin, err := tls.LoadX509KeyPair(c.pki("admin.crt"), c.pki("admin.key"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{admin}}, DisableKeepAlives: true,
	}}, nil
}

func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}
