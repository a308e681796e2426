// Package outoftree builds a storage plugin for a server that exists as a binary
// alone. It reads from the binary which Go, flags and module versions it was built
// with, and builds the plugin in a workspace of its own that agrees with them: the
// plugin's repository stays as it is, and no checkout of the server is needed.
package outoftree

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	gobuild "go/build"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"clusterpedia.io/clusterpedia/internal/storageplugin"
	"clusterpedia.io/clusterpedia/internal/storageplugin/preflight"
)

// Options say what to build, and for whom.
type Options struct {
	// Host is the server's binary.
	Host string
	// Dir is the plugin's main package, or the directory above its package plugin.
	Dir string
	// Arch is the architecture to build for, as GOARCH; empty means the host's.
	Arch string
	// Output is the file to write, or the directory to write it in. Empty means the
	// current directory. A file in a directory is named after the plugin's module, the
	// host's version and the architecture.
	Output string
	// Version is what the variable version of the plugin's main package is set to;
	// empty leaves it as it is.
	Version string
	// Log is told what is done; may be nil.
	Log io.Writer
	// Env is the environment of the go command; nil means that of this process.
	Env []string
	// Check is given the host and what was built, before it takes the place of file; if
	// it fails, file stays as it was. May be nil.
	Check func(host *preflight.Image, built, file string) error
}

