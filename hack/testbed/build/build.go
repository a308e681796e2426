// Package build makes the programs of the test bed from their Go modules, once,
// and keeps them in a cache.
package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"clusterpedia.io/testbed/process"
)

// KubeVersion is the Kubernetes release of the control planes, that of
// kube/go.mod.
const KubeVersion = "v1.37.2"

// program is what to build, in which module, and how.
type program struct {
	module, pkg string
	flags       []string
	about       string
}

func programs() map[string]program {
	minor := strings.Split(KubeVersion, ".")[1]
	version := "k8s.io/component-base/version"
	stamp := fmt.Sprintf("-s -w -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=1 -X %[1]s.gitMinor=%[3]s -X %[1]s.gitTreeState=clean", version, KubeVersion, minor)
	kube := func(pkg, about string) program {
		return program{module: "kube", pkg: pkg, flags: []string{"-ldflags", stamp}, about: about}
	}
	return map[string]program{
		"etcd":           kube("go.etcd.io/etcd/server/v3", "half a minute"),
		"kubectl":        kube("k8s.io/kubernetes/cmd/kubectl", "a minute or two"),
		"kube-apiserver": kube("k8s.io/kubernetes/cmd/kube-apiserver", "about 5 minutes on 2 cores"),
		Controllers:      kube("k8s.io/kubernetes/cmd/kube-controller-manager", "a minute or two"),
		"helm":           {module: "helm", pkg: "helm.sh/helm/v4/cmd/helm", flags: []string{"-ldflags", "-s -w"}, about: "a minute or two"},
		"mysql":          {module: "mysql", pkg: ".", flags: []string{"-tags", "gms_pure_go", "-ldflags", "-s -w"}, about: "a minute"},
	}
}

// Helm is the program that renders the chart.
const Helm = "helm"

// Controllers is the program of Kubernetes' own controllers.
const Controllers = "kube-controller-manager"

// ControlPlane are the programs that a cluster needs, and kubectl.
func ControlPlane() []string { return []string{"etcd", "kubectl", "kube-apiserver"} }

// Dir returns the directory that holds the programs:
// $CLUSTERPEDIA_CACHE/testbed/VERSION/bin, where CLUSTERPEDIA_CACHE is
// clusterpedia/ in the user's cache directory by default.
func Dir() (string, error) {
	cache := os.Getenv("CLUSTERPEDIA_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("set CLUSTERPEDIA_CACHE to a directory for the test bed's programs: %w", err)
		}
		cache = filepath.Join(user, "clusterpedia")
	}
	return filepath.Join(cache, "testbed", KubeVersion, "bin"), nil
}

// heartbeat is how often a long build says that it still runs.
const heartbeat = 30 * time.Second

// interruptLimit is how long an interrupted build has to end.
const interruptLimit = 15 * time.Second

// Programs builds what is missing and returns the directory. Root is the directory
// of the test bed's module. What is done is told to progress.
func Programs(ctx context.Context, root string, progress io.Writer, names ...string) (string, error) {
	dir, err := Dir()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	known := programs()
	for _, name := range names {
		if _, ok := known[name]; !ok {
			return "", fmt.Errorf("unknown program %q, want one of %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	for i, name := range names {
		if exists(filepath.Join(dir, name)) {
			continue
		}
		number := fmt.Sprintf("%d of %d", i+1, len(names))
		if err := one(ctx, root, dir, name, number, known[name], progress); err != nil {
			return "", fmt.Errorf("build %s: %w", name, err)
		}
	}
	return dir, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// one builds a program, unless another process that does so at the same time is
// faster: two would take twice as long, and twice the memory.
func one(ctx context.Context, root, dir, name, number string, p program, progress io.Writer) (err error) {
	unlock, err := process.Lock(ctx, filepath.Join(filepath.Dir(dir), name+".lock"), func() {
		fmt.Fprintf(progress, "waiting for another process that builds %s: this takes %s\n", name, p.about)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if exists(filepath.Join(dir, name)) {
		return nil
	}
	fmt.Fprintf(progress, "building %s (%s), once: this takes %s\n", name, number, p.about)
	began := time.Now()
	if err := compile(ctx, root, dir, name, p, progress); err != nil {
		return err
	}
	fmt.Fprintf(progress, "built %s in %s\n", name, time.Since(began).Round(time.Second))
	return nil
}

func compile(ctx context.Context, root, dir, name string, p program, progress io.Writer) error {
	// Built aside and renamed, so that no other process sees half a file. There may be
	// one of a build that was killed.
	aside := filepath.Join(dir, "."+name+".new")
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(aside) }()
	file := filepath.Join(aside, name)
	args := append([]string{"build", "-trimpath"}, p.flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "-o", file, p.pkg)...)
	cmd.Dir = filepath.Join(root, p.module)
	// Interrupted, the go command waits for its compilers; killed, it would leave them.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = interruptLimit
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for began := time.Now(); ; {
		select {
		case <-tick.C:
			fmt.Fprintf(progress, "  still building %s, %s so far\n", name, time.Since(began).Round(time.Second))
		case err := <-done:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				return fmt.Errorf("%w\n%s", err, output.String())
			}
			return os.Rename(file, filepath.Join(dir, name))
		}
	}
}
