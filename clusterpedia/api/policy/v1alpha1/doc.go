// Package v1alpha1 holds the API by which users have PediaClusters made from the
// objects of other cluster managers: ClusterImportPolicy and, made from it,
// PediaClusterLifecycle.
//
// It stands before the data's path: controller-manager reads these objects and
// writes the PediaClusters that clustersynchro-manager starts from.
//
// Their templates are Go templates. They see the source object as .source and
// each referenced object as .references.KEY.
//
// The custom resource definitions in charts/clusterpedia/crds and the clients
// below clusterpedia.io/api/client are generated from this package.
//
// +groupName=policy.clusterpedia.io
// +k8s:deepcopy-gen=package
package v1alpha1
