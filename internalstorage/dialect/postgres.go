package dialect

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/stdlib"
	driver "gorm.io/driver/postgres"
	"gorm.io/gorm"

	"clusterpedia.io/internalstorage/config"
	"clusterpedia.io/storage-api/query"
)

// postgres is PostgreSQL. Column object is jsonb, which keeps the meaning of a
// document and not its bytes.
type postgres struct {
	// recoverable are SQLSTATE codes that the configuration adds.
	recoverable []string
	// timeout bounds queries; 0: nothing does.
	timeout time.Duration
	// fieldIndex says whether fields are indexed.
	fieldIndex bool
	// orders are the columns that have an index for lists that are sorted by them.
	orders []string
	// cells says that there is column cells.
	cells bool
}

func (postgres) Name() string { return "postgres" }

func (postgres) Open(c *config.Config, options *gorm.Config) (reader, writer *gorm.DB, err error) {
	native, err := postgresConfig(c)
	if err != nil {
		return nil, nil, err
	}
	reading, writing := c.ConnPool, c.ConnPool
	reading.MaxOpenConns, writing.MaxOpenConns = shares(c.ConnPool.MaxOpenConns, false)
	if writer, err = connectPostgres(stdlib.OpenDB(*native), options, writing); err != nil {
		return nil, nil, err
	}
	native = native.Copy()
	native.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		return pgproto3.NewFrontend(bufio.NewReaderSize(r, readSize), w)
	}
	native.DialFunc = gatherOn(native.DialFunc)
	// Only readers wait for what a client asks for.
	settings := fmt.Sprintf("SET statement_timeout = %d; %s", c.Timeout().Milliseconds(), seekCost)
	reader, err = connectPostgres(stdlib.OpenDB(*native, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.PgConn().Exec(ctx, settings).ReadAll()
		return err
	})), options, reading)
	if err != nil {
		return nil, nil, errors.Join(err, closePool(writer))
	}
	return reader, writer, nil
}

func connectPostgres(pool *sql.DB, options *gorm.Config, bounds config.ConnPool) (*gorm.DB, error) {
	db, err := connect(driver.New(driver.Config{Conn: pool}), options, bounds)
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return db, nil
}

// readSize is how many bytes are read from a reader's connection at once; the driver
// alone would read 8 KiB, which is about a document.
const readSize = 64 << 10

// seekCost has the planner take disks for what they are today, and pages for cached, unless
// the server is configured otherwise. With what was true of disks that seek it prefers to read
// half a cluster along idx_cluster, and to sort it, to a page of a list along the unique index.
const seekCost = "SELECT set_config('random_page_cost', '1.1', false) FROM pg_settings WHERE name = 'random_page_cost' AND source = 'default'"

func closePool(db *gorm.DB) error {
	pool, err := db.DB()
	if err != nil {
		return err
	}
	return pool.Close()
}

func (postgres) KeyType() string { return `varchar(253) COLLATE "C"` }

func (p postgres) Tables() []string {
	return []string{
		`CREATE TABLE resources (
	id bigserial PRIMARY KEY,
	"group" varchar(253) COLLATE "C" NOT NULL, version varchar(253) COLLATE "C" NOT NULL,
	resource varchar(253) COLLATE "C" NOT NULL, kind varchar(253) COLLATE "C" NOT NULL,
	cluster varchar(253) COLLATE "C" NOT NULL, namespace varchar(253) COLLATE "C" NOT NULL, name varchar(253) COLLATE "C" NOT NULL,
	owner_uid varchar(253) COLLATE "C" NOT NULL DEFAULT '', uid varchar(253) COLLATE "C" NOT NULL,
	resource_version varchar(253) COLLATE "C" NOT NULL,
	object jsonb NOT NULL, events jsonb, event_resource_versions jsonb,
	created_at timestamptz NOT NULL, synced_at timestamptz NOT NULL, deleted_at timestamptz,
	owners text, event_state text, head bytea, raw bytea, raw_rv varchar(253), cells bytea)`,
		"ALTER TABLE resources " + layout("head", "raw", "cells"),
		`CREATE UNIQUE INDEX uni_group_version_resource_cluster_namespace_name ON resources ("group", version, resource, cluster, namespace, name)`,
		`CREATE INDEX idx_group_version_resource_namespace_name ON resources ("group", version, resource, namespace, name)`,
		`CREATE INDEX idx_group_version_resource_name ON resources ("group", version, resource, name)`,
		`CREATE INDEX idx_cluster ON resources (cluster)`,
	}
}

// rowSize is up to how many bytes a row keeps all of its columns. Three such rows fill a
// page. Packed documents fit, so that lists find them in the rows themselves; column object is
// what goes elsewhere.
const rowSize = "2712"

// layout sets that, and has columns not compressed: of what is packed, or short, it would gain
// nothing.
func layout(columns ...string) string {
	text := "SET (toast_tuple_target = " + rowSize + ")"
	for _, c := range columns {
		text += ", ALTER COLUMN " + c + " SET STORAGE EXTERNAL"
	}
	return text
}

func (p postgres) Adopt(have Schema) []string {
	var changes []string
	for _, c := range [][2]string{{"owners", "text"}, {"event_state", "text"}, {"head", "bytea"}, {"raw", "bytea"}, {"raw_rv", "varchar(253)"}, {"cells", "bytea"}} {
		if have.Columns[c[0]] == "" {
			changes = append(changes, "ADD COLUMN "+c[0]+" "+c[1])
		}
	}
	if len(changes) == 0 {
		return nil
	}
	changes = append(changes, widened(have.Narrow)...)
	changes = append(changes, layout("head", "raw", "cells"))
	return []string{"ALTER TABLE resources " + strings.Join(changes, ", ")}
}

