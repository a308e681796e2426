package synchro

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/klog/v2"

	"clusterpedia.io/clusterpedia/internal/membercluster"
	"clusterpedia.io/clusterpedia/internal/synchro/negotiation"
	"clusterpedia.io/clusterpedia/internal/synchro/writer"
	"clusterpedia.io/storage-api/storage"
)

// cluster syncs one member cluster over one connection. Another connection, even to
// the same member, is another cluster.
type cluster struct {
	*Options
	log  klog.Logger
	name string
	// fingerprint is that of the connection.
	fingerprint string
	client      *membercluster.Client
	// health has connections of its own if the gate says so.
	health *membercluster.Client
	// changed tells that state has something new to say.
	changed func()

	monitor *membercluster.Monitor
	columns *columns
	writer  *writer.Writer
	lists   chan struct{}
	// as is who it writes as, once prepare has claimed the cluster.
	as storage.Writer
	// above is an epoch that the cluster's must be higher than.
	above int64

	// kick wakes the loop of sync, which looks at everything below mu.
	kick chan struct{}
	// clean wakes the loop of removal.
	clean chan struct{}

	mu        sync.Mutex
	phase     phase
	selection *negotiation.Selection
	served    *membercluster.Served
	checked   health
	// overtaken is the higher epoch of a manager that has written since; 0: none has.
	overtaken   int64
	overtakenAt time.Time
	// trouble is why nothing can be written, since troubled.
	trouble  error
	troubled time.Time
	// resources are what is synced, in the order of the negotiation, once it took
	// place.
	resources  []*resource
	negotiated bool
	removals   map[storage.Resource]*removal
	prunings   prunings
	// unserved is what is selected in vain; unservedNews says that nobody was told.
	unserved     []string
	unservedNews bool
	// unmatched is what is excluded, or pruned, in vain.
	unmatched []string
	// announced says that the owner was told that everything is stored.
	announced bool

	// The fields below belong to the loop of sync.

	// leftovers are stored and not synced.
	leftovers map[storage.Resource]*leftover
	// activity is what runs while the member is healthy; nil otherwise.
	activity *activity

	cancel  context.CancelFunc
	stopped chan struct{}
}

// phase is how far a cluster is, as a condition tells it.
type phase struct {
	reason, message string
	running         bool
}

// newCluster returns a cluster that does nothing yet, and that will write with an
// epoch above the one given. It fails if the connection can't be used.
func newCluster(o *Options, name string, connection membercluster.Connection, above int64, changed func()) (*cluster, error) {
	log := o.Logger.WithValues("cluster", name)
	client, err := membercluster.NewClient(connection.Config)
	if err != nil {
		return nil, err
	}
	health := client
	if o.Gates.HealthCheckerWithStandaloneTCP {
		if health, err = membercluster.NewClient(connection.Config); err != nil {
			return nil, err
		}
	}
	monitor, err := membercluster.NewMonitor(client, log)
	if err != nil {
		return nil, err
	}
	c := &cluster{
		Options:     o,
		log:         log,
		name:        name,
		fingerprint: connection.Fingerprint,
		client:      client,
		health:      health,
		changed:     changed,
		monitor:     monitor,
		columns:     newColumns(o.Kinds),
		lists:       make(chan struct{}, o.Tuning.Lists),
		as:          storage.Writer{Cluster: name},
		above:       above,
		kick:        make(chan struct{}, 1),
		clean:       make(chan struct{}, 1),
		phase:       phase{reason: reasonPending, message: messagePending},
		removals:    map[storage.Resource]*removal{},
		prunings:    prunings{map[storage.Resource]pruning{}, map[storage.Resource]pruning{}},
		leftovers:   map[storage.Resource]*leftover{},
		stopped:     make(chan struct{}),
	}
	c.writer = writer.New(writer.Options{
		Storage:  o.Storage,
		As:       c.as,
		Limits:   o.Tuning.Writer,
		Observer: o.Metrics,
		Trouble:  c.setTrouble,
		Budget:   o.queues,
		Logger:   log,
	})
	return c, nil
}

