// Package conformance checks the search API as its clients see it: the built apiserver
// on SQLite, PostgreSQL, MariaDB and memory, over HTTP, with cases that are data. It imports no
// implementation. Package e2e beside it has real members; here they are stubs, whose
// objects have the creation times and resource versions that the cases name.
//
// # The fixture
//
// Each storage has a deployment: a real host cluster, the clustersynchro-manager and the
// apiserver (the binding-apiserver for memory), and the clusters of the contract. cluster-1
// and cluster-2 have 18 objects each (fixture_test.go), and cluster-2 cannot be reached any
// more; cluster-3 has no conditions; cluster-4 is in its initial list; cluster-5 has no
// address. The users are admin, alice (cluster-1), bob (the core group of all clusters), carol
// (collections), walter (nothing), a stranger with a bad token, and anonymous. Those of
// rights_test.go may use all paths, and see little with --search-authorization=PerResource.
//
// # Add a case
//
// Add an entry to a file in testdata/cases. Case has the fields and says what they mean:
//
//   - case: "64"
//     url: D?names=web
//     objects: 1/web 2/web
//
// Numbers are those of the contract's section 12, with a suffix where one has several
// requests; other names are our own. A note says why an answer is not that of earlier
// releases. Whatever is not built yet is pending, with a reason: such a case must fail, so
// that the mark is removed when it does not. URLs are abbreviated as in the contract:
//
//	B           /apis/clusterpedia.io/v1beta1
//	M           B/resources, all clusters
//	C(x)        B/resources/clusters/x
//	D           M/apis/apps/v1/deployments
//	CO          B/collectionresources
//
// {{repeat 3 a,}} is a,a,a, and {{count 3 a%d,}} is a0,a1,a2, and {{rv D}} is the resource
// version of that list. Answers with an error have their form checked in every case. A
// hostile case also fails if an answer tells of the database, is a 500, or changed a row.
//
// Cases run in parallel, on what the others see: they must not change anything. One with
// a server runs on an apiserver with these arguments, on the same storage.
//
// # Callers with limited rights
//
// The cases of testdata/limited run on an apiserver with --search-authorization=PerResource;
// memory has a deployment of its own for them. There, those of testdata/cases run once more as
// operator, an administrator by RBAC, who must get the same answers as without it. In testdata/limited, too,
// a case that has a server gets its arguments beside that one.
//
// # Run a case
//
// "make test-e2e" runs everything. One case, on one storage:
//
//	make all
//	cd clusterpedia/e2e && GOWORK=off go test -count=1 ./conformance -run 'TestConformance/SQLite/filters/64-name$'
//
// For PostgreSQL and MariaDB put this before "env GOWORK=off go test", from the root:
//
//	GOWORK=off go run -C hack/testbed ./cmd/testbed databases --workdir clusterpedia/e2e --
//
// # Beyond cases
//
// TestDifferential asks all storages the same generated searches. TestPagesUnderWrites
// reads lists while objects come and go. TestLiveWatch follows changes, TestLongStreams for
// longer than other requests may take, and TestRightsOfWatches those of rights. TestStart
// starts servers that must refuse to.
//
// TestNegotiation compares the answers with those of a real kube-apiserver. TestBrokenObjects
// copies what no kube-apiserver gives, TestManyNamespaces more than reviews can be made of,
// and TestCutConnections has clients that do not wait.
//
// TestContract knows where each number of the contract's section 12 is tested: most are cases
// of testdata. Case 172 is also TestReviews, 211 from older releases on TestAdopt of
// internalstorage/store, and 217, for all storage layers, storage-api/storagetest, "a put
// replaces all of the earlier object".
package conformance
