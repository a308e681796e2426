package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// holdVariable has the file that TestSQLiteHolder locks.
const holdVariable = "TEST_SQLITE_HOLD"

// TestSQLiteHolder is the other process of TestSQLiteFaults: it keeps the lock for writing of
// a file until its input ends.
func TestSQLiteHolder(t *testing.T) {
	t.Parallel()
	file := os.Getenv(holdVariable)
	if file == "" {
		t.Skip("TestSQLiteFaults runs it")
	}
	db, err := sql.Open("sqlite3", file+"?_txlock=immediate")
	require.NoError(t, err)
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	fmt.Println("held") // to the other process
	_, err = io.Copy(io.Discard, os.Stdin)
	require.NoError(t, errors.Join(err, tx.Rollback(), db.Close()))
}

// hold has another process lock a file, until free is called.
func hold(t *testing.T, file string) (free func()) {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	holder := exec.CommandContext(ctx, program, "-test.run=^TestSQLiteHolder$")
	holder.Env = append(os.Environ(), holdVariable+"="+file)
	stdin, err := holder.StdinPipe()
	require.NoError(t, err)
	stdout, err := holder.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, holder.Start())
	t.Cleanup(cancel)
	said, err := bufio.NewReader(stdout).ReadString('\n')
	require.Equal(t, "held\n", said, "%v", err)
	return func() { require.NoError(t, errors.Join(stdin.Close(), holder.Wait())) }
}

// requireCode requires an error with a code of SQLite.
func requireCode(t *testing.T, err error, code sqlite3.ErrNo) {
	t.Helper()
	var e sqlite3.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code, "%v", err)
}

// TestSQLiteFaults provokes SQLite's errors. What may go away is retryable, and once it has
// gone, the very next call succeeds. Reading goes on meanwhile.
func TestSQLiteFaults(t *testing.T) {
	t.Parallel()
	set := func(t *testing.T, st *store.Store, text string) {
		t.Helper()
		_, err := st.Setting(t.Context(), text)
		require.NoError(t, err)
	}
	for name, x := range map[string]struct {
		code    sqlite3.ErrNo
		changes int
		disturb func(t *testing.T, st *store.Store, file string) (undo func())
	}{
		"another process writes": {sqlite3.ErrBusy, 1, func(t *testing.T, _ *store.Store, file string) func() { return hold(t, file) }},
		"no more room": {sqlite3.ErrFull, 300, func(t *testing.T, st *store.Store, _ string) func() {
			set(t, st, "PRAGMA max_page_count = 1") // it takes what there is for the least
			return func() { set(t, st, "PRAGMA max_page_count = 4294967294") }
		}},
		"nothing can be written": {sqlite3.ErrReadonly, 1, func(t *testing.T, st *store.Store, _ string) func() {
			set(t, st, "PRAGMA query_only = 1")
			return func() { set(t, st, "PRAGMA query_only = 0") }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "test.db")
			st := open(t, map[string]any{"type": "sqlite", "dsn": file + "?_busy_timeout=100"}).(*store.Store)
			t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
			count := func() (n int) {
				_, err := st.List(t.Context(), &query.Query{Projection: query.KeyOnly}, func(*storage.Object) error { n++; return nil })
				require.NoError(t, err)
				return n
			}
			for _, w := range []storage.Writer{{Cluster: "c"}, {Cluster: "c", Epoch: 1}} {
				require.NoError(t, st.Apply(t.Context(), w, putPods(1)))
				undo := x.disturb(t, st, file)
				for range 2 {
					err := st.Apply(t.Context(), w, putPods(x.changes))
					require.True(t, storage.IsRetryable(err), "%v", err)
					requireCode(t, err, x.code)
					require.Equal(t, 1, count())
				}
				undo()
				require.NoError(t, st.Apply(t.Context(), w, putPods(x.changes)))
				require.Equal(t, x.changes, count())
				require.NoError(t, st.Purge(t.Context(), w, nil))
				set(t, st, "VACUUM")
			}
		})
	}
}

// TestSQLiteReadOnly serves a file that it may not write.
func TestSQLiteReadOnly(t *testing.T) {
	t.Parallel()
	config := sqlite(t)
	st := open(t, config)
	require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "c"}, putPods(1)))
	require.NoError(t, st.Close(t.Context()))
	config["dsn"] = "file:" + config["dsn"].(string) + "?mode=ro"
	st = open(t, config)
	t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
	_, err := st.Get(t.Context(), putPods(1)[0].Put.Key)
	require.NoError(t, err)
	err = st.Apply(t.Context(), storage.Writer{Cluster: "c"}, putPods(1))
	require.True(t, storage.IsRetryable(err), "%v", err)
	requireCode(t, err, sqlite3.ErrReadonly)
}

// TestSQLiteDamaged meets pages that are none. To try that again is of no use.
func TestSQLiteDamaged(t *testing.T) {
	t.Parallel()
	config := sqlite(t)
	st := open(t, config)
	require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "c"}, putPods(300)))
	require.NoError(t, st.Close(t.Context()))
	file := config["dsn"].(string)
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	// Pages of documents, which a start does not look at.
	for i := len(content) * 3 / 4; i < len(content); i++ {
		content[i] = 0xff
	}
	require.NoError(t, os.WriteFile(file, content, 0o600))
	st = open(t, config)
	t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
	_, err = st.List(t.Context(), &query.Query{}, func(*storage.Object) error { return nil })
	requireCode(t, err, sqlite3.ErrCorrupt)
	require.False(t, storage.IsRetryable(err), "%v", err)
	var invalid *query.InvalidQueryError
	require.NotErrorAs(t, err, &invalid)
}

// TestSQLiteStart starts on what is no database: the error is one line that names the file.
func TestSQLiteStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	require.NoError(t, os.WriteFile(text, []byte(strings.Repeat("no database ", 100)), 0o600))
	for file, want := range map[string]string{
		filepath.Join(dir, "nowhere", "x.db"): "unable to open database file: no such file or directory",
		dir:                                   "unable to open database file: is a directory",
		"file:" + filepath.Join(dir, "x.db") + "?mode=ro": "unable to open database file: no such file or directory",
		text: "file is not a database",
	} {
		_, err := store.Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: mustJSON(t, map[string]any{"type": "sqlite", "dsn": file})})
		path, _, _ := strings.Cut(file, "?")
		require.EqualError(t, err, "connect to sqlite: "+path+": "+want)
	}
}
