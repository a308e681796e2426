package preflight

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	storageapi "clusterpedia.io/storage-api"
)

// sources is a workspace with a host, two plugins, a stand-in for the storage
// API (beside its own package digest), which all share, and a module that only the plugins share. It needs the
// standard library alone, so that it builds fast and offline.
var sources = map[string]string{
	"go.work": "go 1.26.0\n\nuse (\n\t./deps\n\t./host\n\t./plugins\n\t./storage-api\n)\n",

	"storage-api/go.mod":           "module clusterpedia.io/storage-api\n\ngo 1.26.0\n",
	"storage-api/digest/source.go": digestSource("1111111111111111"),
	"storage-api/storage/storage.go": `package storage

import "clusterpedia.io/storage-api/digest"

const Source = digest.Source

type entry struct{ name string }

var entries []entry

func Register(name string) { entries = append(entries, entry{name: name}) }

func Names() (names []string) {
	for _, e := range entries {
		names = append(names, e.name)
	}
	return names
}
`,
	"deps/go.mod":     "module fixture.example/deps\n\ngo 1.26.0\n",
	"deps/lib/lib.go": "package lib\n\nfunc Name() string { return \"lib\" }\n",

	"host/go.mod": "module fixture.example/host\n\ngo 1.26.0\n",
	"host/main.go": `package main

import (
	"fmt"
	"os"
	"plugin"
	"runtime"

	"clusterpedia.io/storage-api/storage"
)

func main() {
	for _, file := range os.Args[1:] {
		if _, err := plugin.Open(file); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	runtime.GC()
	fmt.Println(storage.Names())
}
`,
	"plugins/go.mod":         "module fixture.example/plugins\n\ngo 1.26.0\n",
	"plugins/first/main.go":  pluginSource("first"),
	"plugins/second/main.go": pluginSource("second"),
}

func digestSource(digest string) string {
	return "package digest\n\nconst Source = \"" + digest + "\"\n"
}

func pluginSource(name string) string {
	return `package main

import (
	"clusterpedia.io/storage-api/storage"
	"fixture.example/deps/lib"
)

var Version = "v1"

func init() { storage.Register("` + name + `" + lib.Name()) }

func main() {}
`
}

// changes are what some builds find in place of the sources.
var changes = map[string]map[string]string{
	// Nothing that the storage package exports changes; only the digest tells.
	"contract": {
		"storage-api/digest/source.go": digestSource("2222222222222222"),
		"storage-api/storage/storage.go": strings.Replace(sources["storage-api/storage/storage.go"],
			"struct{ name string }", "struct{ weight int; name string }", 1),
	},
	"api": {
		"storage-api/storage/storage.go": sources["storage-api/storage/storage.go"] + "\nfunc Count() int { return len(entries) }\n",
	},
	"lib":  {"deps/lib/lib.go": sources["deps/lib/lib.go"] + "\nfunc Other() int { return 1 }\n"},
	"main": {"plugins/first/main.go": pluginSource("other")},
}

// target is one file to build.
type target struct {
	file    string   // name of the output
	pkg     string   // what is built, below the workspace
	change  string   // what is changed, a key of changes
	without []string // flags that are left out
	flags   []string // flags that are added
	env     []string
}

var targets = []target{
	{file: "host", pkg: "host"},
	{file: "host-nocgo", pkg: "host", env: []string{"CGO_ENABLED=0"}},
	{file: "host-static", pkg: "host", flags: []string{"-ldflags=-linkmode=external -extldflags=-static"}},
	{file: "first.so", pkg: "plugins/first"},
	{file: "first-stripped.so", pkg: "plugins/first", flags: []string{"-ldflags=-s -w"}},
	{file: "first-path.so", pkg: "plugins/first", flags: []string{"-ldflags=-pluginpath=fixture.example/renamed"}},
	{file: "first-notrim.so", pkg: "plugins/first", without: []string{"-trimpath"}},
	{file: "first-gcflags.so", pkg: "plugins/first", flags: []string{"-gcflags=clusterpedia.io/...=-N -l"}},
	{file: "first-contract.so", pkg: "plugins/first", change: "contract"},
	{file: "first-api.so", pkg: "plugins/first", change: "api"},
	{file: "first-main.so", pkg: "plugins/first", change: "main"},
	{file: "second.so", pkg: "plugins/second"},
	{file: "second-lib.so", pkg: "plugins/second", change: "lib"},
	{file: "shared.so", pkg: "plugins/first", without: []string{"-buildmode=plugin"}, flags: []string{"-buildmode=c-shared"}},
}

// build builds all targets into a directory, which it returns.
func build(t *testing.T) string {
	t.Helper()
	workspace, out := t.TempDir(), t.TempDir()
	writeFiles(t, workspace, sources)
	digest, err := storageapi.Source.ReadFile("digest/digest.go")
	require.NoError(t, err)
	writeFiles(t, workspace, map[string]string{"storage-api/digest/digest.go": string(digest)})
	overlays := map[string]string{}
	for name, files := range changes {
		overlays[name] = writeOverlay(t, workspace, files)
	}
	for _, tgt := range targets {
		flags := []string{"-trimpath"}
		if strings.HasSuffix(tgt.file, ".so") {
			flags = append(flags, "-buildmode=plugin")
		}
		flags = slices.DeleteFunc(flags, func(f string) bool { return slices.Contains(tgt.without, f) })
		if tgt.change != "" {
			flags = append(flags, "-overlay="+overlays[tgt.change])
		}
		args := slices.Concat([]string{"build", "-o", filepath.Join(out, tgt.file)}, flags, tgt.flags, []string{"./" + tgt.pkg})
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = workspace
		cmd.Env = append(os.Environ(), "GOWORK=", "GOFLAGS=", "GOTOOLCHAIN=local", "GOPROXY=off", "CGO_ENABLED=1")
		cmd.Env = append(cmd.Env, tgt.env...)
		text, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", cmd, text)
	}
	return out
}

// writeFiles writes files, given by their slash separated paths, below a
// directory.
func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
}

// writeOverlay writes files that go build -overlay puts in place of those of the
// workspace, and returns the file that it wants.
func writeOverlay(t *testing.T, workspace string, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	writeFiles(t, dir, files)
	replace := map[string]string{}
	for name := range files {
		replace[filepath.Join(workspace, filepath.FromSlash(name))] = filepath.Join(dir, filepath.FromSlash(name))
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	path := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(path, text, 0o644))
	return path
}
