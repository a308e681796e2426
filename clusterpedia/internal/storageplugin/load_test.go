package storageplugin

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLoad runs a host that loads real plugins: each in a process of its own, for
// a plugin is never unloaded.
func TestLoad(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds plugins")
	}
	built := t.TempDir()
	buildAll(t, built)
	first, err := os.ReadFile(filepath.Join(built, "first.so"))
	require.NoError(t, err)

	cases := map[string]struct {
		host    string
		plugins map[string]string // names in the directory of plugins, and the built file or "=content"
		list    string            // of names in the directory of plugins; empty means the directory
		args    []string
		output  []string // lines of standard output, in order
		log     string   // part of standard error
		refused string   // part of the only output, of a host that refuses
	}{
		"two plugins": {
			plugins: map[string]string{"a.so": "first.so", "b.so": "second.so", "README.md": "=text"},
			args:    []string{"first", "second", "third"},
			output: []string{
				"driver first DIR/a.so", "driver second DIR/b.so", "gate FirstFeature",
				"error: open storage first: no database, gates map[FirstFeature:true] true",
				"error: open storage second: nothing to open false",
				"error: storage third is unregistered; registered are: first (DIR/a.so), second (DIR/b.so) false",
			},
			log: "A file among the storage plugins is not opened",
		},
		"order of the list": {
			plugins: map[string]string{"a.so": "first.so", "b.so": "second.so"}, list: "b.so:a.so:b.so",
			output: []string{"driver second DIR/b.so", "driver first DIR/a.so", "gate FirstFeature"},
		},
		"own version": {
			plugins: map[string]string{"a_v1.2.3.so": "first.so", "a_v1.2.4.so": "panics.so", "a.so": "second.so"},
			output:  []string{"driver first DIR/a_v1.2.3.so", "gate FirstFeature"},
			log:     "it is for version v1.2.4, this is v1.2.3",
		},
		"other version alone": {
			plugins: map[string]string{"a_v1.2.4.so": "panics.so"}, args: []string{"internal"},
			output: []string{"error: storage internal is unregistered; no plugin is loaded: put one into /usr/local/lib/clusterpedia/plugins, " +
				"or into plugins/ beside this program, or name it in STORAGE_PLUGINS; " +
				"not opened were: DIR/a_v1.2.4.so (it is for version v1.2.4, this is v1.2.3) false"},
			log: "it is for version v1.2.4, this is v1.2.3",
		},

		"name taken":       {plugins: map[string]string{"a.so": "first.so", "b.so": "taken.so"}, refused: `storage name "first" of DIR/b.so is already taken by DIR/a.so; remove one of both`},
		"nothing":          {plugins: map[string]string{"a.so": "silent.so"}, refused: "storage plugin DIR/a.so registers nothing; call storage.Register in an init function of its main package"},
		"panic":            {plugins: map[string]string{"a.so": "panics.so"}, refused: "storage plugin DIR/a.so panics in an init function: assignment to entry in nil map (clusterpedia.io/clusterpedia/internal/storageplugin/testdata/panics/main.go:"},
		"another contract": {plugins: map[string]string{"a.so": "contract.so"}, refused: "the storage plugin cannot be opened:\n\nDIR/a.so (clusterpedia.io/clusterpedia/internal/storageplugin/testdata/second) does not fit HOST: it was built against another storage-api source (host's "},
		"other flags":      {plugins: map[string]string{"a.so": "first.so", "b.so": "flags.so"}, refused: "1 of 2 storage plugins cannot be opened, so none is:\n\nDIR/b.so (clusterpedia.io/clusterpedia/internal/storageplugin/testdata/second) does not fit HOST: it was built with -gcflags="},
		"copy":             {plugins: map[string]string{"a.so": "first.so", "b.so": "first.so"}, refused: "testdata/first is already loaded, from DIR/a.so"},
		"text file":        {plugins: map[string]string{"a.so": "first.so", "b.so": "=text"}, refused: "DIR/b.so does not fit HOST: it is a text file"},
		"empty file":       {plugins: map[string]string{"a.so": "="}, refused: "DIR/a.so does not fit HOST: it is an empty file"},
		"truncated":        {plugins: map[string]string{"a.so": "=" + string(first[:200_000])}, refused: "DIR/a.so does not fit HOST: it is cut off: it has 200000 bytes"},
		"executable":       {plugins: map[string]string{"a.so": "host"}, refused: "does not fit HOST: it is an executable, no plugin"},
		"empty directory":  {refused: "STORAGE_PLUGINS: there is no plugin (*.so) in directory DIR; put one there, or do not name it"},
		"missing file":     {list: "a.so", refused: "STORAGE_PLUGINS: there is no DIR/a.so; create it, or do not name it"},
		"host without cgo": {host: "host-nocgo", plugins: map[string]string{"a.so": "first.so"}, refused: "HOST was built without cgo and so cannot open plugins: build it with CGO_ENABLED=1 and a C compiler\n"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, content := range tc.plugins {
				text, ok := strings.CutPrefix(content, "=")
				if !ok {
					b, err := os.ReadFile(filepath.Join(built, content))
					require.NoError(t, err)
					text = string(b)
				}
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
			}
			list := dir
			if tc.list != "" {
				list = filepath.Join(dir, strings.ReplaceAll(tc.list, ":", ":"+dir+"/"))
			}
			host := filepath.Join(built, "host")
			if tc.host != "" {
				host = filepath.Join(built, tc.host)
			}
			cmd := exec.CommandContext(t.Context(), host, tc.args...)
			cmd.Env = append(os.Environ(), EnvVar+"="+list)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			replace := strings.NewReplacer(dir, "DIR", host, "HOST")
			output, log := replace.Replace(stdout.String()), replace.Replace(stderr.String())
			if tc.refused != "" {
				require.Error(t, err, output)
				require.Equal(t, 1, cmd.ProcessState.ExitCode(), log)
				require.Empty(t, output)
				require.Contains(t, log, tc.refused)
				return
			}
			require.NoError(t, err, log)
			require.Equal(t, tc.output, strings.Split(strings.TrimSpace(output), "\n"))
			require.Contains(t, log, tc.log)
		})
	}
}

