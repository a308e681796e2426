package preflight

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	storageapi "clusterpedia.io/storage-api"
)

// target is one file to build.
type target struct {
	file    string   // name of the output
	pkg     string   // what is built, below the workspace; "plugins/first" if empty
	change  string   // what is changed, a key of changes
	without []string // flags that are left out
	flags   []string // flags that are added; PROFILE stands for a profile
	env     []string
	work    string // a workspace other than go.work, or "off"
	needs   string // a program without which it is not built
}

var targets = []target{
	{file: "host", pkg: "host"},
	{file: "host-nocgo", pkg: "host", env: []string{"CGO_ENABLED=0"}},
	{file: "host-static", pkg: "host", flags: []string{"-ldflags=-linkmode=external -extldflags=-static"}},
	{file: "host-pie", pkg: "host", flags: []string{"-buildmode=pie", "-ldflags=-s -w"}},
	{file: "host-race", pkg: "host", flags: []string{"-race"}},

	{file: "first.so"},
	{file: "first-stripped.so", flags: []string{"-ldflags=-s -w"}},
	{file: "first-stamped.so", flags: []string{"-ldflags=-X main.Version=v2 -X fixture.example/text.Unknown=v3"}},
	{file: "first-files.so", pkg: "plugins/first/main.go"},
	{file: "second.so", pkg: "plugins/second"},

	{file: "first-path.so", flags: []string{"-ldflags=-pluginpath=fixture.example/renamed"}},
	{file: "first-notrim.so", without: []string{"-trimpath"}},
	{file: "first-gcflags.so", flags: []string{"-gcflags=clusterpedia.io/...=-N -l"}},
	{file: "first-main-gcflags.so", flags: []string{"-gcflags=-N -l"}},
	{file: "first-all-gcflags.so", flags: []string{"-gcflags=all=-N -l"}},
	{file: "first-race.so", flags: []string{"-race"}},
	{file: "first-cover.so", flags: []string{"-cover", "-coverpkg=clusterpedia.io/storage-api/..."}},
	{file: "first-own-cover.so", flags: []string{"-cover", "-coverpkg=fixture.example/plugins/..."}},
	{file: "first-profile.so", flags: []string{"-pgo=PROFILE"}},
	{file: "first-tags.so", flags: []string{"-tags=more"}},
	{file: "first-idle-tags.so", flags: []string{"-tags=nothing"}},
	{file: "first-experiment.so", env: []string{"GOEXPERIMENT=nogreenteagc"}},
	{file: "first-std.so", change: "std"},

	{file: "first-contract.so", change: "contract"},
	{file: "first-body.so", change: "body"},
	{file: "first-body-unseen.so", change: "body without digest"},
	{file: "first-api.so", change: "api"},
	{file: "apart.so", pkg: "apart", work: "off"},
	{file: "first-newer.so", work: "newer.work"},
	{file: "first-patch.so", work: "patch.work"},
	{file: "first-main.so", change: "main"},
	{file: "second-lib.so", pkg: "plugins/second", change: "lib"},

	{file: "shared.so", without: []string{"-buildmode=plugin"}, flags: []string{"-buildmode=c-shared"}},
	{file: "archive.so", without: []string{"-buildmode=plugin"}, flags: []string{"-buildmode=c-archive"}},
	{file: "pie.so", without: []string{"-buildmode=plugin"}, flags: []string{"-buildmode=pie"}},
	{file: "static.so", without: []string{"-buildmode=plugin"}, env: []string{"CGO_ENABLED=0"}},
	{file: "first-musl.so", env: []string{"CC=" + muslCC}, needs: muslCC},
	{file: "first-arm64.so", env: []string{"GOARCH=arm64", "CC=" + arm64CC}, needs: arm64CC},
	{file: "glibc.so", pkg: "plugins/glibc"},
	{file: "first-level.so", env: []string{"GOAMD64=v4"}},
}

// The C compilers for other machines, which are not everywhere.
const (
	muslCC  = "musl-gcc"
	arm64CC = "aarch64-linux-gnu-gcc"
)

// builder builds targets.
type builder struct {
	workspace, out string
	env            []string
	overlays       map[string]string
	profile        string
}

