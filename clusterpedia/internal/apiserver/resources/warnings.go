package resources

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/klog/v2"

	"clusterpedia.io/api/client/listers/cluster/v1alpha2"
	clusterv1alpha2 "clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

// maxWarnings bounds the clusters that one answer warns of by name.
const maxWarnings = 10

// Warner tells clients which clusters an answer may be out of date for.
type Warner struct{ Clusters v1alpha2.PediaClusterLister }

// Warn warns of those clusters that the answer to a query for objects of the types is made
// of, and says since when. Of what the caller may not see nothing is said.
func (w Warner) Warn(ctx context.Context, types []query.Type, q *query.Query) {
	given, more := 0, 0
	for _, cluster := range w.clusters(q.Clusters) {
		visible := visibleTypes(types, q, cluster.Name)
		if len(visible) == 0 {
			continue
		}
		switch texts := doubts(cluster, visible, len(q.Clusters) > 0); {
		case len(texts) == 0:
		case given == maxWarnings:
			more++
		default:
			given++
			for _, text := range texts {
				warning.AddWarning(ctx, "", text)
			}
		}
	}
	if more > 0 {
		warning.AddWarning(ctx, "", fmt.Sprintf("%d more clusters are not ready or still read for the first time", more))
	}
}

// visibleTypes returns those of the types of which the caller may see anything of a
// cluster: for a type that stands for several, those that he may see.
func visibleTypes(types []query.Type, q *query.Query, cluster string) []query.Type {
	if q.Visible == nil {
		return types
	}
	var visible []query.Type
	for _, s := range q.Visible.Scopes {
		switch {
		case len(s.Clusters) > 0 && !slices.Contains(s.Clusters, cluster):
		case len(s.Types) == 0:
			return types
		default:
			for _, seen := range s.Types {
				stored := object.Resource{Group: seen.Group, Version: seen.Version, Resource: seen.Resource}
				if slices.ContainsFunc(types, func(t query.Type) bool { return t.Selects(stored) }) {
					visible = append(visible, seen)
				}
			}
		}
	}
	return visible
}

// warn is Warn for a scope's resource, whatever version of it is synced.
func (h *Handler) warn(ctx context.Context, s *scope, q *query.Query) {
	Warner{h.Clusters}.Warn(ctx, []query.Type{{Group: s.Resource.Group, Resource: s.Resource.Resource}}, q)
}

// clusters returns the clusters of these names that there are, or all, by name.
func (w Warner) clusters(named []string) []*clusterv1alpha2.PediaCluster {
	if len(named) == 0 {
		all, err := w.Clusters.List(labels.Everything())
		if err != nil {
			klog.ErrorS(err, "The PediaClusters cannot be listed") // from memory: cannot happen
		}
		slices.SortFunc(all, func(a, b *clusterv1alpha2.PediaCluster) int { return strings.Compare(a.Name, b.Name) })
		return all
	}
	var found []*clusterv1alpha2.PediaCluster
	for _, name := range slices.Compact(slices.Sorted(slices.Values(named))) {
		if cluster, err := w.Clusters.Get(name); err == nil {
			found = append(found, cluster)
		}
	}
	return found
}

// doubts says why what is served of a cluster may be out of date, and since when. A
// cluster that has never synced the types counts only if it was asked for by name.
func doubts(cluster *clusterv1alpha2.PediaCluster, types []query.Type, asked bool) []string {
	synced := syncedAs(cluster, types)
	if synced == nil && !asked {
		return nil
	}
	var texts []string
	unready := cluster.Name + " is not ready and the resources obtained may be inaccurate"
	switch healthy := meta.FindStatusCondition(cluster.Status.Conditions, clusterv1alpha2.ClusterHealthyCondition); {
	case healthy == nil: // nobody has looked at it yet
		texts = append(texts, fmt.Sprintf("%s. Its health has been unknown since %s", unready, moment(cluster.CreationTimestamp)))
	case healthy.Status != "True":
		texts = append(texts, fmt.Sprintf("%s, reason: %s, since %s", unready, healthy.Reason, moment(healthy.LastTransitionTime)))
	}
	if synced != nil && synced.InitialListPhase {
		texts = append(texts, fmt.Sprintf("%s is still read for the first time and the resources obtained may be incomplete, since %s",
			cluster.Name, moment(synced.LastTransitionTime)))
	}
	return texts
}

func moment(t metav1.Time) string { return t.UTC().Format(time.RFC3339) }

// syncedAs returns the state in which a cluster syncs any of the types: one that is
// still in its initial list, if there is such; nil if it syncs none of them.
func syncedAs(cluster *clusterv1alpha2.PediaCluster, types []query.Type) *clusterv1alpha2.ClusterResourceSyncCondition {
	var found *clusterv1alpha2.ClusterResourceSyncCondition
	for _, group := range cluster.Status.SyncResources {
		for _, r := range group.Resources {
			if !slices.ContainsFunc(types, func(t query.Type) bool {
				return (t.Group == query.AnyGroup || t.Group == group.Group) && (t.Resource == "" || t.Resource == r.Name)
			}) {
				continue
			}
			for i := range r.SyncConditions {
				if found == nil || r.SyncConditions[i].InitialListPhase && !found.InitialListPhase {
					found = &r.SyncConditions[i]
				}
			}
		}
	}
	return found
}
