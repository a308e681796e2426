package controllermanager

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"clusterpedia.io/api/client/clientset/versioned"
	"clusterpedia.io/api/client/informers/externalversions"
	"clusterpedia.io/clusterpedia/internal/controllers/clusterimportpolicy"
	"clusterpedia.io/clusterpedia/internal/controllers/dependents"
	"clusterpedia.io/clusterpedia/internal/controllers/pediaclusterlifecycle"
	"clusterpedia.io/clusterpedia/internal/process"
)

// cacheTimeout bounds the first reading of the host cluster's objects.
const cacheTimeout = time.Minute

// NewCommand returns the command of the program. It runs until ctx ends.
func NewCommand(ctx context.Context) (*cobra.Command, error) {
	o, err := NewOptions()
	if err != nil {
		return nil, err
	}
	return process.NewCommand(process.Program{
		Use: "controller-manager", Short: "Makes PediaClusters of the objects that ClusterImportPolicies select",
		Flags: o.Flags(), Logs: o.Logs, Gates: o.Gates, Validate: o.Validate, Run: func() error { return o.run(ctx) },
	}), nil
}

// run serves metrics on every replica, and runs the controllers on the leader.
func (o *Options) run(ctx context.Context) error {
	o.Metrics.Apply()
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	host, err := o.Host.Config("controller-manager")
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(host)
	if err != nil {
		return fmt.Errorf("connect to the host cluster: %w", err)
	}
	serveMetrics, err := o.Metrics.Listen(ctx, nil)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	ctx, done := context.WithCancel(ctx)
	defer done()
	group.Go(func() error { return serveMetrics(ctx) })
	group.Go(func() error {
		defer done()
		return o.LeaderElection.Run(ctx, client, func(ctx context.Context, _ process.Term) error {
			return o.control(ctx, host, client.Discovery())
		})
	})
	return group.Wait()
}

// control runs the controllers until ctx ends.
func (o *Options) control(ctx context.Context, host *rest.Config, discovery discovery.DiscoveryInterface) error {
	client, err := versioned.NewForConfig(host)
	if err != nil {
		return fmt.Errorf("connect to the host cluster: %w", err)
	}
	objects, err := dynamic.NewForConfig(host)
	if err != nil {
		return fmt.Errorf("connect to the host cluster: %w", err)
	}
	names, err := metadata.NewForConfig(host)
	if err != nil {
		return fmt.Errorf("connect to the host cluster: %w", err)
	}
	var policies *clusterimportpolicy.Controller
	var lifecycles *pediaclusterlifecycle.Controller
	watches := dependents.New(ctx, names, objects, dependents.Listener{
		Changed: func(o dependents.Object) {
			policies.ObjectChanged(o)
			lifecycles.ObjectChanged(o)
		},
		Progressed: func(resource schema.GroupVersionResource) {
			policies.Progressed(resource)
			lifecycles.Progressed(resource)
		},
	})
	defer watches.Close()
	factory := externalversions.NewSharedInformerFactory(client, 0)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(discovery))
	if policies, err = clusterimportpolicy.New(client, factory, mapper, watches); err != nil {
		return err
	}
	if lifecycles, err = pediaclusterlifecycle.New(client, factory, watches); err != nil {
		return err
	}
	informing, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		factory.Shutdown()
	}()
	factory.StartWithContext(informing)
	if err := waitForCaches(ctx, factory); err != nil || ctx.Err() != nil {
		return err
	}
	var all sync.WaitGroup
	all.Go(func() { policies.Run(ctx, o.Workers) })
	all.Go(func() { lifecycles.Run(ctx, o.Workers) })
	all.Wait()
	return nil
}

// waitForCaches returns nil if ctx ends.
func waitForCaches(ctx context.Context, factory externalversions.SharedInformerFactory) error {
	limited, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	for _, synced := range factory.WaitForCacheSync(limited.Done()) {
		if !synced && ctx.Err() == nil {
			return errors.New("the host cluster's PediaClusters, ClusterImportPolicies or PediaClusterLifecycles cannot be read: see the log for the reason")
		}
	}
	return nil
}
