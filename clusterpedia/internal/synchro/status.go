package synchro

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/synchro/negotiation"
	"clusterpedia.io/storage-api/storage"
)

// writeStatus puts what is known of a cluster into a PediaCluster's status.
func (c *cluster) writeStatus(status *v1alpha2.ClusterStatus) {
	c.mu.Lock()
	phase, checked, negotiated, prunedFields := c.phase, c.checked, c.negotiated, c.prunings.status()
	c.mu.Unlock()
	status.APIServer = c.client.Config().Host
	if checked.version != "" {
		status.Version = checked.version
	}
	if negotiated {
		status.SyncResources = c.resourceStatuses()
	}
	status.PrunedFields = prunedFields
	setConditions(status, phase.conditions(checked)...)
}

// resourceStatuses returns the status of all resources: those that are synced, in
// their order, then those that could not be removed yet.
func (c *cluster) resourceStatuses() []v1alpha2.ClusterGroupResourcesStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list statusList
	for _, r := range c.resources {
		status := r.state.get()
		if c.trouble != nil && status.status != v1alpha2.ResourceSyncStatusStop {
			status = resourceStatus{
				status: v1alpha2.ResourceSyncStatusStop, reason: reasonStorageFailed, message: shorten(c.trouble.Error()), since: c.troubled,
			}
		}
		list.add(r.Resource, status)
	}
	for _, resource := range slices.SortedFunc(maps.Keys(c.removals), storage.Resource.Compare) {
		if removal := c.removals[resource]; removal.spec != nil && removal.status.status != "" {
			list.add(*removal.spec, removal.status)
		}
	}
	return list
}

type statusList []v1alpha2.ClusterGroupResourcesStatus

// add puts the status of one version of a resource where it belongs.
func (l *statusList) add(spec negotiation.Resource, status resourceStatus) {
	group := find(*l, func(g *v1alpha2.ClusterGroupResourcesStatus) bool { return g.Group == spec.Group })
	if group == nil {
		*l = append(*l, v1alpha2.ClusterGroupResourcesStatus{Group: spec.Group})
		group = &(*l)[len(*l)-1]
	}
	name := spec.GroupVersionResource.Resource
	resource := find(group.Resources, func(r *v1alpha2.ClusterResourceStatus) bool { return r.Name == name })
	if resource == nil {
		group.Resources = append(group.Resources, v1alpha2.ClusterResourceStatus{Name: name, Kind: spec.Kind, Namespaced: spec.Namespaced})
		resource = &group.Resources[len(group.Resources)-1]
	}
	if find(resource.SyncConditions, func(c *v1alpha2.ClusterResourceSyncCondition) bool { return c.Version == spec.Version }) != nil {
		return
	}
	resource.SyncConditions = append(resource.SyncConditions, v1alpha2.ClusterResourceSyncCondition{
		Version:            spec.Version,
		StorageVersion:     spec.Storage.Version,
		Status:             status.status,
		InitialListPhase:   status.initial,
		Reason:             status.reason,
		Message:            status.message,
		LastTransitionTime: metav1.NewTime(status.since),
	})
}

func find[T any](list []T, is func(*T) bool) *T {
	for i := range list {
		if is(&list[i]) {
			return &list[i]
		}
	}
	return nil
}
