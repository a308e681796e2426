package suite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"clusterpedia.io/bench/baseline/oldtable"
	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/storage"
)

// The databases of the servers.
const (
	ownDatabase     = "clusterpedia"
	classicDatabase = "classic"
	floorDatabase   = "floor"
)

const (
	// batchRows is how many objects are written at once.
	batchRows = 500
	// writers is how many clusters are loaded at the same time.
	writers = 2
)

// openStore opens the storage layer on a database, as a plugin's host would.
func openStore(ctx context.Context, config []byte) (storage.Storage, error) {
	return store.Open(ctx, storage.Settings{ConfigPath: "bench.yaml", Config: config})
}

// loaded says what was loaded.
type loaded struct {
	mu sync.Mutex
	// objects, and pods among them, and the bytes of their JSON.
	objects, pods int
	json          float64
}

func (l *loaded) add(batch []*object.Object) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range batch {
		l.objects++
		l.json += float64(len(o.JSON))
		if o.Kind == "Pod" {
			l.pods++
		}
	}
}

// load makes the objects and stores them for each server.
func (s *suite) load(ctx context.Context) (err error) {
	for _, name := range []string{ownDatabase, classicDatabase, floorDatabase} {
		if err := s.engine.fresh(ctx, name); err != nil {
			return err
		}
	}
	// Of many clusters at once, stand-ins of their API servers would be too great.
	var own storage.Storage
	if s.Profile.Lists {
		if err := s.copyAll(ctx); err != nil {
			return fmt.Errorf("copy the members: %w", err)
		}
		s.say("the manager has copied all members")
	} else if own, err = s.openOwn(ctx); err != nil {
		return err
	} else {
		defer func() { err = errors.Join(err, own.Close(ctx)) }()
	}
	for _, table := range []struct {
		database string
		table    baselineTable
	}{{classicDatabase, classicTable(s.engine.kind)}, {floorDatabase, floorTable(s.engine.kind)}} {
		// One makes the table, the others find it.
		l, err := s.engine.openLoader(ctx, table.database, table.table)
		if err != nil {
			return err
		}
		if err := l.close(ctx); err != nil {
			return err
		}
	}
	clusters := make(chan int)
	began := time.Now()
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(clusters)
		for c := range s.Profile.Fleet.Clusters {
			select {
			case clusters <- c:
			case <-inner.Done():
				return inner.Err()
			}
		}
		return nil
	})
	n := writers
	if s.engine.kind != oldtable.PostgreSQL {
		n = 1 // SQLite has one writer, and in MariaDB INSERTs of many rows lock each other out
	}
	for range n {
		group.Go(func() error { return s.loadClusters(inner, own, clusters, began) })
	}
	return group.Wait()
}

// openOwn opens the storage layer on Clusterpedia's database, and registers the clusters
// in place of a manager.
func (s *suite) openOwn(ctx context.Context) (storage.Storage, error) {
	if err := s.registerClusters(ctx); err != nil {
		return nil, err
	}
	if err := s.copySample(ctx); err != nil {
		return nil, fmt.Errorf("copy a sample: %w", err)
	}
	if s.storage() != nil {
		s.note("Clusterpedia's storage layer was configured with `postgres.fieldIndex: true`; it is off by default.")
	}
	config, err := s.engine.config(ownDatabase, s.storage())
	if err != nil {
		return nil, err
	}
	return openStore(ctx, config)
}

// loadClusters loads the clusters that it is given, for Clusterpedia too if own is not
// nil.
func (s *suite) loadClusters(ctx context.Context, own storage.Storage, clusters <-chan int, began time.Time) (err error) {
	sinks := map[string]loader{}
	defer func() {
		for _, l := range sinks {
			err = errors.Join(err, l.close(context.WithoutCancel(ctx)))
		}
	}()
	for database, table := range map[string]baselineTable{classicDatabase: classicTable(s.engine.kind), floorDatabase: floorTable(s.engine.kind)} {
		table.statements = nil // it is there
		l, err := s.engine.openLoader(ctx, database, table)
		if err != nil {
			return err
		}
		sinks[database] = l
	}
	for c := range clusters {
		err := s.batches(c, func(batch []*object.Object) error {
			if own != nil {
				if err := own.Apply(ctx, storage.Writer{Cluster: s.Profile.Fleet.Cluster(c), Epoch: 1}, puts(batch)); err != nil {
					return err
				}
			}
			for database, l := range sinks {
				if database == floorDatabase && c > 1 && !s.Profile.Lists {
					continue // pages of 500 are all that it is asked for
				}
				if err := l.load(ctx, batch); err != nil {
					return err
				}
			}
			s.loaded.add(batch)
			return nil
		})
		if err != nil {
			return fmt.Errorf("load cluster %d: %w", c, err)
		}
		s.say("loaded cluster %d of %d, %s", c+1, s.Profile.Fleet.Clusters, time.Since(began).Round(time.Second))
	}
	return nil
}

// batches gives the objects of a cluster in batches.
func (s *suite) batches(cluster int, fn func([]*object.Object) error) error {
	batch := make([]*object.Object, 0, batchRows)
	for o := range s.Profile.Fleet.Of(cluster) {
		stored, err := o.Stored()
		if err != nil {
			return err
		}
		if stored.Cells != nil && s.podColumns != "" {
			stored.Cells.Columns = s.podColumns
		}
		if batch = append(batch, stored); len(batch) < batchRows {
			continue
		}
		if err := fn(batch); err != nil {
			return err
		}
		batch = batch[:0]
	}
	if len(batch) == 0 {
		return nil
	}
	return fn(batch)
}

func puts(batch []*object.Object) []storage.Change {
	changes := make([]storage.Change, len(batch))
	for i, o := range batch {
		changes[i].Put = o
	}
	return changes
}
