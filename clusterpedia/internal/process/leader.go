package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// ErrLeaseLost says that another process leads now.
var ErrLeaseLost = errors.New("the leader election lease was lost")

// LeaderElection are the options of the election of one process among its
// replicas.
type LeaderElection struct {
	Enabled       bool
	LeaseDuration time.Duration
	RenewDeadline time.Duration
	RetryPeriod   time.Duration
	ResourceLock  string
	// Namespace and Name of the Lease.
	Namespace, Name string
}

// NewLeaderElection returns the defaults for a component.
func NewLeaderElection(name, namespace string) *LeaderElection {
	return &LeaderElection{
		Enabled: true, LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second,
		ResourceLock: resourcelock.LeasesResourceLock, Name: name, Namespace: namespace,
	}
}

// AddFlags adds the --leader-elect flags.
func (o *LeaderElection) AddFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&o.Enabled, "leader-elect", o.Enabled, "Elect a leader among the replicas before doing anything. Without it exactly one replica may run.")
	fs.DurationVar(&o.LeaseDuration, "leader-elect-lease-duration", o.LeaseDuration, "The time after which a lease that was not renewed may be taken over.")
	fs.DurationVar(&o.RenewDeadline, "leader-elect-renew-deadline", o.RenewDeadline, "The time within which the leader must renew its lease, or stop leading.")
	fs.DurationVar(&o.RetryPeriod, "leader-elect-retry-period", o.RetryPeriod, "The time between two attempts to take or renew the lease.")
	fs.StringVar(&o.ResourceLock, "leader-elect-resource-lock", o.ResourceLock, "The kind of the lock object; only leases.")
	fs.StringVar(&o.Name, "leader-elect-resource-name", o.Name, "The name of the lease.")
	fs.StringVar(&o.Namespace, "leader-elect-resource-namespace", o.Namespace, "The namespace of the lease.")
}

// Validate checks the options.
func (o *LeaderElection) Validate() []error {
	if !o.Enabled {
		return nil
	}
	var errs []error
	if o.ResourceLock != resourcelock.LeasesResourceLock {
		errs = append(errs, fmt.Errorf("--leader-elect-resource-lock must be %s", resourcelock.LeasesResourceLock))
	}
	if o.LeaseDuration <= o.RenewDeadline {
		errs = append(errs, errors.New("--leader-elect-lease-duration must be greater than --leader-elect-renew-deadline"))
	}
	if o.RenewDeadline <= time.Duration(leaderelection.JitterFactor*float64(o.RetryPeriod)) {
		errs = append(errs, fmt.Errorf("--leader-elect-renew-deadline must be greater than %.1f times --leader-elect-retry-period", leaderelection.JitterFactor))
	}
	if o.RetryPeriod <= 0 {
		errs = append(errs, errors.New("--leader-elect-retry-period must be greater than 0"))
	}
	return errs
}

// Epoch returns a number that is higher than all that it has returned before, to
// this process and to others that elect a leader on the same host cluster, of
// whatever name. It returns an error if this process does not lead any more.
type Epoch func(context.Context) (int64, error)

// Run waits until this process leads, and calls lead. The context of lead ends with
// ctx, or when the lease is lost. The lease is released only after lead has returned,
// so that two leaders never work at once. Without an election lead is called at once,
// with epochs of 0.
func (o *LeaderElection) Run(ctx context.Context, client kubernetes.Interface, lead func(ctx context.Context, term Term) error) error {
	if !o.Enabled {
		return lead(ctx, Term{
			Epoch: func(context.Context) (int64, error) { return 0, nil },
			Note:  func(func() string) {},
		})
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	identity := host + "_" + string(uuid.NewUUID())
	lease, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	var leading atomic.Bool
	result := make(chan error, 1)
	leases := &noted{LeasesGetter: client.CoordinationV1()}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name},
			Client:     leases,
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		},
		LeaseDuration: o.LeaseDuration, RenewDeadline: o.RenewDeadline, RetryPeriod: o.RetryPeriod,
		ReleaseOnCancel: true,
		Name:            o.Name,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(held context.Context) {
				leading.Store(true)
				defer release()
				result <- o.lead(ctx, held, lead, leases.term(func(ctx context.Context) (int64, error) { return o.epoch(ctx, client, identity) }))
			},
			OnStoppedLeading: func() {},
			OnNewLeader: func(leader string) {
				klog.InfoS("A leader was elected", "lease", o.Name, "leader", leader, "self", leader == identity)
			},
		},
	})
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	stop := context.AfterFunc(ctx, func() {
		if !leading.Load() {
			release()
		}
	})
	defer stop()
	elector.Run(lease)
	if !leading.Load() {
		return nil // ctx ended before this process ever led
	}
	return <-result
}

func (o *LeaderElection) lead(ctx, held context.Context, lead func(context.Context, Term) error, term Term) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lost := context.AfterFunc(held, cancel)
	defer lost()
	err := lead(ctx, term)
	if held.Err() != nil && err == nil {
		return ErrLeaseLost
	}
	return err
}

// epoch returns the resource version of the Lease, which its holder renews all the
// time. Resource versions of one host cluster are numbers that only grow, over all of
// its objects, so that epochs of different Leases can be compared.
func (o *LeaderElection) epoch(ctx context.Context, client kubernetes.Interface, identity string) (int64, error) {
	lease, err := client.CoordinationV1().Leases(o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
	if err != nil {
		return 0, fmt.Errorf("read the lease %s/%s: %w", o.Namespace, o.Name, err)
	}
	if holder := lease.Spec.HolderIdentity; holder == nil || *holder != identity {
		return 0, ErrLeaseLost
	}
	epoch, err := strconv.ParseInt(lease.ResourceVersion, 10, 64)
	if err != nil || epoch <= 0 {
		return 0, fmt.Errorf("the resource version %q of the lease %s/%s is no number; run one replica with --leader-elect=false", lease.ResourceVersion, o.Namespace, o.Name)
	}
	return epoch, nil
}

// Namespace returns the namespace that this process runs in: that of
// $CLUSTERPEDIA_NAMESPACE, else of its service account, else clusterpedia-system.
func Namespace() string {
	if ns := os.Getenv("CLUSTERPEDIA_NAMESPACE"); ns != "" {
		return ns
	}
	if ns, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace"); err == nil {
		if name := strings.TrimSpace(string(ns)); name != "" {
			return name
		}
	}
	return "clusterpedia-system"
}
