package v1alpha2

// Types of the conditions in a PediaCluster's status.
const (
	// ValidatedCondition says whether the spec can be used.
	ValidatedCondition = "Validated"

	// SynchroRunningCondition says whether the cluster is being synchronized.
	SynchroRunningCondition = "SynchroRunning"

	// ClusterHealthyCondition says whether the member cluster answers its
	// health check. The apiserver warns its clients while it is not True.
	ClusterHealthyCondition = "ClusterHealthy"

	// ReadyCondition sums up the three conditions above: it is True when all
	// of them are.
	ReadyCondition = "Ready"

	// ClusterSynchroInitializedCondition is no longer written. Writers of the
	// status remove it.
	//
	// Deprecated: use SynchroRunningCondition.
	ClusterSynchroInitializedCondition = "ClusterSynchroInitialized"
)

// Reasons of ValidatedCondition. SynchroRunningCondition repeats the first two
// when there is nothing to run.
const (
	// InvalidConfigReason: the connection fields are incomplete or wrong.
	InvalidConfigReason = "InvalidConfig"

	// InvalidSyncResourcesReason: the selection of resources cannot be used.
	InvalidSyncResourcesReason = "InvalidSyncResources"

	// ValidatedReason: the spec is in use.
	ValidatedReason = "Validated"
)

// Reasons of SynchroRunningCondition.
const (
	// SynchroWaitInitReason: the spec is valid, the synchro does not exist yet.
	SynchroWaitInitReason = "WaitInit"

	// SynchroInitialFailedReason: the synchro could not be created; it is
	// tried again.
	SynchroInitialFailedReason = "InitialFailed"

	// SynchroPendingReason: the synchro exists and waits to run.
	SynchroPendingReason = "Pending"

	// SynchroRunningReason: the synchro runs.
	SynchroRunningReason = "Running"

	// SynchroShutdownReason: the synchro was stopped.
	SynchroShutdownReason = "Shutdown"
)

// Reasons of ClusterHealthyCondition.
const (
	// ClusterMonitorStopReason: nobody checks the member cluster's health now.
	ClusterMonitorStopReason = "MonitorStop"

	// ClusterHealthyReason: the member cluster said that it is healthy.
	ClusterHealthyReason = "Healthy"

	// ClusterUnhealthyReason: the member cluster said that it is not healthy.
	ClusterUnhealthyReason = "Unhealthy"

	// ClusterNotReachableReason: the health check got no answer.
	ClusterNotReachableReason = "NotReachable"
)

// Reasons of ReadyCondition.
const (
	// ReadyReason: all other conditions are True.
	ReadyReason = "Ready"

	// NotReadyReason: another condition, named in the message, is not True.
	NotReadyReason = "NotReady"
)

// Values of ClusterResourceSyncCondition.Status.
const (
	// ResourceSyncStatusPending: the resource waits for its first
	// synchronization.
	ResourceSyncStatusPending = "Pending"

	// ResourceSyncStatusSyncing: the resource is being synchronized.
	ResourceSyncStatusSyncing = "Syncing"

	// ResourceSyncStatusStop: the resource is not synchronized any more.
	ResourceSyncStatusStop = "Stop"

	// ResourceSyncStatusUnknown: nothing is known about the resource.
	ResourceSyncStatusUnknown = "Unknown"

	// ResourceSyncStatusError: the last list, watch or write failed.
	ResourceSyncStatusError = "Error"
)
