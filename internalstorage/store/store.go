// Package store is the SQL storage layer: it answers the storage contract with the
// tables of package rows and the statements of package sqlquery.
package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"gorm.io/gorm"

	"clusterpedia.io/internalstorage/config"
	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/internalstorage/packed"
	"clusterpedia.io/internalstorage/rows"
	"clusterpedia.io/internalstorage/sqlquery"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// Store is an open database.
type Store struct {
	// current is the dialect of the schema that there is.
	current atomic.Pointer[dialect.Dialect]
	// reader and writer may be the same.
	reader, writer *gorm.DB
	// logFile is where statements are logged to; nil unless that is a file of its own.
	logFile io.Closer
	// shared is called before the first write.
	shared   sync.Once
	database string
	metrics  bool
	raw      sqlquery.Raw
	log      *slog.Logger
	// blocks and rows are the memory of lists; rows holds *[]row.
	blocks rows.Blocks
	rows   sync.Pool
	// sizes has how many bytes objects of a type have (by sized), by the last that were read.
	sizes sync.Map
	// documents holds *[]byte, the memory of batches that are written.
	documents sync.Pool
	growth    *growth
	packer    *packed.Packer
	// writesLean says that documents are written in mode lean; lean, that the database is known
	// to hold such documents.
	writesLean bool
	lean       atomic.Bool
	// stop ends what goes on behind; background waits for it.
	stop       context.CancelFunc
	background sync.WaitGroup
}

var (
	_ storage.Storage       = &Store{}
	_ storage.Prober        = &Store{}
	_ storage.MetricsWriter = &Store{}
	_ storage.Migrator      = &Store{}
)

// The feature gates that allow clients to give conditions in SQL.
const (
	gateRaw           = "AllowRawSQLQuery"
	gateParameterized = "AllowParameterizedSQLQuery"
)

// Driver returns the driver of the storage layer.
func Driver(version string) storage.Driver {
	return storage.Driver{
		Name: "internal", Version: version, Open: Open,
		Gates:  []storage.Gate{{Name: gateRaw, Stage: "ALPHA"}, {Name: gateParameterized, Stage: "ALPHA"}},
		Params: sqlquery.RawParams(),
	}
}

// Open connects to the database that the configuration names, and brings its
// schema up to date unless that is switched off.
func Open(ctx context.Context, settings storage.Settings) (storage.Storage, error) {
	st, err := open(ctx, settings)
	if err != nil {
		return nil, oneLineError{err}
	}
	return st, nil
}

// oneLineError is an error in one line; drivers like to use several.
type oneLineError struct{ error }

func (e oneLineError) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }
func (e oneLineError) Unwrap() error { return e.error }

func open(ctx context.Context, settings storage.Settings) (*Store, error) {
	c, err := config.Read(settings)
	if err != nil {
		return nil, err
	}
	d, err := dialect.For(c)
	if err != nil {
		return nil, err
	}
	statements, logFile, err := openLog(c, settings.Logger)
	if err != nil {
		return nil, err
	}
	reader, writer, err := d.Open(c, &gorm.Config{SkipDefaultTransaction: true, Logger: statements})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %s: %w", d.Name(), err), closeLog(logFile))
	}
	s := &Store{
		reader: reader, writer: writer, logFile: logFile, database: string(c.Database), metrics: !c.Metrics.Disable,
		packer: packed.New(), writesLean: c.Mode == config.Lean,
		raw: sqlquery.Raw{Any: settings.Gates[gateRaw], Parameterized: settings.Gates[gateParameterized]}, log: settings.Logger,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.current.Store(&d)
	s.growth = newGrowth()
	behind, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	if err := s.prepare(ctx, behind, settings.SkipMigrations, c.Migrates()); err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	}
	s.background.Go(func() { s.trim(behind, c.ConnPool.MaxIdleConns, trimInterval) })
	if s.dialect().Analyze() != "" {
		s.background.Go(func() { s.analyze(behind) })
	}
	return s, nil
}

// dialect returns the dialect of the schema that there is.
func (s *Store) dialect() dialect.Dialect { return *s.current.Load() }

// prepare sees to the schema. What only makes queries faster is made behind.
func (s *Store) prepare(ctx, behind context.Context, skip, migrate bool) error {
	if skip {
		return s.look(ctx)
	}
	if !migrate {
		return errors.Join(s.refuseOld(ctx), s.look(ctx))
	}
	if err := rows.MigrateTables(ctx, s.writer, s.dialect(), s.made); err != nil {
		return s.fail(ctx, "bring the schema up to date", err)
	}
	empty, err := rows.Empty(ctx, s.writer)
	if err != nil {
		return s.fail(ctx, "look for rows", err)
	}
	if empty { // nobody waits for long
		if err := s.migrateOnline(ctx, s.made); err == nil || ctx.Err() != nil {
			return errors.Join(err, s.look(ctx))
		}
	}
	s.background.Go(func() {
		if err := errors.Join(s.migrateOnline(behind, s.made), s.look(behind)); err != nil && behind.Err() == nil {
			s.log.Error("The schema could not be brought up to date; the next start tries again, until then some queries are slow", "err", err)
		}
	})
	return s.look(ctx)
}

// refuseOld refuses a schema that cannot be worked with.
func (s *Store) refuseOld(ctx context.Context) error {
	due, err := rows.Pending(ctx, s.writer, s.dialect())
	switch {
	case err != nil:
		return s.fail(ctx, "look at the schema", err)
	case len(due) > 0 && due[0].Required:
		return fmt.Errorf("autoMigrate is false, and the schema is not up to date: %s; let a user who may change it start a server once with autoMigrate: true, or run clusterpedia storage migrate", due[0].Summary)
	case len(due) > 0:
		s.log.Warn("autoMigrate is false, and some queries are slow until the schema is brought up to date by clusterpedia storage migrate", "missing", rows.Summaries(due))
	}
	return nil
}

