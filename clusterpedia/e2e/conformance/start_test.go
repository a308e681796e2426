package conformance

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// Start is one entry of testdata/start.yaml: a server that must refuse to start.
type Start struct {
	// Case, Note and Pending are as in Case.
	Case    string `json:"case"`
	Note    string `json:"note"`
	Pending string `json:"pending"`
	// Config is the content of the storage layer's configuration, the file CONFIG
	// of arguments and environment. DIR is a directory of the case's own, with Files in it.
	Config string            `json:"config"`
	Files  map[string]string `json:"files"`
	Args   list              `json:"args"`
	Env    list              `json:"env"`
	// Says are parts of what it prints; Lacks are none.
	Says  list `json:"says"`
	Lacks list `json:"lacks"`
}

// startLimit bounds a server that must end by itself.
const startLimit = 30 * time.Second

// TestStart starts apiservers with bad configuration: each ends with code 1 and says why.
func TestStart(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs the built servers")
	}
	text, err := os.ReadFile(filepath.Join("testdata", "start.yaml"))
	require.NoError(t, err)
	var cases []Start
	require.NoError(t, yaml.UnmarshalStrict(text, &cases))
	for _, c := range cases {
		t.Run(c.Case, func(t *testing.T) {
			t.Parallel()
			output, code := c.run(t)
			var missing []string
			for _, says := range c.Says {
				if !strings.Contains(output, says) {
					missing = append(missing, "it does not say: "+says)
				}
			}
			for _, lacks := range append(c.Lacks, "panic", "goroutine ") {
				if strings.Contains(output, lacks) {
					missing = append(missing, "it says: "+lacks)
				}
			}
			if code != 1 {
				missing = append(missing, "it does not end with code 1")
			}
			if c.Pending != "" {
				require.NotEmpty(t, missing, "passes, but is marked as pending: %s", c.Pending)
				t.Skipf("pending: %s (%s)", c.Pending, missing[0])
			}
			require.Empty(t, missing, "%s\ncode %d", output, code)
		})
	}
}

// run returns what the server prints, and its exit code; -1 if it did not end.
func (c *Start) run(t *testing.T) (output string, code int) {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "CONFIG.yaml")
	require.NoError(t, os.WriteFile(config, []byte(c.Config), 0o600))
	for name, text := range c.Files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	expand := strings.NewReplacer("CONFIG", config, "DIR", dir)
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(shared.bin, "apiserver"))
	for _, arg := range c.Args {
		cmd.Args = append(cmd.Args, expand.Replace(arg))
	}
	cmd.Dir = dir
	cmd.Env = os.Environ()
	for _, variable := range c.Env {
		cmd.Env = append(cmd.Env, expand.Replace(variable))
	}
	text, err := cmd.CombinedOutput()
	if ctx.Err() != nil || cmd.ProcessState == nil {
		return string(text) + ctx.Err().Error(), -1
	}
	_ = err // an exit code is one
	return strings.ReplaceAll(string(text), `\"`, `"`), cmd.ProcessState.ExitCode()
}
