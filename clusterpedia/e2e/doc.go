// Package e2e drives the built servers and plugins from the outside, as a user
// does: real member clusters on one end of the data's path, kubectl and plain HTTP
// on the other. It imports no implementation, and stands outside of the workspace
// so that it chooses no version of what it tests.
package e2e
