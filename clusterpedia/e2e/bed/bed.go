// Package bed is what the end-to-end tests share: they find what was built, start members,
// and know what the manager makes of a member's objects.
package bed

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpedia.io/testbed/build"
	"clusterpedia.io/testbed/cluster"
	"clusterpedia.io/testbed/sample"
	"clusterpedia.io/testbed/stack"
)

const (
	// ClusterAnnotation of a stored object is the name of its cluster.
	ClusterAnnotation     = "shadow.clusterpedia.io/cluster-name"
	lastAppliedAnnotation = "kubectl.kubernetes.io/last-applied-configuration"
)

// Locate returns the root of the repository, to which a path leads, and the directory of what
// was built: $CLUSTERPEDIA_BIN, or bin/ of the repository. An error names the first of the
// files that it lacks.
func Locate(up string, files ...string) (root, bin string, err error) {
	if root, err = filepath.Abs(up); err != nil {
		return "", "", err
	}
	if bin = os.Getenv("CLUSTERPEDIA_BIN"); bin == "" {
		bin = filepath.Join(root, "bin")
	}
	if bin, err = filepath.Abs(bin); err != nil {
		return "", "", err
	}
	for _, file := range files {
		if _, err := os.Stat(filepath.Join(bin, file)); err != nil {
			return "", "", fmt.Errorf("%w; build it with: make all", err)
		}
	}
	return root, bin, nil
}

// ControlPlane builds kubectl, kube-apiserver and etcd, and returns their directory.
func ControlPlane(ctx context.Context, root string) (binaries string, err error) {
	return build.Programs(ctx, filepath.Join(root, "hack", "testbed"), os.Stderr, build.ControlPlane()...)
}

// Exit ends a test program with what run returns.
func Exit(m *testing.M, run func(*testing.M) (code int, err error)) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 1
	}
	os.Exit(code) //nolint:forbidigo // this is a main
}

// StartMember starts a member with sample workloads, and returns its administrator's
// configuration and a client.
func StartMember(ctx context.Context, c *cluster.Cluster) (*rest.Config, dynamic.Interface, error) {
	if err := c.Start(ctx); err != nil {
		return nil, nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, nil, err
	}
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, nil, err
	}
	return config, client, sample.Load(ctx, config, sample.Defaults())
}

// Selection returns resources as a PediaCluster selects them.
func Selection(resources []schema.GroupVersionResource) []stack.SyncResource {
	byGroup := map[string][]string{}
	for _, r := range resources {
		byGroup[r.Group] = append(byGroup[r.Group], r.Resource)
	}
	var all []stack.SyncResource
	for _, group := range slices.Sorted(maps.Keys(byGroup)) {
		all = append(all, stack.SyncResource{Group: group, Resources: byGroup[group]})
	}
	return all
}

// MakeStored changes an object of a member's to what is stored of it.
func MakeStored(u *unstructured.Unstructured, cluster string) {
	u.SetManagedFields(nil)
	annotations := u.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	delete(annotations, lastAppliedAnnotation)
	annotations[ClusterAnnotation] = cluster
	u.SetAnnotations(annotations)
}

// Eventually calls check until it returns nil, and fails the test with its last error if it
// does not within limit.
func Eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); ; <-tick.C {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", limit, err)
		}
	}
}
