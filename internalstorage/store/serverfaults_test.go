package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// TestServerFaults provokes errors of MariaDB that concern all who use the server. They are
// retryable, and once the fault has gone, the very next call succeeds.
func TestServerFaults(t *testing.T) { //nolint:paralleltest // the others wait until it has ended
	dsn(t, "TEST_MYSQL_DSN")
	for name, x := range map[string]struct {
		number  uint16
		disturb func(t *testing.T, f *faulty) (undo func())
		reads   bool
	}{
		"it only reads": {1290, func(t *testing.T, f *faulty) func() { return f.setGlobal(t, "read_only", 1) }, true},
		"its transactions only read": {1792, func(t *testing.T, f *faulty) func() {
			undo := f.setGlobal(t, "tx_read_only", 1)
			f.kill(t)
			return func() {
				undo()
				f.kill(t)
			}
		}, true},
		"too many connections": {1040, func(t *testing.T, f *faulty) func() {
			f.kill(t) // before: it needs a connection, too
			undo := f.setGlobal(t, "max_connections", 10)
			other, err := sql.Open("mysql", f.config["dsn"].(string))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, other.Close()) })
			// What was ended may be counted for a moment.
			for refused := 0; refused < 25; {
				if _, err = other.Conn(t.Context()); err == nil {
					refused = 0
					continue
				}
				requireNumber(t, err, 1040)
				refused++
				time.Sleep(20 * time.Millisecond) //nolint:forbidigo // nothing tells when
			}
			return func() {
				undo()
				require.NoError(t, other.Close())
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) { //nolint:paralleltest // nor may these concern each other
			f := faultyDatabases()["MariaDB"](t)
			f.asUser(t)
			st := f.store(t, "")
			for _, w := range []storage.Writer{{Cluster: "c"}, {Cluster: "c", Epoch: 1}} {
				require.NoError(t, eventually(func() error { return st.Apply(t.Context(), w, putPods(1)) }))
				undo := x.disturb(t, f)
				var err error
				for range 10 { // the first may still meet connections that have ended
					err = st.Apply(t.Context(), w, putPods(1))
					require.True(t, storage.IsRetryable(err), "%v", err)
				}
				requireNumber(t, err, x.number)
				if x.reads {
					_, err = st.List(t.Context(), &query.Query{}, func(*storage.Object) error { return nil })
					require.NoError(t, err)
				}
				undo()
				require.NoError(t, eventually(func() error { return st.Apply(t.Context(), w, putPods(1)) }))
			}
		})
	}
}

// setGlobal changes a variable of the server, until undo is called or the test ends.
func (f *faulty) setGlobal(t *testing.T, variable string, value int) (undo func()) {
	t.Helper()
	var before int
	require.NoError(t, f.db.QueryRowContext(t.Context(), "SELECT @@GLOBAL."+variable).Scan(&before))
	set := func(value int) {
		_, err := f.db.ExecContext(context.WithoutCancel(t.Context()), fmt.Sprintf("SET GLOBAL %s = %d", variable, value))
		require.NoError(t, err)
	}
	set(value)
	undo = func() { set(before) }
	t.Cleanup(undo)
	return undo
}

// requireNumber requires an error with a number of MariaDB.
func requireNumber(t *testing.T, err error, number uint16) {
	t.Helper()
	var e *mysql.MySQLError
	require.ErrorAs(t, err, &e)
	require.Equal(t, number, e.Number, "%v", err)
}
