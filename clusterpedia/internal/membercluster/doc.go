// Package membercluster reaches a member cluster: it makes a connection from the
// credentials of a PediaCluster, checks the member's health and version, and finds
// out what the member serves now.
//
// It is the first step of the data's path (member cluster -> synchro -> storage ->
// apiserver -> client). Package synchro reads the member's objects through the
// Client of this package; the apiserver uses Connect to pass requests on to a
// member.
package membercluster
