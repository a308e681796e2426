package dialect

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/gorm"
)

// Bytes is what a column of texts or bytes is scanned into: nil for NULL. They are the
// driver's own wherever it lends them, and valid only until the next row is read.
type Bytes []byte

// Scan reads the columns of a row into targets: *Bytes, or what database/sql takes.
type Scan func(targets ...any) error

// ReadRows is Dialect.Read by database/sql alone. It is what a transaction needs.
func ReadRows(ctx context.Context, db *gorm.DB, text string, args []any, each func(Scan) (bool, error)) (err error) {
	found, err := db.WithContext(ctx).Raw(text, args...).Rows()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	scan := func(targets ...any) error {
		for i, t := range targets {
			if b, ok := t.(*Bytes); ok {
				targets[i] = (*sql.RawBytes)(b)
			}
		}
		return found.Scan(targets...)
	}
	for found.Next() {
		if more, err := each(scan); err != nil || !more {
			return err
		}
	}
	return found.Err()
}

// Read takes the bytes from where the driver reads them off the connection;
// database/sql would copy each value.
func (postgres) Read(ctx context.Context, db *gorm.DB, text string, args []any, most int64, each func(Scan) (bool, error)) (err error) {
	begin, n := time.Now(), int64(0)
	defer func() { db.Logger.Trace(ctx, begin, func() (string, int64) { return text, n }, err) }()
	pool, err := db.DB()
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		failed, err := readPooled(ctx, pool, text, args, most, func(s Scan) (bool, error) { n++; return each(s) })
		err = errors.Join(failed, err)
		// The server had closed the connection, or each of them has a plan that is out of date.
		again := try == 1 && pgconn.SafeToRetry(failed) || try <= planTries && outOfDate(failed)
		if err == nil || n > 0 || !again {
			return err
		}
	}
}

// planTries bounds how often a query is tried whose plan is out of date: pgx forgets it then.
const planTries = 100

// outOfDate says that the types of columns have changed since a statement was prepared.
func outOfDate(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "0A000" && e.Routine == "RevalidateCachedQuery"
}

// readPooled returns the error of the query apart from one of the pool.
func readPooled(ctx context.Context, pool *sql.DB, text string, args []any, most int64, each func(Scan) (bool, error)) (failed, err error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	err = conn.Raw(func(driverConn any) error {
		native, ok := driverConn.(*stdlib.Conn)
		if !ok {
			return errors.New("the connection is not pgx's")
		}
		failed = readNative(ctx, native.Conn(), numbered(text), args, most, each)
		return nil
	})
	return failed, errors.Join(err, conn.Close())
}

func readNative(ctx context.Context, conn *pgx.Conn, text string, args []any, most int64, each func(Scan) (bool, error)) error {
	found, err := conn.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	defer found.Close()
	gathering := gatheringOf(conn)
	if gathering != nil {
		gathering.begin()
		defer gathering.end()
	}
	var scan Scan
	for n := int64(1); found.Next(); n++ {
		if scan == nil {
			scan = nativeScan(found)
		}
		if gathering != nil {
			gathering.rowRead(n, most)
		}
		if more, err := each(scan); err != nil || !more {
			return err
		}
	}
	found.Close()
	return found.Err()
}

// nativeScan reads what lists consist of as the server sent it: bytes, texts and times.
// pgx would look for the right way to read it for each value of each row.
func nativeScan(found pgx.Rows) Scan {
	fields := found.FieldDescriptions()
	usual := func(targets ...any) error {
		for i, t := range targets {
			if b, ok := t.(*Bytes); ok {
				targets[i] = (*pgtype.DriverBytes)(b)
			}
		}
		return found.Scan(targets...)
	}
	for _, f := range fields {
		// Otherwise it is spelled as text, as the simple protocol does for poolers.
		if asText := f.Format == pgtype.TextFormatCode; asText != (f.DataTypeOID != pgtype.ByteaOID && f.DataTypeOID != pgtype.TimestamptzOID) {
			return usual
		}
	}
	return func(targets ...any) error {
		values := found.RawValues()
		if len(values) != len(targets) {
			return fmt.Errorf("%d columns where there should be %d", len(values), len(targets))
		}
		for i, t := range targets {
			switch t := t.(type) {
			case *Bytes:
				*t = values[i]
			case *time.Time:
				if len(values[i]) != 8 || fields[i].DataTypeOID != pgtype.TimestamptzOID {
					return usual(targets...)
				}
				*t = nativeTime(values[i])
			case **time.Time:
				if values[i] == nil {
					*t = nil
					continue
				}
				if len(values[i]) != 8 || fields[i].DataTypeOID != pgtype.TimestamptzOID {
					return usual(targets...)
				}
				read := nativeTime(values[i])
				*t = &read
			default:
				return usual(targets...)
			}
		}
		return nil
	}
}

