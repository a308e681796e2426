package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/process"
)

// workshop is a directory with the built programs that an author of storage layers
// has, and nothing else of this repository.
type workshop struct {
	dir string
	env []string
}

func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	w := &workshop{dir: t.TempDir()}
	for _, name := range append(hosts(), "clusterpedia") {
		w.copyFile(t, filepath.Join(shared.bin, name), filepath.Join("bin", name))
	}
	w.env = append(os.Environ(), "PATH="+filepath.Join(w.dir, "bin")+":"+os.Getenv("PATH"), "GOWORK=", "GOFLAGS=")
	return w
}

func (w *workshop) path(elements ...string) string {
	return filepath.Join(append([]string{w.dir}, elements...)...)
}

func (w *workshop) copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(w.path(to)), 0o755))
	require.NoError(t, os.WriteFile(w.path(to), text, 0o755))
}

// run runs a command in a directory of the workshop, and returns what it prints.
func (w *workshop) run(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	program, err := exec.LookPath(args[0])
	if err != nil {
		program = w.path("bin", args[0])
	}
	cmd := exec.CommandContext(ctx, program, args[1:]...)
	cmd.Dir, cmd.Env = w.path(dir), slices.Concat(w.env, []string{"PWD=" + w.path(dir)})
	text, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, text)
	}
	return string(text), err
}

func (w *workshop) must(t *testing.T, dir string, args ...string) string {
	t.Helper()
	text, err := w.run(t, dir, args...)
	require.NoError(t, err)
	return text
}

// TestAuthor does what a new author of a storage layer does: without a network, and
// with the programs of a release alone.
func TestAuthor(t *testing.T) {
	w := newWorkshop(t)
	w.env = append(w.env, "GOPROXY=off", "GOTOOLCHAIN=local")
	require.Contains(t, w.must(t, "", "clusterpedia", "plugin", "new", "example.com/you/tiny-storage"), `a storage layer named "tiny"`)
	w.must(t, "tiny-storage", "go", "test", "./...")
	built := w.must(t, "tiny-storage", "clusterpedia", "plugin", "build", "--host", w.path("bin", "binding-apiserver"), "--plugin-version", "v0.1.0", "-o", w.path("plugins")+"/", ".")
	require.Contains(t, built, "fits "+w.path("bin", "binding-apiserver"))
	w.copyFile(t, filepath.Join(shared.bin, "plugins", "internalstorage.so"), "plugins/internalstorage.so")
	verified := w.must(t, "", "clusterpedia", "plugin", "verify", "--probe", "plugins")
	require.Equal(t, 2*len(hosts()), strings.Count(verified, "opened by the host  -"), verified)
	require.Regexp(t, `(?m)^tiny-storage +tiny-storage_\S*linux_`+runtime.GOARCH+`\.so +v0\.1\.0 +v[0-9.]+\+[0-9a-f]{16} +go\S+ +fits apiserver; fits binding-apiserver; fits clustersynchro-manager$`,
		w.must(t, "", "clusterpedia", "plugin", "list", "plugins"))

	d := deploy(t, "tiny", "")
	d.Env = []string{"STORAGE_PLUGINS=" + w.path("plugins")}
	d.bind(t)
	require.Contains(t, d.apiserver.LogTail(1<<20), "tiny-storage")
	servedAsIs(t, d, sqlStorage{})
	kubectlTables(t, d, sqlStorage{})
	changes(t, d, sqlStorage{})
}

