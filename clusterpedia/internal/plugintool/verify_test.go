package plugintool

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/clusterpedia/internal/storageplugin/preflight"
)

// sources is a workspace with a host and a plugin that was built on a newer system.
var sources = map[string]string{
	"go.work":      "go 1.26.0\n\nuse (\n\t./host\n\t./plugin\n)\n",
	"host/go.mod":  "module fixture.example/host\n\ngo 1.26.0\n",
	"host/main.go": "package main\n\nimport (\n\t\"os\"\n\t\"plugin\"\n)\n\nfunc main() { _, _ = plugin.Open(os.Args[1]) }\n",
	// What it uses of that system's C library.
	"libc/newer.c":   "int answer(void) { return 42; }\n",
	"libc/newer.map": "GLIBC_2.99 { global: answer; };\n",
	"plugin/go.mod":  "module fixture.example/plugin\n\ngo 1.26.0\n",
	"plugin/main.go": "package main\n\n// #cgo LDFLAGS: -L${SRCDIR}/../libc -lnewer\n// int answer(void);\nimport \"C\"\n\nvar Answer = int(C.answer())\n\nfunc main() {}\n",
}

// buildBoth builds host and plugin for an architecture, and returns their files.
func buildBoth(t *testing.T, arch, cc string) (host, plugin string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range sources {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	run := func(at string, args ...string) {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir = filepath.Join(dir, at)
		cmd.Env = append(os.Environ(), "GOWORK=", "GOFLAGS=", "GOTOOLCHAIN=local", "GOPROXY=off", "CGO_ENABLED=1", "GOARCH="+arch, "CC="+cc)
		text, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", cmd, text)
	}
	run("libc", cc, "-shared", "-fPIC", "-Wl,-soname,libc.so.6", "-Wl,--version-script=newer.map", "-o", "libnewer.so", "newer.c")
	run("", "go", "build", "-trimpath", "-o", "server", "./host")
	run("", "go", "build", "-trimpath", "-buildmode=plugin", "-o", "newer.so", "./plugin")
	return filepath.Join(dir, "server"), filepath.Join(dir, "newer.so")
}

// TestMachine checks that what is known of this machine counts for servers that run
// here, and not for those of another architecture, which run elsewhere.
func TestMachine(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds plugins")
	}
	here := preflight.ThisMachine()
	require.NotEmpty(t, here.GLIBC)
	ccs := map[string]string{"amd64": "x86_64-linux-gnu-gcc", "arm64": "aarch64-linux-gnu-gcc"}
	for arch, want := range map[string]struct {
		loadable bool
		verdict  preflight.Verdict
		why      string
		listed   string
	}{
		"amd64": {why: "it needs glibc 2.99, this machine has " + here.GLIBC, verdict: preflight.Mismatch, listed: "refused by server: it needs glibc 2.99, this machine has " + here.GLIBC},
		"arm64": {why: "it needs glibc 2.99, the host only 2.", loadable: true, verdict: preflight.Warning, listed: "fits server"},
	} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			if runtime.GOARCH != "amd64" {
				t.Skip("tells amd64 from arm64, on amd64")
			}
			if _, err := exec.LookPath(ccs[arch]); err != nil {
				t.Skip(err)
			}
			host, plugin := buildBoth(t, arch, ccs[arch])
			reports, err := verify(t.Context(), io.Discard, host, []string{plugin}, false)
			require.NoError(t, err)
			require.Len(t, reports, 1)
			require.Equal(t, want.loadable, reports[0].Loadable, reports[0])
			var glibc []preflight.Row
			for _, row := range reports[0].Rows {
				if row.What == "glibc version" || row.What == "GOAMD64" {
					glibc = append(glibc, row)
				}
			}
			require.Len(t, glibc, 1, reports[0])
			require.Equal(t, want.verdict, glibc[0].Verdict)
			require.True(t, strings.HasPrefix(glibc[0].Why, want.why), glibc[0].Why)

			readers, err := readersOf([]string{host}, filepath.Dir(plugin))
			require.NoError(t, err)
			require.Contains(t, describe(readers, plugin), "\t"+want.listed)
		})
	}
}

// TestMachineOf checks it for the processor, whose level only a host of this
// architecture has.
func TestMachineOf(t *testing.T) {
	t.Parallel()
	host := func(arch string) *preflight.Image {
		return &preflight.Image{Info: &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "GOARCH", Value: arch}}}}
	}
	require.Equal(t, preflight.ThisMachine(), machineOf(host(runtime.GOARCH)))
	for _, arch := range []string{"amd64", "arm64", "s390x"} {
		if arch != runtime.GOARCH {
			require.Zero(t, machineOf(host(arch)), arch)
		}
	}
}
