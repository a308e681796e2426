package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// mismatch is a plugin that was built otherwise than a release's.
type mismatch struct {
	// flags and env are added for its build; TRIMPATH=off leaves -trimpath out.
	flags, env []string
	// pkg is what is built; memorystorage's plugin if empty.
	pkg string
	// overlay is put in place of files of this repository, by their names.
	overlay map[string]string
	// byHand builds it in a module of its own: in a workspace with the storage API, or
	// without one.
	byHand, apart bool
	// after are opened before it, in the directory of the mismatches.
	after []string
	// why is in the line that refuses it; empty if it can be opened.
	why string
	// late marks what only shows when it is opened.
	late bool
	// cure is what to do if no command builds a plugin that fits; late ones have
	// lateCure.
	cure string
}

const (
	plainPlugin = "-buildmode=plugin"
	// otherText is not the version of golang.org/x/text that servers are built with.
	otherText = "v0.42.0"
	lateCure  = "do what the host says"
)

// odd is an overlay with a plugin that does not do in init what it should.
func odd(statements string, imports ...string) map[string]string {
	text := "package main\n\nimport (\n\t\"clusterpedia.io/storage-api/storage\"\n"
	for _, i := range imports {
		text += "\t" + strconv.Quote(i) + "\n"
	}
	return map[string]string{"memorystorage/odd/main.go": text + ")\n\nvar _ storage.Driver\n\nfunc init() { " + statements + " }\n\nfunc main() {}\n"}
}

// mismatches are the plugins by the names of their files.
func mismatches(t *testing.T) map[string]mismatch {
	t.Helper()
	read := func(file string) string {
		text, err := os.ReadFile(filepath.Join(shared.root, file))
		require.NoError(t, err)
		return string(text)
	}
	// As a change of the contract is: another body, and so another digest.
	const digest, body = "storage-api/digest/source.go", "storage-api/storage/register.go"
	otherBody := map[string]string{
		digest: regexp.MustCompile(`"[0-9a-f]{16}"`).ReplaceAllString(read(digest), `"0123456789abcdef"`),
		body:   strings.Replace(read(body), "slices.Clone(registry.drivers)", "slices.Concat(registry.drivers)", 1),
	}
	require.NotEqual(t, read(body), otherBody[body])
	const oddPlugin = "./memorystorage/odd"
	level := mismatch{flags: []string{plainPlugin}, env: []string{"GOAMD64=v4"}}
	if has := processorLevel(t); has < 4 {
		level.why = fmt.Sprintf("it was built with GOAMD64=v4, this processor reaches v%d", has)
	}
	goVersion := runtime.Version()
	return map[string]mismatch{
		"plain.so":     {flags: []string{plainPlugin}},
		"tags.so":      {flags: []string{plainPlugin, "-tags=nothing"}},
		"own-flags.so": {flags: []string{plainPlugin, "-gcflags=-N -l"}},
		"level.so":     level,

		"no-trimpath.so":     {flags: []string{plainPlugin}, env: []string{"TRIMPATH=off"}, why: "it was built without -trimpath, the host with it"},
		"race.so":            {flags: []string{plainPlugin, "-race"}, why: "it was built with -race, the host without it"},
		"gcflags.so":         {flags: []string{plainPlugin, "-gcflags=clusterpedia.io/storage-api/...=-N -l"}, why: "it was built with -gcflags=clusterpedia.io/storage-api/...=-N -l, the host without it"},
		"all-gcflags.so":     {flags: []string{plainPlugin, "-gcflags=all=-N -l"}, why: "it was built with -gcflags=all=-N -l, the host without it"},
		"cover.so":           {flags: []string{plainPlugin, "-cover", "-coverpkg=clusterpedia.io/storage-api/..."}, why: "it was built with -cover, the host without it"},
		"experiment.so":      {flags: []string{plainPlugin}, env: []string{"GOEXPERIMENT=nogreenteagc"}, why: "it was built with " + goVersion + "-X:nogreenteagc, the host with " + goVersion},
		"patched-go.so":      {flags: []string{plainPlugin}, overlay: map[string]string{"GOROOT/src/errors/patched.go": "package errors\n\nfunc Patched() {}\n"}, why: "its standard library was compiled from other sources, or with other flags, than the host's", cure: "with the same installation of Go"},
		"other-body.so":      {flags: []string{plainPlugin}, overlay: otherBody, why: "it was built against another storage-api source"},
		"apart.so":           {flags: []string{plainPlugin}, byHand: true, apart: true, pkg: "./text", why: "it was built against another storage-api source"},
		"dependency.so":      {flags: []string{plainPlugin}, byHand: true, pkg: "./text", why: "it was built with golang.org/x/text " + otherText + ", the host with "},
		"pluginpath.so":      {flags: []string{plainPlugin, "-ldflags=-pluginpath=renamed"}, why: "it was linked with another -pluginpath than the import path of its main package"},
		"musl.so":            {flags: []string{plainPlugin}, env: []string{"CC=musl-gcc"}, why: "it was built for the C library musl, the host for glibc", cure: "build the plugin with a C compiler (CC) for glibc"},
		"arm64.so":           {flags: []string{plainPlugin}, env: []string{"GOARCH=arm64", "CC=aarch64-linux-gnu-gcc"}, why: "it was built for AARCH64, the host for X86_64"},
		"c-shared.so":        {flags: []string{"-buildmode=c-shared"}, why: "it is a Go library of build mode c-shared, no plugin"},
		"executable.so":      {why: "it is an executable, no plugin"},
		"same-package.so":    {flags: []string{plainPlugin, "-ldflags=-X main.version=v2"}, after: []string{"plain.so"}, why: "plugin clusterpedia.io/memorystorage/plugin is already loaded, from DIR/plain.so", cure: "remove one of "},
		"taken-name.so":      {flags: []string{plainPlugin}, pkg: "./memorystorage/taken", overlay: map[string]string{"memorystorage/taken/main.go": read("memorystorage/plugin/main.go")}, after: []string{"plain.so"}, late: true, why: `storage name "memory" of DIR/taken-name.so is already taken by DIR/plain.so; remove one of both`},
		"no-register.so":     {flags: []string{plainPlugin}, pkg: oddPlugin, overlay: odd(""), late: true, why: "DIR/no-register.so registers nothing; call storage.Register in an init function of its main package"},
		"no-name.so":         {flags: []string{plainPlugin}, pkg: oddPlugin, overlay: odd("storage.Register(storage.Driver{})"), late: true, why: `without a function to open it`},
		"panic.so":           {flags: []string{plainPlugin}, pkg: oddPlugin, overlay: odd(`panic("no reason")`), late: true, why: "DIR/panic.so panics in an init function: no reason (clusterpedia.io/memorystorage/odd/main.go:"},
		"missing-library.so": {flags: []string{plainPlugin}, byHand: true, pkg: "./library", late: true, why: "libanswer.so: cannot open shared object file: No such file or directory; it needs the shared library libanswer.so: make sure that the machine has libanswer.so"},
		"other-driver.so":    {flags: []string{plainPlugin}, pkg: oddPlugin, overlay: odd(`storage.Register(storage.Driver{Name: "odd", Open: func(context.Context, storage.Settings) (storage.Storage, error) { return nil, nil }})`, "context"), after: []string{"plain.so"}},
	}
}

