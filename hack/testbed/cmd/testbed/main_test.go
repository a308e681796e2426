package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/database"
)

// TestMain lets tests run this program as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_RUN_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func program(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "TEST_RUN_MAIN=1")
	return cmd
}

// runs is run of a command and returns what it wrote.
func runs(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), args, &out, t.Output())
	return out.String(), err
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"nothing":             {nil, "no command is given"},
		"unknown command":     {[]string{"fly"}, `unknown command "fly"`},
		"unknown program":     {[]string{"build", "k3s"}, `unknown program "k3s"`},
		"start nothing":       {[]string{"start"}, "at least one name"},
		"start outside":       {[]string{"start", "../one"}, "must match"},
		"stop outside":        {[]string{"stop", "..", "--purge"}, "must match"},
		"stop nothing":        {[]string{"stop", "--purge"}, "at least one name"},
		"stop both":           {[]string{"stop", "one", "--all"}, "not both"},
		"stop missing":        {[]string{"stop", "missing"}, `no cluster "missing"`},
		"load missing":        {[]string{"load", "missing"}, `no cluster "missing"`},
		"load two":            {[]string{"load", "one", "two"}, "one cluster"},
		"kubeconfig missing":  {[]string{"kubeconfig", "missing"}, "start it first"},
		"databases alone":     {[]string{"databases", "--"}, "give a command"},
		"databases bad flag":  {[]string{"databases", "--fast", "--", "true"}, "unknown flag"},
		"help of a command":   {[]string{"load", "--help"}, pflag.ErrHelp.Error()},
		"kubeconfig of three": {[]string{"kubeconfig", "a", "b", "c"}, "one cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := runs(t, c.args...)
			require.ErrorContains(t, err, c.want)
		})
	}
	out, err := runs(t, "--help")
	require.NoError(t, err)
	require.Equal(t, usage, out)
}

func TestStopNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "missing")
	out, err := runs(t, "stop", "--all", "--purge", "--dir", dir)
	require.NoError(t, err)
	require.Empty(t, out)
}

func TestClusterCommands(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a real control plane")
	}
	dir := t.TempDir()
	ok := func(args ...string) string {
		out, err := runs(t, append(args, "--dir", dir)...)
		require.NoError(t, err)
		return out
	}
	t.Cleanup(func() { ok("stop", "--all", "--purge") })
	require.Contains(t, ok("start", "one"), "one is ready")
	require.Regexp(t, `one +ready +https://127`, ok("status"))
	require.Contains(t, ok("load", "one", "--namespaces", "1", "--widgets", "0"), "one is loaded")
	require.FileExists(t, strings.TrimSpace(ok("kubeconfig", "one")))
	require.Equal(t, "one is stopped\n", ok("stop", "one"))
	require.Regexp(t, `one +stopped`, ok("status"))
	require.Equal(t, "one is removed\n", ok("stop", "--all", "--purge"))
	require.NotContains(t, ok("status"), "one")
}

func TestDatabases(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real databases")
	}
	temporary(t)
	t.Setenv(database.PostgreSQL.Variable(), "") // as if it were not set
	t.Setenv(database.MariaDB.Variable(), "")
	t.Setenv(database.GoMySQL.Variable(), "given")
	t.Setenv("GOWORK", "off")
	out, err := runs(t, "databases", "--workdir", "hack", "--", "sh", "-c", `pwd; echo "$TEST_POSTGRES_DSN"; echo "$TEST_MYSQL_DSN"; echo "$TEST_GOMYSQL_DSN$GOWORK"; exit 7`)
	require.Equal(t, exitError(7), err)
	lines := strings.Split(out, "\n")
	require.Equal(t, "hack", filepath.Base(lines[0]))
	require.Regexp(t, `^host=127.0.0.1 port=\d+ user=clusterpedia password=clusterpedia dbname=postgres sslmode=disable$`, lines[1])
	require.Regexp(t, `^clusterpedia:clusterpedia@tcp\(127.0.0.1:\d+\)/\?parseTime=true$`, lines[2])
	require.Equal(t, "given", lines[3])
	nothingLeft(t)
}

func TestDatabasesNotNeeded(t *testing.T) {
	for _, kind := range database.Kinds() {
		t.Setenv(kind.Variable(), "given")
	}
	_, err := runs(t, "databases", "--", "true")
	require.NoError(t, err)
	_, err = runs(t, "databases", "--", "sh", "-c", "kill -9 $$")
	require.Equal(t, exitError(128+9), err)
	_, err = runs(t, "databases", "--", "no-such-command")
	require.ErrorIs(t, err, exec.ErrNotFound)
}

// A signal reaches the command and its children, and the servers stop after it.
func TestDatabasesInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real database")
	}
	temporary(t)
	t.Setenv(database.PostgreSQL.Variable(), "")
	t.Setenv(database.MariaDB.Variable(), "given")
	t.Setenv(database.GoMySQL.Variable(), "given")
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			cmd := program(t.Context(), "databases", "--", "sh", "-c", `sh -c 'echo $$ >"$0.new"; mv "$0.new" "$0"; sleep 1000' "$0"; exit 5`, file)
			require.NoError(t, cmd.Start())
			var child int
			require.Eventually(t, func() bool {
				text, err := os.ReadFile(file)
				if err == nil {
					child, err = strconv.Atoi(strings.TrimSpace(string(text)))
				}
				return err == nil
			}, time.Minute, 20*time.Millisecond)
			require.NoError(t, cmd.Process.Signal(signal))
			var exit *exec.ExitError
			require.ErrorAs(t, cmd.Wait(), &exit)
			require.Equal(t, 128+int(signal), exit.ExitCode())
			require.Eventually(t, func() bool { return ended(child) }, time.Minute, 20*time.Millisecond)
			nothingLeft(t)
		})
	}
}

// ended reports whether a process has ended; it may be a zombie where nobody waits
// for orphans.
func ended(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(text), ") Z ")
}

// temporary makes a directory for temporary files that the databases' users reach.
func temporary(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	t.Setenv("TMPDIR", dir)
}

// nothingLeft checks that neither files nor processes with files of the servers are
// there any more.
func nothingLeft(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	for _, e := range entries {
		require.NotContains(t, e.Name(), "testbed-databases", "is left over")
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range commands {
		text, _ := os.ReadFile(file) // it may have ended
		require.NotContains(t, string(text), os.TempDir()+"/testbed-databases")
	}
}
