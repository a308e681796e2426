package preflight

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/digest"
)

// opening is what a host is given to open.
type opening struct {
	name  string
	host  string // "host" if empty
	files []string
	// reason is in the reason of the first report that refuses; empty if all
	// files can be opened.
	reason string
	// careful marks what is refused although the runtime would take it.
	careful bool
	// needs is a program without which the files are not built.
	needs string
}

// openings are real files: of each kind of mismatch at least one that was built so.
func openings() []opening {
	const contract = "it was built against another storage-api source (host's "
	level := opening{name: "level of the processor", files: []string{"first-level.so"}}
	if has := ThisMachine().AMD64; has > 0 && has < 4 {
		level.reason, level.careful = fmt.Sprintf("it was built with GOAMD64=v4, this processor reaches v%d", has), true
	}
	return []opening{
		{name: "fitting", files: []string{"first.so"}},
		{name: "two fitting", files: []string{"first.so", "second.so"}},
		{name: "stripped by the linker", files: []string{"first-stripped.so", "second.so"}},
		{name: "stripped by binutils", files: []string{"strip.so", "second.so"}},
		{name: "another private dependency alone", files: []string{"second-lib.so"}},
		{name: "stamped", files: []string{"first-stamped.so"}},
		{name: "built from files", files: []string{"first-files.so", "first.so"}},
		{name: "gcflags of its own", files: []string{"first-main-gcflags.so"}},
		{name: "coverage of its own", files: []string{"first-own-cover.so"}},
		{name: "tags that choose nothing", files: []string{"first-idle-tags.so"}},
		{name: "another function body, without a digest", files: []string{"first-body-unseen.so"}},
		{name: "position-independent host", host: "host-pie", files: []string{"first.so", "second.so"}},
		{name: "both with -race", host: "host-race", files: []string{"first-race.so"}},

		{name: "without trimpath", files: []string{"first-notrim.so"}, reason: "it was built without -trimpath, the host with it"},
		{name: "gcflags", files: []string{"first-gcflags.so"}, reason: "it was built with -gcflags=clusterpedia.io/...=-N -l, the host without it"},
		{name: "gcflags of all", files: []string{"first-all-gcflags.so"}, reason: "it was built with -gcflags=all=-N -l, the host without it"},
		{name: "race", files: []string{"first-race.so"}, reason: "it was built with -race, the host without it"},
		{name: "race of the host", host: "host-race", files: []string{"first.so"}, reason: "it was built without -race, the host with it"},
		{name: "coverage", files: []string{"first-cover.so"}, reason: "it was built with -cover, the host without it"},
		{name: "profile", files: []string{"first-profile.so"}, reason: "it was built with -pgo=server.pprof, the host without it"},
		{name: "tags", files: []string{"first-tags.so"}, reason: "it was built with -tags=more, the host without it"},
		{name: "experiment", files: []string{"first-experiment.so"}, reason: "it was built with " + runtime.Version() + "-X:nogreenteagc, the host with " + runtime.Version()},
		{name: "patched Go", files: []string{"first-std.so"}, reason: "its standard library was compiled from other sources, or with other flags, than the host's"},
		level,

		{name: "another contract", files: []string{"first-contract.so"}, reason: contract},
		{name: "another function body", files: []string{"first-body.so"}, reason: contract},
		{name: "another export", files: []string{"first-api.so"}, reason: contract},
		{name: "published contract", files: []string{"apart.so"}, reason: " v1.0.0)"},
		{name: "newer dependency", files: []string{"first-newer.so"}, reason: "it was built with fixture.example/text v1.1.0, the host with v1.0.0"},
		{name: "dependency with another function body", files: []string{"first-patch.so"}, reason: "it was built with fixture.example/text v1.0.1, the host with v1.0.0"},
		{name: "linked with pluginpath", files: []string{"first-path.so"}, reason: "another -pluginpath"},

		{name: "copy", files: []string{"first.so", "copy.so"}, reason: "plugin fixture.example/plugins/first is already loaded, from "},
		{name: "same main package", files: []string{"first.so", "first-main.so"}, reason: "plugin fixture.example/plugins/first is already loaded, from "},
		{name: "same main package, stripped", files: []string{"first.so", "second.so", "first-stripped.so"}, reason: "already loaded"},
		{name: "conflicting dependency", files: []string{"first.so", "second-lib.so"}, reason: "built with different sources of fixture.example/deps"},
		{name: "conflicting dependency reversed", files: []string{"second-lib.so", "first.so"}, reason: "built with different sources of fixture.example/deps"},

		{name: "C library", files: []string{"foreign.so"}, reason: "it is no Go binary"},
		{name: "c-shared", files: []string{"shared.so"}, reason: "it is a Go library of build mode c-shared, no plugin"},
		{name: "c-archive", files: []string{"archive.so"}, reason: "it is no ELF file"},
		{name: "executable", files: []string{"executable.so"}, reason: "it is an executable, no plugin"},
		{name: "position-independent executable", files: []string{"pie.so"}, reason: "it is an executable, no plugin"},
		{name: "static executable", files: []string{"static.so"}, reason: "it is an executable, no plugin"},
		{name: "text", files: []string{"text.so"}, reason: "it is a text file"},
		{name: "script", files: []string{"script.so"}, reason: "it is a text file"},
		{name: "empty", files: []string{"empty.so"}, reason: "it is an empty file"},
		{name: "bytes", files: []string{"bytes.so"}, reason: "it is no ELF file"},
		{name: "directory", files: []string{"directory.so"}, reason: "it is no regular file"},
		{name: "missing", files: []string{"missing.so"}, reason: "it is not readable"},
		{name: "another machine", files: []string{"machine.so"}, reason: "it was built for AARCH64, the host for "},
		{name: "arm64", files: []string{"first-arm64.so"}, reason: "it was built for AARCH64, the host for ", needs: arm64CC},
		{name: "musl", files: []string{"first-musl.so"}, reason: "it was built for the C library musl, the host for glibc", needs: muslCC},

		{name: "newer C library", files: []string{"glibc.so"}, reason: "it needs glibc 2.99, this machine has "},

		{name: "cut in the header", files: []string{"cut-header.so"}, reason: "it is cut off"},
		{name: "cut in the program headers", files: []string{"cut-progs.so"}, reason: "it is cut off"},
		{name: "cut at 200 kB", files: []string{"cut-200k.so"}, reason: "it is cut off"},
		{name: "cut in half", files: []string{"cut-half.so"}, reason: "it is cut off"},
		{name: "cut in the last segment", files: []string{"cut-segment.so"}, reason: "it is cut off"},
		{name: "cut behind the last segment", files: []string{"cut-loaded.so"}, reason: "it is cut off", careful: true},
		{name: "cut by a byte", files: []string{"cut-byte.so"}, reason: "it is cut off", careful: true},

		{name: "host without cgo", host: "host-nocgo", files: []string{"first.so"}, reason: "was built without cgo"},
		{name: "static host", host: "host-static", files: []string{"first.so"}, reason: "is linked statically"},
	}
}