// processorLevel returns the level of the x86-64 architecture that this machine
// reaches, as its dynamic linker says.
func processorLevel(t *testing.T) int {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), "/lib64/ld-linux-x86-64.so.2", "--help").CombinedOutput()
	require.NoError(t, err, string(text))
	level := 1
	for level < 4 && strings.Contains(string(text), fmt.Sprintf("x86-64-v%d (supported", level+1)) {
		level++
	}
	return level
}

// TestMismatches builds plugins that differ from those of a release in one thing each,
// and compares what the tool says of them with what each server does.
func TestMismatches(t *testing.T) {
	t.Parallel()
	if runtime.GOARCH != "amd64" {
		t.Skip("builds for another machine, arm64")
	}
	cases, dir := mismatches(t), t.TempDir()
	buildMismatches(t, dir, cases)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var files []string
			for _, file := range append(slices.Clone(tc.after), name) {
				files = append(files, filepath.Join(dir, file))
			}
			told := tell(t, files)
			for _, host := range hosts() {
				program := filepath.Join(shared.bin, host)
				text := strings.NewReplacer(program, "HOST", dir, "DIR").Replace(refusal(t, program, strings.Join(files, ":"), "--storage-name=missing"))
				report := told[program]
				require.Equal(t, tc.why == "", report.Loadable, "%s: %v", host, report)
				if report.Loadable {
					require.Contains(t, text, "(DIR/"+name+")", "it is registered")
					continue
				}
				require.NotContains(t, text, "registered are")
				require.Contains(t, text, tc.why)
				rows := report.refusing(t)
				tc.requireMended(t, rows, program)
				row := rows[0]
				require.Contains(t, strings.ReplaceAll(row.Why, dir, "DIR"), tc.why, "%s", host)
				require.NotContains(t, row.Why, "\n")
				if tc.late {
					continue
				}
				require.Contains(t, text, "DIR/"+name, "the message names the file")
				require.Contains(t, text, "does not fit HOST: "+strings.ReplaceAll(row.Why, dir, "DIR"), "server and tool say the same")
				require.Contains(t, text, "to mend it: ")
			}
		})
	}
}

// verifyReport is one of the reports of plugin verify -o json.
type verifyReport struct {
	Host, Plugin string
	Loadable     bool
	Rows         []verifyRow
}

