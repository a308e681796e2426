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
	"syscall"
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
