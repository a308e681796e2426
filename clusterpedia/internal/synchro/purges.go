package synchro

import (
	"context"
	"sync"
)

// purges remove all that is stored of clusters, beside the workers: that takes minutes for
// a great cluster, in which the others must get on.
type purges struct {
	// slots has room for as many as run at the same time.
	slots chan struct{}
	// ended is told of each cluster whose purge has ended.
	ended func(cluster string)

	mu      sync.Mutex
	all     map[string]*purge
	running sync.WaitGroup
}

// purge is that of one cluster, from its beginning until somebody took its result.
type purge struct {
	// uid is that of the PediaCluster; empty for one that vanished.
	uid    string
	cancel context.CancelFunc
	// done is closed when err is set.
	done chan struct{}
	err  error
}

func newPurges(slots int, ended func(cluster string)) *purges {
	return &purges{slots: make(chan struct{}, max(slots, 1)), ended: ended, all: map[string]*purge{}}
}

// run has f called, unless it is being called for the same cluster and UID, and reports
// whether it has returned, and what: once, after that it begins anew. The contexts of f
// end with ctx. Calls for the same cluster must not overlap.
func (p *purges) run(ctx context.Context, cluster, uid string, f func(context.Context) error) (done bool, err error) {
	p.mu.Lock()
	one := p.all[cluster]
	p.mu.Unlock()
	if one != nil && one.uid != uid {
		p.stop(cluster)
		one = nil
	}
	if one == nil {
		p.start(ctx, cluster, uid, f)
		return false, nil
	}
	select {
	case <-one.done:
		p.forget(cluster)
		return true, one.err
	default:
		return false, nil
	}
}

func (p *purges) start(ctx context.Context, cluster, uid string, f func(context.Context) error) {
	one := &purge{uid: uid, done: make(chan struct{})}
	ctx, one.cancel = context.WithCancel(ctx)
	p.mu.Lock()
	p.all[cluster] = one
	p.mu.Unlock()
	p.running.Go(func() {
		defer p.ended(cluster)
		defer close(one.done)
		defer one.cancel()
		select {
		case <-ctx.Done():
			one.err = ctx.Err()
			return
		case p.slots <- struct{}{}:
		}
		defer func() { <-p.slots }()
		one.err = f(ctx)
	})
}

func (p *purges) forget(cluster string) *purge {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.all[cluster]
	delete(p.all, cluster)
	return one
}

// stop ends the purge of a cluster, if there is one, and waits for it: whoever is to write
// to the cluster comes behind.
func (p *purges) stop(cluster string) {
	if one := p.forget(cluster); one != nil {
		one.cancel()
		<-one.done
	}
}

// wait returns when nothing is removed any more. The contexts must have ended.
func (p *purges) wait() { p.running.Wait() }