// TestAgainstRuntime compares the verdicts on real files with what plugin.Open
// does to them in a process of its own.
func TestAgainstRuntime(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds plugins")
	}
	dir := build(t)
	derive(t, dir)
	contractsOf(t, dir)

	for _, tc := range openings() {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.needs != "" {
				if _, err := exec.LookPath(tc.needs); err != nil {
					t.Skip(err)
				}
			}
			host := filepath.Join(dir, "host")
			if tc.host != "" {
				host = filepath.Join(dir, tc.host)
			}
			var files []string
			for _, file := range tc.files {
				files = append(files, filepath.Join(dir, file))
			}
			reason, text := verdict(t, host, files)
			output, err := exec.CommandContext(t.Context(), host, files...).CombinedOutput()
			if tc.reason == "" {
				require.Empty(t, reason, text)
				require.NoError(t, err, "verified, but: %s", output)
				return
			}
			require.Contains(t, reason, tc.reason, text)
			if !tc.careful {
				require.Error(t, err, "the runtime takes it: %s", output)
			}
		})
	}
	t.Run("each host with each file", func(t *testing.T) {
		t.Parallel()
		each(t, dir)
	})
}

// each compares the verdict on each file for each host with what plugin.Open does.
func each(t *testing.T, dir string) {
	t.Helper()
	careful := map[string]bool{}
	for _, o := range openings() {
		if o.careful {
			careful[o.files[0]] = true
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.so"))
	require.NoError(t, err)
	for _, host := range []string{"host", "host-pie", "host-race", "host-nocgo", "host-static"} {
		for _, file := range files {
			if careful[filepath.Base(file)] {
				continue
			}
			host := filepath.Join(dir, host)
			reason, text := verdict(t, host, []string{file})
			output, err := exec.CommandContext(t.Context(), host, file).CombinedOutput()
			require.Equal(t, reason == "", err == nil, "%s\n%s", text, output)
		}
	}
}

// contractsOf checks what binaries say of the storage API that they were built with.
func contractsOf(t *testing.T, dir string) {
	t.Helper()
	const one, two = digest.Version + "+1111111111111111", digest.Version + "+2222222222222222"
	for file, want := range map[string]string{
		"host": one, "host-nocgo": one, "first.so": one, "first-stripped.so": one, "first-notrim.so": one, "first-gcflags.so": one,
		"first-contract.so": two, "shared.so": one, "strip.so": one, "first-race.so": one, "first-all-gcflags.so": one,
	} {
		im, err := Read(filepath.Join(dir, file))
		require.NoError(t, err)
		text, err := im.ContractText()
		require.NoError(t, err)
		require.Equal(t, want, text, file)
	}
}

// verdict returns why the host cannot open the files; empty if it can. The text
// is for people.
func verdict(t *testing.T, path string, files []string) (reason, text string) {
	t.Helper()
	host, err := Read(path)
	require.NoError(t, err)
	if err := host.CanOpenPlugins(); err != nil {
		return err.Error(), ""
	}
	for _, report := range Verify(host, ThisMachine(), files) {
		text += report.String()
		require.Equal(t, report.Loadable, report.Reason() == "", text)
		require.NotContains(t, report.Reason(), "\n")
		if !report.Loadable {
			for _, r := range report.Rows {
				refuses := r.Verdict == Cause || r.Verdict == Mismatch
				require.True(t, !refuses || r.Cure != "" || r.Command != "", "nothing says what to do: %s", text)
			}
		}
		if reason == "" {
			reason = report.Reason()
		}
	}
	return reason, text
}

// derive makes the files that no build makes.
func derive(t *testing.T, dir string) {
	t.Helper()
	plugin, err := os.ReadFile(filepath.Join(dir, "first.so"))
	require.NoError(t, err)
	host, err := os.ReadFile(filepath.Join(dir, "host"))
	require.NoError(t, err)
	f, err := elf.Open(filepath.Join(dir, "first.so"))
	require.NoError(t, err)
	defer f.Close() //nolint:errcheck // It was only read.
	var loaded uint64
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			loaded = max(loaded, p.Off+p.Filesz)
		}
	}
	otherMachine := append([]byte(nil), plugin...)
	const machineOffset = 18
	otherMachine[machineOffset], otherMachine[machineOffset+1] = byte(elf.EM_AARCH64), 0

	for name, content := range map[string][]byte{
		"copy.so":        plugin,
		"executable.so":  host,
		"text.so":        []byte("not a plugin\n"),
		"script.so":      []byte("#!/bin/sh\nexit 0\n"),
		"empty.so":       nil,
		"bytes.so":       {0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 1},
		"machine.so":     otherMachine,
		"cut-header.so":  plugin[:40],
		"cut-progs.so":   plugin[:100],
		"cut-200k.so":    plugin[:200_000],
		"cut-half.so":    plugin[:len(plugin)/2],
		"cut-segment.so": plugin[:loaded-5000],
		"cut-loaded.so":  plugin[:loaded],
		"cut-byte.so":    plugin[:len(plugin)-1],
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o755))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "directory.so"), 0o755))

	source := filepath.Join(dir, "foreign.c")
	require.NoError(t, os.WriteFile(source, []byte("int answer(void) { return 42; }\n"), 0o644))
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "strip.so"), plugin, 0o755))
	text, err := exec.CommandContext(t.Context(), "strip", filepath.Join(dir, "strip.so")).CombinedOutput()
	require.NoError(t, err, string(text))
	text, err = exec.CommandContext(t.Context(), cc, "-shared", "-fPIC", "-o", filepath.Join(dir, "foreign.so"), source).CombinedOutput()
	require.NoError(t, err, string(text))
}
