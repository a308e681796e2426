package dialect

import (
	"context"
	"errors"
	"fmt"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"gorm.io/gorm"
)

// tableLockLimit bounds the wait for a table that is changed: whoever comes next waits
// behind.
const (
	tableLockLimit = 2 * time.Second
	tableLockTries = 100
)

// untilLocked calls change, which waits for a table for tableLockLimit, again and again while
// its error is that others have kept the table.
func untilLocked(ctx context.Context, change func() error, kept func(error) bool) error {
	for try := 1; ; try++ {
		err := change()
		if !kept(err) || try == tableLockTries {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(tableLockLimit / 2):
		}
	}
}

// Briefly implements Dialect.
func (p postgres) Briefly(ctx context.Context, conn *gorm.DB, fn func(*gorm.DB) error) error {
	return p.Locked(ctx, conn, fn)
}

// Briefly implements Dialect: the only write lock is waited for anyway, and a transaction makes
// all changes or none.
func (s sqlite) Briefly(ctx context.Context, conn *gorm.DB, fn func(*gorm.DB) error) error {
	return s.Locked(ctx, conn, fn)
}

// Briefly implements Dialect: Change does it.
func (mysql) Briefly(_ context.Context, conn *gorm.DB, fn func(*gorm.DB) error) error {
	return fn(conn)
}

// Change implements Dialect.
func (postgres) Change(_ context.Context, conn *gorm.DB, statement string, args ...any) error {
	return conn.Exec(statement, args...).Error
}

// Change implements Dialect.
func (sqlite) Change(_ context.Context, conn *gorm.DB, statement string, args ...any) error {
	return conn.Exec(statement, args...).Error
}

// Change implements Dialect.
func (mysql) Change(ctx context.Context, conn *gorm.DB, statement string, args ...any) error {
	return untilLocked(ctx, func() error { return conn.Exec(statement, args...).Error }, func(err error) bool {
		var e *mysqldriver.MySQLError
		return errors.As(err, &e) && e.Number == 1205 // waited too long
	})
}

// waitBriefly has the changes of tables within fn wait for tableLockLimit, and not for a year or
// a day, which are the defaults.
func waitBriefly(ctx context.Context, conn *gorm.DB, fn func(*gorm.DB) error) (err error) {
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
	return fn(conn)
}