// nativeTime reads a time: microseconds since 2000, 8 bytes, big endian.
// See timestamptz_send in PostgreSQL.
func nativeTime(value []byte) time.Time {
	const microsecondsBefore2000 = 946_684_800_000_000
	return time.UnixMicro(microsecondsBefore2000 + int64(binary.BigEndian.Uint64(value))).UTC()
}

// numbered writes each ? as PostgreSQL counts its arguments.
func numbered(text string) string {
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(text, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(n))
		text = after
	}
}

// Read implements Dialect.
func (sqlite) Read(ctx context.Context, db *gorm.DB, text string, args []any, _ int64, each func(Scan) (bool, error)) error {
	return ReadRows(ctx, db, text, args, each)
}

// Read implements Dialect.
func (d mysql) Read(ctx context.Context, db *gorm.DB, text string, args []any, _ int64, each func(Scan) (bool, error)) error {
	return d.Bounded(ctx, db, text, func(text string) error { return ReadRows(ctx, db, text, args, each) })
}

// Bounded implements Dialect: the pool for reading has the limit, and the driver tells the
// server when a caller is gone.
func (postgres) Bounded(_ context.Context, _ *gorm.DB, text string, run func(string) error) error {
	return run(text)
}

// Bounded implements Dialect: SQLite ends with the context, as it runs in the same process.
func (sqlite) Bounded(_ context.Context, _ *gorm.DB, text string, run func(string) error) error {
	return run(text)
}

// Bounded implements Dialect. A server goes on with a query whose client is gone, so
// another connection ends it. A mark in its text tells which one it is, and that it still
// runs.
func (d mysql) Bounded(ctx context.Context, db *gorm.DB, text string, run func(string) error) error {
	rest, ok := strings.CutPrefix(text, "SELECT ")
	if !ok {
		return run(text)
	}
	mark := "/* clusterpedia " + rand.Text() + " */ "
	switch {
	case d.timeout == 0:
		text = "SELECT " + mark + rest
	case d.mariadb:
		text = fmt.Sprintf("SET STATEMENT max_statement_time=%.3f FOR SELECT %s", d.timeout.Seconds(), mark+rest)
	default:
		text = fmt.Sprintf("SELECT /*+ MAX_EXECUTION_TIME(%d) */ %s", d.timeout.Milliseconds(), mark+rest)
	}
	err := run(text)
	if ctx.Err() != nil {
		d.end(ctx, db, mark)
	}
	return err
}

// limitBehind is how much later than the server's limit ours is: the server ends a query
// without its connection.
const limitBehind = time.Second

// Limit implements Dialect. A pooler may give readers a session without their settings.
func (p postgres) Limit() time.Duration { return behind(p.timeout) }

// Limit implements Dialect. Not all servers that speak the protocol know the hint.
func (d mysql) Limit() time.Duration { return behind(d.timeout) }

// Limit implements Dialect: nothing else ends a query.
func (s sqlite) Limit() time.Duration { return s.timeout }

func behind(timeout time.Duration) time.Duration {
	if timeout == 0 {
		return 0
	}
	return timeout + limitBehind
}

// endLimit bounds what is done for a caller that is gone.
const endLimit = 2 * time.Second

// end ends the query with a mark. Where that fails, the query's own limit ends it.
func (mysql) end(ctx context.Context, db *gorm.DB, mark string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
	defer cancel()
	db = db.Session(&gorm.Session{NewDB: true, Context: ctx})
	var running []int64
	if db.Raw("SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND info LIKE ?", "%"+mark+"%").Scan(&running).Error != nil {
		return
	}
	for _, id := range running {
		_ = db.Exec(fmt.Sprintf("KILL QUERY %d", id)).Error // it may have ended by now
	}
}