// widened has columns of v0.9 take all names that there can be. That changes the catalog alone.
func widened(columns []string) (changes []string) {
	for _, c := range columns {
		changes = append(changes, "ALTER COLUMN "+postgres{}.Column(c)+" TYPE varchar(253)")
	}
	return changes
}

// lockNumber is the advisory lock of schema changes: "clusterp" in ASCII.
const lockNumber = 0x636c757374657270

func (postgres) Locked(ctx context.Context, db *gorm.DB, fn func(*gorm.DB) error) error {
	return untilLocked(ctx, func() error {
		return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			if err := tx.Exec("SELECT pg_advisory_xact_lock(?)", int64(lockNumber)).Error; err != nil {
				return fmt.Errorf("wait for the lock of schema changes: %w", err)
			}
			if err := tx.Exec(fmt.Sprintf("SET LOCAL lock_timeout = %d", tableLockLimit.Milliseconds())).Error; err != nil {
				return err
			}
			return fn(tx)
		})
	}, func(err error) bool {
		var e *pgconn.PgError
		return errors.As(err, &e) && e.Code == "55P03" // lock not available
	})
}

func (postgres) Equal(column string, values []string) Expr { return equal(column, values) }

func (postgres) Same(a, b string) string { return a + " = " + b }

// Keys makes a join of it: a long list of alternatives is tried on every row.
func (p postgres) Keys(keys [][]string) Expr { return keysIn(p, "VALUES ", keys) }

func (postgres) EndIdle() string {
	return fmt.Sprintf(", set_config('idle_in_transaction_session_timeout', '%d', true)", idleLimit.Milliseconds())
}

func (postgres) ForUpdate() string            { return " FOR UPDATE" }
func (postgres) Column(name string) string    { return sqlite{}.Column(name) }
func (postgres) Ordered(column string) string { return column + ` COLLATE "C"` }

// Contains is what an index of trigrams is for.
func (postgres) Contains(column, text string) Expr {
	return Bind(column+" LIKE CAST(? AS text)", "%"+strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(text)+"%")
}

func (postgres) Number(column string) string {
	return fmt.Sprintf("CASE WHEN %[1]s ~ '^[0-9]{1,18}$' THEN CAST(%[1]s AS bigint) ELSE 0 END", column)
}

func (p postgres) Upsert(columns, keep []string) string { return onConflict(p, columns, keep) }

func (postgres) Time(t time.Time) time.Time     { return t.UTC() }
func (postgres) FromTime(t time.Time) time.Time { return t.UTC() }
func (postgres) InsertIgnore(table string, columns []string, rows int) string {
	return "INSERT INTO " + insert(table, columns, rows) + " ON CONFLICT DO NOTHING"
}

func (postgres) NoTime() string { return "TIMESTAMPTZ '0001-01-01 00:00:00+00'" }

func (postgres) SeparateRaw() bool { return true }

// At uses one step for each name. The operator that takes a text looks into objects
// only, but the one that takes a number would take a scalar for an array of one: a
// strict path does not.
func (postgres) At(doc Expr, path []query.PathElement) (Expr, error) {
	for _, e := range path {
		doc = Exprf("(%s -> %s)", doc, Bind("CAST(? AS text)", e.Name))
		if e.List {
			doc = Exprf("jsonb_path_query_first(%s, 'strict $["+strconv.Itoa(e.Index)+"]', '{}', TRUE)", doc)
		}
	}
	return doc, nil
}

func (postgres) Text(part Expr) Expr { return Exprf("(%s #>> '{}')", part) }

func (postgres) AnyElement(part Expr, alias string, condition func(Expr) (Expr, error)) (Expr, error) {
	c, err := condition(Expr{SQL: alias + ".value"})
	return Exprf("EXISTS (SELECT 1 FROM jsonb_array_elements(CASE WHEN jsonb_typeof(%s) = 'array' THEN %s END) AS "+alias+"(value) WHERE %s)", part, part, c), err
}

func (postgres) OneOf(text Expr, texts []string) Expr {
	return Exprf("%s IN %s", text, values("CAST(? AS text)", texts))
}

func (postgres) Compare(text Expr, operator string, bound int64) Expr {
	return Exprf("CASE WHEN %s ~ '^-{0,1}[0-9]{1,18}$' THEN CAST(%s AS bigint) "+operator+" %s ELSE FALSE END", text, text, Bind("?", bound))
}

func (p postgres) Classify(err error) Class {
	if errors.Is(err, errTooLong) {
		return TooLong
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return classifyCommon(err)
	}
	if outOfDate(e) {
		return Conflict
	}
	switch {
	case e.Code == "40001" || e.Code == "40P01": // serialization failure, deadlock
		return Conflict
	case e.Code == "57014": // canceled by statement_timeout
		return TooLong
	case slices.Contains(p.recoverable, e.Code):
		return Transient
	case e.Code == "22P05" || e.Code == "22021" || e.Code == "22P02" || e.Code == "22001" || e.Code == "54000": // texts and documents that it cannot hold
		return BadData
	}
	switch e.Code[:min(2, len(e.Code))] {
	case "08", "53", "55", "57", "58": // connection, resources, locks, operator, system
		return Transient
	case "25": // read only, as a standby before its promotion
		return Transient
	}
	return Permanent
}