func (s *Store) made(m rows.Migration) {
	s.log.Info("The schema was changed", "migration", m.Number, "summary", m.Summary)
}

func (s *Store) migrateOnline(ctx context.Context, made func(rows.Migration)) error {
	return rows.MigrateOnline(ctx, s.writer, s.dialect(), made, func(m rows.Migration, err error) {
		s.log.Warn("The database refuses a change of the schema, without which some queries are slow", "migration", m.Number, "summary", m.Summary, "err", err)
	})
}

// look sees what the table is that is there.
func (s *Store) look(ctx context.Context) error {
	d := s.dialect()
	have, err := d.Schema(ctx, s.reader)
	if err != nil {
		return s.fail(ctx, "look at the schema", err)
	}
	d = d.On(have)
	s.current.Store(&d)
	return nil
}

// fail says what an error of the database means for the caller.
func (s *Store) fail(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ctxErr := context.Cause(ctx); ctxErr != nil {
		return fmt.Errorf("%s: %w", doing, errors.Join(ctx.Err(), err))
	}
	wrapped := fmt.Errorf("%s: %w", doing, err)
	switch s.dialect().Classify(err) {
	case dialect.Conflict, dialect.Transient, dialect.TooLong:
		return storage.Retryable(wrapped)
	}
	return wrapped
}

// failQuery is fail for what a client waits for: where it takes too long, that ends as if the
// client had a deadline.
func (s *Store) failQuery(ctx context.Context, doing string, err error) error {
	failed := s.fail(ctx, doing, err)
	if err == nil || ctx.Err() != nil || s.dialect().Classify(err) != dialect.TooLong {
		return failed
	}
	s.log.Warn("A query was ended, for it took longer than queryTimeout", "err", dialect.Valueless(err))
	return errors.Join(context.DeadlineExceeded, failed)
}

// read is Dialect.Read from the pool for reading, for no longer than is allowed.
func (s *Store) read(ctx context.Context, text string, args []any, most int64, each func(dialect.Scan) (bool, error)) error {
	d := s.dialect()
	return dialect.Within(ctx, d, func(ctx context.Context) error { return d.Read(ctx, s.reader, text, args, most, each) })
}

// Get implements storage.Storage.
func (s *Store) Get(ctx context.Context, key storage.Key) (storage.Object, error) {
	// The caller keeps the object: its memory is not taken back.
	scanner := rows.NewScanner(s.dialect(), s.packer, &rows.Memory{}, rows.Wanted{Document: rows.WholeDocument})
	where := s.keysCondition(key)
	var got *storage.Object
	err := s.read(ctx, "SELECT "+strings.Join(scanner.Columns, ", ")+" FROM resources WHERE "+where.SQL, where.Args, 1, func(scan dialect.Scan) (bool, error) {
		o := &storage.Object{}
		if _, err := scanner.Scan(scan, o); err != nil {
			return false, err
		}
		// A table of an older release may take different names for the same.
		if o.Key == key {
			got = o
		}
		return true, nil
	})
	if err != nil {
		return storage.Object{}, s.failQuery(ctx, "get", err)
	}
	if got == nil {
		return storage.Object{}, fmt.Errorf("%s: %w", key, storage.ErrNotFound)
	}
	return *got, nil
}

// keysCondition selects the rows under any of the keys.
func (s *Store) keysCondition(keys ...storage.Key) dialect.Expr {
	values := make([][]string, len(keys))
	for i, key := range keys {
		values[i] = []string{key.Group, key.Version, key.Resource.Resource, key.Cluster, key.Namespace, key.Name}
	}
	return s.dialect().Keys(values)
}

// Versions implements storage.Storage.
func (s *Store) Versions(ctx context.Context, cluster string, yield func(storage.Version) error) error {
	q := &query.Query{Clusters: []string{cluster}, Projection: query.KeyOnly}
	_, err := s.list(ctx, q, "event_state", func(r *row) error {
		events, err := eventVersions(r.extra)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Key, err)
		}
		return yield(storage.Version{Key: r.Key, UID: r.UID, ResourceVersion: r.ResourceVersion, Events: events})
	})
	return err
}

// Probe implements storage.Prober.
func (s *Store) Probe(ctx context.Context) error {
	return s.fail(ctx, "probe", s.reader.WithContext(ctx).Exec("SELECT 1").Error)
}

// Pending implements storage.Migrator.
func (s *Store) Pending(ctx context.Context) ([]storage.Migration, error) {
	due, err := rows.Pending(ctx, s.writer, s.dialect())
	migrations := make([]storage.Migration, len(due))
	for i, m := range due {
		migrations[i] = m.Migration
	}
	return migrations, s.fail(ctx, "look at the schema", err)
}

// Migrate implements storage.Migrator.
func (s *Store) Migrate(ctx context.Context, done func(storage.Migration)) error {
	made := func(m rows.Migration) {
		if s.made(m); done != nil {
			done(m.Migration)
		}
	}
	err := rows.MigrateTables(ctx, s.writer, s.dialect(), made)
	if err == nil {
		err = s.migrateOnline(ctx, made)
	}
	if err != nil {
		return s.fail(ctx, "bring the schema up to date", err)
	}
	return s.look(ctx)
}

// Close implements storage.Storage.
func (s *Store) Close(context.Context) error {
	s.stop()
	s.background.Wait()
	var errs []error
	for _, pool := range s.pools() {
		err := pool.Close()
		if !errors.Is(err, driver.ErrBadConn) { // the server was faster
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, closeLog(s.logFile))...)
}
