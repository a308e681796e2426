package dialect_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/config"
	"clusterpedia.io/internalstorage/dialect"
)

func dialectOf(t *testing.T, kind string) dialect.Dialect {
	t.Helper()
	d, err := dialect.For(&config.Config{Type: kind})
	require.NoError(t, err)
	return d
}

// TestClassifyMySQL has each number that there is in its class, and all others as errors that
// stay. What can be tried again is not lost, as changes that wait for a lock too long.
func TestClassifyMySQL(t *testing.T) {
	t.Parallel()
	classes := map[dialect.Class][]uint16{
		dialect.TooLong: {
			1969, // ER_STATEMENT_TIMEOUT of MariaDB
			3024, // ER_QUERY_TIMEOUT of MySQL
		},
		dialect.Conflict: {
			1020, // ER_CHECKREAD
			1213, // ER_LOCK_DEADLOCK
		},
		dialect.Transient: {
			1053,       // ER_SERVER_SHUTDOWN
			1317,       // ER_QUERY_INTERRUPTED
			1927,       // ER_CONNECTION_KILLED of MariaDB
			3169,       // ER_SESSION_WAS_KILLED
			4031,       // ER_CLIENT_INTERACTION_TIMEOUT
			1205, 1206, // ER_LOCK_WAIT_TIMEOUT, ER_LOCK_TABLE_FULL
			1040,       // ER_CON_COUNT_ERROR
			1135,       // ER_CANT_CREATE_THREAD
			1203, 1226, // ER_TOO_MANY_USER_CONNECTIONS, ER_USER_LIMIT_REACHED
			1637,                   // ER_TOO_MANY_CONCURRENT_TRXS
			1042,                   // ER_BAD_HOST_ERROR
			1152,                   // ER_ABORTING_CONNECTION
			1158, 1159, 1160, 1161, // ER_NET_READ_ERROR and the others of the network
			5, 1037, 1038, 1041, // EE_OUTOFMEMORY, ER_OUTOFMEMORY, ER_OUT_OF_SORTMEMORY, ER_OUT_OF_RESOURCES
			3, 20, // EE_WRITE, EE_DISK_FULL
			1021, 1026, 1114, 1180, // ER_DISK_FULL, ER_ERROR_ON_WRITE, ER_RECORD_FILE_FULL, ER_ERROR_DURING_COMMIT
			1290, // ER_OPTION_PREVENTS_STATEMENT: --read-only
			1792, // ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
			1836, // ER_READ_ONLY_MODE
		},
		dialect.BadData: {
			1153,       // ER_NET_PACKET_TOO_LARGE
			1300, 1366, // ER_INVALID_CHARACTER_STRING, ER_TRUNCATED_WRONG_VALUE_FOR_FIELD
			1406,       // ER_DATA_TOO_LONG
			3140, 3141, // ER_INVALID_JSON_TEXT, and in a parameter
			4025, // ER_CONSTRAINT_FAILED of MariaDB: JSON_VALID
		},
	}
	want := map[uint16]dialect.Class{}
	for class, numbers := range classes {
		for _, n := range numbers {
			require.NotContains(t, want, n)
			want[n] = class
		}
	}
	d := dialectOf(t, "mysql")
	for n := range math.MaxUint16 + 1 {
		err := &mysqldriver.MySQLError{Number: uint16(n)}
		require.Equal(t, want[err.Number], d.Classify(err), n)
		require.Equal(t, want[err.Number], d.Classify(fmt.Errorf("write: %w", err)), n)
	}
	require.Equal(t, dialect.Transient, d.Classify(fmt.Errorf("write: %w", mysqldriver.ErrInvalidConn)))

	with := &config.Config{Type: "mysql"}
	with.MySQL.RecoverableErrNumbers = []int{2222}
	d, err := dialect.For(with)
	require.NoError(t, err)
	require.Equal(t, dialect.Transient, d.Classify(&mysqldriver.MySQLError{Number: 2222}))
	require.Equal(t, dialect.Permanent, d.Classify(&mysqldriver.MySQLError{Number: 2223}))
}

