package cluster

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpedia.io/testbed/build"
	"clusterpedia.io/testbed/process"
)

func client(t *testing.T, c *Cluster) *kubernetes.Clientset {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	require.NoError(t, err)
	require.Equal(t, c.URL(), config.Host)
	kube, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return kube
}

func TestClusters(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts real control planes")
	}
	ctx := t.Context()
	module, err := filepath.Abs("..")
	require.NoError(t, err)
	binaries, err := build.Programs(ctx, module, t.Output(), build.ControlPlane()...)
	require.NoError(t, err)

	var clusters []*Cluster
	group, starting := errgroup.WithContext(ctx)
	for _, name := range []string{"one", "two"} {
		c := &Cluster{Name: name, Dir: filepath.Join(t.TempDir(), name), Binaries: binaries}
		clusters = append(clusters, c)
		t.Cleanup(func() { require.NoError(t, c.Remove()) })
		group.Go(func() error { return c.Start(starting) })
	}
	require.NoError(t, group.Wait())
	for _, c := range clusters {
		admin, err := c.httpClient()
		require.NoError(t, err)
		require.NoError(t, get(ctx, admin, c.URL()+"/readyz"))
		require.Error(t, get(ctx, http.DefaultClient, c.URL()+"/readyz"), "without the authority's certificate")
	}
	one, two := clusters[0], clusters[1]
	require.NotEqual(t, one.URL(), two.URL())

	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}, Data: map[string]string{"key": "value"}}
	_, err = client(t, one).CoreV1().ConfigMaps("default").Create(ctx, object, metav1.CreateOptions{})
	require.NoError(t, err)
	check := func(c *Cluster) {
		got, err := client(t, c).CoreV1().ConfigMaps("default").Get(ctx, "kept", metav1.GetOptions{})
		require.NoError(t, err)
		require.Equal(t, object.Data, got.Data)
	}
	check(one)
	_, err = client(t, two).CoreV1().ConfigMaps("default").Get(ctx, "kept", metav1.GetOptions{})
	require.ErrorContains(t, err, "not found")

	// The API server dies and comes back where it was.
	url := one.URL()
	require.NoError(t, one.APIServer().Kill())
	_, err = client(t, one).Discovery().ServerVersion()
	require.Error(t, err)
	require.NoError(t, one.StartAPIServer(ctx))
	require.Equal(t, url, one.URL())
	check(one)

	// etcd dies under the API server.
	require.NoError(t, one.Etcd().Kill())
	require.NoError(t, one.StartEtcd(ctx))
	require.NoError(t, one.StartAPIServer(ctx))
	check(one)

	// All of it stops, and another start by the directory alone finds it as it was.
	require.NoError(t, one.Stop())
	for _, name := range []string{"etcd", "kube-apiserver"} {
		_, running := process.Find(one.Dir, name)
		require.False(t, running, name)
	}
	again := &Cluster{Name: one.Name, Dir: one.Dir, Binaries: binaries}
	require.NoError(t, again.Start(ctx))
	require.Equal(t, url, again.URL())
	check(again)

	require.NoError(t, again.Remove())
	_, err = os.Stat(one.Dir)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, one.Remove(), "removed twice")
}

func TestIssue(t *testing.T) {
	t.Parallel()
	c := &Cluster{Name: "one", Dir: t.TempDir()}
	require.NoError(t, makePKI(c.pki("")))
	before, err := os.ReadFile(c.PKI("ca.crt"))
	require.NoError(t, err)
	certificate, key, err := c.Issue("server", "localhost")
	require.NoError(t, err)
	require.FileExists(t, certificate)
	require.FileExists(t, key)
	require.NoError(t, makePKI(c.pki("")))
	after, err := os.ReadFile(c.PKI("ca.crt"))
	require.NoError(t, err)
	require.Equal(t, before, after, "made once")
}
