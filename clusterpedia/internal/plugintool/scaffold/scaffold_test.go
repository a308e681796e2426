package scaffold

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestName(t *testing.T) {
	t.Parallel()
	for module, want := range map[string]string{
		"example.com/you/redis-storage": "redis", "redis-storage": "redis", "a.io/b/c-d2-storage": "c-d2",
	} {
		name, err := Name(module)
		require.NoError(t, err)
		require.Equal(t, want, name)
	}
	for module, want := range map[string]string{
		"example.com/you/redis":            "must be NAME-storage",
		"example.com/you/-storage":         "must be NAME-storage",
		"example.com/you/Redis-storage":    "must be NAME-storage",
		"example.com/you/internal-storage": "the name internal is taken",
		"../redis-storage/":                "is no path of a module",
		"example.com//redis-storage":       "is no path of a module",
		"example.com/x/../y-storage":       `is no path of a module, such as example.com/you/redis-storage: invalid path element ".."`,
		"example.com/./y-storage":          `invalid path element "."`,
		"x/../y-storage":                   `invalid path element ".."`,
		"example.com/.x/y-storage":         "leading dot in path element",
		"example.com/x/y-storage.":         "trailing dot in path element",
		"example.com/a b/y-storage":        "invalid char ' '",
		"":                                 "is no path of a module",
	} {
		_, err := Name(module)
		require.ErrorContains(t, err, want, module)
	}
}

// TestNew checks that a new repository is complete: it builds and passes its tests
// without a network.
func TestNew(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tiny-storage")
	require.NoError(t, New(dir, "example.com/you/tiny-storage"))
	for _, file := range []string{".gitignore", ".github/workflows/ci.yaml", "Dockerfile", "Makefile", "README.md", "go.mod", "go.work", "plugin/main.go", "store/backend.go"} {
		require.FileExists(t, filepath.Join(dir, file))
	}
	require.ErrorContains(t, New(dir, "example.com/you/tiny-storage"), "is not empty")
	if testing.Short() {
		t.Skip("runs the tests of the new repository")
	}
	for _, args := range [][]string{{"vet", "./..."}, {"test", "./..."}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOPROXY=off", "GOFLAGS=", "GOWORK=", "GOTOOLCHAIN=local")
		text, err := cmd.CombinedOutput()
		require.NoError(t, err, string(text))
	}

	// Somebody else clones the repository, without what git ignores.
	require.NoError(t, os.RemoveAll(filepath.Join(dir, ".clusterpedia")))
	require.NoError(t, os.Remove(filepath.Join(dir, "go.work")))
	require.NoError(t, Workspace(dir))
	require.FileExists(t, filepath.Join(dir, ".clusterpedia", "storage-api", "storage", "storage.go"))
	require.ErrorContains(t, Workspace(t.TempDir()), "is no root of a module")
}
