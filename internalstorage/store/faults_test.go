package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// faulty is a database on a real server, and how to disturb it.
type faulty struct {
	config map[string]any
	db     *sql.DB
	// lockLimit is a parameter of the DSN that ends the wait for a lock after a moment.
	lockLimit string
	// user is whom asUser has made.
	user string
	// kill ends all other connections to the database.
	kill func(t *testing.T)
	// readOnly and crowded make what follows fail; each returns how to end that.
	readOnly, crowded func(t *testing.T) (undo string)
}

func faultyDatabases() map[string]func(*testing.T) *faulty {
	return map[string]func(*testing.T) *faulty{
		"PostgreSQL": func(t *testing.T) *faulty {
			config := postgres(t)
			name := regexp.MustCompile(`dbname=(\S+)`).FindStringSubmatch(config["dsn"].(string))[1]
			f := &faulty{config: config, lockLimit: " lock_timeout=200"}
			f.open(t, "pgx")
			f.kill = func(t *testing.T) {
				t.Helper()
				f.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()")
			}
			f.readOnly = func(t *testing.T) string {
				t.Helper()
				f.exec(t, "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
				f.kill(t)
				return "ALTER DATABASE " + name + " RESET default_transaction_read_only"
			}
			f.crowded = func(t *testing.T) string {
				t.Helper()
				f.exec(t, "ALTER DATABASE "+name+" CONNECTION LIMIT 0")
				f.kill(t)
				return "ALTER DATABASE " + name + " CONNECTION LIMIT -1"
			}
			return f
		},
		"MariaDB": func(t *testing.T) *faulty {
			f := &faulty{config: mysqlOn("TEST_MYSQL_DSN")(t), lockLimit: "&innodb_lock_wait_timeout=1"}
			f.open(t, "mysql")
			f.kill = func(t *testing.T) {
				t.Helper()
				rows, err := f.db.QueryContext(t.Context(), "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
				require.NoError(t, err)
				defer rows.Close()
				for rows.Next() {
					var id int
					require.NoError(t, rows.Scan(&id))
					_, _ = f.db.ExecContext(t.Context(), fmt.Sprint("KILL ", id)) // it may be gone
				}
				require.NoError(t, rows.Err())
			}
			f.crowded = func(t *testing.T) string {
				t.Helper()
				f.exec(t, "ALTER USER "+f.user+" WITH MAX_USER_CONNECTIONS 1")
				f.kill(t)
				// Who is connected to another database is not ended.
				other, err := sql.Open("mysql", regexp.MustCompile(`\)/[^?]*`).ReplaceAllString(f.config["dsn"].(string), ")/information_schema"))
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, other.Close()) })
				require.NoError(t, eventually(func() error { return other.PingContext(t.Context()) }))
				return "ALTER USER " + f.user + " WITH MAX_USER_CONNECTIONS 0"
			}
			return f
		},
	}
}

// asUser has the storage layer be a user of MariaDB who has all rights in its database, and
// none beyond. The limit has the server count his connections.
func (f *faulty) asUser(t *testing.T) {
	t.Helper()
	config, err := mysql.ParseDSN(f.config["dsn"].(string))
	require.NoError(t, err)
	f.user = strings.ReplaceAll(config.DBName, "test_", "user_")
	f.exec(t, "CREATE USER "+f.user+" IDENTIFIED BY 'secret' WITH MAX_USER_CONNECTIONS 100")
	t.Cleanup(func() { f.exec(t, "DROP USER "+f.user) })
	f.exec(t, "GRANT ALL ON "+config.DBName+".* TO "+f.user)
	config.User, config.Passwd = f.user, "secret"
	f.config["dsn"] = config.FormatDSN()
}

func (f *faulty) open(t *testing.T, driver string) {
	t.Helper()
	var err error
	f.db, err = sql.Open(driver, f.config["dsn"].(string))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.db.Close()) })
}

func (f *faulty) exec(t *testing.T, statement string) {
	t.Helper()
	_, err := f.db.ExecContext(context.WithoutCancel(t.Context()), statement)
	require.NoError(t, err, statement)
}

// store opens the storage layer, with more in its DSN.
func (f *faulty) store(t *testing.T, more string) storage.Storage {
	t.Helper()
	config := map[string]any{}
	for key, value := range f.config {
		config[key] = value
	}
	config["dsn"] = config["dsn"].(string) + more
	st := open(t, config)
	t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
	return st
}

func putPods(n int) []storage.Change {
	changes := make([]storage.Change, n)
	for i := range changes {
		changes[i].Put = planPod(i)
		changes[i].Put.Cluster = "c"
	}
	return changes
}