// build builds all targets into a directory, which it returns.
func build(t *testing.T) string {
	t.Helper()
	b := &builder{workspace: t.TempDir(), out: t.TempDir(), overlays: map[string]string{}}
	writeFiles(t, b.workspace, sources)
	digest, err := storageapi.Source.ReadFile("digest/digest.go")
	require.NoError(t, err)
	writeFiles(t, b.workspace, map[string]string{"storage-api/digest/digest.go": string(digest)})
	b.publish(t)
	for name, files := range changes {
		b.overlays[name] = writeOverlay(t, b.workspace, files)
	}
	cc := exec.CommandContext(t.Context(), "cc", "-shared", "-fPIC", "-Wl,-soname,libc.so.6", "-Wl,--version-script=newer.map", "-o", "libnewer.so", "newer.c")
	cc.Dir = filepath.Join(b.workspace, "plugins", "glibc", "libc")
	text, err := cc.CombinedOutput()
	require.NoError(t, err, string(text))
	profile, err := b.command(t, target{}, "run", "./profile").Output()
	require.NoError(t, err)
	b.profile = filepath.Join(t.TempDir(), "server.pprof")
	require.NoError(t, os.WriteFile(b.profile, profile, 0o644))

	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, tgt := range targets {
		if tgt.needs != "" {
			if _, err := exec.LookPath(tgt.needs); err != nil {
				continue
			}
		}
		cmd := b.build(t, tgt)
		group.Go(func() error {
			text, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v\n%s", cmd, err, text)
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	// A plugin without cgo cannot be built in the first place.
	text, err = b.build(t, target{file: "none.so", env: []string{"CGO_ENABLED=0"}}).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(text), "requires external (cgo) linking, but cgo is not enabled")
	return b.out
}

// build returns the command that builds a target.
func (b *builder) build(t *testing.T, tgt target) *exec.Cmd {
	t.Helper()
	flags := []string{"-trimpath"}
	if strings.HasSuffix(tgt.file, ".so") {
		flags = append(flags, "-buildmode=plugin")
	}
	flags = slices.DeleteFunc(flags, func(f string) bool { return slices.Contains(tgt.without, f) })
	if tgt.change != "" {
		flags = append(flags, "-overlay="+b.overlays[tgt.change])
	}
	for _, flag := range tgt.flags {
		flags = append(flags, strings.ReplaceAll(flag, "PROFILE", b.profile))
	}
	pkg := tgt.pkg
	if pkg == "" {
		pkg = "plugins/first"
	}
	cmd := b.command(t, tgt, slices.Concat([]string{"build", "-o", filepath.Join(b.out, tgt.file)}, flags)...)
	if tgt.work == "off" {
		cmd.Dir = filepath.Join(b.workspace, pkg)
		pkg = "."
	}
	cmd.Args = append(cmd.Args, "./"+pkg)
	return cmd
}

// command returns a go command in the workspace of a target.
func (b *builder) command(t *testing.T, tgt target, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = b.workspace
	work := ""
	switch tgt.work {
	case "off":
		work = "off"
	case "":
	default:
		work = filepath.Join(b.workspace, tgt.work)
	}
	cmd.Env = slices.Concat(os.Environ(), b.env, []string{"GOWORK=" + work, "GOTOOLCHAIN=local", "CGO_ENABLED=1"}, tgt.env)
	return cmd
}

// publish makes a module proxy of files, which has the versions of what is published.
func (b *builder) publish(t *testing.T) {
	t.Helper()
	proxy := t.TempDir()
	b.env = []string{
		"GOFLAGS=-modcacherw", "GOMODCACHE=" + t.TempDir(), "GOPROXY=file://" + filepath.ToSlash(proxy), "GOSUMDB=off", "GONOSUMDB=", "GOPRIVATE=", "GONOPROXY=",
	}
	contract := map[string]string{}
	for _, file := range []string{"go.mod", "digest/digest.go", "digest/source.go", "storage/storage.go"} {
		text, err := os.ReadFile(filepath.Join(b.workspace, "storage-api", file))
		require.NoError(t, err)
		contract[file] = string(text)
	}
	var sums strings.Builder
	for _, m := range []struct {
		path, version string
		files         map[string]string
	}{
		{textModule, hostText, textSource(hostText)},
		{textModule, patchedText, textSource(patchedText)},
		{textModule, newerText, textSource(newerText)},
		{contractModule, publishedContract, contract},
	} {
		var archive bytes.Buffer
		w := zip.NewWriter(&archive)
		for name, text := range m.files {
			f, err := w.Create(m.path + "@" + m.version + "/" + name)
			require.NoError(t, err)
			_, err = f.Write([]byte(text))
			require.NoError(t, err)
		}
		require.NoError(t, w.Close())
		at := m.path + "/@v/" + m.version
		writeFiles(t, proxy, map[string]string{at + ".info": `{"Version":"` + m.version + `"}`, at + ".mod": m.files["go.mod"], at + ".zip": archive.String()})

		text, err := b.command(t, target{work: "off"}, "mod", "download", "-json", m.path+"@"+m.version).CombinedOutput()
		require.NoError(t, err, string(text))
		var module struct{ Sum, GoModSum string }
		require.NoError(t, json.Unmarshal(text, &module))
		sums.WriteString(m.path + " " + m.version + " " + module.Sum + "\n" + m.path + " " + m.version + "/go.mod " + module.GoModSum + "\n")
	}
	for _, file := range []string{"go.work.sum", "newer.work.sum", "patch.work.sum", "apart/go.sum"} {
		writeFiles(t, b.workspace, map[string]string{file: sums.String()})
	}
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
		at := filepath.Join(workspace, filepath.FromSlash(name))
		if file, ok := strings.CutPrefix(name, "GOROOT/"); ok {
			at = filepath.Join(goroot(t), filepath.FromSlash(file))
		}
		replace[at] = filepath.Join(dir, filepath.FromSlash(name))
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	path := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(path, text, 0o644))
	return path
}

// goroot returns the directory of the installation of Go that builds.
func goroot(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "env", "GOROOT")
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local")
	text, err := cmd.Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}
