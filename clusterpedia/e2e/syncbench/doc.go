// Package syncbench measures the built clustersynchro-manager as a process: the memory
// and the processor time that it takes to copy a large member, and what a restart writes.
// The member is an HTTP server that makes up pods; the host cluster is a real one.
package syncbench
