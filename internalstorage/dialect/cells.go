package dialect

import (
	"context"
	"errors"
	"fmt"

	mysqldriver "github.com/go-sql-driver/mysql"
	"gorm.io/gorm"
)

// KeepsCells implements Dialect.
func (p postgres) KeepsCells() bool { return p.cells }

// KeepsCells implements Dialect.
func (s sqlite) KeepsCells() bool { return s.heads }

// KeepsCells implements Dialect.
func (d mysql) KeepsCells() bool { return d.cells }

// KeepsHead implements Dialect.
func (postgres) KeepsHead() bool { return true }

// KeepsHead implements Dialect.
func (s sqlite) KeepsHead() bool { return s.heads }

// KeepsHead implements Dialect.
func (mysql) KeepsHead() bool { return true }

// HeadFits holds for rows that have a head, of the version that they have now.
const HeadFits = "head IS NOT NULL AND raw_rv = resource_version"

// CellsFit implements Dialect.
func (postgres) CellsFit(mark string) Expr {
	return Bind(HeadFits+" AND position(convert_to(resource_version || CAST(? AS text), 'UTF8') IN cells) = 1", mark)
}

// CellsFit implements Dialect.
func (sqlite) CellsFit(mark string) Expr {
	const begin = "CAST(resource_version || ? AS BLOB)"
	return Bind(HeadFits+" AND substr(cells, 1, length("+begin+")) = "+begin, mark, mark)
}

// CellsFit implements Dialect.
func (mysql) CellsFit(mark string) Expr {
	return Bind(HeadFits+" AND LEFT(cells, OCTET_LENGTH(CONCAT(resource_version, ?))) = CONCAT(resource_version, ?)", mark, mark)
}

// hasCells says that there is column cells.
func (s Schema) hasCells() bool { return s.Columns["cells"] != "" }

// cellsSteps adds the column to a table that an earlier build has made or adopted; others
// have it by then. It changes the catalog alone, or is refused.
func cellsSteps(have Schema, kind string) []Step {
	if have.Columns["raw_rv"] == "" || have.hasCells() {
		return nil
	}
	return []Step{{
		Optional: true, Locks: true, Summary: "add a column for what tables show",
		Statements: []string{"ALTER TABLE resources ADD COLUMN cells " + kind},
	}}
}

// Briefly implements Dialect.
func (p postgres) Briefly(ctx context.Context, conn *gorm.DB, fn func(*gorm.DB) error) error {
	return p.Locked(ctx, conn, fn)
}

// Briefly implements Dialect: the only write lock is waited for anyway.
func (s sqlite) Briefly(ctx context.Context, conn *gorm.DB, fn func(*gorm.DB) error) error {
	return s.Locked(ctx, conn, fn)
}

// Briefly implements Dialect. By default a change of a table waits for a year, or a day.
func (mysql) Briefly(ctx context.Context, conn *gorm.DB, fn func(*gorm.DB) error) (err error) {
	conn = conn.WithContext(ctx)
	const set = "SET SESSION lock_wait_timeout = %d"
	var before int64
	if err := conn.Raw("SELECT @@SESSION.lock_wait_timeout").Scan(&before).Error; err != nil {
		return err
	}
	if err := conn.Exec(fmt.Sprintf(set, int(tableLockLimit.Seconds()))).Error; err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, conn.WithContext(context.WithoutCancel(ctx)).Exec(fmt.Sprintf(set, before)).Error)
	}()
	return untilLocked(ctx, func() error { return fn(conn) }, func(err error) bool {
		var e *mysqldriver.MySQLError
		return errors.As(err, &e) && e.Number == 1205 // waited too long
	})
}
