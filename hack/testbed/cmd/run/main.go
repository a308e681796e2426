// Command run shows Clusterpedia at work on this machine: a host cluster, two
// member clusters with sample workloads, the built servers with the internal
// storage layer on SQLite, and a kubectl that sees all members at once. It is what
// "make run" runs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"clusterpedia.io/testbed/build"
	"clusterpedia.io/testbed/cluster"
	"clusterpedia.io/testbed/process"
	"clusterpedia.io/testbed/sample"
	"clusterpedia.io/testbed/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

type run struct {
	// bin, charts and dir are directories, testbed is that of the test bed's module.
	bin, charts, dir, testbed string
	kubeconfigs               []string
	once                      bool

	began    time.Time
	binaries string
	host     *cluster.Cluster
	own      []*cluster.Cluster
	stack    *stack.Stack
	servers  []*process.Process
}

func command(ctx context.Context) error {
	r := &run{began: time.Now()}
	repository, given := "", ""
	flag.StringVar(&repository, "repository", "../..", "directory of the repository: the servers are those of its bin/")
	flag.StringVar(&r.dir, "dir", "", "directory for data, certificates and logs, emptied at the start (default: .testbed/run of the repository)")
	flag.StringVar(&given, "kubeconfigs", "", "comma separated kubeconfigs of existing clusters to use as members, in place of two new ones")
	flag.BoolVar(&r.once, "once", false, "stop after the proof in place of waiting for Ctrl-C")
	flag.Parse()
	if r.dir == "" {
		r.dir = filepath.Join(repository, ".testbed", "run")
	}
	r.bin, r.charts, r.testbed = filepath.Join(repository, "bin"), filepath.Join(repository, "charts", "clusterpedia"), filepath.Join(repository, "hack", "testbed")
	for _, path := range []*string{&r.bin, &r.charts, &r.testbed, &r.dir} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = absolute
	}
	if given != "" {
		var err error
		if r.kubeconfigs, err = paths(given); err != nil {
			return err
		}
	}
	defer r.stop()
	return r.run(ctx)
}

// paths splits a list of files. A shell expands ~ only where a word begins.
func paths(list string) ([]string, error) {
	var files []string
	for path := range strings.SplitSeq(list, ",") {
		if rest, ok := strings.CutPrefix(path, "~/"); ok {
			home, err := os.UserHomeDir()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			path = filepath.Join(home, rest)
		}
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		files = append(files, absolute)
	}
	return files, nil
}

// say tells what happens, and how long it has been running.
func (r *run) say(format string, args ...any) {
	fmt.Printf("[%4.0fs] %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// Write lets the build tell its progress.
func (r *run) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		r.say("%s", strings.TrimRight(line, "\n"))
	}
	return len(text), nil
}

func (r *run) run(ctx context.Context) error {
	if err := r.clear(); err != nil {
		return err
	}
	var err error
	if r.binaries, err = build.Programs(ctx, r.testbed, r, build.ControlPlane()...); err != nil {
		return err
	}
	if err := r.startClusters(ctx); err != nil {
		return err
	}
	members, err := r.members()
	if err != nil {
		return err
	}
	if err := r.startServers(ctx); err != nil {
		return err
	}
	if err := r.sync(ctx, members); err != nil {
		return err
	}
	if err := r.prove(ctx, members); err != nil || r.once {
		return err
	}
	return r.wait(ctx)
}

// clear removes the data of an earlier run, unless that still runs.
func (r *run) clear() error {
	for _, name := range []string{"apiserver", "clustersynchro-manager"} {
		if p, running := process.Find(r.dir, name); running {
			return fmt.Errorf("an earlier run still runs (%s has pid %d)", name, p.PID())
		}
	}
	return os.RemoveAll(r.dir)
}

func (r *run) startClusters(ctx context.Context) error {
	names := []string{"host"}
	if len(r.kubeconfigs) == 0 {
		names = append(names, "member-1", "member-2")
	}
	r.say("starting %s: an etcd and a kube-apiserver each", strings.Join(names, ", "))
	g, ctx := errgroup.WithContext(ctx)
	for i, name := range names {
		c := &cluster.Cluster{Name: name, Dir: filepath.Join(r.dir, name), Binaries: r.binaries}
		if i == 0 {
			r.host = c
		} else {
			r.own = append(r.own, c)
		}
		g.Go(func() error {
			if err := c.Start(ctx); err != nil {
				return err
			}
			if name == "host" {
				return nil
			}
			config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
			if err != nil {
				return err
			}
			r.say("%s is ready, loading sample workloads", name)
			return sample.Load(ctx, config, sample.Defaults())
		})
	}
	return g.Wait()
}

// member is a cluster to sync.
type member struct{ name, kubeconfig string }