// TestRedis builds the example of a storage layer that is not SQL, on a real server,
// and runs everything on it beside the internal one.
func TestRedis(t *testing.T) {
	if testing.Short() {
		t.Skip("needs clusters")
	}
	w := newWorkshop(t)
	require.NoError(t, os.CopyFS(w.path("redis-storage"), os.DirFS(filepath.Join(shared.root, "docs", "storage", "examples", "redis-storage"))))
	require.NoError(t, os.RemoveAll(w.path("redis-storage", ".clusterpedia")))
	free, err := process.FreePorts(1)
	require.NoError(t, err)
	address := fmt.Sprintf("127.0.0.1:%d", free[0])
	server, err := process.Start(process.Spec{Name: "redis-server", Dir: w.path("redis"), Command: []string{
		"redis-server", "--bind", "127.0.0.1", "--port", fmt.Sprint(free[0]), "--save", "", "--appendonly", "no",
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop(stopLimit)) })

	w.must(t, "redis-storage", "clusterpedia", "plugin", "workspace")
	w.env = append(w.env, "TEST_REDIS_ADDRESS="+address)
	w.must(t, "redis-storage", "go", "test", "./...")
	w.must(t, "redis-storage", "clusterpedia", "plugin", "build", "--host", w.path("bin", "apiserver"), "-o", w.path("plugins")+"/", ".")
	w.copyFile(t, filepath.Join(shared.bin, "plugins", "internalstorage.so"), "plugins/internalstorage.so")
	w.must(t, "", "clusterpedia", "plugin", "verify", "plugins")

	d := deploy(t, "redis", fmt.Sprintf("address: %q\n", address))
	d.Env = []string{"STORAGE_PLUGINS=" + w.path("plugins")}
	d.startManager(t)
	d.startAPIServer(t)
	d.register(t)
	servedAsIs(t, d, sqlStorage{})
	kubectlTables(t, d, sqlStorage{})
	pages(t, d, sqlStorage{})
	search(t, d, sqlStorage{})
	changes(t, d, sqlStorage{})
	removeCluster(t, d, sqlStorage{})
}

// TestVersionsSideBySide has the plugins for two releases in one directory, as during
// an upgrade: each server takes its own.
func TestVersionsSideBySide(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t)
	w.must(t, "", "clusterpedia", "plugin", "new", "example.com/you/tiny-storage")
	for version, plugin := range map[string]string{"v1.0.0": "v0.1.0", "v1.1.0": "v0.2.0"} {
		host := w.path(version, "clustersynchro-manager")
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-pgo=off", "-buildvcs=false",
			"-ldflags", "-s -w -X clusterpedia.io/clusterpedia/internal/process.gitVersion="+version, "-o", host, "./clusterpedia/cmd/clustersynchro-manager")
		build.Dir, build.Env = shared.root, append(os.Environ(), "GOWORK=", "GOFLAGS=", "CGO_ENABLED=1")
		text, err := build.CombinedOutput()
		require.NoError(t, err, string(text))
		w.must(t, "tiny-storage", "clusterpedia", "plugin", "build", "--host", host, "--plugin-version", plugin, "-o", w.path("plugins")+"/", ".")
	}
	// One that belongs to neither must not be opened.
	w.copyFile(t, filepath.Join(shared.bin, "plugins", "memorystorage.so"), "plugins/memorystorage_v0.9.0.so")
	for _, version := range []string{"v1.0.0", "v1.1.0"} {
		w.env = append(w.env, "STORAGE_PLUGINS="+w.path("plugins"))
		text, err := w.run(t, "", w.path(version, "clustersynchro-manager"), "--storage-name=missing", "--kubeconfig="+kubeconfigOfNobody(t))
		require.Error(t, err)
		require.Contains(t, text, fmt.Sprintf("registered are: tiny (%s/tiny-storage_%s_linux_%s.so)", w.path("plugins"), version, runtime.GOARCH))
		require.Contains(t, text, "memorystorage_v0.9.0.so (it is for version v0.9.0, this is "+version+")")
		// The tool chooses as the server does.
		text = w.must(t, "", "clusterpedia", "plugin", "verify", "--host", w.path(version, "clustersynchro-manager"), w.path("plugins"))
		require.Equal(t, 1, strings.Count(text, "fits "), text)
		require.Contains(t, text, "memorystorage_v0.9.0.so: it is for version v0.9.0, this is "+version)
	}
	text := w.must(t, "", "clusterpedia", "plugin", "list", "--host", w.path("v1.0.0", "clustersynchro-manager"), w.path("plugins"))
	for file, verdict := range map[string]string{
		"tiny-storage_v1.0.0_linux_": "fits clustersynchro-manager", "memorystorage_v0.9.0.so": "ignored by clustersynchro-manager: it is for version v0.9.0",
		"tiny-storage_v1.1.0_linux_": "ignored by clustersynchro-manager: it is for version v1.1.0",
	} {
		require.Regexp(t, regexp.QuoteMeta(file)+".*"+regexp.QuoteMeta(verdict), text)
	}
}