type verifyRow struct{ What, Verdict, Why, Cure, Command string }

// refusing returns the rows that refuse, the decisive one first.
func (r verifyReport) refusing(t *testing.T) []verifyRow {
	t.Helper()
	rows := slices.DeleteFunc(slices.Clone(r.Rows), func(row verifyRow) bool { return row.Verdict != "mismatch" && row.Verdict != "cause" })
	require.NotEmpty(t, rows)
	return rows
}

// requireMended checks that each row that refuses says how to mend it: by a command, or by
// what to do in place of one.
func (m mismatch) requireMended(t *testing.T, rows []verifyRow, program string) {
	t.Helper()
	want := m.cure
	if m.late {
		want = lateCure
	}
	for _, row := range rows {
		if want != "" {
			require.Empty(t, row.Command, row)
			require.Contains(t, row.Cure, want, row)
			continue
		}
		require.Equal(t, "clusterpedia plugin build --host "+program+" .", row.Command, row)
	}
}

// tell asks the tool, and returns what it says of the last file, by server.
func tell(t *testing.T, files []string) map[string]verifyReport {
	t.Helper()
	args := []string{"plugin", "verify", "--probe", "-o", "json"}
	for _, host := range hosts() {
		args = append(args, "--host", filepath.Join(shared.bin, host))
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(shared.bin, "clusterpedia"), append(args, files...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	var reports []verifyReport
	require.NoError(t, json.Unmarshal(output, &reports), "%s", &stderr)
	told, fit := map[string]verifyReport{}, true
	for _, r := range reports {
		fit = fit && r.Loadable
		if r.Plugin == files[len(files)-1] {
			told[r.Host] = r
		}
	}
	require.Len(t, told, len(hosts()))
	require.Equal(t, fit, err == nil, "the exit code")
	return told
}

// buildMismatches builds all of them into a directory.
func buildMismatches(t *testing.T, dir string, cases map[string]mismatch) {
	t.Helper()
	hand := newModuleByHand(t)
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for name, m := range cases {
		args := []string{"build", "-pgo=off", "-buildvcs=false", "-o", filepath.Join(dir, name)}
		if !slices.Contains(m.env, "TRIMPATH=off") {
			args = append(args, "-trimpath")
		}
		if m.overlay != nil {
			args = append(args, "-overlay="+overlays(t, m.overlay))
		}
		pkg, at, work := m.pkg, shared.root, ""
		if pkg == "" {
			pkg = "./memorystorage/plugin"
		}
		if m.byHand {
			at, work = hand, filepath.Join(hand, "go.work")
		}
		if m.apart {
			work = "off"
		}
		cmd := exec.CommandContext(t.Context(), "go", slices.Concat(args, m.flags, []string{pkg})...)
		cmd.Dir = at
		cmd.Env = slices.Concat(os.Environ(), []string{"GOWORK=" + work, "GOFLAGS=", "CGO_ENABLED=1"}, m.env)
		group.Go(func() error {
			if text, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w\n%s", cmd, err, text)
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
}

// newModuleByHand makes the module of an author who uses Go alone, with two plugins: one
// shares a module with the servers, in another version, the other needs a C library that
// is not installed. It returns the module's directory.
func newModuleByHand(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	api := filepath.Join(shared.root, "storage-api")
	for name, text := range map[string]string{
		"go.mod": "module example.com/you/byhand\n\ngo 1.26.0\n\nrequire (\n\tclusterpedia.io/storage-api v0.0.0\n\tgolang.org/x/text " + otherText + "\n)\n\n" +
			"replace clusterpedia.io/storage-api => " + api + "\n",
		"go.work":  "go 1.26.0\n\nuse (\n\t.\n\t" + api + "\n)\n",
		"answer.c": "int answer(void) { return 42; }\n",
		"library/main.go": "package main\n\n// #cgo LDFLAGS: -L${SRCDIR} -lanswer\n// int answer(void);\nimport \"C\"\n\n" +
			"import \"clusterpedia.io/storage-api/storage\"\n\nfunc init() { storage.Register(storage.Driver{Version: string(rune(C.answer()))}) }\n\nfunc main() {}\n",
		"text/main.go": "package main\n\nimport (\n\t\"clusterpedia.io/storage-api/storage\"\n\t\"golang.org/x/text/unicode/norm\"\n)\n\n" +
			"func init() { storage.Register(storage.Driver{Name: norm.NFC.String(\"byhand\")}) }\n\nfunc main() {}\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	for _, args := range [][]string{
		{"go", "mod", "tidy"},
		{"gcc", "-shared", "-fPIC", "-o", "library/libanswer.so", "answer.c"},
	} {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		text, err := cmd.CombinedOutput()
		require.NoError(t, err, string(text))
	}
	return dir
}
