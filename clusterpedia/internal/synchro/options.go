package synchro

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"

	"clusterpedia.io/api/client/clientset/versioned"
	"clusterpedia.io/clusterpedia/internal/synchro/negotiation"
	"clusterpedia.io/clusterpedia/internal/synchro/reflector"
	"clusterpedia.io/clusterpedia/internal/synchro/writer"
	"clusterpedia.io/storage-api/storage"
)

// Gates are the feature gates that the synchro obeys, by their names on the command
// line. Two gates of v0.9 are missing, since what they turned on is always so:
// ForcePaginatedListForResourceSync, StreamHandlePaginatedListForResourceSync.
type Gates struct {
	PruneManagedFields              bool
	PruneLastAppliedConfiguration   bool
	AllowSyncAllCustomResources     bool
	AllowSyncAllResources           bool
	HealthCheckerWithStandaloneTCP  bool
	IgnoreSyncLease                 bool
	ClusterAuthenticationFromSecret bool
}

// DefaultGates are the gates of an empty command line.
func DefaultGates() Gates {
	return Gates{PruneManagedFields: true, PruneLastAppliedConfiguration: true}
}

// Options are what a Manager is made from.
type Options struct {
	// Clusterpedia reads PediaClusters and ClusterSyncResources, and writes their
	// finalizers and status.
	Clusterpedia versioned.Interface
	// Kubernetes reads Secrets in Namespace. Both are needed only with the gate
	// ClusterAuthenticationFromSecret.
	Kubernetes kubernetes.Interface
	Namespace  string

	Storage storage.Storage
	// Epoch returns an epoch for storage.Writer that is higher than those of all
	// earlier writers of any cluster, or an error if this manager must not write any
	// more. Nil: writers without an epoch, of which there may be only one.
	Epoch func(context.Context) (int64, error)
	// ShardingName is the manager's name, by which it owns clusters.
	ShardingName string
	// QueueMemory bounds, in bytes, the changes of all clusters together that are read and
	// not written yet; 0: DefaultQueueMemory. Each cluster may have one more.
	QueueMemory int
	// Workers is the number of PediaClusters that are reconciled at the same time.
	Workers int
	// PageSize is the number of objects in one page of a list; 0: DefaultPageSize.
	PageSize int64
	Gates    Gates
	// RemoveOrphans says of which clusters without a PediaCluster is removed what is
	// stored; empty: OrphansKnown.
	RemoveOrphans OrphanPolicy
	// Before is what Record of the manager before returned last, of the same host cluster
	// and name; empty: it is not known.
	Before string
	Kinds  negotiation.Kinds
	// Events takes Kubernetes Events on PediaClusters; it may be nil.
	Events record.EventRecorder
	// Metrics may be nil.
	Metrics Metrics
	Logger  klog.Logger

	// Tuning holds what nobody needs to change but tests; zero: DefaultTuning.
	Tuning Tuning

	// queues is QueueMemory, as it is used.
	queues *writer.Budget
}

// DefaultPageSize is that of kubectl.
const DefaultPageSize = 500

// DefaultQueueMemory is 256 MiB.
const DefaultQueueMemory = 256 << 20

// Tuning are the synchro's times and bounds.
type Tuning struct {
	// HealthInterval is the time between two health checks, up to half of it being
	// added at random.
	HealthInterval time.Duration
	// VersionInterval is the time after which the version of a member that stays healthy
	// is read again.
	VersionInterval time.Duration
	// StatusDelay is how long changes of a status are collected before it is
	// written.
	StatusDelay time.Duration
	// GoneDelay is how long a resource must have been missing in what the member
	// serves before its objects are removed.
	GoneDelay time.Duration
	// OvertakenDelay is how long a manager waits that was overtaken, and is still
	// responsible for the cluster, before it takes it back.
	OvertakenDelay time.Duration
	// RejectedDelay is how long a resource waits, at first, before it tries again
	// to write objects that the storage layer rejected.
	RejectedDelay time.Duration
	// OrphanInterval is the time between two looks for clusters that are stored and have
	// no PediaCluster; OrphanDelay how long one must have been missing before what is
	// stored is removed.
	OrphanInterval, OrphanDelay time.Duration
	// Purges is the number of clusters that are removed at the same time.
	Purges int
	// Lists is the number of lists that are read from one member at the same time.
	Lists int
	// Stall is that of reflector.Options.
	Stall time.Duration
	// ReadBackoff and PurgeBackoff are the waits after failures of the member and of
	// a removal.
	ReadBackoff, PurgeBackoff wait.Backoff
	Writer                    writer.Limits
	// RetryDelay returns the wait after a number of failures in a row to reconcile
	// or to reach a member.
	RetryDelay func(failures int) time.Duration
}

// DefaultTuning returns the values for production.
func DefaultTuning() Tuning {
	return Tuning{
		HealthInterval:  5 * time.Second,
		VersionInterval: 5 * time.Minute,
		StatusDelay:     500 * time.Millisecond,
		GoneDelay:       5 * time.Second,
		OvertakenDelay:  10 * time.Second,
		RejectedDelay:   time.Minute,
		OrphanInterval:  5 * time.Minute,
		OrphanDelay:     10 * time.Minute,
		Purges:          2,
		Lists:           8,
		Stall:           reflector.DefaultStall,
		ReadBackoff:     reflector.DefaultBackoff(),
		PurgeBackoff:    wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.5, Steps: 32, Cap: time.Minute},
		Writer:          writer.DefaultLimits(),
		RetryDelay:      retryDelay,
	}
}

// complete checks the options and fills in defaults.
func (o *Options) complete() error {
	switch {
	case o.Clusterpedia == nil:
		return errors.New("synchro: Clusterpedia is not set")
	case o.Storage == nil:
		return errors.New("synchro: Storage is not set")
	case o.Gates.ClusterAuthenticationFromSecret && (o.Kubernetes == nil || o.Namespace == ""):
		return errors.New("synchro: Kubernetes and Namespace are needed to read Secrets")
	case o.Kinds.Versions == nil || o.Kinds.StorageVersion == nil || o.Kinds.Convert == nil:
		return errors.New("synchro: Kinds is not set")
	case o.Workers <= 0:
		return errors.New("worker-number must be greater than 0")
	}
	if o.RemoveOrphans == "" {
		o.RemoveOrphans = OrphansKnown
	}
	if err := o.RemoveOrphans.Validate(); err != nil {
		return err
	}
	if o.PageSize <= 0 {
		o.PageSize = DefaultPageSize
	}
	if o.QueueMemory <= 0 {
		o.QueueMemory = DefaultQueueMemory
	}
	o.queues = writer.NewBudget(o.QueueMemory)
	if o.Epoch == nil {
		o.Epoch = func(context.Context) (int64, error) { return 0, nil }
	}
	if o.Metrics == nil {
		o.Metrics = &Counters{}
	}
	if o.Tuning.RetryDelay == nil {
		o.Tuning = DefaultTuning()
	}
	return nil
}
