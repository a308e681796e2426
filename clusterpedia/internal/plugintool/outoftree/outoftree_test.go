package outoftree

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/clusterpedia/internal/storageplugin/preflight"
)

// dep is a module of which host and plugin may want different versions.
const dep = "dep.example/lib"

// proxy writes a module proxy with three versions of dep, and one of a module that
// the host does not have. The format is that of the GOPROXY protocol,
// https://go.dev/ref/mod#goproxy-protocol.
func proxy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	add := func(module, version, source string) {
		base := filepath.Join(dir, filepath.FromSlash(module), "@v")
		require.NoError(t, os.MkdirAll(base, 0o755))
		mod := "module " + module + "\n\ngo 1.25\n"
		var archive bytes.Buffer
		z := zip.NewWriter(&archive)
		for name, text := range map[string]string{"go.mod": mod, "lib.go": source} {
			w, err := z.Create(module + "@" + version + "/" + name)
			require.NoError(t, err)
			_, err = w.Write([]byte(text))
			require.NoError(t, err)
		}
		require.NoError(t, z.Close())
		for name, content := range map[string][]byte{
			version + ".info": fmt.Appendf(nil, `{"Version":%q}`, version), version + ".mod": []byte(mod), version + ".zip": archive.Bytes(),
		} {
			require.NoError(t, os.WriteFile(filepath.Join(base, name), content, 0o644))
		}
	}
	add(dep, "v1.0.0", "package lib\n\nfunc Old() string { return \"v1.0.0\" }\n")
	add(dep, "v1.1.0", "package lib\n\nfunc Old() string { return \"v1.1.0\" }\n\nfunc Mid() {}\n")
	add(dep, "v1.2.0", "package lib\n\nfunc Old() string { return \"v1.2.0\" }\n\nfunc Mid() {}\n\nfunc New() {}\n")
	add("fork.example/lib", "v1.1.0", "package lib\n\nfunc Old() string { return \"fork\" }\n\nfunc Mid() {}\n")
	add("other.example/lib", "v1.0.0", "package lib\n\nfunc Name() string { return \"other\" }\n")
	return dir
}

// bench is where hosts and plugins are built, offline but for the proxy of the test.
type bench struct {
	env  []string
	host string
}

// newBench builds a host; directives are what its go.work says besides.
func newBench(t *testing.T, directives string) *bench {
	t.Helper()
	if testing.Short() {
		t.Skip("builds plugins")
	}
	b := &bench{env: append(os.Environ(), "GOPROXY=file://"+proxy(t), "GOSUMDB=off", "GOMODCACHE="+filepath.Join(t.TempDir(), "mod"), "GOTOOLCHAIN=local", "GOFLAGS=-modcacherw")}
	workspace := t.TempDir()
	require.NoError(t, WriteContract(filepath.Join(workspace, "storage-api")))
	write(t, workspace, map[string]string{
		"go.work":     "go 1.26.0\n\nuse (\n\t./host\n\t./storage-api\n)\n\nreplace clusterpedia.io/storage-api v0.0.0 => ./storage-api\n" + directives,
		"host/go.mod": "module fixture.example/host\n\ngo 1.26.0\n\nrequire (\n\tclusterpedia.io/storage-api v0.0.0\n\t" + dep + " v1.1.0\n)\n",
		"host/main.go": `package main

import (
	"fmt"
	"os"
	"plugin"

	"clusterpedia.io/storage-api/storage"
	"dep.example/lib"
)

func main() {
	for _, file := range os.Args[1:] {
		if _, err := plugin.Open(file); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println(lib.Old(), "named", storage.Registered()[0].Name)
}
`,
	})
	b.host = filepath.Join(workspace, "bin", "host")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-pgo=off", "-buildvcs=false", "-o", b.host, "./host")
	cmd.Dir, cmd.Env = workspace, slices.Concat(b.env, []string{"GOWORK=", "CGO_ENABLED=1"})
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, string(text))
	return b
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
}

