// Package client groups the generated clients of the API by which users tell
// Clusterpedia what to copy: clientset/versioned to read and write
// PediaClusters, ClusterSyncResources, ClusterImportPolicies and
// PediaClusterLifecycles, informers/externalversions and listers to follow them.
//
// The controllers at the head of the data's path use them, and so may third
// parties. What was copied is read through the aggregated API, for which the
// usual Kubernetes clients do.
//
// The fake clientset guesses resource names from kinds, and guesses that of
// ClusterSyncResources wrong: create such an object through the fake client
// instead of handing it to the constructor.
package client
