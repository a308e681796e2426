package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeDocker writes down what it is asked for, and has what a test says.
const fakeDocker = `#!/bin/sh
case "$1 $2" in
"info "*) exit ${NO_DOCKER:-0} ;;
"image inspect"*) [ -n "$HAS_BUILDER" ] ;;
"pull "*) [ -n "$CAN_PULL" ] ;;
"build "*) for arg; do printf '%s|' "$arg"; done >>"$DOCKER_LOG"; echo >>"$DOCKER_LOG" ;;
*) echo "unexpected: docker $*" >&2; exit 1 ;;
esac
`

// imagesScript runs hack/images.sh with the fake docker in a directory, and returns the
// commands that it runs, with ROOT and DIR in place of paths.
func imagesScript(t *testing.T, dir string, env []string, args ...string) (commands []string, output string, err error) {
	t.Helper()
	fake := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(fake, "docker"), []byte(fakeDocker), 0o755))
	log := filepath.Join(fake, "log")
	cmd := exec.CommandContext(t.Context(), filepath.Join(shared.root, "hack", "images.sh"), args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append([]string{"PATH=" + fake + ":" + os.Getenv("PATH"), "DOCKER_LOG=" + log, "REGISTRY=", "VERSION=v1.2.3", "PLUGIN_VERSION="}, env...)...)
	text, err := cmd.CombinedOutput()
	replace := strings.NewReplacer(shared.root, "ROOT", dir, "DIR")
	if recorded, err := os.ReadFile(log); err == nil {
		for line := range strings.Lines(string(recorded)) {
			requireArguments(t, strings.Split(strings.TrimSpace(line), "|"))
			commands = append(commands, replace.Replace(strings.Trim(line, "|\n")))
		}
	}
	return commands, replace.Replace(string(text)), err
}

