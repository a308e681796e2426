package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// TestWatch follows members through the memory storage, as controllers and kubectl do.
func TestWatch(t *testing.T) {
	d := deploy(t, "memory", "")
	d.bind(t)
	t.Run("cached client", func(t *testing.T) { cachedClient(t, d) })
	t.Run("kubectl", func(t *testing.T) { kubectlWatch(t, d) })
}

// cachedClient keeps a controller-runtime client's cache on one member, whose config maps
// change, also while the server starts anew.
func cachedClient(t *testing.T, d *deployment) {
	m := shared.members[0]
	ctrl.SetLogger(zap.New(zap.WriteTo(t.Output())))
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: d.kubeconfig}, &clientcmd.ConfigOverrides{CurrentContext: m.Name}).ClientConfig()
	require.NoError(t, err)
	cached, err := cache.New(config, cache.Options{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cached.Start(ctx) }()
	defer func() {
		cancel()
		require.NoError(t, <-ended)
	}()
	require.True(t, cached.WaitForCacheSync(ctx))

	list := func() (names []string, err error) {
		var all corev1.ConfigMapList
		if err := cached.List(ctx, &all, client.InNamespace("default")); err != nil {
			return nil, err
		}
		for _, one := range all.Items {
			if one.Annotations[clusterAnnotation] != m.Name {
				return nil, fmt.Errorf("%s is of cluster %q", one.Name, one.Annotations[clusterAnnotation])
			}
			names = append(names, one.Name)
		}
		return names, nil
	}
	names, err := list()
	require.NoError(t, err)
	members, err := m.client.Resource(configMaps).Namespace("default").List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, names, len(members.Items))

	holds := func(name, value string) {
		t.Helper()
		eventually(t, 2*seconds, func() error {
			var one corev1.ConfigMap
			err := cached.Get(ctx, client.ObjectKey{Namespace: "default", Name: name}, &one)
			if value == "" {
				if err == nil {
					return errors.New("it is still there")
				}
				return client.IgnoreNotFound(err)
			}
			if err == nil && one.Data["key"] != value {
				return fmt.Errorf("it holds %q, want %q", one.Data["key"], value)
			}
			return err
		})
	}
	maps := m.client.Resource(configMaps).Namespace("default")
	change := func(name string) {
		_, err := maps.Create(ctx, configMap(name, "one"), metav1.CreateOptions{})
		require.NoError(t, err)
		holds(name, "one")
		_, err = maps.Update(ctx, configMap(name, "two"), metav1.UpdateOptions{})
		require.NoError(t, err)
		holds(name, "two")
		require.NoError(t, maps.Delete(ctx, name, metav1.DeleteOptions{}))
		holds(name, "")
	}
	change("watched")

	_, err = maps.Create(ctx, configMap("between", "one"), metav1.CreateOptions{})
	require.NoError(t, err)
	holds("between", "one")
	require.NoError(t, d.apiserver.Kill())
	require.NoError(t, maps.Delete(ctx, "between", metav1.DeleteOptions{}))
	d.apiserver, err = d.StartBindingAPIServer(ctx)
	require.NoError(t, err)
	holds("between", "")
	change("again")
}

// kubectlWatch reads what kubectl get --watch prints of all members.
func kubectlWatch(t *testing.T, d *deployment) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, m := range shared.members {
		eventually(t, 2*seconds, func() error { return d.sees(ctx, m, "never", "") })
		require.NoError(t, d.WaitSynced(ctx, m.Name, syncLimit, nil))
	}
	cmd := exec.CommandContext(ctx, filepath.Join(shared.binaries, "kubectl"), "--kubeconfig", d.kubeconfig, "--cache-dir", d.cache,
		"get", "configmaps", "-n", "default", "--watch-only", "--output-watch-events")
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(output); s.Scan(); {
			lines <- s.Text()
		}
	}()
	defer func() {
		_ = cmd.Process.Kill()
		for range lines { // until it has ended
		}
		_ = cmd.Wait()
	}()

	// It says nothing when it has begun: so something changes until it does.
	m := shared.members[1]
	maps := m.client.Resource(configMaps).Namespace("default")
	_, err = maps.Create(ctx, configMap("seen", "0"), metav1.CreateOptions{})
	require.NoError(t, err)
	defer func() {
		require.NoError(t, maps.Delete(context.WithoutCancel(ctx), "seen", metav1.DeleteOptions{}))
	}()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for i := 1; ; i++ {
		select {
		case line := <-lines:
			if strings.HasPrefix(line, "EVENT") {
				continue
			}
			fields := strings.Fields(line)
			require.GreaterOrEqual(t, len(fields), 3, line)
			require.Contains(t, []string{"ADDED", "MODIFIED"}, fields[0])
			require.Equal(t, []string{m.Name, "seen"}, fields[1:3])
			return
		case <-tick.C:
			_, err := maps.Update(ctx, configMap("seen", fmt.Sprint(i)), metav1.UpdateOptions{})
			require.NoError(t, err)
		case <-ctx.Done():
			require.NoError(t, ctx.Err(), "nothing is printed")
		}
	}
}
