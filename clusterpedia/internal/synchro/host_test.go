package synchro

import (
	"fmt"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"clusterpedia.io/api/client/clientset/versioned/fake"
	"clusterpedia.io/api/cluster/v1alpha2"
)

// newHost returns a host cluster that, unlike the generated one, refuses updates of
// outdated objects, and writes the status alone where that is asked for.
func newHost() *fake.Clientset {
	host := fake.NewSimpleClientset()
	var mu sync.Mutex
	version := 0
	host.PrependReactor("update", "pediaclusters", func(action clienttesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		update, ok := action.(clienttesting.UpdateAction)
		if !ok {
			return false, nil, fmt.Errorf("unexpected action %T", action)
		}
		given, ok := update.GetObject().(*v1alpha2.PediaCluster)
		if !ok {
			return false, nil, fmt.Errorf("unexpected object %T", update.GetObject())
		}
		stored, err := host.Tracker().Get(action.GetResource(), "", given.Name)
		if err != nil {
			return true, nil, err
		}
		current, ok := stored.(*v1alpha2.PediaCluster)
		if !ok {
			return false, nil, fmt.Errorf("unexpected object %T", stored)
		}
		if given.ResourceVersion != current.ResourceVersion {
			return true, nil, apierrors.NewConflict(action.GetResource().GroupResource(), given.Name, fmt.Errorf("outdated"))
		}
		next := given.DeepCopy()
		if action.GetSubresource() == "status" {
			next = current.DeepCopy()
			next.Status = *given.Status.DeepCopy()
		}
		version++
		next.ResourceVersion = strconv.Itoa(version)
		return true, next, host.Tracker().Update(action.GetResource(), next, "")
	})
	return host
}