// pluginRepository is a repository whose plugin uses what is given of other modules.
func pluginRepository(t *testing.T, requires, imports, use string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a directory")
	write(t, dir, map[string]string{
		"go.mod": "module fixture.example/own-storage\n\ngo 1.25\n\nrequire clusterpedia.io/storage-api v0.0.0\n" + requires,
		"plugin/main.go": `package main

import (
	"clusterpedia.io/storage-api/storage"
` + imports + `
)

func init() {
	storage.Register(storage.Driver{Name: ` + use + `})
}

func main() {}
`,
	})
	return dir
}

func TestBuild(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	const lib = "\t\"" + dep + "\""
	for name, tc := range map[string]struct {
		requires, imports, use string
		log, output            string
		err                    string
	}{
		"nothing but the storage API": {use: `"own"`, output: "v1.1.0 named own"},
		"a lower version":             {"require " + dep + " v1.0.0\n", lib, "lib.Old()", dep + ": the plugin would have v1.0.0, the host has v1.1.0", "v1.1.0 named v1.1.0", ""},
		"the same version":            {"require " + dep + " v1.1.0\n", lib, "lib.Old()", "", "v1.1.0 named v1.1.0", ""},
		"a higher version":            {"require " + dep + " v1.2.0\n", lib, "lib.Old()", dep + ": the plugin would have v1.2.0, the host has v1.1.0", "v1.1.0 named v1.1.0", ""},
		"what only a higher one has":  {"require " + dep + " v1.2.0\n", lib, "func() string { lib.New(); return `` }()", "", "", "undefined: lib.New"},
		"another in its place":        {"require " + dep + " v1.1.0\nreplace " + dep + " => fork.example/lib v1.1.0\n", lib, "lib.Old()", dep + ": the plugin would have v1.1.0 => fork.example/lib v1.1.0, the host has v1.1.0", "v1.1.0 named v1.1.0", ""},
		"a module of its own":         {"require other.example/lib v1.0.0\n", "\t\"other.example/lib\"", "lib.Name()", "", "v1.1.0 named other", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := pluginRepository(t, tc.requires, tc.imports, tc.use)
			before := snapshot(t, dir)
			var log strings.Builder
			out := t.TempDir()
			// What a user has set for builds of another kind is not in the way.
			settings := filepath.Join(t.TempDir(), "env")
			require.NoError(t, os.WriteFile(settings, []byte("GOFLAGS=-race\nGOEXPERIMENT=arenas\nGOAMD64=v3\n"), 0o600))
			env := append(slices.Clone(b.env), "GOFLAGS=-mod=mod -race", "GOWORK=/missing", "CGO_ENABLED=0", "GOEXPERIMENT=arenas", "GOENV="+settings)
			file, err := Build(t.Context(), Options{Host: b.host, Dir: dir, Output: out, Log: &log, Env: env})
			require.Equal(t, before, snapshot(t, dir), "the repository changed")
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				require.Empty(t, snapshot(t, out))
				return
			}
			require.NoError(t, err)
			require.Contains(t, log.String(), tc.log)
			require.Equal(t, filepath.Join(out, "own-storage_linux_"+goarch(t)+".so"), file)
			text, err := exec.CommandContext(t.Context(), b.host, file).CombinedOutput()
			require.NoError(t, err, string(text))
			require.Equal(t, tc.output, strings.TrimSpace(string(text)))
		})
	}
}

