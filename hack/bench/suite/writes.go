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

// measureWrites measures one writer of pods.
func (s *suite) measureWrites(ctx context.Context) error {
	if !s.Profile.Writes || !s.wants("write") {
		return nil
	}
	writers := []struct {
		row, server string
		open        func(context.Context, string) (*writer, error)
	}{
		{"write", report.Own, func(ctx context.Context, name string) (*writer, error) { return s.ownWriter(ctx, name, nil) }},
		{"write", report.Classic, s.classicWriter},
		{"write", report.Floor, s.floorWriter},
	}
	if lean, err := s.lean(ctx); err != nil {
		s.note("The lean mode was not measured: %v.", err)
	} else {
		writers = append(writers, struct {
			row, server string
			open        func(context.Context, string) (*writer, error)
		}{"write-lean", report.Own, func(ctx context.Context, name string) (*writer, error) { return s.ownWriter(ctx, name, lean) }})
	}
	titles := map[string]string{"write": "write, compatible", "write-lean": "write, lean"}
	for range writeRounds {
		for _, w := range writers {
			m, count, err := s.writeAll(ctx, "write_"+w.server+w.row[len("write"):][:min(1, len(w.row)-len("write"))], w.open)
			if err != nil {
				return fmt.Errorf("%s of %s: %w", w.row, w.server, err)
			}
			s.say("%s of %s: %.0f rows/s", titles[w.row], w.server, m[report.Rate])
			s.results.Samples = append(s.results.Samples, report.Sample{Row: w.row, Server: w.server, Count: count, Metrics: m})
			if into := s.results.Row(w.row, titles[w.row]); m[report.Rate] > into.By[w.server][report.Rate] {
				into.By[w.server] = m
			}
		}
	}
	// The same baselines are for both modes.
	if row := s.results.Row("write-lean", titles["write-lean"]); len(row.By) > 0 {
		compatible := s.results.Row("write", "")
		row = s.results.Row("write-lean", "")
		row.By[report.Classic], row.By[report.Floor] = compatible.By[report.Classic], compatible.By[report.Floor]
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
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
	}
	n := float64(count)
	return report.Metrics{report.Rate: n / took.Seconds(), report.CPU: client.Seconds() / n, report.Database: database.Seconds() / n}, count, nil
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
