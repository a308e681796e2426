// Package synchro copies the objects of member clusters into a storage layer and
// keeps them in step.
//
// It is the second step of the data's path (member cluster -> synchro -> storage ->
// apiserver -> client). A reader follows it from the outside in:
//
//   - Manager watches PediaClusters and runs a cluster for each that it owns
//     (manager.go, reconcile.go), and writes their status (conditions.go).
//   - cluster lives as long as the connection to one member is the same (cluster.go):
//     it checks the member's health (health.go), learns what it serves (package
//     membercluster), decides what is synced (package negotiation, plan.go), and
//     removes what is no longer wanted (purge.go).
//   - resource follows one resource (resource.go): package reflector lists and
//     watches, known.go remembers what is stored so that only differences are
//     written, package document brings each document into its stored form.
//   - events records the Events of objects for which that is wanted (events.go).
//   - package writer queues the changes of a cluster, and writes them in batches.
package synchro