// Build builds a plugin and returns its file.
func Build(ctx context.Context, o Options) (file string, err error) {
	host, err := preflight.Read(o.Host)
	if err != nil {
		return "", fmt.Errorf("--host: %w", err)
	}
	if err := host.CanOpenPlugins(); err != nil {
		return "", fmt.Errorf("--host: %w", err)
	}
	if strings.ContainsAny(o.Version, " \t\n'\"") {
		return "", fmt.Errorf("--plugin-version: %q must have neither spaces nor quotes", o.Version)
	}
	if o.Arch == "" {
		o.Arch = host.Setting("GOARCH")
	}
	if o.Dir, err = mainPackage(o.Dir, o.Arch, host.Setting("-tags")); err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp("", "clusterpedia-plugin-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	b := &build{Options: o, host: host, scratch: scratch}
	if err := b.prepare(ctx); err != nil {
		return "", err
	}
	if file, err = b.file(); err != nil {
		return "", err
	}
	if err := b.pin(ctx); err != nil {
		return "", err
	}
	return file, b.compile(ctx, file)
}

// mainPackage returns the absolute directory of the plugin's main package, for an
// architecture and with build tags, which are parted by commas.
func mainPackage(dir, arch, tags string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	target := gobuild.Default
	target.GOOS, target.GOARCH, target.CgoEnabled, target.BuildTags = "linux", arch, true, strings.Split(tags, ",")
	for _, candidate := range []string{dir, filepath.Join(dir, "plugin")} {
		if info, err := os.Stat(candidate); err != nil || !info.IsDir() {
			continue
		}
		found, err := target.ImportDir(candidate, 0)
		if _, none := errors.AsType[*gobuild.NoGoError](err); err != nil && !none {
			return "", err
		}
		if err == nil && found.IsCommand() && len(found.GoFiles)+len(found.CgoFiles) > 0 {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("there is no main package in %s, nor in plugin/ below it: name the directory of the plugin's main package", dir)
}

// build is one build in the making.
type build struct {
	Options
	host *preflight.Image
	// scratch holds the workspace.
	scratch string
	// module is the plugin's module, in directory root.
	module, root string
	env          []string
	// pins are the versions of modules that are to be the host's, excluded those that
	// the plugin's own requirements would have, and restored the modules in whose place
	// the plugin, but not the host, has another.
	pins     map[string]string
	excluded map[string][]string
	restored map[string]bool
}

// prepare writes the workspace, and finds the plugin's module and the right Go.
func (b *build) prepare(ctx context.Context) error {
	if err := WriteContract(filepath.Join(b.scratch, "storage-api")); err != nil {
		return err
	}
	b.pins, b.excluded, b.restored = map[string]string{}, map[string][]string{}, map[string]bool{}
	if err := b.environment(ctx); err != nil {
		return err
	}
	toolchain := b.toolchain()
	version, err := b.goCommand(ctx, "env", "GOVERSION")
	if err != nil {
		return err
	}
	if got, _, _ := strings.Cut(strings.TrimSpace(version), "-X:"); got != toolchain {
		b.say("the host was built with %s: using that in place of %s", toolchain, got)
	}
	b.env = append(b.env, "GOTOOLCHAIN="+toolchain)
	for _, s := range b.host.Info.Settings {
		switch s.Key {
		case "GOEXPERIMENT", "GOFIPS140", "GOAMD64", "GOARM64":
			b.env = append(b.env, s.Key+"="+s.Value)
		}
	}
	if cc := crossCompiler(b.Arch); cc != "" && !set(b.env, "CC") {
		b.env = append(b.env, "CC="+cc)
	}
	out, err := b.goCommand(ctx, "list", "-m", "-f", "{{.Path}}\n{{.Dir}}")
	if err != nil {
		return err
	}
	b.module, b.root, _ = strings.Cut(strings.TrimSpace(out), "\n")
	if b.root == "" {
		return fmt.Errorf("%s is in no module: run go mod init there", b.Dir)
	}
	b.env = append(b.env, "GOWORK="+filepath.Join(b.scratch, "go.work"))
	return nil
}

// kept are the variables of the go command that a build may have from its caller, by
// the environment or by go env -w: where modules come from, where things are cached,
// and which C compiler there is. All others say what is built, which is for the host to
// say.
func kept() []string {
	return []string{
		"GOPROXY", "GONOPROXY", "GOPRIVATE", "GOSUMDB", "GONOSUMDB", "GOINSECURE", "GOVCS", "GOAUTH",
		"GOPATH", "GOMODCACHE", "GOCACHE", "GOCACHEPROG", "GOTMPDIR",
		"CC", "CXX", "AR", "PKG_CONFIG", "CGO_CFLAGS", "CGO_CPPFLAGS", "CGO_CXXFLAGS", "CGO_LDFLAGS",
	}
}

// environment sets the variables of the go command. Those that are empty would have the
// value of go env -w, which GOENV=off keeps away.
func (b *build) environment(ctx context.Context) error {
	given := b.Env
	if given == nil {
		given = os.Environ()
	}
	b.env = slices.Concat(given, []string{"GOFLAGS=", "GOWORK=off"})
	out, err := b.goCommand(ctx, "env", "-changed", "-json")
	if err != nil {
		return err
	}
	changed := map[string]string{}
	if err := json.Unmarshal([]byte(out), &changed); err != nil {
		return fmt.Errorf("go env -changed -json: %w", err)
	}
	b.env = slices.DeleteFunc(slices.Clone(given), func(entry string) bool {
		key, _, _ := strings.Cut(entry, "=")
		return strings.HasPrefix(key, "GO") && key != "GOROOT" && !slices.Contains(kept(), key)
	})
	for _, key := range kept() {
		if value, ok := changed[key]; ok {
			b.env = append(b.env, key+"="+value)
		}
	}
	b.env = append(b.env, "GOENV=off", "GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=1", "GOOS=linux", "GOARCH="+b.Arch)
	return nil
}

// crossCompiler is the C compiler of Debian's packages for another architecture.
func crossCompiler(arch string) string {
	if arch == runtime.GOARCH {
		return ""
	}
	return map[string]string{
		"amd64": "x86_64-linux-gnu-gcc", "arm64": "aarch64-linux-gnu-gcc", "s390x": "s390x-linux-gnu-gcc", "ppc64le": "powerpc64le-linux-gnu-gcc",
	}[arch]
}

func set(env []string, key string) bool {
	for _, entry := range env {
		if strings.HasPrefix(entry, key+"=") {
			return true
		}
	}
	return false
}

// majorSuffix is the last element of the path of a module's later major version.
var majorSuffix = regexp.MustCompile(`/v[0-9]+$`)

// file returns the file to write.
func (b *build) file() (string, error) {
	info, err := os.Stat(b.Output)
	toDir := b.Output == "" || strings.HasSuffix(b.Output, "/") || err == nil && info.IsDir()
	if !toDir {
		return b.Output, nil
	}
	name, err := storageplugin.FileName(path.Base(majorSuffix.ReplaceAllString(b.module, "")), b.host.Version(), b.Arch)
	if err != nil {
		return "", fmt.Errorf("module %s: %w; give -o a file", b.module, err)
	}
	return filepath.Join(b.Output, name), nil
}

// compile runs go build, and puts the file in place of an older one: a server that
// runs has that mapped.
func (b *build) compile(ctx context.Context, file string) (err error) {
	absolute, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(absolute), 0o755); err != nil {
		return err
	}
	// Beside it, so that it can be moved in one step, and hidden from servers.
	scratch, err := os.MkdirTemp(filepath.Dir(absolute), "."+filepath.Base(absolute)+".*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	built := filepath.Join(scratch, filepath.Base(absolute))
	ldflags := "-s -w"
	if b.Version != "" {
		ldflags += " -X main.version=" + b.Version
	}
	args := []string{"build", "-buildmode=plugin", "-buildvcs=false", "-ldflags=" + ldflags, "-o", built}
	for _, s := range b.host.Info.Settings {
		switch s.Key {
		case "-trimpath", "-race", "-msan", "-asan", "-tags", "-gcflags", "-asmflags":
			args = append(args, s.Key+"="+s.Value)
		}
	}
	if b.host.Setting("-pgo") == "" {
		args = append(args, "-pgo=off")
	}
	b.say("building %s for linux/%s", b.module, b.Arch)
	if _, err := b.goCommand(ctx, append(args, ".")...); err != nil {
		return err
	}
	if b.Check != nil {
		if err := b.Check(b.host, built, file); err != nil {
			return err
		}
	}
	return os.Rename(built, absolute)
}

func (b *build) say(format string, args ...any) {
	if b.Log != nil {
		fmt.Fprintf(b.Log, format+"\n", args...)
	}
}

// goCommand runs the go command in the plugin's main package and returns what it
// prints.
func (b *build) goCommand(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = b.Dir, slices.Concat(b.env, []string{"PWD=" + b.Dir})
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return "", fmt.Errorf("the go command is needed to build a plugin: %w", err)
		}
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