// start begins to sync. It must be called once, and stop after it.
func (c *cluster) start(ctx context.Context) {
	ctx, c.cancel = context.WithCancel(ctx)
	go func() {
		defer close(c.stopped)
		err := c.run(ctx)
		c.client.Close()
		c.health.Close()
		var overtaken int64
		if fenced, ok := errors.AsType[*storage.FencedError](err); ok {
			overtaken = fenced.Seen
			c.log.Error(err, "Another manager has written to the cluster, stop")
		}
		c.mu.Lock()
		c.phase = phase{reason: reasonShutdown, message: messageShutdown}
		if overtaken != 0 {
			c.overtaken, c.overtakenAt = overtaken, time.Now()
			c.phase.message = messageOvertaken
		}
		c.mu.Unlock()
		c.stateChanged()
	}()
}

// stop ends everything and waits for it.
func (c *cluster) stop() {
	c.cancel()
	<-c.stopped
}

// fenced returns the epoch of the manager that has overtaken this one, and when, so
// that it has stopped; 0 if none has.
func (c *cluster) fenced() (epoch int64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.overtaken, c.overtakenAt
}

// choose sets what is to be synced. The selection must not be changed any more.
func (c *cluster) choose(s negotiation.Selection) {
	c.mu.Lock()
	same := c.selection != nil && equality.Semantic.DeepEqual(*c.selection, s)
	c.selection = &s
	c.mu.Unlock()
	if !same {
		wake(c.kick)
	}
}

func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (c *cluster) stateChanged() { c.changed() }

func (c *cluster) setTrouble(err error) {
	c.mu.Lock()
	c.trouble, c.troubled = err, time.Now().Truncate(time.Second)
	c.mu.Unlock()
	c.stateChanged()
}

func (c *cluster) setPhase(p phase) {
	c.mu.Lock()
	c.phase = p
	c.mu.Unlock()
	c.stateChanged()
}

// run prepares until that succeeds, and then syncs until ctx ends or another manager
// takes over.
func (c *cluster) run(ctx context.Context) error {
	for failures := 1; ; failures++ {
		err := c.prepare(ctx)
		if err == nil {
			break
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, storage.ErrFenced):
			return err
		}
		c.log.Info("Cannot begin to sync, try again", "err", err)
		c.setPhase(phase{reason: reasonInitialFailed, message: shorten(err.Error())})
		if err := sleep(ctx, c.Tuning.RetryDelay(failures)); err != nil {
			return err
		}
	}
	c.setPhase(phase{running: true, reason: reasonRunning, message: messageRunning})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.writer.Run(ctx) })
	group.Go(func() error { return c.watchHealth(ctx) })
	group.Go(func() error { return c.remove(ctx) })
	group.Go(func() error { return c.sync(ctx) })
	return group.Wait()
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// prepareTimeout bounds the requests of prepare, each.
const prepareTimeout = 32 * time.Second

// prepare learns what the member serves and what is stored of it.
func (c *cluster) prepare(ctx context.Context) error {
	version, err := c.version(ctx)
	if err != nil {
		return err
	}
	served, err := c.monitor.Look(ctx)
	if err != nil {
		return err
	}
	if err := c.claim(ctx); err != nil {
		return err
	}
	stored := map[storage.Resource]*known{}
	// It may take long, but not for ever without a sign of life.
	reading, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := c.Tuning.Writer.Timeout
	silent := time.AfterFunc(limit, func() { cancel(fmt.Errorf("the storage layer said nothing for %s", limit)) })
	defer silent.Stop()
	err = c.Storage.Versions(reading, c.name, func(v storage.Version) error {
		silent.Reset(limit)
		k := stored[v.Resource]
		if k == nil {
			k = newKnown()
			stored[v.Resource] = k
		}
		name := objectName{v.Namespace, v.Name}
		k.put(name, k.revision(v.UID, v.ResourceVersion))
		k.stored(name, v.UID)
		k.reached(v.ResourceVersion)
		if len(v.Events) > 0 {
			k.addEvents(v.Events)
		}
		return nil
	})
	if cause := context.Cause(reading); err != nil && cause != nil {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("read what is stored of the cluster: %w", err)
	}
	for resource, k := range stored {
		c.leftovers[resource] = &leftover{known: k}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.served = served
	c.checked.version = version
	c.prunings.foundStored(stored)
	return nil
}

// claim makes the storage layer refuse whoever has written before. What is stored
// must not be read earlier: a write of an earlier manager could follow.
func (c *cluster) claim(ctx context.Context) error {
	as, err := claim(ctx, c.Options, c.name, c.above, 0)
	if !errors.Is(err, storage.ErrFenced) {
		// Also if the answer was lost: that it may be stored must be known.
		c.mu.Lock()
		c.as.Epoch = max(c.as.Epoch, as.Epoch)
		c.mu.Unlock()
		c.writer.As = c.as
	}
	return err
}

// epoch returns that with which the cluster is written, 0 before it was claimed.
func (c *cluster) epoch() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.as.Epoch
}

