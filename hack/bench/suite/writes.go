package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"gorm.io/gorm"
	"k8s.io/apimachinery/pkg/runtime"

	"clusterpedia.io/bench/baseline/classic"
	"clusterpedia.io/bench/baseline/oldtable"
	"clusterpedia.io/bench/measure"
	"clusterpedia.io/bench/report"
	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/storage"
)

// writeRounds is how often all rows are written anew.
const writeRounds = 2

// writer writes batches of objects. prepare does, before the clocks run, what a writer
// would have at hand.
type writer struct {
	prepare func(batch []*object.Object) error
	write   func(ctx context.Context, batch []*object.Object) error
	close   func(ctx context.Context) error
}

// contestant is who writes what a row measures.
type contestant struct {
	row, server, database string
	open                  func(context.Context, string) (*writer, error)
}

const (
	writeRow     = "write"
	writeLeanRow = "write-lean"
)

// measureWrites measures one writer of pods.
func (s *suite) measureWrites(ctx context.Context) error {
	if !s.Profile.Writes || !s.wants(writeRow) {
		return nil
	}
	own := func(keys map[string]any) func(context.Context, string) (*writer, error) {
		return func(ctx context.Context, name string) (*writer, error) { return s.ownWriter(ctx, name, keys) }
	}
	contestants := []contestant{
		{writeRow, report.Own, "write_own", own(nil)},
		{writeRow, report.Classic, "write_classic", s.classicWriter},
		{writeRow, report.Floor, "write_floor", s.floorWriter},
	}
	lean, err := s.lean(ctx)
	if err != nil {
		s.note("The lean mode was not measured: %v.", err)
	} else {
		contestants = append(contestants, contestant{writeLeanRow, report.Own, "write_lean", own(lean)})
	}
	for range writeRounds {
		for _, c := range contestants {
			if err := s.measureWriter(ctx, c); err != nil {
				return fmt.Errorf("%s of %s: %w", c.row, c.server, err)
			}
		}
	}
	if lean == nil {
		return nil
	}
	// The same baselines are for both modes.
	compatible, row := s.results.Row(writeRow, ""), s.results.Row(writeLeanRow, "")
	row.By[report.Classic], row.By[report.Floor] = compatible.By[report.Classic], compatible.By[report.Floor]
	if err := s.engine.settle(ctx, "write_lean"); err != nil {
		return err
	}
	m, err := s.stored(ctx, "write_lean", s.written)
	if err != nil {
		return err
	}
	s.add("disk-lean", "lean, pods alone", 1, m)
	return nil
}

func (s *suite) measureWriter(ctx context.Context, c contestant) error {
	title := map[string]string{writeRow: "write, compatible", writeLeanRow: "write, lean"}[c.row]
	m, count, err := s.writeAll(ctx, c.database, c.open)
	if err != nil {
		return err
	}
	s.say("%s, of %s: %.0f rows/s", title, c.server, m[report.Rate])
	s.results.Samples = append(s.results.Samples, report.Sample{Row: c.row, Server: c.server, Count: count, Metrics: m})
	if into := s.results.Row(c.row, title); m[report.Rate] > into.By[c.server][report.Rate] {
		into.By[c.server] = m
	}
	return nil
}

// lean returns the keys of the lean mode, or an error if this storage layer has none.
func (s *suite) lean(ctx context.Context) (map[string]any, error) {
	var keys map[string]any
	if err := json.Unmarshal([]byte(s.Lean), &keys); err != nil {
		return nil, fmt.Errorf("--lean: %w", err)
	}
	const name = "lean"
	if err := s.engine.fresh(ctx, name); err != nil {
		return nil, err
	}
	keys["strict"] = true
	config, err := s.engine.config(name, keys)
	if err != nil {
		return nil, err
	}
	st, err := openStore(ctx, config)
	if err != nil {
		return nil, err
	}
	return keys, st.Close(ctx)
}

