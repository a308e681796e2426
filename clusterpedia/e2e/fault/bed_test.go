package fault

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpedia.io/e2e/bed"
	"clusterpedia.io/testbed/cluster"
	"clusterpedia.io/testbed/database"
)

const (
	// convergeLimit is how long it may take, after the fault is over, until
	// everything is stored. It takes far less, but on a busy machine.
	convergeLimit = 2 * time.Minute
	syncLimit     = 2 * time.Minute
	stopLimit     = 20 * time.Second
	// quiet is how long nothing must be written when all is stored.
	quiet = time.Second
)

// lasting is how long a fault lasts: brief, or long if that is asked for.
func lasting(brief, long time.Duration) time.Duration {
	if os.Getenv("FAULT_LONG") != "" {
		return long
	}
	return brief
}

// fixture is what all tests share: the built programs, a host cluster, and database servers.
type fixture struct {
	// root of the repository; bin holds the built servers; binaries is the directory
	// of kube-apiserver and etcd.
	root, bin, binaries string
	dir                 string
	host                *cluster.Cluster
	client              kubernetes.Interface
	servers             map[engine]*database.Server
}

var shared fixture

func TestMain(m *testing.M) {
	flag.Parse()
	bed.Exit(m, run)
}

func run(m *testing.M) (code int, err error) {
	if testing.Short() {
		return m.Run(), nil // the tests that need clusters skip themselves
	}
	if shared.root, shared.bin, err = bed.Locate("../../..", "clustersynchro-manager", "plugins/internalstorage.so"); err != nil {
		return 0, err
	}
	if shared.dir, err = os.MkdirTemp("", "clusterpedia-fault-"); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, shared.stop(), os.RemoveAll(shared.dir)) }()
	if err := shared.start(context.Background()); err != nil {
		return 0, err
	}
	// Faults are mostly waited for.
	if err := flag.Set("test.parallel", "3"); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func (b *fixture) start(ctx context.Context) error {
	var err error
	if b.binaries, err = bed.ControlPlane(ctx, b.root); err != nil {
		return err
	}
	b.servers = map[engine]*database.Server{}
	for _, e := range servers() {
		if b.servers[e], err = database.Start(ctx, e.kind(), database.Options{Dir: filepath.Join(b.dir, string(e.kind()))}); err != nil {
			return err
		}
	}
	b.host = &cluster.Cluster{Name: "host", Dir: filepath.Join(b.dir, "host"), Binaries: b.binaries}
	if err := b.host.Start(ctx); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", b.host.Kubeconfig())
	if err != nil {
		return err
	}
	config.QPS = -1
	b.client, err = kubernetes.NewForConfig(config)
	return err
}

func (b *fixture) stop() error {
	var errs []error
	if b.host != nil {
		errs = append(errs, b.host.Remove())
	}
	for _, server := range b.servers {
		if server != nil {
			errs = append(errs, server.Stop())
		}
	}
	return errors.Join(errs...)
}

// member is a member cluster.
type member struct {
	*cluster.Cluster
	config *rest.Config
	client dynamic.Interface
}

// startMember starts a member cluster with sample workloads.
func startMember(t *testing.T, name string, args ...string) *member {
	t.Helper()
	if testing.Short() {
		t.Skip("needs clusters")
	}
	m := &member{Cluster: &cluster.Cluster{Name: name, Dir: filepath.Join(shared.dir, name), Binaries: shared.binaries, Args: args}}
	t.Cleanup(func() { require.NoError(t, m.Remove()) })
	var err error
	m.config, m.client, err = bed.StartMember(t.Context(), m.Cluster)
	require.NoError(t, err)
	return m
}

func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	bed.Eventually(t, limit, check)
}

// pause waits, unless the test is over.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	require.NoError(t, sleep(t.Context(), d))
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lowercase makes a name for databases and clusters of a test's.
func lowercase(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, name)
}