// claim claims a cluster for an epoch above the one given, or for just the one that is
// wanted, if that is not 0. With an error it returns what may have been claimed.
func claim(ctx context.Context, o *Options, cluster string, above, wanted int64) (storage.Writer, error) {
	as := storage.Writer{Cluster: cluster}
	epoch, err := o.Epoch(ctx)
	if err != nil {
		return as, fmt.Errorf("claim the cluster: %w", err)
	}
	switch {
	case epoch == 0:
	case wanted != 0:
		as.Epoch = wanted
	default:
		as.Epoch = max(epoch, above+1)
	}
	ctx, cancel := context.WithTimeout(ctx, o.Tuning.Writer.Timeout)
	defer cancel()
	if err := o.Storage.Apply(ctx, as, nil); err != nil {
		return as, fmt.Errorf("claim the cluster: %w", err)
	}
	return as, nil
}

func (c *cluster) version(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	return c.client.Version(ctx)
}

// activity is what runs while the member is healthy.
type activity struct {
	ctx     context.Context //nolint:containedctx // It is what the resources are started with.
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// do has f called beside the loop.
func (a *activity) do(f func(context.Context)) { a.running.Go(func() { f(a.ctx) }) }

// sync is the loop that starts and stops resources.
func (c *cluster) sync(ctx context.Context) error {
	defer c.deactivate("")
	for {
		c.mu.Lock()
		healthy, served, selection := c.checked.active, c.served, c.selection
		c.mu.Unlock()
		if healthy {
			c.activate(ctx)
		} else {
			c.deactivate(reasonPause)
		}
		if selection != nil {
			c.apply(*selection, served)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.kick:
		}
	}
}

// activate starts what runs while the member is healthy.
func (c *cluster) activate(ctx context.Context) {
	if c.activity != nil {
		return
	}
	a := &activity{}
	a.ctx, a.cancel = context.WithCancel(ctx)
	c.activity = a
	a.running.Go(func() {
		c.monitor.Run(a.ctx, func(served *membercluster.Served) {
			c.mu.Lock()
			c.served = served
			c.mu.Unlock()
			wake(c.kick)
		})
	})
	c.startAll()
}

// startAll starts to read every resource that isn't read yet, but for those whose
// earlier objects are still being removed, and those of which the status doesn't tell
// yet that they are written in another way than before.
func (c *cluster) startAll() {
	if c.activity == nil {
		return
	}
	for _, r := range c.synced() {
		if !c.removing(r.Storage) && c.mayWrite(r.Storage) {
			r.start(c.activity.ctx)
		}
	}
}

// deactivate stops it and waits.
func (c *cluster) deactivate(reason string) {
	if c.activity == nil {
		return
	}
	c.activity.cancel()
	for _, r := range c.synced() {
		r.stop(reason)
	}
	c.activity.running.Wait()
	c.activity = nil
}

// synced returns what is synced now.
func (c *cluster) synced() []*resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resources
}

// memberRestored has everything doubted that was read of the member until it was restored
// from a backup, after the time given.
func (c *cluster) memberRestored(since time.Time) {
	for _, r := range c.synced() {
		r.reflector.Doubt(since)
		if r.events != nil {
			r.events.reflector.Doubt(since)
		}
	}
}