// writeAll writes all pods into an empty database.
func (s *suite) writeAll(ctx context.Context, name string, open func(context.Context, string) (*writer, error)) (m report.Metrics, count int, err error) {
	if err := s.engine.fresh(ctx, name); err != nil {
		return nil, 0, err
	}
	w, err := open(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, w.close(ctx)) }()
	var took, client, database time.Duration
	s.written = 0
	for c := range s.Profile.Fleet.Clusters {
		err := s.podBatches(c, func(batch []*object.Object) error {
			if w.prepare != nil {
				if err := w.prepare(batch); err != nil {
					return err
				}
			}
			clock, err := s.clocks()
			if err != nil {
				return err
			}
			if err := w.write(ctx, batch); err != nil {
				return err
			}
			now, err := s.clocks()
			if err != nil {
				return err
			}
			took, client, database = took+now.wall.Sub(clock.wall), client+now.client-clock.client, database+now.database-clock.database
			count += len(batch)
			for _, o := range batch {
				s.written += float64(len(o.JSON))
			}
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
	}
	m = report.Metrics{report.Rate: float64(count) / took.Seconds(), report.CPU: client.Seconds() / float64(count)}
	s.database(m, database, count)
	return m, count, nil
}

type clocks struct {
	wall             time.Time
	client, database time.Duration
}

func (s *suite) clocks() (c clocks, err error) {
	if c.client, err = measure.CPU(os.Getpid()); err != nil {
		return c, err
	}
	c.database, err = s.engine.cpu()
	c.wall = time.Now()
	return c, err
}

// podBatches gives the pods of a cluster in batches of its own memory.
func (s *suite) podBatches(cluster int, fn func([]*object.Object) error) error {
	var batch []*object.Object
	for o := range s.Profile.Fleet.Of(cluster) {
		if o.Kind != "Pod" {
			continue
		}
		stored, err := o.Stored()
		if err != nil {
			return err
		}
		if batch = append(batch, stored); len(batch) == batchRows {
			if err := fn(batch); err != nil {
				return err
			}
			batch = nil
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return fn(batch)
}

func (s *suite) ownWriter(ctx context.Context, name string, keys map[string]any) (*writer, error) {
	config, err := s.engine.config(name, keys)
	if err != nil {
		return nil, err
	}
	st, err := openStore(ctx, config)
	if err != nil {
		return nil, err
	}
	return &writer{
		write: func(ctx context.Context, batch []*object.Object) error {
			return st.Apply(ctx, storage.Writer{Cluster: batch[0].Cluster, Epoch: 1}, puts(batch))
		},
		close: st.Close,
	}, nil
}

// classicWriter encodes each object and inserts it, one at a time.
func (s *suite) classicWriter(ctx context.Context, name string) (*writer, error) {
	db, err := oldtable.Open(s.engine.kind, s.engine.dsn(name))
	if err != nil {
		return nil, err
	}
	if err := oldtable.Make(ctx, s.engine.kind, db); err != nil {
		return nil, errors.Join(err, closeDB(db))
	}
	codec := classic.NewCodec()
	var decoded []runtime.Object
	return &writer{
		prepare: func(batch []*object.Object) error {
			decoded = decoded[:0]
			for _, o := range batch {
				d, err := codec.Decode(o.JSON)
				if err != nil {
					return err
				}
				decoded = append(decoded, d)
			}
			return nil
		},
		write: func(ctx context.Context, batch []*object.Object) error {
			return insertEach(ctx, db, codec, batch, decoded)
		},
		close: func(context.Context) error { return closeDB(db) },
	}, nil
}

func insertEach(ctx context.Context, db *gorm.DB, codec *classic.Codec, batch []*object.Object, decoded []runtime.Object) error {
	for i, o := range batch {
		text, err := codec.Encode(decoded[i])
		if err != nil {
			return err
		}
		if err := db.WithContext(ctx).Create(oldtable.RowOf(o, string(text))).Error; err != nil {
			return err
		}
	}
	return nil
}

// floorWriter copies.
func (s *suite) floorWriter(ctx context.Context, name string) (*writer, error) {
	l, err := s.engine.openLoader(ctx, name, floorTable(s.engine.kind))
	if err != nil {
		return nil, err
	}
	return &writer{write: l.load, close: l.close}, nil
}

// measureDisk measures what is stored.
func (s *suite) measureDisk(ctx context.Context) error {
	if !s.wants("disk") {
		return nil
	}
	into := s.results.Row("disk", "compatible")
	for server, database := range map[string]string{report.Own: ownDatabase, report.Classic: classicDatabase, report.Floor: floorDatabase} {
		if server == report.Floor && !s.Profile.Lists {
			continue // it has not got all
		}
		m, err := s.stored(ctx, database, s.loaded.json)
		if err != nil {
			return err
		}
		into.By[server] = m
		s.results.Samples = append(s.results.Samples, report.Sample{Row: "disk", Server: server, Count: 1, Metrics: m})
	}
	return nil
}

func (s *suite) stored(ctx context.Context, database string, json float64) (report.Metrics, error) {
	all, tables, err := s.engine.size(ctx, database)
	if err != nil {
		return nil, err
	}
	m := report.Metrics{report.Size: all / json}
	if tables > 0 {
		m[report.Table] = tables / json
	}
	return m, nil
}
