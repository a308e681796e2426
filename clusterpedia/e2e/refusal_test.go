package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hosts are the servers that open storage layers.
func hosts() []string { return []string{"apiserver", "binding-apiserver", "clustersynchro-manager"} }

// refusalLimit bounds the time that a server takes to refuse.
const refusalLimit = 30 * time.Second

// TestRefusals gives each server plugins that it must refuse: with one clear
// message, exit code 1, and before anything else happens.
func TestRefusals(t *testing.T) {
	t.Parallel()
	bad := t.TempDir()
	buildBad(t, bad)
	memory := filepath.Join(shared.bin, "plugins", "memorystorage.so")
	good, err := os.ReadFile(memory)
	require.NoError(t, err)
	write := func(name string, content []byte) string {
		path := filepath.Join(bad, name)
		require.NoError(t, os.WriteFile(path, content, 0o644))
		return path
	}
	empty := filepath.Join(bad, "empty")
	require.NoError(t, os.Mkdir(empty, 0o755))

	pipe := filepath.Join(bad, "pipe.so")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))

	cases := map[string]struct {
		plugins string
		args    []string
		message string
	}{
		"a text file":             {plugins: write("text.so", []byte("type: internal\n")), message: "text.so does not fit HOST: it is a text file"},
		"a file that is cut off":  {plugins: write("cut.so", good[:len(good)/2]), message: "cut.so does not fit HOST: it is cut off"},
		"a named pipe":            {plugins: pipe, message: "pipe.so does not fit HOST: it is no regular file"},
		"a foreign library":       {plugins: filepath.Join(bad, "foreign.so"), message: "foreign.so does not fit HOST: it is"},
		"other flags":             {plugins: filepath.Join(bad, "flags.so"), message: "does not fit HOST: it was built with"},
		"another storage-api":     {plugins: filepath.Join(bad, "contract.so"), message: "does not fit HOST: it was built against another storage-api source"},
		"a name that is taken":    {plugins: filepath.Join(shared.bin, "plugins") + ":" + filepath.Join(bad, "taken.so"), message: `storage name "memory" of BAD/taken.so is already taken by BIN/plugins/memorystorage.so; remove one of both`},
		"the same plugin twice":   {plugins: memory + ":" + write("copy.so", good), message: "is already loaded, from BIN/plugins/memorystorage.so"},
		"an empty directory":      {plugins: empty, message: "STORAGE_PLUGINS: there is no plugin (*.so) in directory BAD/empty; put one there, or do not name it"},
		"a path that is none":     {plugins: filepath.Join(bad, "missing"), message: "STORAGE_PLUGINS: there is no BAD/missing; create it, or do not name it"},
		"one good and one bad":    {plugins: memory + ":" + filepath.Join(bad, "text.so"), message: "1 of 2 storage plugins cannot be opened, so none is"},
		"a name that nobody has":  {plugins: memory, args: []string{"--storage-name=missing"}, message: "storage missing is unregistered; registered are: memory (BIN/plugins/memorystorage.so)"},
		"a configuration missing": {plugins: memory, args: []string{"--storage-name=memory", "--storage-config=/missing.yaml"}, message: "--storage-config: stat /missing.yaml: no such file or directory"},
	}
	for _, host := range hosts() {
		for name, tc := range cases {
			t.Run(host+"/"+name, func(t *testing.T) {
				t.Parallel()
				program := filepath.Join(shared.bin, host)
				text := strings.NewReplacer(program, "HOST", bad, "BAD", shared.bin, "BIN").Replace(refusal(t, program, tc.plugins, tc.args...))
				require.Contains(t, text, tc.message)
			})
		}
	}
}

// refusal runs a server that must end with exit code 1, and returns what it says.
func refusal(t *testing.T, program, plugins string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), refusalLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{"--kubeconfig=" + kubeconfigOfNobody(t)}, args...)...)
	cmd.Dir = t.TempDir() // for self-signed certificates
	cmd.Env = append(os.Environ(), "STORAGE_PLUGINS="+plugins)
	output, err := cmd.CombinedOutput()
	text := string(output)
	require.Error(t, err, text)
	require.Equal(t, 1, cmd.ProcessState.ExitCode(), text)
	require.NotContains(t, text, "goroutine ", "no crash")
	return text
}

