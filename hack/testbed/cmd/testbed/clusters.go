package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpedia.io/testbed/build"
	"clusterpedia.io/testbed/cluster"
	"clusterpedia.io/testbed/process"
	"clusterpedia.io/testbed/sample"
)

func (t *testbed) build(ctx context.Context, args []string) error {
	f := t.flags("build")
	if err := f.Parse(args); err != nil {
		return err
	}
	names := f.Args()
	if len(names) == 0 {
		names = build.ControlPlane()
	}
	dir, err := build.Programs(ctx, t.module, t.err, names...)
	if err != nil {
		return err
	}
	fmt.Fprintln(t.out, dir)
	return nil
}

// clusters are the arguments of the commands on clusters.
type clusters struct {
	*pflag.FlagSet
	dir string
}

func (t *testbed) clusterFlags(name string) *clusters {
	c := &clusters{FlagSet: t.flags(name)}
	c.StringVar(&c.dir, "dir", ".testbed/clusters", "directory of the clusters, one in it for each")
	return c
}

// cluster returns the cluster of a name, which need not exist.
func (t *testbed) cluster(c *clusters, name string) *cluster.Cluster {
	return &cluster.Cluster{Name: name, Dir: filepath.Join(t.path(c.dir), name), Detached: true}
}

// existing is cluster for one that was started once.
func (t *testbed) existing(c *clusters, name string) (*cluster.Cluster, error) {
	one := t.cluster(c, name)
	if _, err := os.Stat(one.Kubeconfig()); err != nil {
		return nil, fmt.Errorf("there is no cluster %q, start it first: %w", name, err)
	}
	return one, nil
}

// all returns the names of the clusters that exist.
func (t *testbed) all(c *clusters) ([]string, error) {
	entries, err := os.ReadDir(t.path(c.dir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && checkName(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// checkName checks the name of a cluster, which becomes that of a directory.
func checkName(name string) error {
	const pattern = `^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`
	if !regexp.MustCompile(pattern).MatchString(name) {
		return fmt.Errorf("cluster name %q must match %s", name, pattern)
	}
	return nil
}

func (t *testbed) start(ctx context.Context, args []string) error {
	c := t.clusterFlags("start")
	if err := c.Parse(args); err != nil {
		return err
	}
	if c.NArg() == 0 {
		return errors.New("start: give at least one name of a cluster")
	}
	for _, name := range c.Args() {
		if err := checkName(name); err != nil {
			return err
		}
	}
	binaries, err := build.Programs(ctx, t.module, t.err, build.ControlPlane()...)
	if err != nil {
		return err
	}
	// One that fails does not end the others.
	var group errgroup.Group
	for _, name := range c.Args() {
		group.Go(func() error {
			one := t.cluster(c, name)
			one.Binaries = binaries
			if err := one.Start(ctx); err != nil {
				return err
			}
			fmt.Fprintf(t.out, "%s is ready: %s, KUBECONFIG=%s\n", name, one.URL(), one.Kubeconfig())
			return nil
		})
	}
	return group.Wait()
}

func (t *testbed) stop(_ context.Context, args []string) error {
	c := t.clusterFlags("stop")
	all := c.Bool("all", false, "stop all clusters; none is fine")
	purge := c.Bool("purge", false, "delete their data, certificates and logs")
	if err := c.Parse(args); err != nil {
		return err
	}
	names := c.Args()
	switch {
	case *all && len(names) > 0:
		return errors.New("stop: give names or --all, not both")
	case *all:
		var err error
		if names, err = t.all(c); err != nil {
			return err
		}
	case len(names) == 0:
		return errors.New("stop: give at least one name of a cluster, or --all")
	}
	var group errgroup.Group
	for _, name := range names {
		if err := checkName(name); err != nil {
			return err
		}
		group.Go(func() error {
			one := t.cluster(c, name)
			if _, err := os.Stat(one.Dir); err != nil {
				return fmt.Errorf("there is no cluster %q: %w", name, err)
			}
			end, done := one.Stop, "stopped"
			if *purge {
				end, done = one.Remove, "removed"
			}
			if err := end(); err != nil {
				return fmt.Errorf("stop cluster %s: %w", name, err)
			}
			fmt.Fprintf(t.out, "%s is %s\n", name, done)
			return nil
		})
	}
	return group.Wait()
}

// answerLimit bounds the wait for the answer of a cluster's API server.
const answerLimit = 5 * time.Second

func (t *testbed) status(ctx context.Context, args []string) error {
	c := t.clusterFlags("status")
	if err := c.Parse(args); err != nil {
		return err
	}
	names, err := t.all(c)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(t.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tSTATE\tURL\tKUBECONFIG")
	for _, name := range names {
		one := t.cluster(c, name)
		url := ""
		config, err := clientcmd.BuildConfigFromFlags("", one.Kubeconfig())
		if err == nil {
			url = config.Host
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", name, state(ctx, one, config), url, one.Kubeconfig())
	}
	return table.Flush()
}

// state is stopped, ready, or what is wrong.
func state(ctx context.Context, c *cluster.Cluster, config *rest.Config) string {
	_, etcd := process.Find(c.Dir, "etcd")
	_, apiserver := process.Find(c.Dir, "kube-apiserver")
	switch {
	case !etcd && !apiserver:
		return "stopped"
	case !apiserver:
		return "kube-apiserver stopped"
	case !etcd:
		return "etcd stopped"
	case config == nil:
		return "no kubeconfig"
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err.Error()
	}
	client.Timeout = answerLimit
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+"/readyz", http.NoBody)
	if err != nil {
		return err.Error()
	}
	resp, err := client.Do(req)
	if err != nil || resp.Body.Close() != nil || resp.StatusCode != http.StatusOK {
		return "not ready"
	}
	return "ready"
}

func (t *testbed) load(ctx context.Context, args []string) error {
	c := t.clusterFlags("load")
	o := sample.Defaults()
	c.IntVar(&o.Namespaces, "namespaces", o.Namespaces, "number of namespaces")
	c.IntVar(&o.Deployments, "deployments", o.Deployments, "deployments in each namespace")
	c.IntVar(&o.Replicas, "replicas", o.Replicas, "pods of each deployment")
	c.IntVar(&o.Nodes, "nodes", o.Nodes, "nodes over which the pods are spread")
	c.IntVar(&o.Widgets, "widgets", o.Widgets, "custom resources in each namespace")
	c.IntVar(&o.Concurrency, "concurrency", o.Concurrency, "requests at a time")
	if err := c.Parse(args); err != nil {
		return err
	}
	if c.NArg() != 1 {
		return errors.New("load: give the name of one cluster")
	}
	one, err := t.existing(c, c.Arg(0))
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", one.Kubeconfig())
	if err != nil {
		return err
	}
	if err := sample.Load(ctx, config, o); err != nil {
		return fmt.Errorf("load cluster %s: %w", one.Name, err)
	}
	fmt.Fprintf(t.out, "%s is loaded: %d namespaces of %d deployments, %d pods each, and %d widgets\n", one.Name, o.Namespaces, o.Deployments, o.Replicas, o.Widgets)
	return nil
}

func (t *testbed) kubeconfig(_ context.Context, args []string) error {
	c := t.clusterFlags("kubeconfig")
	if err := c.Parse(args); err != nil {
		return err
	}
	if c.NArg() != 1 {
		return errors.New("kubeconfig: give the name of one cluster")
	}
	one, err := t.existing(c, c.Arg(0))
	if err != nil {
		return err
	}
	fmt.Fprintln(t.out, one.Kubeconfig())
	return nil
}
