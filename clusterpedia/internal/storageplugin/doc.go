// Package storageplugin brings storage layers into a process: it chooses the
// plugin files, verifies all of them, opens them and hands out a storage.Storage
// by its name.
//
// On the data's path (member cluster, synchro, storage, apiserver, client) it
// stands where the clustersynchro-manager and the apiserver reach their storage.
// Neither knows any storage layer otherwise.
//
// Load is made to be the first statement of main:
//
//	func main() {
//		drivers, err := storageplugin.Load(storageplugin.Options{
//			Plugins:     os.Getenv(storageplugin.EnvVar),
//			HostVersion: process.Version().GitVersion,
//		})
//		if err != nil {
//			fmt.Fprintln(os.Stderr, err)
//			os.Exit(1)
//		}
//		…
//	}
//
// It has to come before all else because of golang/go#80107: once the host has
// converted a type to an interface dynamically, a plugin that is opened later
// holds another table of methods for the same pair of types, and an assertion
// from an interface with methods to a concrete type fails in one of both. For the
// same reason nothing on either side of the boundary asserts a concrete type
// other than through errors.As or any(v).(*T).
//
// An error of Load must end the process. A plugin cannot be unloaded, and after
// one that failed half-way others can crash.
package storageplugin