// kubeconfigOfNobody returns a kubeconfig of a cluster that does not answer.
func kubeconfigOfNobody(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{"apiVersion":"v1","kind":"Config","current-context":"a","clusters":[{"name":"a","cluster":{"server":"https://127.0.0.1:1"}}],"contexts":[{"name":"a","context":{"cluster":"a","user":"a"}}],"users":[{"name":"a","user":{}}]}`
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// TestNoPlugins checks what servers say that have no plugins at all.
func TestNoPlugins(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/usr/local/lib/clusterpedia/plugins"); err == nil {
		t.Skip("plugins are installed")
	}
	for _, host := range hosts() {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			program, err := os.ReadFile(filepath.Join(shared.bin, host))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, host), program, 0o755))
			cmd := exec.CommandContext(t.Context(), filepath.Join(dir, host), "--kubeconfig="+kubeconfigOfNobody(t))
			cmd.Dir = dir
			output, err := cmd.CombinedOutput()
			require.Error(t, err)
			require.Equal(t, 1, cmd.ProcessState.ExitCode())
			require.Contains(t, string(output), "storage internal is unregistered; no plugin is loaded: put one into /usr/local/lib/clusterpedia/plugins")
		})
	}
}

// buildBad builds plugins that no server may open.
func buildBad(t *testing.T, out string) {
	t.Helper()
	const plugin = "-buildmode=plugin"
	goBuild := func(file string, args ...string) {
		t.Helper()
		goBuild(t, filepath.Join(out, file), args...)
	}
	goBuild("flags.so", plugin, "-gcflags=clusterpedia.io/storage-api/...=-N -l", "./memorystorage/plugin")
	goBuild("contract.so", plugin, "-overlay="+otherContract(t), "./memorystorage/plugin")
	goBuild("taken.so", plugin, "-overlay="+takenName(t), "./memorystorage/taken")

	source := filepath.Join(t.TempDir(), "foreign.c")
	require.NoError(t, os.WriteFile(source, []byte("int answer(void) { return 42; }\n"), 0o644))
	text, err := exec.CommandContext(t.Context(), "gcc", "-shared", "-fPIC", "-o", filepath.Join(out, "foreign.so"), source).CombinedOutput()
	require.NoError(t, err, string(text))
}

// goBuild builds something of this repository as it is built for releases, with more
// arguments for go build.
func goBuild(t *testing.T, out string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"build", "-trimpath", "-pgo=off", "-buildvcs=false", "-o", out}, args...)...)
	cmd.Dir = shared.root
	cmd.Env = append(os.Environ(), "GOWORK=", "CGO_ENABLED=1", "GOFLAGS=")
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", cmd, text)
}

// otherContract is a storage-api that differs in one constant.
func otherContract(t *testing.T) string {
	t.Helper()
	return overlay(t, "storage-api/digest/source.go", "package digest\n\nconst Source = \"0123456789abcdef\"\n")
}

// takenName is a plugin with another main package than memorystorage, and its name.
func takenName(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(shared.root, "memorystorage", "plugin", "main.go"))
	require.NoError(t, err)
	return overlay(t, "memorystorage/taken/main.go", string(text))
}

// overlay returns a file for go build -overlay that puts text in the place of a
// file of the repository.
func overlay(t *testing.T, file, text string) string {
	t.Helper()
	return overlays(t, map[string]string{file: text})
}

// overlays does so for several files; those of Go itself have names that begin with
// GOROOT.
func overlays(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	for file, text := range files {
		at := filepath.Join(shared.root, file)
		if rest, ok := strings.CutPrefix(file, "GOROOT/"); ok {
			goroot, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
			require.NoError(t, err)
			at = filepath.Join(strings.TrimSpace(string(goroot)), rest)
		}
		replacement := filepath.Join(dir, strconv.Itoa(len(replace))+".go")
		require.NoError(t, os.WriteFile(replacement, []byte(text), 0o644))
		replace[at] = replacement
	}
	content, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	path := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(path, content, 0o644))
	return path
}
