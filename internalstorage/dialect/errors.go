package dialect

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
)

// errTooLong ends the context of a query.
var errTooLong = errors.New("it took longer than queryTimeout")

// Within calls query, which reads for a client, with a context that ends after the dialect's
// limit; the wait for a connection counts. An error that query then returns is classified as
// TooLong, and not as one of ctx.
func Within(ctx context.Context, d Dialect, query func(context.Context) error) error {
	limit := d.Limit()
	if limit == 0 {
		return query(ctx)
	}
	limited, cancel := context.WithTimeoutCause(ctx, limit, errTooLong)
	defer cancel()
	err := query(limited)
	if err != nil && errors.Is(context.Cause(limited), errTooLong) {
		return fmt.Errorf("%w: %w", errTooLong, err)
	}
	return err
}

// classifyCommon classifies what is no error of a database: the way to it.
func classifyCommon(err error) Class {
	var netErr net.Error
	switch {
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, io.ErrClosedPipe), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.As(err, &netErr):
		return Transient
	}
	return Permanent
}

// Valueless returns an error that can be logged: the texts of those that databases have about data
// quote the data, so of them only the code is left.
func Valueless(err error) error {
	var p *pgconn.PgError
	if errors.As(err, &p) && dataError(p.Code) {
		return fmt.Errorf("%s: the database refuses a value (SQLSTATE %s)", p.Severity, p.Code)
	}
	var m *mysqldriver.MySQLError
	if errors.As(err, &m) && (dataError(string(m.SQLState[:])) || slices.Contains(quoting(), m.Number)) {
		return fmt.Errorf("the database refuses a value (error %d, SQLSTATE %s)", m.Number, m.SQLState[:])
	}
	return err
}

// quoting are errors of MySQL that quote values and have a SQLSTATE that does not tell: a statement
// that cannot be parsed, which has its values in it if the driver put them there; a text that is
// not of its character set; and what is wrong with a document.
func quoting() []uint16 { return []uint16{1064, 1366, 3140, 3141, 3143} }

// dataError says that a SQLSTATE is about data, or about constraints on it.
func dataError(state string) bool {
	return len(state) == 5 && (state[:2] == "22" || state[:2] == "23")
}