// TestClassifyPostgres does the same with SQLSTATEs, whose first two characters are their class.
func TestClassifyPostgres(t *testing.T) {
	t.Parallel()
	single := map[string]dialect.Class{
		"40001": dialect.Conflict,  // serialization_failure
		"40P01": dialect.Conflict,  // deadlock_detected
		"57014": dialect.TooLong,   // query_canceled
		"22001": dialect.BadData,   // string_data_right_truncation
		"22021": dialect.BadData,   // character_not_in_repertoire
		"22P02": dialect.BadData,   // invalid_text_representation
		"22P05": dialect.BadData,   // untranslatable_character
		"54000": dialect.BadData,   // program_limit_exceeded: a jsonb that is too large
		"08006": dialect.Transient, // connection_failure
		"08P01": dialect.Transient, // protocol_violation, by which PgBouncer says that it has no server
		"25006": dialect.Transient, // read_only_sql_transaction
		"53100": dialect.Transient, // disk_full
		"53200": dialect.Transient, // out_of_memory
		"53300": dialect.Transient, // too_many_connections
		"55P03": dialect.Transient, // lock_not_available
		"57P01": dialect.Transient, // admin_shutdown
		"57P02": dialect.Transient, // crash_shutdown
		"57P03": dialect.Transient, // cannot_connect_now
		"57P05": dialect.Transient, // idle_session_timeout
		"58030": dialect.Transient, // io_error
		"22003": dialect.Permanent, // numeric_value_out_of_range
		"23505": dialect.Permanent, // unique_violation
		"28P01": dialect.Permanent, // invalid_password
		"3D000": dialect.Permanent, // invalid_catalog_name
		"40002": dialect.Permanent, // transaction_integrity_constraint_violation
		"42501": dialect.Permanent, // insufficient_privilege
		"42P01": dialect.Permanent, // undefined_table
		"54001": dialect.Permanent, // statement_too_complex
		"XX000": dialect.Permanent, // internal_error
		// What is none, from what is no PostgreSQL.
		"": dialect.Permanent, "5": dialect.Permanent, "53": dialect.Transient,
	}
	d := dialectOf(t, "postgres")
	for code, want := range single {
		require.Equal(t, want, d.Classify(&pgconn.PgError{Code: code}), code)
		require.Equal(t, want, d.Classify(fmt.Errorf("write: %w", &pgconn.PgError{Code: code})), code)
	}
	const characters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, first := range characters {
		for _, second := range characters {
			class, want := string([]rune{first, second}), dialect.Permanent
			if slices.Contains([]string{"08", "25", "53", "55", "57", "58"}, class) {
				want = dialect.Transient
			}
			require.Equal(t, want, d.Classify(&pgconn.PgError{Code: class + "0Z9"}), class)
		}
	}

	with := &config.Config{Type: "postgres"}
	with.Postgres.RecoverableErrCodes = []string{"XX000"}
	d, err := dialect.For(with)
	require.NoError(t, err)
	require.Equal(t, dialect.Transient, d.Classify(&pgconn.PgError{Code: "XX000"}))
	require.Equal(t, dialect.Permanent, d.Classify(&pgconn.PgError{Code: "XX001"}))
}

func TestClassifySQLite(t *testing.T) {
	t.Parallel()
	want := map[sqlite3.ErrNo]dialect.Class{
		sqlite3.ErrBusy: dialect.Transient, sqlite3.ErrLocked: dialect.Transient, sqlite3.ErrProtocol: dialect.Transient,
		sqlite3.ErrFull: dialect.Transient, sqlite3.ErrIoErr: dialect.Transient, sqlite3.ErrNomem: dialect.Transient,
		sqlite3.ErrReadonly: dialect.Transient, sqlite3.ErrCantOpen: dialect.Transient, sqlite3.ErrTooBig: dialect.BadData,
	}
	d := dialectOf(t, "sqlite")
	for n := range sqlite3.ErrNo(256) { // above are the extended ones
		require.Equal(t, want[n], d.Classify(sqlite3.Error{Code: n}), n)
		require.Equal(t, want[n], d.Classify(fmt.Errorf("write: %w", sqlite3.Error{Code: n})), n)
	}
}