// requireArguments checks that a build passes what its Dockerfile asks for, and nothing
// else.
func requireArguments(t *testing.T, build []string) {
	t.Helper()
	var file string
	passed := map[string]bool{}
	for i, arg := range build {
		switch arg {
		case "-f":
			file = build[i+1]
		case "--build-arg":
			name, _, _ := strings.Cut(build[i+1], "=")
			passed[name] = true
		}
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(shared.root, file)
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	declared := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^ARG (\w+)(=?)`).FindAllStringSubmatch(string(text), -1) {
		declared[m[1]] = true
		require.Regexp(t, `\$\{`+m[1]+`\}`, string(text), "%s does not use it", file)
		if m[2] == "" {
			require.True(t, passed[m[1]], "%s wants %s", file, m[1])
		}
	}
	for name := range passed {
		require.True(t, declared[name], "%s has no %s", file, name)
	}
}

// TestImagesScript checks what hack/images.sh asks of docker.
func TestImagesScript(t *testing.T) {
	t.Parallel()
	builder := "build|-f|hack/images/builder.Dockerfile|--build-arg|VERSION=v1.2.3|-t|clusterpedia/builder:v1.2.3|."
	server := func(name string) string {
		return "build|-f|hack/images/server.Dockerfile|--build-arg|BUILDER_IMAGE=clusterpedia/builder:v1.2.3|--build-arg|BIN_NAME=" + name + "|-t|clusterpedia/" + name + ":v1.2.3|hack/images"
	}
	plugin := func(registry, version, dir string) string {
		return "build|-f|ROOT/hack/images/plugin.Dockerfile|--build-arg|BUILDER_IMAGE=" + registry + "/builder:v1.2.3|--build-arg|VERSION=" + version +
			"|-t|" + registry + "/redis-storage:" + version + "-for-v1.2.3|" + dir
	}
	cases := map[string]struct {
		env  []string
		args []string
		want []string
	}{
		"some": {args: []string{"builder", "apiserver"}, want: []string{builder, server("apiserver")}},
		"a plugin": {
			env: []string{"HAS_BUILDER=1"}, args: []string{"plugin", "redis-storage", "repo"},
			want: []string{plugin("clusterpedia", "v0.0.0-unset", "DIR/repo")},
		},
		"a plugin of a version, for a release elsewhere": {
			env: []string{"CAN_PULL=1", "REGISTRY=registry.example/a", "PLUGIN_VERSION=v0.4.0"}, args: []string{"plugin", "redis-storage", "./repo/../repo/"},
			want: []string{plugin("registry.example/a", "v0.4.0", "DIR/repo")},
		},
		"a directory with a space": {
			env: []string{"HAS_BUILDER=1", "PLUGIN_VERSION=v0.4.0"}, args: []string{"plugin", "redis-storage", "a repo"},
			want: []string{plugin("clusterpedia", "v0.4.0", "DIR/a repo")},
		},
		"an example of this repository": {
			env: []string{"HAS_BUILDER=1", "PLUGIN_VERSION=v0.4.0"}, args: []string{"plugin", "redis-storage", filepath.Join(shared.root, "docs", "storage", "examples", "redis-storage")},
			want: []string{plugin("clusterpedia", "v0.4.0", "ROOT/docs/storage/examples/redis-storage")},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			commands, output, err := imagesScript(t, repositories(t), tc.env, tc.args...)
			require.NoError(t, err, output)
			require.Equal(t, tc.want, commands)
		})
	}

	t.Run("all", func(t *testing.T) {
		t.Parallel()
		commands, output, err := imagesScript(t, repositories(t), nil)
		require.NoError(t, err, output)
		want := []string{builder} // servers are built on it
		for _, name := range append(hosts(), "controller-manager") {
			want = append(want, server(name))
		}
		require.Equal(t, want, commands)
	})
}

// TestImagesScriptRefuses checks that what cannot work ends in one clear line, before
// anything is built.
func TestImagesScriptRefuses(t *testing.T) {
	t.Parallel()
	const has = "HAS_BUILDER=1"
	cases := map[string]struct {
		env  []string
		args []string
		want string
	}{
		"no docker":             {env: []string{"NO_DOCKER=1"}, args: []string{"builder"}, want: "docker is needed, and answers nothing here"},
		"no docker for plugins": {env: []string{"NO_DOCKER=1"}, args: []string{"plugin", "redis-storage", "repo"}, want: "docker is needed, and answers nothing here"},
		"unknown image":         {args: []string{"builder", "apiservre"}, want: "unknown image apiservre, want builder, one of apiserver binding-apiserver clustersynchro-manager controller-manager, or plugin NAME DIR"},
		"no name":               {env: []string{has}, args: []string{"plugin"}, want: "give the name of the image and the repository of the storage layer: images.sh plugin NAME DIR"},
		"no directory":          {env: []string{has}, args: []string{"plugin", "redis-storage"}, want: "images.sh plugin NAME DIR"},
		"too much":              {env: []string{has}, args: []string{"plugin", "redis-storage", "repo", "apiserver"}, want: "images.sh plugin NAME DIR"},
		"no name of an image":   {env: []string{has}, args: []string{"plugin", "Redis:v1", "repo"}, want: `NAME must be a name of an image such as redis-storage, not "Redis:v1"`},
		"turned round":          {env: []string{has}, args: []string{"plugin", "./repo", "redis-storage"}, want: `NAME must be a name of an image such as redis-storage, not "./repo"`},
		"a server's name":       {env: []string{has}, args: []string{"plugin", "apiserver", "repo"}, want: "NAME must not be that of another image of Clusterpedia, as apiserver is"},
		"missing directory":     {env: []string{has}, args: []string{"plugin", "redis-storage", "missing"}, want: "DIR: there is no directory missing"},
		"no module":             {env: []string{has}, args: []string{"plugin", "redis-storage", "empty"}, want: "DIR: there is no go.mod in DIR/empty, give the repository of a storage layer"},
		"this repository":       {env: []string{has}, args: []string{"plugin", "redis-storage", shared.root}, want: "DIR: there is no go.mod in ROOT, give the repository of a storage layer"},
		"no tag":                {env: []string{has, "PLUGIN_VERSION=v1.0.0+a"}, args: []string{"plugin", "redis-storage", "repo"}, want: `PLUGIN_VERSION and VERSION must make up a tag of an image, not "v1.0.0+a-for-v1.2.3"`},
		"no builder":            {args: []string{"plugin", "redis-storage", "repo"}, want: "there is no image clusterpedia/builder:v1.2.3: make it with images.sh builder, or set REGISTRY and VERSION to those of a release"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			commands, output, err := imagesScript(t, repositories(t), tc.env, tc.args...)
			require.Error(t, err)
			require.Contains(t, output, "images.sh: ")
			require.Contains(t, output, tc.want)
			require.Equal(t, 1, strings.Count(output, "\n"), output)
			require.Empty(t, commands)
		})
	}
}

// repositories is a directory with repositories of storage layers, as far as the script
// looks.
func repositories(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"repo", "a repo"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name, "go.mod"), []byte("module example.com/you/redis-storage\n"), 0o644))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "empty"), 0o755))
	return dir
}
