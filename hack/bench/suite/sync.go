package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"gorm.io/gorm"

	"clusterpedia.io/bench/baseline/oldtable"
	"clusterpedia.io/bench/fleet"
	"clusterpedia.io/bench/measure"
	"clusterpedia.io/bench/report"
	"clusterpedia.io/testbed/process"
	"clusterpedia.io/testbed/stack"
)

const (
	syncDatabase = "sync"
	syncLimit    = 10 * time.Minute
	// changesPerSecond, for changesFor, are what the lag is measured on.
	changesPerSecond = 63
	changesFor       = 20 * time.Second
	// lookEvery is how often is looked for a change.
	lookEvery = 2 * time.Millisecond
)

// measureSync lets the built clustersynchro-manager copy a member, and then follow its
// changes.
func (s *suite) measureSync(ctx context.Context) (err error) {
	if !s.Profile.Writes || !s.wants("sync") {
		return nil
	}
	return s.withStandIn(ctx, s.Profile.Fleet, "member", func(m *member, c *copying) error {
		s.results.Synced = m.objects
		if err := s.initialSync(ctx, c, "sync", "initial sync of %d objects", m.objects); err != nil {
			return err
		}
		return s.measureLag(ctx, m, c.db)
	})
}

// copying is a manager that copies a member into database sync.
type copying struct {
	// name and kubeconfig are the member's.
	name, kubeconfig string
	managed          *stack.Stack
	manager          *process.Process
	db               *gorm.DB
}

// withStandIn runs fn beside a manager that does not know yet of a member which has the first
// cluster of a fleet.
func (s *suite) withStandIn(ctx context.Context, f fleet.Fleet, name string, fn func(*member, *copying) error) (err error) {
	m, err := newMember(f, 0, name)
	if err != nil {
		return err
	}
	var served errgroup.Group
	kubeconfig, err := m.start(s.host, s.dir, &served)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.stop(), served.Wait()) }()
	return s.withManager(ctx, name, kubeconfig, func(c *copying) error { return fn(m, c) })
}

// withManager runs fn beside a manager that does not know the member yet.
func (s *suite) withManager(ctx context.Context, name, kubeconfig string, fn func(*copying) error) (err error) {
	if err := s.engine.fresh(ctx, syncDatabase); err != nil {
		return err
	}
	config, err := s.engine.config(syncDatabase, nil)
	if err != nil {
		return err
	}
	managed := &stack.Stack{
		Host: s.host, Dir: filepath.Join(s.dir, "manager"), Bin: s.stack.Bin, CRDs: s.stack.CRDs, Storage: "internal", StorageConfig: string(config),
	}
	if err := managed.Install(ctx); err != nil {
		return err
	}
	manager, err := managed.StartManager(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, manager.Stop(stopLimit)) }()
	db, err := s.openSync(ctx, manager)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDB(db)) }()
	return fn(&copying{name, kubeconfig, managed, manager, db})
}

// copySample has the manager copy one app, to learn what it calls the columns of pods.
func (s *suite) copySample(ctx context.Context) error {
	small := s.Profile.Fleet
	small.Clusters, small.Apps, small.App = 1, 1, fleet.App{ReplicaSets: 1, Pods: 1}
	return s.withStandIn(ctx, small, "sample", func(m *member, c *copying) error {
		if err := c.managed.AddCluster(ctx, c.name, c.kubeconfig, selected()...); err != nil {
			return err
		}
		if err := s.awaitRows(ctx, c.manager, c.db, m.objects); err != nil {
			return err
		}
		var kept []byte
		if c.db.Migrator().HasColumn("resources", "cells") {
			if err := c.db.WithContext(ctx).Raw("SELECT cells FROM resources WHERE kind = 'Pod'").Row().Scan(&kept); err != nil {
				return err
			}
		}
		if parts := bytes.SplitN(kept, []byte("\n"), 3); len(parts) == 3 { // version, columns, values
			s.podColumns = string(parts[1])
		}
		return c.managed.RemoveCluster(ctx, c.name)
	})
}

// openSync opens the manager's database when it has made its tables.
func (s *suite) openSync(ctx context.Context, manager *process.Process) (db *gorm.DB, err error) {
	if db, err = oldtable.Open(s.engine.kind, s.engine.dsn(syncDatabase)); err != nil {
		return nil, err
	}
	err = manager.Until(ctx, readyLimit, func(ctx context.Context) error {
		_, err := countRows(ctx, db)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, closeDB(db))
	}
	return db, nil
}

// selected is what is copied of a member: all that it has.
func selected() []stack.SyncResource {
	return []stack.SyncResource{{Resources: []string{"pods"}}, {Group: "apps", Resources: []string{"deployments", "replicasets"}}}
}

