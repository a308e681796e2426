package build

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// small puts a program in place of the real one, which takes minutes.
func small(t *testing.T, module, source string) {
	t.Helper()
	dir := filepath.Join(module, "mysql")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.io/mysql\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() {"+source+"}\n"), 0o600))
}

func TestPrograms(t *testing.T) {
	cache, module := t.TempDir(), t.TempDir()
	t.Setenv("CLUSTERPEDIA_CACHE", cache)
	_, err := Programs(t.Context(), module, io.Discard, "etcd", "k3s")
	require.ErrorContains(t, err, `unknown program "k3s", want one of etcd, helm, kube-apiserver, kube-controller-manager, kubectl, mysql`)

	dir, err := Dir()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(dir, cache))
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for _, name := range ControlPlane() {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o755))
	}
	got, err := Programs(t.Context(), module, io.Discard, ControlPlane()...)
	require.NoError(t, err, "what is there is not built")
	require.Equal(t, dir, got)

	small(t, module, " oops ")
	_, err = Programs(t.Context(), module, io.Discard, "mysql")
	require.ErrorContains(t, err, "oops")
	require.NoFileExists(t, filepath.Join(dir, "mysql"))
	small(t, module, "")
	var progress strings.Builder
	_, err = Programs(t.Context(), module, &progress, "mysql")
	require.NoError(t, err)
	require.Contains(t, progress.String(), "building mysql (1 of 1)")
	require.FileExists(t, filepath.Join(dir, "mysql"))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 4, "nothing half made is left")
}

// Processes that need the same program at once build it once.
func TestProgramsAtOnce(t *testing.T) {
	cache, module := t.TempDir(), t.TempDir()
	t.Setenv("CLUSTERPEDIA_CACHE", cache)
	small(t, module, "")
	dir, err := Dir()
	require.NoError(t, err)
	// What a build that was killed has left.
	require.NoError(t, os.MkdirAll(filepath.Join(dir, ".mysql.new", "half"), 0o755))

	const builders = 4
	progress := make([]strings.Builder, builders)
	var group errgroup.Group
	for i := range builders {
		group.Go(func() error {
			_, err := Programs(t.Context(), module, &progress[i], "mysql")
			return err
		})
	}
	require.NoError(t, group.Wait())
	built := 0
	for i := range progress {
		built += strings.Count(progress[i].String(), "built mysql")
	}
	require.Equal(t, 1, built)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing half made is left")
}

func TestProgramsCanceled(t *testing.T) {
	t.Setenv("CLUSTERPEDIA_CACHE", t.TempDir())
	module := t.TempDir()
	small(t, module, "")
	ctx, cancel := context.WithCancel(t.Context())
	// As soon as it says that it builds.
	_, err := Programs(ctx, module, writer(cancel), "mysql")
	require.ErrorIs(t, err, context.Canceled)
	dir, err := Dir()
	require.NoError(t, err)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

type writer func()

func (w writer) Write(text []byte) (int, error) {
	w()
	return len(text), nil
}

// The directory of the programs is named by the version that is built.
func TestKubeVersion(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "kube", "go.mod"))
	require.NoError(t, err)
	require.Contains(t, string(text), "k8s.io/kubernetes "+KubeVersion+" ")
}
