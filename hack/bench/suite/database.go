package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"

	"clusterpedia.io/bench/baseline/floor"
	"clusterpedia.io/bench/baseline/oldtable"
	"clusterpedia.io/bench/measure"
	"clusterpedia.io/storage-api/object"
	testdatabase "clusterpedia.io/testbed/database"
)

// engine is a running database server; of SQLite, a directory.
type engine struct {
	kind   oldtable.Engine
	dir    string
	server *testdatabase.Server
}

// startEngine starts the server. What the benchmarks write is written as it would be by
// default: a commit is on the disk when it returns.
func startEngine(ctx context.Context, c *Config, dir string) (*engine, error) {
	e := &engine{kind: c.Engine, dir: filepath.Join(dir, "database")}
	options := testdatabase.Options{Dir: e.dir, Module: filepath.Join(c.Repository, "hack", "testbed"), Progress: os.Stderr}
	var err error
	switch c.Engine {
	case oldtable.PostgreSQL:
		for _, setting := range []string{"fsync=on", "full_page_writes=on", "max_wal_size=2GB", "shared_buffers=" + c.Profile.Buffers} {
			options.Args = append(options.Args, "-c", setting)
		}
		e.server, err = testdatabase.Start(ctx, testdatabase.PostgreSQL, options)
	case oldtable.MariaDB:
		options.Args = []string{"--innodb-flush-log-at-trx-commit=1", "--innodb-flush-method=fsync", "--innodb-doublewrite=1", "--innodb-buffer-pool-size=1G"}
		e.server, err = testdatabase.Start(ctx, testdatabase.MariaDB, options)
	case oldtable.SQLite:
		err = os.MkdirAll(e.dir, 0o755)
	default:
		err = fmt.Errorf("unknown engine %q, want postgres, mariadb or sqlite", c.Engine)
	}
	return e, err
}

func (e *engine) stop() error {
	if e.server == nil {
		return nil
	}
	return e.server.Stop()
}

// cpu is the processor time of the server so far; SQLite has none of its own.
func (e *engine) cpu() (time.Duration, error) {
	if e.server == nil {
		return 0, nil
	}
	return measure.TreeCPU(e.server.Process().PID())
}

// dsn returns how to reach a database.
func (e *engine) dsn(name string) string {
	switch e.kind {
	case oldtable.PostgreSQL:
		return regexp.MustCompile(`dbname=\S+`).ReplaceAllString(e.server.DSN, "dbname="+name)
	case oldtable.MariaDB:
		return regexp.MustCompile(`\)/`).ReplaceAllString(e.server.DSN, ")/"+name)
	default:
		return filepath.Join(e.dir, name+".db")
	}
}

// storage is what the configuration of the storage layer has beyond the connection.
func (s *suite) storage() map[string]any {
	if s.Profile.FieldIndex && s.engine.kind == oldtable.PostgreSQL {
		return map[string]any{"postgres": map[string]any{"fieldIndex": true}}
	}
	return nil
}

// config returns the configuration of the storage layer for a database, with more keys.
func (e *engine) config(name string, more map[string]any) ([]byte, error) {
	c := map[string]any{"type": e.kind.Type(), "dsn": e.dsn(name)}
	for k, v := range more {
		c[k] = v
	}
	return json.Marshal(c)
}

// fresh makes an empty database, in place of one that there may be.
func (e *engine) fresh(ctx context.Context, name string) error {
	if e.server == nil {
		files, err := filepath.Glob(e.dsn(name) + "*")
		for _, file := range files {
			err = errors.Join(err, os.Remove(file))
		}
		return err
	}
	for _, statement := range []string{"DROP DATABASE IF EXISTS " + name, "CREATE DATABASE " + name} {
		if _, err := e.server.Query(ctx, "", statement); err != nil {
			return err
		}
	}
	return nil
}

// settle lets the database do what it would do sooner or later anyway, so that it does not
// while others are measured.
func (e *engine) settle(ctx context.Context, names ...string) error {
	for _, name := range names {
		statement := map[oldtable.Engine]string{
			oldtable.PostgreSQL: "VACUUM (ANALYZE)", oldtable.SQLite: "ANALYZE",
		}[e.kind]
		if statement == "" {
			continue
		}
		db, err := oldtable.Open(e.kind, e.dsn(name))
		if err != nil {
			return err
		}
		err = errors.Join(db.WithContext(ctx).Exec(statement).Error, closeDB(db))
		if err != nil {
			return fmt.Errorf("settle %s: %w", name, err)
		}
	}
	if e.kind != oldtable.PostgreSQL {
		return nil
	}
	// The superuser has the same password.
	admin, err := pgx.Connect(ctx, regexp.MustCompile(`user=\S+`).ReplaceAllString(e.server.DSN, "user=postgres"))
	if err != nil {
		return err
	}
	_, err = admin.Exec(ctx, "CHECKPOINT")
	return errors.Join(err, admin.Close(ctx))
}