// TestLoadNothing checks that it is no error to have no plugins.
func TestLoadNothing(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(systemDir); err == nil {
		t.Skip("plugins are installed: ", systemDir)
	}
	r, err := Load(Options{Executable: filepath.Join(t.TempDir(), "program")})
	require.NoError(t, err)
	require.Empty(t, r.Drivers())
}

// TestLoadBeside checks that the directory beside the executable is used.
func TestLoadBeside(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(systemDir); err == nil {
		t.Skip("plugins are installed: ", systemDir)
	}
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, besideDir), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, besideDir, "a.so"), []byte("text"), 0o644))
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, filepath.Join(dir, "program")))
	_, err = Load(Options{Executable: filepath.Join(dir, "program")})
	require.ErrorContains(t, err, filepath.Join(dir, besideDir, "a.so")+" does not fit "+filepath.Join(dir, "program")+": it is a text file")
}

// buildAll builds the hosts and plugins of testdata.
func buildAll(t *testing.T, out string) {
	t.Helper()
	plugin := []string{"-buildmode=plugin"}
	for _, tgt := range []struct {
		file, pkg string
		flags     []string
		env       string
	}{
		{file: "host", pkg: "host"},
		{file: "host-nocgo", pkg: "host", env: "CGO_ENABLED=0"},
		{file: "first.so", pkg: "first", flags: plugin},
		{file: "second.so", pkg: "second", flags: plugin},
		{file: "taken.so", pkg: "taken", flags: plugin},
		{file: "silent.so", pkg: "silent", flags: plugin},
		{file: "panics.so", pkg: "panics", flags: plugin},
		{file: "contract.so", pkg: "second", flags: append(plugin, "-overlay="+otherContract(t))},
		{file: "flags.so", pkg: "second", flags: append(plugin, "-gcflags=clusterpedia.io/storage-api/...=-N -l")},
	} {
		args := slices.Concat([]string{"build", "-trimpath", "-o", filepath.Join(out, tgt.file)}, tgt.flags, []string{"./testdata/" + tgt.pkg})
		runGo(t, tgt.env, args...)
	}
}

// otherContract returns a file for go build -overlay that changes the storage
// API, in what it does and not in what it exports.
func otherContract(t *testing.T) string {
	t.Helper()
	source := filepath.Join(runGo(t, "", "list", "-f", "{{.Dir}}", "clusterpedia.io/storage-api/digest"), "source.go")
	dir := t.TempDir()
	changed := filepath.Join(dir, "source.go")
	require.NoError(t, os.WriteFile(changed, []byte("package digest\n\nconst Source = \"another\"\n"), 0o644))
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{source: changed}})
	require.NoError(t, err)
	overlay := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(overlay, text, 0o644))
	return overlay
}

// runGo runs the go command here and returns what it prints.
func runGo(t *testing.T, env string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOTOOLCHAIN=local", "CGO_ENABLED=1", env)
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", cmd, text)
	return strings.TrimSpace(string(text))
}
