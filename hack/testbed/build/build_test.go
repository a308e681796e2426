package build

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPrograms(t *testing.T) {
	cache, module := t.TempDir(), t.TempDir()
	t.Setenv("CLUSTERPEDIA_CACHE", cache)
	_, err := Programs(t.Context(), module, io.Discard, "etcd", "k3s")
	require.ErrorContains(t, err, `unknown program "k3s", want one of etcd, kube-apiserver, kubectl, mysql`)

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

	// A small program in place of the real one.
	source := filepath.Join(module, "mysql")
	require.NoError(t, os.Mkdir(source, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(source, "go.mod"), []byte("module example.io/mysql\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(source, "main.go"), []byte("package main\n\nfunc main() { oops }\n"), 0o600))
	_, err = Programs(t.Context(), module, io.Discard, "mysql")
	require.ErrorContains(t, err, "oops")
	require.NoFileExists(t, filepath.Join(dir, "mysql"))
	require.NoError(t, os.WriteFile(filepath.Join(source, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o600))
	var progress strings.Builder
	_, err = Programs(t.Context(), module, &progress, "mysql")
	require.NoError(t, err)
	require.Contains(t, progress.String(), "building mysql (1 of 1)")
	require.FileExists(t, filepath.Join(dir, "mysql"))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 4, "nothing half made is left")
}
