package e2e

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/dynamic"

	"clusterpedia.io/e2e/bed"
	"clusterpedia.io/testbed/cluster"
)

// fixture is what the tests share: the built programs, and member clusters with sample
// workloads, which the tests change.
type fixture struct {
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

var shared fixture

func TestMain(m *testing.M) {
	flag.Parse()
	bed.Exit(m, run)
}

func run(m *testing.M) (code int, err error) {
	shared.root, shared.bin, err = bed.Locate("../..",
		"apiserver", "binding-apiserver", "clustersynchro-manager", "controller-manager", "clusterpedia", "plugins/internalstorage.so", "plugins/memorystorage.so")
	if err != nil {
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

func (b *fixture) testbed() string { return filepath.Join(b.root, "hack", "testbed") }

// start starts two members.
func (b *fixture) start(ctx context.Context, dir string) error {
	var err error
	if b.binaries, err = bed.ControlPlane(ctx, b.root); err != nil {
		return err
	}
	var group errgroup.Group
	for _, name := range []string{"member-1", "member-2"} {
		m := &member{Cluster: &cluster.Cluster{Name: name, Dir: filepath.Join(dir, name), Binaries: b.binaries}}
		b.members = append(b.members, m)
		group.Go(func() (err error) {
			_, m.client, err = bed.StartMember(ctx, m.Cluster)
			return err
		})
	}
	return group.Wait()
}

func (b *fixture) stop() error {
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

func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	bed.Eventually(t, limit, check)
}
