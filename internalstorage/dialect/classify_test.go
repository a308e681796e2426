package dialect_test

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/config"
	"clusterpedia.io/internalstorage/dialect"
)

// What can be tried again is not lost, as changes that wait for a lock too long.
func TestClassify(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		dialect string
		err     error
		want    dialect.Class
	}{
		"MySQL, a lock":            {"mysql", &mysqldriver.MySQLError{Number: 1205}, dialect.Transient},
		"MySQL, a lock, wrapped":   {"mysql", fmt.Errorf("write: %w", &mysqldriver.MySQLError{Number: 1205}), dialect.Transient},
		"MySQL, a deadlock":        {"mysql", &mysqldriver.MySQLError{Number: 1213}, dialect.Conflict},
		"MySQL, it stops":          {"mysql", &mysqldriver.MySQLError{Number: 1053}, dialect.Transient},
		"MySQL, a full disk":       {"mysql", &mysqldriver.MySQLError{Number: 1114}, dialect.Transient},
		"MySQL, no such table":     {"mysql", &mysqldriver.MySQLError{Number: 1146}, dialect.Permanent},
		"MySQL, no connection":     {"mysql", mysqldriver.ErrInvalidConn, dialect.Transient},
		"PostgreSQL, it stops":     {"postgres", &pgconn.PgError{Code: "57P01"}, dialect.Transient},
		"PostgreSQL, a deadlock":   {"postgres", &pgconn.PgError{Code: "40P01"}, dialect.Conflict},
		"PostgreSQL, no such":      {"postgres", &pgconn.PgError{Code: "42P01"}, dialect.Permanent},
		"SQLite, no connection":    {"sqlite", driver.ErrBadConn, dialect.Transient},
		"SQLite, something else":   {"sqlite", errors.New("x"), dialect.Permanent},
		"MySQL, it was set to":     {"mysql-with-2222", &mysqldriver.MySQLError{Number: 2222}, dialect.Transient},
		"MySQL, it was not set to": {"mysql", &mysqldriver.MySQLError{Number: 2222}, dialect.Permanent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &config.Config{Type: tc.dialect}
			if tc.dialect == "mysql-with-2222" {
				c.Type = "mysql"
				c.MySQL.RecoverableErrNumbers = []int{2222}
			}
			d, err := dialect.For(c)
			require.NoError(t, err)
			require.Equal(t, tc.want, d.Classify(tc.err))
		})
	}
}
