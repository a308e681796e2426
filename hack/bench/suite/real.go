package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpedia.io/bench/fleet"
	"clusterpedia.io/testbed/cluster"
	"clusterpedia.io/testbed/stack"
)

const (
	realName = "real"
	// creators is how many objects are created at once.
	creators = 32
)

// measureRealSync lets the manager copy a member with a real API server, which has as many pods
// as a cluster of the fleet, their owners, Services and ConfigMaps.
func (s *suite) measureRealSync(ctx context.Context) (err error) {
	if !s.Profile.Writes || !s.wants("sync-real") {
		return nil
	}
	member := &cluster.Cluster{Name: realName, Dir: filepath.Join(s.dir, realName), Binaries: s.host.Binaries}
	defer func() { err = errors.Join(err, member.Remove()) }()
	if err := member.Start(ctx); err != nil {
		return err
	}
	f := s.Profile.Fleet
	f.App.Services, f.App.ConfigMaps = 1, 1
	client, err := unlimited(member)
	if err != nil {
		return err
	}
	if err := create(ctx, client, f); err != nil {
		return fmt.Errorf("fill a real cluster: %w", err)
	}
	objects := 0
	for _, r := range []schema.GroupVersionResource{core("pods"), apps("replicasets"), apps("deployments"), core("services"), core("configmaps")} {
		list, err := client.Resource(r).List(ctx, metav1.ListOptions{Limit: 1})
		if err != nil {
			return err
		}
		objects += len(list.Items)
		if rest := list.GetRemainingItemCount(); rest != nil {
			objects += int(*rest)
		}
	}
	return s.withManager(ctx, realName, member.Kubeconfig(), func(c *copying) error {
		return s.initialSync(ctx, c, "sync-real", "initial sync of %d objects of a real API server", objects, stack.SyncResource{Resources: []string{"services", "configmaps"}})
	})
}

func core(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: resource}
}

func apps(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: resource}
}

// unlimited returns a client that sends what it is given.
func unlimited(c *cluster.Cluster) (dynamic.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	return dynamic.NewForConfig(config)
}

// create has an API server create the first cluster of a fleet.
func create(ctx context.Context, client dynamic.Interface, f fleet.Fleet) error {
	creating, ctx := errgroup.WithContext(ctx)
	creating.SetLimit(creators)
	namespaces := map[string]bool{}
	for o := range f.Of(0) {
		if !namespaces[o.Namespace] {
			namespaces[o.Namespace] = true
			namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": o.Namespace}}}
			if _, err := client.Resource(core("namespaces")).Create(ctx, namespace, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
				return errors.Join(err, creating.Wait())
			}
		}
		text, err := o.Member()
		if err != nil {
			return errors.Join(err, creating.Wait())
		}
		r := schema.GroupVersionResource{Group: o.Group, Version: o.Version, Resource: o.Resource.Resource}
		creating.Go(func() error { return createOne(ctx, client.Resource(r).Namespace(o.Namespace), text) })
	}
	return creating.Wait()
}

// createOne creates an object, with the status that it has as a document.
func createOne(ctx context.Context, into dynamic.ResourceInterface, text []byte) error {
	o := &unstructured.Unstructured{}
	if err := json.Unmarshal(text, &o.Object); err != nil {
		return err
	}
	status, ok := o.Object["status"].(map[string]any)
	o.SetUID("")
	o.SetResourceVersion("")
	o.SetManagedFields(nil)
	unstructured.RemoveNestedField(o.Object, "spec", "clusterIP") // the server has its own
	unstructured.RemoveNestedField(o.Object, "spec", "clusterIPs")
	if o.GetKind() == "ReplicaSet" { // the server checks what the fleet leaves out
		if err := unstructured.SetNestedStringMap(o.Object, o.GetLabels(), "spec", "template", "metadata", "labels"); err != nil {
			return err
		}
	}
	made, err := into.Create(ctx, o, metav1.CreateOptions{FieldManager: "bench"})
	if err != nil || !ok || len(status) == 0 {
		return err
	}
	made.Object["status"] = status
	_, err = into.UpdateStatus(ctx, made, metav1.UpdateOptions{FieldManager: "bench-status"})
	return err
}