// TestFaults provokes the errors of real servers. What may go away is retryable, and once
// it has gone, the very next call succeeds.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, fresh := range faultyDatabases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := storage.Writer{Cluster: "c", Epoch: 1}
			retryable := func(t *testing.T, err error) {
				t.Helper()
				require.Error(t, err)
				require.True(t, storage.IsRetryable(err), "%v", err)
			}
			t.Run("a lock that is not freed", func(t *testing.T) {
				t.Parallel()
				f := fresh(t)
				st := f.store(t, f.lockLimit)
				require.NoError(t, st.Apply(t.Context(), w, putPods(1)))
				tx, err := f.db.BeginTx(t.Context(), nil)
				require.NoError(t, err)
				_, err = tx.ExecContext(t.Context(), "UPDATE clusterpedia_epochs SET epoch = epoch")
				require.NoError(t, err)
				retryable(t, st.Apply(t.Context(), w, putPods(1)))
				require.NoError(t, tx.Rollback())
				require.NoError(t, st.Apply(t.Context(), w, putPods(1)))
			})
			t.Run("a deadlock", func(t *testing.T) {
				t.Parallel()
				f := fresh(t)
				st := f.store(t, "")
				require.NoError(t, st.Apply(t.Context(), w, putPods(2)))
				update := func(tx *sql.Tx, name string) error {
					_, err := tx.ExecContext(t.Context(), "UPDATE resources SET synced_at = created_at WHERE name = '"+name+"'")
					return err
				}
				tx, err := f.db.BeginTx(t.Context(), nil)
				require.NoError(t, err)
				require.NoError(t, update(tx, "pod-000001"))
				applied := make(chan error, 1)
				go func() { applied <- st.Apply(t.Context(), w, putPods(2)) }() // locks the first one, and waits for the second
				time.Sleep(300 * time.Millisecond)                              //nolint:forbidigo // nothing tells that it waits
				err = update(tx, "pod-000000")
				require.NoError(t, errors.Join(notDeadlock(err), tx.Rollback()))
				require.NoError(t, <-applied, "whoever was chosen as the victim, it was tried again")
			})
			t.Run("connections that end", func(t *testing.T) {
				t.Parallel()
				f := fresh(t)
				st := f.store(t, "")
				require.NoError(t, st.Apply(t.Context(), w, putPods(200)))
				failed := 0
				for range 20 {
					f.kill(t)
					if err := st.Apply(t.Context(), w, putPods(1)); err != nil {
						retryable(t, err)
						failed++
					}
					if _, err := st.List(t.Context(), &query.Query{}, func(*storage.Object) error { return nil }); err != nil {
						retryable(t, err)
						failed++
					}
				}
				t.Logf("%d of 40 calls failed", failed)
				require.NoError(t, eventually(func() error { return st.Apply(t.Context(), w, putPods(1)) }))
			})
			for kind, x := range map[string]struct {
				disturb func(*faulty) func(*testing.T) string
				codes   map[string]string
			}{
				"a server that only reads": {
					func(f *faulty) func(*testing.T) string { return f.readOnly }, map[string]string{"PostgreSQL": "25006"}, // MariaDB: TestServerFaults
				},
				"a server without connections": {
					func(f *faulty) func(*testing.T) string { return f.crowded }, map[string]string{"PostgreSQL": "53300", "MariaDB": "1226"},
				},
			} {
				if x.codes[name] == "" {
					continue
				}
				t.Run(kind, func(t *testing.T) {
					t.Parallel()
					f := fresh(t)
					disturb := x.disturb(f)
					if name == "MariaDB" {
						f.asUser(t)
					}
					st := f.store(t, "")
					require.NoError(t, st.Apply(t.Context(), w, putPods(1)))
					undo := disturb(t)
					var err error
					for range 3 { // the first may still meet a connection that has ended
						err = st.Apply(t.Context(), w, putPods(1))
						retryable(t, err)
					}
					require.ErrorContains(t, err, x.codes[name])
					f.exec(t, undo)
					f.kill(t)
					require.NoError(t, eventually(func() error { return st.Apply(t.Context(), w, putPods(1)) }))
				})
			}
		})
	}
}

// TestIdleTransaction sees that MariaDB ends the transaction of a process that was paused in
// it: its locks would hold up its successor. What PostgreSQL does stands in each transaction.
func TestIdleTransaction(t *testing.T) {
	t.Parallel()
	st := open(t, mysqlOn("TEST_MYSQL_DSN")(t)).(*store.Store)
	t.Cleanup(func() { require.NoError(t, st.Close(t.Context())) })
	limit, err := st.Setting(t.Context(), "SELECT @@idle_transaction_timeout")
	require.NoError(t, err)
	require.Equal(t, "10", limit)
}

// notDeadlock returns an error unless it says that its transaction was the victim.
func notDeadlock(err error) error {
	if err != nil && strings.Contains(strings.ToLower(err.Error()), "deadlock") {
		return nil
	}
	return err
}

// eventually calls fn until it succeeds, for a moment.
func eventually(fn func() error) (err error) {
	for range 50 {
		if err = fn(); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // nothing tells when
	}
	return err
}

// TestCanceledQuery ends a query whose caller is gone, on the server too.
func TestCanceledQuery(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		fresh                  func(testing.TB) map[string]any
		driver, sleep, running string
	}{
		"PostgreSQL": {
			postgres, "pgx", "pg_sleep(0.1) IS NOT NULL",
			"SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()",
		},
		"MariaDB": {
			mysqlOn("TEST_MYSQL_DSN"), "mysql", "SLEEP(0.1) = 0",
			"SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE '%SLEEP%' AND id <> CONNECTION_ID()",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := x.fresh(t)
			st, err := store.Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: mustJSON(t, config), Gates: map[string]bool{"AllowRawSQLQuery": true}})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
			require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "c"}, putPods(200)))
			db, err := sql.Open(x.driver, config["dsn"].(string))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			for _, count := range []query.Count{query.CountNone, query.CountExact} {
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				_, err = st.List(ctx, &query.Query{Params: map[string][]string{"whereSQL": {x.sleep}}, Count: count}, func(*storage.Object) error { return nil })
				cancel()
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.NoError(t, eventually(func() error {
					var n int
					if err := db.QueryRowContext(t.Context(), x.running).Scan(&n); err != nil || n > 0 {
						return errors.Join(err, fmt.Errorf("%d queries go on", n))
					}
					return nil
				}))
			}
		})
	}
}
