package process

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func election() *LeaderElection {
	o := NewLeaderElection("manager", "system")
	o.LeaseDuration, o.RenewDeadline, o.RetryPeriod = 3*time.Second, 2*time.Second, 50*time.Millisecond
	return o
}

func lease(holder, version string) *coordinationv1.Lease {
	now, seconds := metav1.NowMicro(), int32(3600)
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "manager", ResourceVersion: version},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now},
	}
}

func TestEpoch(t *testing.T) {
	t.Parallel()
	o := election()
	epoch, err := o.epoch(t.Context(), fake.NewClientset(lease("me", "70")), "me")
	require.NoError(t, err)
	require.EqualValues(t, 70, epoch)
	_, err = o.epoch(t.Context(), fake.NewClientset(lease("another", "71")), "me")
	require.ErrorIs(t, err, ErrLeaseLost)
	_, err = o.epoch(t.Context(), fake.NewClientset(lease("me", "abc")), "me")
	require.ErrorContains(t, err, `the resource version "abc" of the lease system/manager is no number`)
	_, err = o.epoch(t.Context(), fake.NewClientset(), "me")
	require.ErrorContains(t, err, "read the lease system/manager")
}

func TestWithoutElection(t *testing.T) {
	t.Parallel()
	o := election()
	o.Enabled = false
	require.NoError(t, o.Run(t.Context(), fake.NewClientset(), func(ctx context.Context, term Term) error {
		n, err := term.Epoch(ctx)
		require.Zero(t, n)
		term.Note(func() string { return "nobody asks" })
		require.Empty(t, term.Left)
		return err
	}))
}

// TestRelease checks that the lease is held until the leader has really ended.
func TestRelease(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	ctx, cancel := context.WithCancel(t.Context())
	holder := func() string {
		l, err := client.CoordinationV1().Leases("system").Get(context.WithoutCancel(ctx), "manager", metav1.GetOptions{})
		require.NoError(t, err)
		return *l.Spec.HolderIdentity
	}
	err := election().Run(ctx, client, func(ctx context.Context, _ Term) error {
		require.NotEmpty(t, holder())
		cancel()
		<-ctx.Done()
		time.Sleep(200 * time.Millisecond) //nolint:forbidigo // a manager takes a while to stop
		require.NotEmpty(t, holder())
		return nil
	})
	require.NoError(t, err)
	require.Empty(t, holder())
}

func TestLeaseLost(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	var taken atomic.Bool
	// The fake API server lets an update win that read the lease before another took it.
	client.PrependReactor("get", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		return taken.Load(), lease("another", "71"), nil
	})
	client.PrependReactor("update", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		return taken.Load(), nil, apierrors.NewConflict(schema.GroupResource{Resource: "leases"}, "manager", errors.New("it has changed"))
	})
	err := election().Run(t.Context(), client, func(ctx context.Context, _ Term) error {
		taken.Store(true)
		<-ctx.Done()
		return nil
	})
	require.ErrorIs(t, err, ErrLeaseLost)
}

func TestEndBeforeLeading(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.NoError(t, election().Run(ctx, fake.NewClientset(lease("another", "")), func(context.Context, Term) error {
		t.Error("leads, though another does")
		return nil
	}))
}
