package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestStorageMigrate brings a schema up to date with the built tool, which loads the built
// plugin as the servers do, while autoMigrate is false for them.
func TestStorageMigrate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := filepath.Join(dir, "storage.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "type: sqlite\ndsn: %s\nautoMigrate: false\n", filepath.Join(dir, "test.db")), 0o600))
	run := func(args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, filepath.Join(shared.bin, "clusterpedia"), append([]string{"storage", "migrate"}, args...)...)
		cmd.Env = append(os.Environ(), "STORAGE_PLUGINS="+filepath.Join(shared.bin, "plugins"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	text, err := run("--storage-config", config, "--dry-run")
	require.NoError(t, err, text)
	require.Contains(t, text, "-- 1: create the tables\nCREATE TABLE resources (")
	again, err := run("--storage-config", config, "--dry-run")
	require.NoError(t, err, again)
	require.Equal(t, text, again, "a dry run has changed something")

	text, err = run("--storage-config", config)
	require.NoError(t, err, text)
	require.Contains(t, text, "1: create the tables: done (")
	text, err = run("--storage-config", config)
	require.NoError(t, err, text)
	require.Equal(t, "The schema is up to date.\n", text)

	for want, args := range map[string][]string{
		"error: the storage layer memory has no schema\n":                          {"--storage-name", "memory"},
		"error: open storage internal: configPath should not be empty\n":           {},
		"error: --storage-config: stat /no/such/file: no such file or directory\n": {"--storage-config", "/no/such/file"},
	} {
		text, err := run(args...)
		require.Error(t, err)
		require.Equal(t, want, text)
	}
}
