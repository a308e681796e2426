// Package v1alpha2 holds the API by which users say which member clusters
// Clusterpedia copies, and what of them: PediaCluster and ClusterSyncResources.
//
// It stands at the head of the data's path: clustersynchro-manager reads a
// PediaCluster's spec to reach the member cluster and to choose what it writes
// to the storage layer, and reports in its status. The apiserver derives from
// that status which resources it serves for the cluster.
//
// The custom resource definitions in charts/clusterpedia/crds and the clients
// below clusterpedia.io/api/client are generated from this package.
//
// +groupName=cluster.clusterpedia.io
// +k8s:deepcopy-gen=package
package v1alpha2