func (r *run) members() ([]member, error) {
	var members []member
	for _, c := range r.own {
		members = append(members, member{c.Name, c.Kubeconfig()})
	}
	for i, path := range r.kubeconfigs {
		config, err := clientcmd.LoadFromFile(path)
		if err != nil {
			return nil, fmt.Errorf("KUBECONFIGS: %w", err)
		}
		// A file of its own with everything in it: the manager gets its content.
		if err := api.MinifyConfig(config); err != nil {
			return nil, fmt.Errorf("KUBECONFIGS: %s: %w", path, err)
		}
		if err := api.FlattenConfig(config); err != nil {
			return nil, fmt.Errorf("KUBECONFIGS: %s: %w", path, err)
		}
		flat := filepath.Join(r.dir, fmt.Sprintf("member-%d.kubeconfig", i+1))
		if err := clientcmd.WriteToFile(*config, flat); err != nil {
			return nil, err
		}
		members = append(members, member{fmt.Sprintf("member-%d", i+1), flat})
	}
	return members, nil
}

func (r *run) startServers(ctx context.Context) error {
	r.stack = &stack.Stack{
		Host: r.host, Dir: r.dir, Bin: r.bin, CRDs: filepath.Join(r.charts, "crds"), Storage: "internal",
		StorageConfig: fmt.Sprintf("type: sqlite\ndsn: %q\n", filepath.Join(r.dir, "clusterpedia.db")),
	}
	r.say("installing the custom resource definitions into the host cluster")
	if err := r.stack.Install(ctx); err != nil {
		return err
	}
	r.say("starting clustersynchro-manager and apiserver with the internal storage layer on SQLite")
	manager, err := r.stack.StartManager(ctx)
	if err != nil {
		return err
	}
	r.servers = append(r.servers, manager)
	server, err := r.stack.StartAPIServer(ctx)
	if err != nil {
		return err
	}
	r.servers = append(r.servers, server)
	return nil
}

// selection is what is synced of each member.
func selection() []stack.SyncResource {
	return []stack.SyncResource{
		{Resources: []string{"pods", "services", "configmaps", "namespaces", "nodes"}},
		{Group: "apps", Resources: []string{"deployments", "replicasets", "statefulsets", "daemonsets"}},
		{Group: "example.io", Resources: []string{"widgets"}},
	}
}

// syncLimit bounds the wait for each member.
const syncLimit = 3 * time.Minute

func (r *run) sync(ctx context.Context, members []member) error {
	for _, m := range members {
		r.say("registering %s as a PediaCluster", m.name)
		if err := r.stack.AddCluster(ctx, m.name, m.kubeconfig, selection()...); err != nil {
			return err
		}
	}
	for _, m := range members {
		err := r.stack.WaitSynced(ctx, m.name, syncLimit, func(what string) { r.say("  %s: %s", m.name, what) })
		if err != nil {
			for _, s := range r.servers {
				fmt.Fprintln(os.Stderr, s.LogTail(3000))
			}
			return err
		}
		r.say("%s is synced", m.name)
	}
	return nil
}

// prove shows all members through one kubectl.
func (r *run) prove(ctx context.Context, members []member) error {
	config := filepath.Join(r.dir, "kubeconfig")
	var names []string
	for _, m := range members {
		names = append(names, m.name)
	}
	if err := r.stack.WriteKubeconfig(config, names...); err != nil {
		return err
	}
	kubectl := filepath.Join(r.binaries, "kubectl")
	r.say("kubectl get deployments -A, of all clusters:")
	cmd := exec.CommandContext(ctx, kubectl, "--kubeconfig", config, "get", "deployments", "-A")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl: %w", err)
	}
	if r.once {
		return nil
	}
	first := names[0]
	fmt.Printf(`
Clusterpedia runs. In another terminal:

  export KUBECONFIG=%s PATH=%s:$PATH

  kubectl get pods -A                                    # of all clusters
  kubectl --cluster %s get pods -A                 # of one
  kubectl get deployments -A -l 'search.clusterpedia.io/clusters in (%s),app=web'
  kubectl get pods -A -l search.clusterpedia.io/namespaces=default
  kubectl get --raw '/apis/apps/v1/deployments?names=web&orderby=cluster%%20desc&limit=2'
  kubectl --cluster host get pediaclusters -o wide       # the members and their state

Logs are in %s. Ctrl-C stops everything.
`, config, r.binaries, first, first, r.dir)
	return nil
}

// wait returns when the user has had enough, or when a server ends by itself.
func (r *run) wait(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
		for _, s := range r.servers {
			if !s.Running() {
				return fmt.Errorf("a server ended by itself; its log ends with:\n%s", s.LogTail(3000))
			}
		}
	}
}

// stop ends everything in the reverse order.
func (r *run) stop() {
	if r.host == nil {
		return
	}
	fmt.Println()
	r.say("stopping")
	for i := len(r.servers) - 1; i >= 0; i-- {
		if err := r.servers[i].Stop(15 * time.Second); err != nil {
			r.say("%v", err)
		}
	}
	for _, c := range append(r.own, r.host) {
		if err := c.Stop(); err != nil {
			r.say("%v", err)
		}
	}
	r.say("stopped; data and logs are in %s", r.dir)
}
