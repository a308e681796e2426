// Package storagetest checks that a storage layer keeps the contract of package
// storage, and measures it. It uses the standard library alone.
//
// A storage layer's module needs one test:
//
//	func TestConformance(t *testing.T) {
//		storagetest.Run(t, func(t testing.TB) storage.Storage {
//			s, err := redis.Open(t.Context(), storage.Settings{Config: emptyDatabase(t)})
//			if err != nil {
//				t.Fatal(err)
//			}
//			return s
//		}, storagetest.Options{})
//	}
//
// Run it with -race. Each file holds the tests of one concern. Where the contract
// leaves a choice, so do the tests; where a storage layer can do more than it has
// to, Options declares it. What is right is decided by query.Match, query.Compare
// and query.FindOwners.
package storagetest
