package conformance

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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpedia.io/testbed/cluster"
	"clusterpedia.io/testbed/process"
	"clusterpedia.io/testbed/stack"
)

const (
	// syncLimit bounds what a deployment waits for, generously: machines are busy.
	syncLimit = 2 * time.Minute
	stopLimit = 20 * time.Second
)

// deployment is Clusterpedia with one storage on a host cluster of its own, and the
// fixture synced.
type deployment struct {
	*stack.Stack
	storage string
	// perResource is whether its apiserver has that argument.
	perResource bool
	dir         string
	// database is nil for memory.
	database *database
	dynamic  dynamic.Interface
	client   *http.Client
	members  []*stub
	// untouched is the database's fingerprint after the fixture was synced.
	untouched string

	mu sync.Mutex
	// servers are more apiservers, by their arguments.
	servers map[string]*server
	// cleanups are done in reverse order.
	cleanups []func() error
}

// users are those of the contract and those of rights, by their tokens.
func users() map[string]string {
	all := map[string]string{"stranger": "bad-token", "anonymous": ""}
	for _, name := range []string{"admin", "alice", "bob", "carol", "walter", "otto"} {
		all[name] = name + "-token"
	}
	for _, r := range rights() {
		all[r.user] = r.user + "-token"
	}
	return all
}

// tokens returns the host cluster's file of users.
func tokens() string {
	var lines strings.Builder
	for name, token := range users() {
		group := ""
		switch {
		case name == "admin":
			group = ",system:masters"
		case slices.ContainsFunc(rights(), func(r right) bool { return r.user == name }):
			group = "," + searchers
		case name == "stranger" || token == "":
			continue
		}
		fmt.Fprintf(&lines, "%s,%s,%s%s\n", token, name, name, group)
	}
	return lines.String()
}

// start starts everything. What was started is stopped by stop, also after an error.
func (d *deployment) start(ctx context.Context) error {
	d.servers = map[string]*server{}
	host := &cluster.Cluster{
		Name: "host", Dir: filepath.Join(d.dir, "host"), Binaries: shared.binaries,
		Args: []string{
			"--token-auth-file", filepath.Join(d.dir, "tokens"),
			"--audit-policy-file", filepath.Join(d.dir, "audit.yaml"), "--audit-log-path", d.auditLog(),
		},
	}
	if err := os.WriteFile(host.Args[3], []byte(auditPolicy), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(host.Args[1], []byte(tokens()), 0o600); err != nil {
		return err
	}
	d.cleanups = append(d.cleanups, host.Remove)
	if err := host.Start(ctx); err != nil {
		return err
	}
	d.Stack = &stack.Stack{
		Host: host, Dir: filepath.Join(d.dir, "servers"), Bin: shared.bin,
		CRDs: filepath.Join(shared.root, "charts", "clusterpedia", "crds"), Storage: "memory",
	}
	if d.perResource {
		d.APIServerArgs = []string{perResource}
	}
	if d.storage != memory {
		var err error
		if d.database, err = newDatabase(d.storage, d.dir); err != nil {
			return err
		}
		d.cleanups = append(d.cleanups, d.database.drop)
		d.Storage, d.StorageConfig = "internal", d.database.config
	}
	if err := d.Install(ctx); err != nil {
		return err
	}
	if err := d.connect(); err != nil {
		return err
	}
	if err := d.authorize(ctx); err != nil {
		return err
	}
	if err := d.startServers(ctx); err != nil {
		return err
	}
	return d.loadFixture(ctx)
}

// stop stops everything.
func (d *deployment) stop() error {
	var errs []error
	for i := len(d.cleanups) - 1; i >= 0; i-- {
		errs = append(errs, d.cleanups[i]())
	}
	return errors.Join(errs...)
}

// connect makes the clients of the host cluster and of the apiserver.
func (d *deployment) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", d.Host.Kubeconfig())
	if err != nil {
		return err
	}
	config.QPS = -1
	if d.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return err
	}
	ca, err := os.ReadFile(d.Host.PKI("ca.crt"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	d.client = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       time.Minute,
	}
	return nil
}