// TestClassifyCommon classifies what comes from no database, but from the way to it.
func TestClassifyCommon(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, unknown := pgconn.Connect(ctx, "host=no-such-host.invalid user=u dbname=d sslmode=disable")
	unknownMySQL := connectMySQL(ctx, t, "u:p@tcp(no-such-host.invalid:3306)/d")
	for _, err := range []error{unknown, unknownMySQL} {
		var dns *net.DNSError
		require.ErrorAs(t, err, &dns, "%v", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	address := listener.Addr().(*net.TCPAddr)
	_, refused := pgconn.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=u dbname=d sslmode=disable", address.Port))
	refusedMySQL := connectMySQL(ctx, t, fmt.Sprintf("u:p@tcp(%s)/d", address))
	for name, err := range map[string]error{
		"an unknown host, by PostgreSQL's driver": unknown, "an unknown host, by MySQL's driver": unknownMySQL,
		"nobody listens, by PostgreSQL's driver": refused, "nobody listens, by MySQL's driver": refusedMySQL,
		"a name server that fails": &net.OpError{Op: "dial", Err: &net.DNSError{Err: "server misbehaving", Name: "h", IsTemporary: true}},
		"a connection reset":       &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)},
		"a broken pipe":            &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)},
		"a connection refused":     syscall.ECONNREFUSED,
		"an end":                   io.EOF, "an end within": io.ErrUnexpectedEOF, "a closed pipe": io.ErrClosedPipe, "closed": net.ErrClosed,
		"a deadline": os.ErrDeadlineExceeded, "a bad connection": driver.ErrBadConn, "no connection": sql.ErrConnDone,
	} {
		for _, kind := range []string{"postgres", "mysql", "sqlite"} {
			require.Error(t, err, name)
			require.Equal(t, dialect.Transient, dialectOf(t, kind).Classify(fmt.Errorf("write: %w", err)), "%s: %s: %v", kind, name, err)
		}
	}
	for _, kind := range []string{"postgres", "mysql", "sqlite"} {
		require.Equal(t, dialect.Permanent, dialectOf(t, kind).Classify(errors.New("x")))
	}
}

func connectMySQL(ctx context.Context, t *testing.T, dsn string) error {
	t.Helper()
	c, err := mysqldriver.ParseDSN(dsn)
	require.NoError(t, err)
	connector, err := mysqldriver.NewConnector(c)
	require.NoError(t, err)
	_, err = connector.Connect(ctx)
	return err
}

// TestWithin tells the limit of a query from the deadline of who asks.
func TestWithin(t *testing.T) {
	t.Parallel()
	wait := func(ctx context.Context) error {
		<-ctx.Done()
		return fmt.Errorf("read: %w", ctx.Err())
	}
	for _, kind := range []string{"postgres", "mysql", "sqlite"} {
		limited := func(timeout time.Duration) dialect.Dialect {
			d, err := dialect.For(&config.Config{Type: kind, QueryTimeout: (*config.Duration)(&timeout)})
			require.NoError(t, err)
			return d
		}
		d := limited(time.Millisecond)
		err := dialect.Within(t.Context(), d, wait)
		require.Equal(t, dialect.TooLong, d.Classify(err), kind)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		d = limited(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		require.NotEqual(t, dialect.TooLong, d.Classify(dialect.Within(ctx, d, wait)), kind)
		cancel()
		require.Equal(t, dialect.Transient, d.Classify(dialect.Within(t.Context(), d, func(context.Context) error { return io.EOF })), kind)

		require.Zero(t, limited(0).Limit(), kind)
		require.NoError(t, dialect.Within(t.Context(), limited(0), func(ctx context.Context) error {
			_, ok := ctx.Deadline()
			require.False(t, ok, kind)
			return nil
		}))
	}
}

// What is logged of an error quotes no value.
func TestValueless(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"ERROR: the database refuses a value (SQLSTATE 22P02)":      &pgconn.PgError{Severity: "ERROR", Code: "22P02", Message: `invalid input syntax for type bigint: "secret"`},
		"ERROR: the database refuses a value (SQLSTATE 23505)":      fmt.Errorf("apply: %w", &pgconn.PgError{Severity: "ERROR", Code: "23505", Message: "secret"}),
		`ERROR: column "a" does not exist (SQLSTATE 42703)`:         &pgconn.PgError{Severity: "ERROR", Code: "42703", Message: `column "a" does not exist`},
		"the database refuses a value (error 1062, SQLSTATE 23000)": &mysqldriver.MySQLError{Number: 1062, SQLState: [5]byte([]byte("23000")), Message: "Duplicate entry 'secret' for key 'x'"},
		"the database refuses a value (error 1366, SQLSTATE HY000)": &mysqldriver.MySQLError{Number: 1366, SQLState: [5]byte([]byte("HY000")), Message: "Incorrect string value: 'secret' for column 'x'"},
		"the database refuses a value (error 1064, SQLSTATE 42000)": &mysqldriver.MySQLError{Number: 1064, SQLState: [5]byte([]byte("42000")), Message: "syntax error near 'secret'"},
		"Error 1054 (42S22): Unknown column 'a'":                    &mysqldriver.MySQLError{Number: 1054, SQLState: [5]byte([]byte("42S22")), Message: "Unknown column 'a'"},
		driver.ErrBadConn.Error():                                   driver.ErrBadConn,
	} {
		require.EqualError(t, dialect.Valueless(err), want)
	}
	require.NoError(t, dialect.Valueless(nil))
}
