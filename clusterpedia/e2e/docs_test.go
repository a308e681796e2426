package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMinimalServer builds the minimal server of docs/storage/upgrade.md with the commands
// that stand there, but without the other release of Kubernetes, which takes minutes; and
// has it do what the page says.
func TestMinimalServer(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(shared.root, "docs", "storage", "upgrade.md"))
	require.NoError(t, err)
	page := string(text)
	block := func(kind, begin string) string {
		found := regexp.MustCompile("(?s)```" + kind + "\n(" + regexp.QuoteMeta(begin) + ".*?)```").FindStringSubmatch(page)
		require.NotNil(t, found, "no block %s that begins with %q", kind, begin)
		return found[1]
	}
	const kubernetes = "\t_ \"k8s.io/apiserver/pkg/server\"\n\n"
	source, commands := block("go", "// A minimal server"), block("sh", "cd host\n")
	require.Contains(t, source, kubernetes)

	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "host"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "host", "main.go"), []byte(strings.Replace(source, kubernetes, "", 1)), 0o644))
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", commands)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CLUSTERPEDIA="+shared.root, "GOFLAGS=", "GOWORK=", "GOPROXY=off")
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, string(output))

	cmd = exec.CommandContext(t.Context(), filepath.Join(dir, "bump-host"), filepath.Join(shared.bin, "plugins", "internalstorage.so"))
	output, err = cmd.CombinedOutput()
	require.NoError(t, err, string(output))
	require.NotEmpty(t, output)
	require.Contains(t, block("", "$ ./bump-host"), string(output))
}