// TestBuildForReplaced builds for hosts that have another module in a module's place.
func TestBuildForReplaced(t *testing.T) {
	t.Parallel()
	b := newBench(t, "replace "+dep+" v1.1.0 => fork.example/lib v1.1.0\n")
	for _, version := range []string{"v1.0.0", "v1.1.0", "v1.2.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			dir := pluginRepository(t, "require "+dep+" "+version+"\n", "\t\""+dep+"\"", "lib.Old()")
			file, err := Build(t.Context(), Options{Host: b.host, Dir: dir, Output: t.TempDir(), Env: b.env})
			require.NoError(t, err)
			text, err := exec.CommandContext(t.Context(), b.host, file).CombinedOutput()
			require.NoError(t, err, string(text))
			require.Equal(t, "fork named fork", strings.TrimSpace(string(text)))
		})
	}
	local := t.TempDir()
	write(t, local, map[string]string{"go.mod": "module " + dep + "\n\ngo 1.25\n", "lib.go": "package lib\n\nfunc Old() string { return \"local\" }\n"})
	replaced := newBench(t, "replace "+dep+" v1.1.0 => "+local+"\n")
	dir := pluginRepository(t, "require "+dep+" v1.1.0\n", "\t\""+dep+"\"", "lib.Old()")
	_, err := Build(t.Context(), Options{Host: replaced.host, Dir: dir, Output: t.TempDir(), Env: replaced.env})
	require.EqualError(t, err, "the host was built from a directory in place of module dep.example/lib v1.1.0, which the plugin needs too: only who has that directory can build the plugin; or let the plugin do without the module")
	used := newBench(t, "use "+local+"\n")
	_, err = Build(t.Context(), Options{Host: used.host, Dir: dir, Output: t.TempDir(), Env: used.env})
	require.EqualError(t, err, "the host was built from a directory of module dep.example/lib, which the plugin needs too: only who has that directory can build the plugin; or let the plugin do without the module")
}

// TestBuildChecked keeps an older plugin in place of one that does not pass.
func TestBuildChecked(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	dir, out := pluginRepository(t, "", "", `"own"`), t.TempDir()
	write(t, out, map[string]string{"own.so": "older"})
	before := snapshot(t, out)
	misfit := errors.New("misfit")
	_, err := Build(t.Context(), Options{Host: b.host, Dir: dir, Output: filepath.Join(out, "own.so"), Env: b.env, Check: func(_ *preflight.Image, built, _ string) error {
		require.FileExists(t, built)
		return misfit
	}})
	require.ErrorIs(t, err, misfit)
	require.Equal(t, before, snapshot(t, out))
}

func goarch(t *testing.T) string {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), "go", "env", "GOARCH").Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

// snapshot returns the digests of all files below a directory.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = fmt.Sprintf("%x", sha256.Sum256(text))
		return err
	}))
	return files
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"text": "text\n", "lib/lib.go": "package lib\n"})
	goCommand, err := exec.LookPath("go")
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		host, dir, want string
	}{
		"no host":           {filepath.Join(dir, "missing"), ".", "--host: "},
		"host is no binary": {filepath.Join(dir, "text"), ".", "is a text file"},
		"host cannot":       {goCommand, ".", "cannot open plugins"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Build(t.Context(), Options{Host: tc.host, Dir: tc.dir})
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestMainPackage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"lib/lib.go": "package lib\n", "main/main.go": "package main\n", "above/lib.go": "package above\n", "above/plugin/main.go": "package main\n",
		"generator/lib.go": "package generator\n", "generator/generate.go": "//go:build ignore\n\npackage main\n", "generator/plugin/main.go": "package main\n",
		"tagged/main.go": "//go:build own\n\npackage main\n", "two/lib.go": "package two\n", "two/main.go": "package main\n", "tests/main_test.go": "package main\n",
	})
	for name, tc := range map[string]struct{ tags, want, err string }{
		"main":      {want: "main"},
		"above":     {want: "above/plugin"},
		"generator": {want: "generator/plugin"},
		"tagged":    {tags: "some,own", want: "tagged"},
		"lib":       {err: "there is no main package in"},
		"tests":     {err: "there is no main package in"},
		"missing":   {err: "there is no main package in"},
		"two":       {err: "found packages two (lib.go) and main (main.go)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := mainPackage(filepath.Join(dir, name), "amd64", tc.tags)
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, filepath.Join(dir, tc.want), found)
		})
	}
}

func TestWriteContract(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "storage-api")
	write(t, dir, map[string]string{"stale.go": "package stale\n"})
	require.NoError(t, WriteContract(dir))
	files := slices.Sorted(maps.Keys(snapshot(t, dir)))
	require.Contains(t, files, filepath.Join(dir, "go.mod"))
	require.Contains(t, files, filepath.Join(dir, "storage", "storage.go"))
	require.NotContains(t, files, filepath.Join(dir, "stale.go"))
}
