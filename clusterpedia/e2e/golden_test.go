package e2e

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files")

// requireGolden compares with a golden file, or writes it.
func requireGolden(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "%s; to accept it, run make update-golden", golden)
}

// trailing matches the spaces that the usage of a flag ends a line with.
var trailing = regexp.MustCompile(`(?m) +$`)

// TestHelpGolden pins the flags of every server and tool, with their defaults: users have
// them in their manifests.
func TestHelpGolden(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"apiserver"},
		{"binding-apiserver"},
		{"clustersynchro-manager"},
		{"controller-manager"},
		{"clusterpedia"},
		{"clusterpedia", "plugin", "build"},
		{"clusterpedia", "plugin", "list"},
		{"clusterpedia", "plugin", "new"},
		{"clusterpedia", "plugin", "verify"},
	} {
		name := filepath.Join("testdata", "help", args[len(args)-1]+".golden")
		text, err := exec.CommandContext(t.Context(), filepath.Join(shared.bin, args[0]), append(args[1:], "--help")...).CombinedOutput()
		require.NoError(t, err, string(text))
		requireGolden(t, name, trailing.ReplaceAllString(string(text), ""))
	}
}
