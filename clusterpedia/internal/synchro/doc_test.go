package synchro

// What went wrong in v0.9, and the tests that it doesn't come back. Tests of e2e are those
// of clusterpedia/e2e, with real API servers and the built binaries.
//
// Data that was lost, or wrong:
//
//	a failing discovery removed rows                TestDiscoveryFailuresRemoveNothing, TestUnreadyMemberIsNotBelieved
//	an aggregated API that was away removed rows    e2e TestAggregatedAPI
//	an expired page of a list removed live objects  reflector.TestReflector
//	a storage error dropped the change              TestRejectedObjectIsStoredLater, TestRejectedAcrossPause
//	errors of a fail-over counted as final          internalstorage, e2e/fault
//	versions that go back, or are no numbers        TestMemberRestoredFromBackup, e2e TestAggregatedAPI
//	another cluster under the same name             TestNewConnection
//	kinds that one version of a group lacks         negotiation.TestNegotiate, e2e TestManager
//	writes after a forced deletion, orphans         TestForcedDeletion, TestOrphansAreRemoved
//	a removal that failed was forgotten             TestSelectionChanges, TestUnselectedWhileStopped
//	a shared list that wasn't read yet              TestSharedSelectionAcrossRestart
//	Events before their objects, of other groups    TestEvents, TestEventWaitsForItsObject
//	a manager that wakes late                       TestEpochIsClaimedBeforeReading, TestOvertakenManager, TestLatePurgeHarmsNobody
//
// Crashes, hangs and loops:
//
//	recorded Events at a start                      TestEventsAfterRestart
//	a proxy in the kubeconfig made it start anew    membercluster.TestFingerfingerprint, e2e TestManager
//	each status led to a reconciliation             TestStatusIsNotWrittenInVain
//	a deletion during an outage was given up        TestDeletion, TestDeletionDuringAnOutage
//	a version that the member serves no more        TestMemberUpgrade, TestMemberUpgradeWhileRunning
//	wildcards that were resolved once for all       e2e TestManager
//	no right to see definitions                     e2e TestManager
//	dead members took all workers                   TestDeadMembersHoldNobodyUp
//	status that was lost in a conflict              TestForeignStatusIsPutRight
//
// Security and use:
//
//	commands and files of a kubeconfig              membercluster.TestKubeconfigMustBeSelfContained, e2e TestManager
//	certificates that aren't verified, silently     e2e TestManager
//	profiles for everybody                          process.TestProfilingFromAfar
//	Secrets in clear text, nothing to be left out   TestExcludedResources, TestPrunedFields, e2e TestExclusions
//	counters that went back                         synchromanager.TestTelemetry
//	misspelled resources, no Events                 TestOwnerIsTold
