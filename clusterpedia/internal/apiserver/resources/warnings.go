package resources

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/klog/v2"

	clusterv1alpha2 "clusterpedia.io/api/cluster/v1alpha2"
)

// maxWarnings bounds the clusters that one answer warns of by name.
const maxWarnings = 10

// warn tells the client which of the clusters that an answer is made of may be out of
// date, and since when. named are those that the client asks for; none: all.
func (h *Handler) warn(ctx context.Context, s *scope, named []string) {
	given, more := 0, 0
	for _, cluster := range h.clusters(named) {
		switch text := s.doubt(cluster, len(named) > 0); {
		case text == "":
		case given == maxWarnings:
			more++
		default:
			given++
			warning.AddWarning(ctx, "", text)
		}
	}
	if more > 0 {
		warning.AddWarning(ctx, "", fmt.Sprintf("%d more clusters are not ready or still read for the first time", more))
	}
}

// clusters returns the clusters of these names that there are, or all, by name.
func (h *Handler) clusters(named []string) []*clusterv1alpha2.PediaCluster {
	if len(named) == 0 {
		all, err := h.Clusters.List(labels.Everything())
		if err != nil {
			klog.ErrorS(err, "The PediaClusters cannot be listed") // from memory: cannot happen
		}
		slices.SortFunc(all, func(a, b *clusterv1alpha2.PediaCluster) int { return strings.Compare(a.Name, b.Name) })
		return all
	}
	var found []*clusterv1alpha2.PediaCluster
	for _, name := range slices.Compact(slices.Sorted(slices.Values(named))) {
		if cluster, err := h.Clusters.Get(name); err == nil {
			found = append(found, cluster)
		}
	}
	return found
}

// doubt says why what is served of a cluster may be out of date; empty if it is not. A
// cluster that has never synced the resource counts only if it was asked for by name.
func (s *scope) doubt(cluster *clusterv1alpha2.PediaCluster, asked bool) string {
	synced := syncedAs(cluster, s)
	if synced == nil && !asked {
		return ""
	}
	healthy := meta.FindStatusCondition(cluster.Status.Conditions, clusterv1alpha2.ClusterHealthyCondition)
	switch {
	case healthy == nil:
		return fmt.Sprintf("%s is not ready and the resources obtained may be inaccurate.", cluster.Name)
	case healthy.Status != "True":
		return fmt.Sprintf("%s is not ready and the resources obtained may be inaccurate, reason: %s, since %s",
			cluster.Name, healthy.Reason, healthy.LastTransitionTime.UTC().Format(time.RFC3339))
	case synced != nil && synced.InitialListPhase:
		return fmt.Sprintf("%s is still read for the first time and the resources obtained may be incomplete, since %s",
			cluster.Name, synced.LastTransitionTime.UTC().Format(time.RFC3339))
	}
	return ""
}

// syncedAs returns the state in which a cluster syncs the resource; nil if it does not.
func syncedAs(cluster *clusterv1alpha2.PediaCluster, s *scope) *clusterv1alpha2.ClusterResourceSyncCondition {
	for _, group := range cluster.Status.SyncResources {
		if group.Group != s.Resource.Group {
			continue
		}
		for _, r := range group.Resources {
			if r.Name != s.Resource.Resource {
				continue
			}
			for i := range r.SyncConditions {
				if r.SyncConditions[i].InitialListPhase {
					return &r.SyncConditions[i]
				}
			}
			if len(r.SyncConditions) > 0 {
				return &r.SyncConditions[0]
			}
		}
	}
	return nil
}
