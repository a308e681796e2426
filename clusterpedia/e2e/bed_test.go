package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpedia.io/testbed/build"
	"clusterpedia.io/testbed/cluster"
	"clusterpedia.io/testbed/sample"
)

// bed is what the tests share: the built programs, and member clusters with sample
// workloads, which the tests change.
type bed struct {
	// root of the repository; bin holds the built servers, with plugins/ in it.
	root, bin string
	// binaries is the directory of kubectl, kube-apiserver and etcd.
	binaries string
	members  []*member
}

// member is a member cluster.
type member struct {
	*cluster.Cluster
	client dynamic.Interface
}

var shared bed

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 1
	}
	os.Exit(code) //nolint:forbidigo // this is a main
}

func run(m *testing.M) (code int, err error) {
	if err := shared.locate(); err != nil {
		return 0, err
	}
	if testing.Short() {
		return m.Run(), nil // the tests that need clusters skip themselves
	}
	dir, err := os.MkdirTemp("", "clusterpedia-e2e-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, shared.stop(), os.RemoveAll(dir)) }()
	if err := shared.start(context.Background(), dir); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// locate finds what was built: $CLUSTERPEDIA_BIN, or bin/ of the repository.
func (b *bed) locate() error {
	var err error
	if b.root, err = filepath.Abs("../.."); err != nil {
		return err
	}
	if b.bin = os.Getenv("CLUSTERPEDIA_BIN"); b.bin == "" {
		b.bin = filepath.Join(b.root, "bin")
	}
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return err
	}
	for _, file := range []string{"apiserver", "binding-apiserver", "clustersynchro-manager", "controller-manager", "clusterpedia", "plugins/internalstorage.so", "plugins/memorystorage.so"} {
		if _, err := os.Stat(filepath.Join(b.bin, file)); err != nil {
			return fmt.Errorf("%w; build it with: make all", err)
		}
	}
	return nil
}

func (b *bed) testbed() string { return filepath.Join(b.root, "hack", "testbed") }

// start starts two members.
func (b *bed) start(ctx context.Context, dir string) error {
	var err error
	if b.binaries, err = build.Programs(ctx, b.testbed(), os.Stderr, build.ControlPlane()...); err != nil {
		return err
	}
	var group errgroup.Group
	for _, name := range []string{"member-1", "member-2"} {
		m := &member{Cluster: &cluster.Cluster{Name: name, Dir: filepath.Join(dir, name), Binaries: b.binaries}}
		b.members = append(b.members, m)
		group.Go(func() error {
			if err := m.Start(ctx); err != nil {
				return err
			}
			config, err := clientcmd.BuildConfigFromFlags("", m.Kubeconfig())
			if err != nil {
				return err
			}
			config.QPS = -1
			if m.client, err = dynamic.NewForConfig(config); err != nil {
				return err
			}
			return sample.Load(ctx, config, sample.Defaults())
		})
	}
	return group.Wait()
}

func (b *bed) stop() error {
	var errs []error
	for _, m := range b.members {
		errs = append(errs, m.Remove())
	}
	return errors.Join(errs...)
}

// memberNames returns the names of all members.
func memberNames() []string {
	var names []string
	for _, m := range shared.members {
		names = append(names, m.Name)
	}
	return names
}

// seconds is how long a change may take to be seen. It takes far less, but on a
// busy machine.
const seconds = 20 * time.Second

// eventually calls check until it returns nil, and fails the test with its last
// error if it does not within limit.
func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); ; <-tick.C {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			require.NoError(t, err, "after %s", limit)
		}
	}
}
