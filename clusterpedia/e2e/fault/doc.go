// Package fault breaks things while the built clustersynchro-manager copies: the
// database, the members, the connections between them, and the manager itself. All
// are real. Each test ends with a comparison of every stored row with its member, and
// with a look into a journal that triggers of the database keep of every write:
// nothing is lost, nothing is stale, nothing was written that had not changed, and
// every process that was not killed on purpose runs. It also asserts that the fault was met.
//
// What concerns the database is done on PostgreSQL and on MariaDB.
//
// Like the rest of the end-to-end tests it imports no implementation.
//
// FAULT_LONG=1 in the environment makes the faults last as long as outages do
// ("make test-fault-long"); without it they are as short as still shows the same.
package fault