func (d *deployment) startServers(ctx context.Context) error {
	start := []func(context.Context) (*process.Process, error){d.StartManager, d.StartAPIServer}
	if d.storage == memory {
		start = []func(context.Context) (*process.Process, error){d.StartBindingAPIServer}
	}
	for _, start := range start {
		p, err := start(ctx)
		if p != nil {
			d.cleanups = append(d.cleanups, func() error { return p.Stop(stopLimit) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// authorize gives the users of the contract their rights.
func (d *deployment) authorize(ctx context.Context) error {
	for user, rule := range map[string]document{
		"alice": {"resources": []any{"resources/cluster-1"}},
		"bob":   {"resources": []any{"resources/v1"}, "resourceNames": []any{"api"}},
		"carol": {"resources": []any{"collectionresources"}},
		"otto":  {"resources": []any{"resources"}, "resourceNames": []any{"api", "apis"}}, // discovery alone
	} {
		rule["apiGroups"], rule["verbs"] = []any{"clusterpedia.io"}, []any{"get"}
		if err := d.create(ctx, "clusterroles", document{"kind": "ClusterRole", "metadata": document{"name": user}, "rules": []any{rule}}); err != nil {
			return err
		}
		err := d.create(ctx, "clusterrolebindings", document{
			"kind": "ClusterRoleBinding", "metadata": document{"name": user},
			"roleRef":  document{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
			"subjects": []any{document{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}},
		})
		if err != nil {
			return err
		}
	}
	return d.authorizeSearchers(ctx)
}

func (d *deployment) create(ctx context.Context, resource string, o document) error {
	o["apiVersion"] = "rbac.authorization.k8s.io/v1"
	u := &unstructured.Unstructured{Object: o}
	_, err := d.dynamic.Resource(schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: resource}).
		Namespace(u.GetNamespace()).Create(ctx, u, metav1.CreateOptions{})
	return err
}

func pediaClusters() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "cluster.clusterpedia.io", Version: "v1alpha2", Resource: "pediaclusters"}
}

// addMember registers a stub. Without one, no manager takes the cluster, whose status is
// what is given.
func (d *deployment) addMember(ctx context.Context, name string, member *stub, status document, more ...resource) error {
	spec := document{"syncResources": []any{}, "shardingName": "nobody"}
	if name == "cluster-4" {
		spec["apiserver"] = "https://127.0.0.1:1"
	}
	if member != nil {
		spec = document{
			"apiserver": member.server.URL, "caData": member.ca(), "tokenData": []byte("member-token"),
			"syncResources": []any{
				document{"group": "", "resources": []any{"pods", "configmaps", "secrets", "nodes", "namespaces"}},
				document{"group": "apps", "resources": []any{"deployments", "replicasets"}, "eventsInvolvedResources": []any{"deployments"}},
				document{"group": "example.io", "resources": []any{"widgets"}},
			},
		}
		for _, r := range more {
			spec["syncResources"] = append(spec["syncResources"].([]any), document{"group": r.Group, "resources": []any{r.Resource}})
		}
	}
	u := &unstructured.Unstructured{Object: map[string]any{}}
	text, err := json.Marshal(document{"apiVersion": pediaClusters().GroupVersion().String(), "kind": "PediaCluster", "metadata": document{"name": name}, "spec": spec})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &u.Object); err != nil {
		return err
	}
	made, err := d.dynamic.Resource(pediaClusters()).Create(ctx, u, metav1.CreateOptions{})
	if err != nil || status == nil {
		return err
	}
	made.Object["status"] = status
	_, err = d.dynamic.Resource(pediaClusters()).UpdateStatus(ctx, made, metav1.UpdateOptions{})
	return err
}

// loadFixture registers the clusters: cluster-1 and cluster-2 have the fixture's
// objects, and cluster-2 cannot be reached any more; cluster-3 has no conditions, and a
// resource that was never synced; cluster-4 is healthy, and its config maps are
// still in their initial list; cluster-5 has no address.
func (d *deployment) loadFixture(ctx context.Context) error {
	for number := 1; number <= 2; number++ {
		member := newMember(number)
		d.members = append(d.members, member)
		d.cleanups = append(d.cleanups, func() error { member.close(); return nil })
		if err := d.addMember(ctx, member.name, member, nil); err != nil {
			return err
		}
	}
	jobs := document{"name": "jobs", "kind": "Job", "namespaced": true, "syncConditions": []any{}}
	err := d.addMember(ctx, "cluster-3", nil, document{"syncResources": []any{document{"group": "batch", "resources": []any{jobs}}}})
	if err != nil {
		return err
	}
	const since = "2026-01-02T03:04:05Z"
	listed := document{"version": "v1", "storageVersion": "v1", "status": "Syncing", "initialListPhase": true, "lastTransitionTime": since}
	err = d.addMember(ctx, "cluster-4", nil, document{
		"conditions": []any{document{"type": "ClusterHealthy", "status": "True", "reason": "Healthy", "message": "", "lastTransitionTime": since}},
		"syncResources": []any{document{"group": "", "resources": []any{
			document{"name": "configmaps", "kind": "ConfigMap", "namespaced": true, "syncConditions": []any{listed}},
		}}},
	})
	if err != nil {
		return err
	}
	pod := document{"name": "pods", "kind": "Pod", "namespaced": true, "syncConditions": []any{document{"version": "v1", "storageVersion": "v1", "status": "Syncing", "lastTransitionTime": since}}}
	err = d.addMember(ctx, "cluster-5", nil, document{"syncResources": []any{document{"group": "", "resources": []any{pod}}}})
	if err != nil {
		return err
	}
	for _, m := range d.members {
		if err := d.WaitSynced(ctx, m.name, syncLimit, nil); err != nil {
			return err
		}
	}
	d.members[1].down.Store(true)
	if err := d.awaitFixture(ctx, ""); err != nil || d.database == nil {
		return err
	}
	d.untouched, err = d.database.fingerprint(d.storage)
	return err
}

// awaitFixture returns when what an apiserver with more arguments learns beside the objects
// has reached it.
func (d *deployment) awaitFixture(ctx context.Context, server string) error {
	for url, text := range map[string]string{
		"C(cluster-2)/api/v1/namespaces/default/configmaps/cm1": "reason: NotReachable",
		"M/api/v1/configmaps":                       "is still read for the first time",
		"D?injectEvents=true":                       "ScalingReplicaSet",
		"M/api/v1":                                  `"shortNames":["cm"]`,
		"C(cluster-3)/api/v1/namespaces?missing":    "404 page not found",
		"C(cluster-1)/apis/example.io/v1/widgets?x": `"w1"`,
	} {
		err := d.until(ctx, func() error {
			r, err := d.send(ctx, &Case{URL: []string{url}, Server: server}, url)
			if err == nil && !strings.Contains(r.String(), text) {
				err = fmt.Errorf("no %q in %s", text, r)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// until calls check until it returns nil, and returns its last error if it does not.
func (d *deployment) until(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, syncLimit)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// server is one more apiserver on the storage of a deployment.
type server struct {
	once sync.Once
	url  string
	err  error
}

// with returns the URL of an apiserver with more arguments, which is started at the
// first call and shared by all who need the same.
func (d *deployment) with(ctx context.Context, args string) (string, error) {
	if args == "" {
		return d.URL(), nil
	}
	d.mu.Lock()
	s, ok := d.servers[args]
	if !ok {
		s = &server{}
		d.servers[args] = s
	}
	number := len(d.servers)
	d.mu.Unlock()
	s.once.Do(func() { s.url, s.err = d.startServer(ctx, fmt.Sprintf("apiserver-%d", number), strings.Fields(args)) })
	return s.url, s.err
}

func (d *deployment) startServer(ctx context.Context, name string, args []string) (string, error) {
	free, err := process.FreePorts(1)
	if err != nil {
		return "", err
	}
	certificate, key, err := d.Host.Issue("clusterpedia-apiserver", "localhost") // made already
	if err != nil {
		return "", err
	}
	kubeconfig := d.Host.Kubeconfig()
	p, err := process.Start(process.Spec{
		Name: name, Dir: d.Dir,
		Command: append([]string{
			filepath.Join(d.Bin, "apiserver"), "--storage-name", d.Storage, "--storage-config", filepath.Join(d.Dir, "storage.yaml"),
			"--kubeconfig", kubeconfig, "--authentication-kubeconfig", kubeconfig, "--authorization-kubeconfig", kubeconfig,
			"--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(free[0]), "--tls-cert-file", certificate, "--tls-private-key-file", key,
		}, args...),
	})
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	d.cleanups = append(d.cleanups, func() error { return p.Stop(stopLimit) })
	d.mu.Unlock()
	url := fmt.Sprintf("https://127.0.0.1:%d", free[0])
	return url, p.Until(ctx, syncLimit, func(ctx context.Context) error {
		r, err := d.get(ctx, url+"/readyz")
		if err == nil && r.status != http.StatusOK {
			err = errors.New(r.String())
		}
		return err
	})
}

// bed is what the tests share.
type bed struct {
	// root of the repository; bin holds the built servers, binaries kube-apiserver,
	// etcd and kubectl; dir is temporary.
	root, bin, binaries, dir string

	mu          sync.Mutex
	deployments map[string]*started
}

// started is a deployment that starts, or has.
type started struct {
	once sync.Once
	deployment
	err error
}

// deployment returns the one of a storage. It starts when it is first needed, and is
// stopped when all tests are done.
func (b *bed) deployment(t *testing.T, storage string) *deployment {
	t.Helper()
	return b.deploy(t, storage, storage, false)
}

// deploy returns the deployment of a name.
func (b *bed) deploy(t *testing.T, name, storage string, perResource bool) *deployment {
	t.Helper()
	if testing.Short() {
		t.Skip("needs clusters")
	}
	if variable := variables()[storage]; variable != "" && os.Getenv(variable) == "" {
		t.Skipf("%s is not set: NOT TESTED on %s; make test-e2e starts one", variable, storage)
	}
	b.mu.Lock()
	s, ok := b.deployments[name]
	if !ok {
		s = &started{deployment: deployment{storage: storage, perResource: perResource, dir: filepath.Join(b.dir, name)}}
		b.deployments[name] = s
	}
	b.mu.Unlock()
	s.once.Do(func() {
		if s.err = os.MkdirAll(s.dir, 0o755); s.err == nil {
			s.err = s.start(context.WithoutCancel(t.Context()))
		}
	})
	if s.err != nil {
		t.Fatalf("deploy on %s: %v", name, s.err)
	}
	return &s.deployment
}