func closeDB(db *gorm.DB) error {
	pool, err := db.DB()
	if err != nil {
		return err
	}
	return pool.Close()
}

// size returns the bytes of a database's tables, with and without their indexes.
func (e *engine) size(ctx context.Context, name string) (all, tables float64, err error) {
	if e.kind == oldtable.SQLite {
		info, err := os.Stat(e.dsn(name))
		if err != nil {
			return 0, 0, err
		}
		return float64(info.Size()), 0, nil
	}
	db, err := oldtable.Open(e.kind, e.dsn(name))
	if err != nil {
		return 0, 0, err
	}
	statement := "SELECT SUM(data_length + index_length), SUM(data_length) FROM information_schema.tables WHERE table_schema = DATABASE()"
	if e.kind == oldtable.PostgreSQL {
		statement = "SELECT SUM(pg_total_relation_size(oid)), SUM(pg_table_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
	}
	err = db.WithContext(ctx).Raw(statement).Row().Scan(&all, &tables)
	return all, tables, errors.Join(err, closeDB(db))
}

// loader fills the table of a baseline by the fastest way there is.
type loader interface {
	load(ctx context.Context, batch []*object.Object) error
	close(ctx context.Context) error
}

// baselineTable is one that a loader fills.
type baselineTable struct {
	name       string
	statements []string
	columns    []string
	values     func(*object.Object) []any
}

func classicTable(e oldtable.Engine) baselineTable {
	return baselineTable{
		name: "resources", statements: oldtable.Tables(e),
		columns: []string{"group", "version", "resource", "kind", "cluster", "namespace", "name", "owner_uid", "uid", "resource_version", "object", "created_at", "synced_at"},
		values: func(o *object.Object) []any {
			r := oldtable.RowOf(o, string(o.JSON))
			return []any{r.Group, r.Version, r.Resource, r.Kind, r.Cluster, r.Namespace, r.Name, r.OwnerUID, r.UID, r.ResourceVersion, r.Object, r.CreatedAt, r.SyncedAt}
		},
	}
}

func floorTable(e oldtable.Engine) baselineTable {
	return baselineTable{name: "documents", statements: floor.Tables(e), columns: floor.Columns(), values: floor.Values}
}

// openLoader makes the table and returns what fills it.
func (e *engine) openLoader(ctx context.Context, name string, t baselineTable) (loader, error) {
	if e.kind != oldtable.PostgreSQL {
		db, err := oldtable.Open(e.kind, e.dsn(name))
		if err != nil {
			return nil, err
		}
		for _, statement := range t.statements {
			if err := db.WithContext(ctx).Exec(statement).Error; err != nil {
				return nil, errors.Join(err, closeDB(db))
			}
		}
		return inserts{db, t}, nil
	}
	conn, err := pgx.Connect(ctx, e.dsn(name))
	if err != nil {
		return nil, err
	}
	for _, statement := range t.statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return nil, errors.Join(err, conn.Close(ctx))
		}
	}
	if t.name == "documents" {
		_, _ = conn.Exec(ctx, floor.Compress) // if it can
	}
	return copies{conn, t}, nil
}

// copies fills a table by COPY.
type copies struct {
	conn  *pgx.Conn
	table baselineTable
}

func (c copies) load(ctx context.Context, batch []*object.Object) error {
	_, err := c.conn.CopyFrom(ctx, pgx.Identifier{c.table.name}, c.table.columns, pgx.CopyFromSlice(len(batch), func(i int) ([]any, error) {
		return c.table.values(batch[i]), nil
	}))
	return err
}

func (c copies) close(ctx context.Context) error { return c.conn.Close(ctx) }

// inserts fills a table by INSERTs of many rows.
type inserts struct {
	db    *gorm.DB
	table baselineTable
}

const insertRows = 200

func (i inserts) load(ctx context.Context, batch []*object.Object) error {
	var rows []map[string]any
	for _, o := range batch {
		row := map[string]any{}
		for n, v := range i.table.values(o) {
			row[i.table.columns[n]] = v
		}
		rows = append(rows, row)
	}
	return i.db.WithContext(ctx).Table(i.table.name).CreateInBatches(rows, insertRows).Error
}

func (i inserts) close(context.Context) error { return closeDB(i.db) }

// version names the database system.
func (e *engine) version(ctx context.Context) (string, error) {
	switch e.kind {
	case oldtable.PostgreSQL:
		v, err := e.server.Query(ctx, "", "SHOW server_version")
		return "PostgreSQL " + v, err
	case oldtable.MariaDB:
		v, err := e.server.Query(ctx, "", "SELECT VERSION()")
		return "MariaDB " + v, err
	default:
		return "SQLite", nil
	}
}