// copyAll lets the built clustersynchro-manager fill Clusterpedia's database, so that it
// holds what it holds in use.
func (s *suite) copyAll(ctx context.Context) (err error) {
	var served errgroup.Group
	var members []*member
	defer func() {
		for _, m := range members {
			err = errors.Join(err, m.stop())
		}
		err = errors.Join(err, served.Wait())
	}()
	objects := 0
	for c := range s.Profile.Fleet.Clusters {
		m, err := newMember(s.Profile.Fleet, c, s.Profile.Fleet.Cluster(c))
		if err != nil {
			return err
		}
		kubeconfig, err := m.start(s.host, s.dir, &served)
		if err != nil {
			return err
		}
		members = append(members, m)
		if err := s.stack.AddCluster(ctx, m.name, kubeconfig, selected()...); err != nil {
			return err
		}
		objects += m.objects
	}
	if objects != s.Profile.Fleet.Size() {
		return fmt.Errorf("members have %d objects of %d", objects, s.Profile.Fleet.Size())
	}
	manager, err := s.stack.StartManager(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, manager.Stop(stopLimit)) }()
	for _, m := range members {
		if err := s.stack.WaitSynced(ctx, m.name, syncLimit, nil); err != nil {
			return err
		}
	}
	db, err := oldtable.Open(s.engine.kind, s.engine.dsn(ownDatabase))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDB(db)) }()
	return s.awaitRows(ctx, manager, db, objects)
}

// awaitRows returns when the manager has stored so many objects.
func (s *suite) awaitRows(ctx context.Context, manager *process.Process, db *gorm.DB, objects int) error {
	return manager.Until(ctx, syncLimit, func(ctx context.Context) error {
		n, err := countRows(ctx, db)
		if err == nil && int(n) < objects {
			err = fmt.Errorf("%d of %d objects are stored", n, objects)
		}
		return err
	})
}

func countRows(ctx context.Context, db *gorm.DB) (n int64, err error) {
	return n, db.WithContext(ctx).Model(&oldtable.Resource{}).Count(&n).Error
}

// initialSync measures from the moment the cluster is known until all is stored. The title has
// a %d for how many objects that are.
func (s *suite) initialSync(ctx context.Context, c *copying, row, title string, objects int, more ...stack.SyncResource) error {
	manager := c.manager
	idle, _, err := measure.RSS(manager.PID())
	if err != nil {
		return err
	}
	if err := measure.ResetPeak(manager.PID()); err != nil {
		return err
	}
	before, err := s.managerCosts(manager)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := c.managed.AddCluster(ctx, c.name, c.kubeconfig, append(selected(), more...)...); err != nil {
		return err
	}
	if err := s.awaitRows(ctx, manager, c.db, objects); err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	after, err := s.managerCosts(manager)
	if err != nil {
		return err
	}
	_, peak, err := measure.RSS(manager.PID())
	if err != nil {
		return err
	}
	n := float64(objects)
	rate := report.Metrics{report.Rate: n / took, report.CPU: (after.server - before.server).Seconds() / n}
	s.database(rate, after.database-before.database, objects)
	title = fmt.Sprintf(title, objects)
	s.add(row, title, objects, rate)
	s.add(row+"-memory", "manager, "+title, 1, report.Metrics{report.Memory: max(0, float64(peak-idle))})
	s.say("%s: %.0f objects/s", title, rate[report.Rate])
	return nil
}

// add notes what only Clusterpedia is measured on.
func (s *suite) add(row, title string, count int, m report.Metrics) {
	s.results.Row(row, title).By[report.Own] = m
	s.results.Samples = append(s.results.Samples, report.Sample{Row: row, Server: report.Own, Count: count, Metrics: m})
}

func (s *suite) managerCosts(manager *process.Process) (c costs, err error) {
	if c.server, err = measure.CPU(manager.PID()); err != nil {
		return c, err
	}
	c.database, err = s.engine.cpu()
	return c, err
}

// pending is a change that was not seen in the database yet.
type pending struct {
	version string
	at      time.Time
}

// measureLag changes pods and looks when the database has them.
func (s *suite) measureLag(ctx context.Context, m *member, db *gorm.DB) error {
	waiting := map[string]pending{} // by name, which no two pods share
	var lags []float64
	total := int(changesPerSecond * changesFor.Seconds())
	began := time.Now()
	deadline := began.Add(changesFor + time.Minute)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for made := 0; made < total || len(waiting) > 0; {
		for made < total && time.Since(began) >= time.Duration(made)*time.Second/changesPerSecond {
			// Other pods each time, so that no change overtakes another.
			at := time.Now()
			d, version, err := m.change(made * 7)
			if err != nil {
				return err
			}
			waiting[d.name] = pending{version, at}
			made++
		}
		if err := s.seen(ctx, db, waiting, &lags); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d changes are not stored", len(waiting))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
	}
	_, p50, p99 := percentiles(lags)
	s.add("lag", fmt.Sprintf("lag of %d changes/s", changesPerSecond), total, report.Metrics{report.P50: p50, report.P99: p99})
	s.say("lag: p50 %.1f ms, p99 %.1f ms", p50*1e3, p99*1e3)
	return nil
}

// seen takes those changes from waiting that are stored, and notes how long it took.
func (s *suite) seen(ctx context.Context, db *gorm.DB, waiting map[string]pending, lags *[]float64) error {
	if len(waiting) == 0 {
		return nil
	}
	names := make([]string, 0, len(waiting))
	for name := range waiting {
		names = append(names, name)
	}
	var rows []oldtable.Resource
	err := db.WithContext(ctx).Select("name", "resource_version").Where(oldtable.Quote(s.engine.kind, "group")+" = ? AND version = ? AND resource = ? AND name IN ?", "", "v1", "pods", names).Find(&rows).Error
	if err != nil {
		return err
	}
	now := time.Now()
	for _, row := range rows {
		if p := waiting[row.Name]; p.version == row.ResourceVersion {
			*lags = append(*lags, now.Sub(p.at).Seconds())
			delete(waiting, row.Name)
		}
	}
	return nil
}