// TestListContracts lists plugins for storage APIs that neither server nor tool know.
func TestListContracts(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t)
	build := func(file, overlay string) {
		goBuild(t, w.path("plugins", file), "-buildmode=plugin", "-ldflags=-s -w", "-overlay="+overlay, "./memorystorage/plugin")
	}
	build("another.so", otherContract(t))
	build("nameless.so", overlay(t, "storage-api/digest/digest.go", "package digest\n\nconst Version = \"v0.0.1\"\n"))
	text := w.must(t, "", "clusterpedia", "plugin", "list", "--host", w.path("bin", "apiserver"), "plugins")
	const refused = " +go[0-9.]+ +refused by apiserver: it was built against another storage-api source "
	require.Regexp(t, `(?m)^another +another\.so +- +v[0-9.]+\+0123456789abcdef`+refused, text)
	require.Regexp(t, `(?m)^nameless +nameless\.so +- +unknown \(fingerprint [0-9a-f]{16}\)`+refused, text)
}

// TestVerify checks what the tool says of plugins that do not fit, and how it exits.
func TestVerify(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t)
	plugins := filepath.Join(shared.bin, "plugins")
	host := w.path("bin", "apiserver")
	good := filepath.Join(plugins, "memorystorage.so")
	text, err := os.ReadFile(good)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(w.path("cut.so"), text[:len(text)/3], 0o644))

	w.must(t, "", "go", "version") // strip is of the same package as the linker that cgo needs
	w.copyFile(t, good, "stripped.so")
	w.must(t, "", "strip", "stripped.so")
	require.Contains(t, w.must(t, "", "clusterpedia", "plugin", "verify", "--probe", "--host", host, "stripped.so"), "fits ")

	// For other machines, from the sources of this repository.
	build := func(file string, env ...string) {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-pgo=off", "-buildvcs=false", "-buildmode=plugin", "-o", w.path(file), "./memorystorage/plugin")
		cmd.Dir, cmd.Env = shared.root, append(append(os.Environ(), "GOWORK=", "GOFLAGS=", "CGO_ENABLED=1"), env...)
		text, err := cmd.CombinedOutput()
		require.NoError(t, err, string(text))
	}
	build("musl.so", "CC=musl-gcc")

	type report struct {
		Plugin   string
		Loadable bool
		Rows     []struct{ Why, Cure string }
	}
	for file, want := range map[string][2]string{
		"cut.so":  {"it is cut off", "or build it again"},
		"musl.so": {"it was built for the C library musl, the host for glibc", "build the plugin with a C compiler (CC) for glibc"},
	} {
		output, err := w.run(t, "", "clusterpedia", "plugin", "verify", "--host", host, "-o", "json", good, file)
		require.ErrorContains(t, err, "exit status 1")
		var reports []report
		require.NoError(t, json.Unmarshal([]byte(output), &reports), output)
		require.Len(t, reports, 2)
		require.True(t, reports[0].Loadable)
		require.False(t, reports[1].Loadable)
		require.Contains(t, reports[1].Rows[0].Why, want[0])
		require.Contains(t, reports[1].Rows[0].Cure, want[1])
	}
	_, err = w.run(t, "", "clusterpedia", "plugin", "verify", "--host", host, "-o", "yaml", good)
	require.ErrorContains(t, err, `-o must be text or json, not "yaml"`)
	_, err = w.run(t, "", "clusterpedia", "plugin", "verify", "--host", good, good)
	require.ErrorContains(t, err, "exit status 1")
}

// TestCrossBuild builds a plugin for another architecture.
func TestCrossBuild(t *testing.T) {
	t.Parallel()
	if runtime.GOARCH != "amd64" {
		t.Skip("crosses from amd64 to arm64")
	}
	w := newWorkshop(t)
	w.must(t, "", "clusterpedia", "plugin", "new", "example.com/you/tiny-storage")
	text := w.must(t, "tiny-storage", "clusterpedia", "plugin", "build", "--host", w.path("bin", "apiserver"), "--arch", "arm64", "-o", w.path("tiny-storage_linux_arm64.so"), ".")
	require.Contains(t, text, "not verified: the server is for amd64")
	text, err := w.run(t, "", "clusterpedia", "plugin", "verify", "--host", w.path("bin", "apiserver"), "tiny-storage_linux_arm64.so")
	require.Error(t, err)
	require.Contains(t, text, "it was built for AARCH64, the host for X86_64")
}
