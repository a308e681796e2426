package process

import (
	"context"
	"fmt"
	"strings"
	"sync"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	client "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

// noteAnnotation has what a leader leaves to the next, behind the UID of the Lease: a copy of
// it on another host cluster has another one.
const noteAnnotation = "clusterpedia.io/leader-note"

// MaxNote bounds a note, in bytes: each renewal of the Lease writes it.
const MaxNote = 16 << 10

// Term is that of a leader.
type Term struct {
	Epoch Epoch
	// Left is the note of the leader before, on the same Lease; empty if there is none.
	Left string
	// Note has every renewal of the Lease write what note returns; not if that is longer
	// than MaxNote. Without an election it does nothing.
	Note func(note func() string)
}

// noted are the requests of an election for its Lease, with a note.
type noted struct {
	client.LeasesGetter

	mu   sync.Mutex
	left string
	note func() string
}

// Leases implements client.LeasesGetter.
func (n *noted) Leases(namespace string) client.LeaseInterface {
	return notedLease{n.LeasesGetter.Leases(namespace), n}
}

type notedLease struct {
	client.LeaseInterface
	noted *noted
}

// Get implements client.LeaseInterface.
func (l notedLease) Get(ctx context.Context, name string, o metav1.GetOptions) (*coordinationv1.Lease, error) {
	lease, err := l.LeaseInterface.Get(ctx, name, o)
	if err != nil {
		return nil, err
	}
	l.noted.read(lease)
	return lease, nil
}

// Update implements client.LeaseInterface.
func (l notedLease) Update(ctx context.Context, lease *coordinationv1.Lease, o metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	lease, err := l.LeaseInterface.Update(ctx, l.noted.written(lease), o)
	if err != nil {
		return nil, err
	}
	l.noted.read(lease)
	return lease, nil
}

func (n *noted) read(lease *coordinationv1.Lease) {
	text, ok := strings.CutPrefix(lease.Annotations[noteAnnotation], string(lease.UID)+":")
	n.mu.Lock()
	defer n.mu.Unlock()
	n.left = ""
	if ok {
		n.left = text
	}
}

// written returns a Lease with the note, if there is one.
func (n *noted) written(lease *coordinationv1.Lease) *coordinationv1.Lease {
	n.mu.Lock()
	note := n.note
	n.mu.Unlock()
	if note == nil {
		return lease
	}
	text := note()
	if len(text) > MaxNote {
		return lease
	}
	next := lease.DeepCopy()
	metav1.SetMetaDataAnnotation(&next.ObjectMeta, noteAnnotation, fmt.Sprintf("%s:%s", lease.UID, text))
	return next
}

// term returns that which begins.
func (n *noted) term(epoch Epoch) Term {
	n.mu.Lock()
	defer n.mu.Unlock()
	return Term{Epoch: epoch, Left: n.left, Note: func(note func() string) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.note = note
	}}
}
