package database

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/process"
)

func TestServers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts real databases")
	}
	module, err := filepath.Abs("..")
	require.NoError(t, err)
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			ctx, dir := t.Context(), filepath.Join(t.TempDir(), "server")
			start := func() *Server {
				s, err := Start(ctx, kind, Options{Dir: dir, Module: module, Progress: t.Output()})
				require.NoError(t, err)
				t.Cleanup(func() { _ = s.Stop() })
				return s
			}
			query := func(s *Server, database, statement string) string {
				out, err := s.Query(ctx, database, statement)
				require.NoError(t, err)
				return out
			}

			s := start()
			require.NotEmpty(t, s.DSN)
			query(s, "", "CREATE DATABASE shelf")
			query(s, "shelf", "CREATE TABLE books (name varchar(20) PRIMARY KEY)")
			query(s, "shelf", "INSERT INTO books VALUES ('Ünïcode')")
			require.Equal(t, "Ünïcode", query(s, "shelf", "SELECT name FROM books"))
			_, err := s.Query(ctx, "shelf", "SELECT name FROM missing")
			require.ErrorContains(t, err, "missing")
			_, err = Start(ctx, kind, Options{Dir: dir, Module: module})
			require.ErrorContains(t, err, "runs already")

			// A killed server comes back on its port, with what was committed.
			require.NoError(t, s.Process().Kill())
			again := start()
			require.Equal(t, s.DSN, again.DSN)
			if kind != GoMySQL {
				require.Equal(t, "Ünïcode", query(again, "shelf", "SELECT name FROM books"))
			}
			pid := again.Process().PID()
			require.NoError(t, again.Stop())
			require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
			_, running := process.Find(dir, string(kind))
			require.False(t, running)
			_, err = again.Query(ctx, "", "SELECT 1")
			require.Error(t, err)
		})
	}
}

// The rights of the tests' user.
func TestRights(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a real database")
	}
	s, err := Start(t.Context(), PostgreSQL, Options{Dir: filepath.Join(t.TempDir(), "server")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	out, err := s.Query(t.Context(), "", "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user")
	require.NoError(t, err)
	require.Equal(t, "f|t", out)
	s.Password = "wrong"
	_, err = s.Query(t.Context(), "", "SELECT 1")
	require.ErrorContains(t, err, "password authentication failed")
}

func TestStartRefused(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), "oracle", Options{Dir: t.TempDir()})
	require.ErrorContains(t, err, "unknown kind")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, kind := range []Kind{PostgreSQL, MariaDB} {
		if testing.Short() {
			break
		}
		dir := t.TempDir()
		_, err := Start(canceled, kind, Options{Dir: dir})
		require.ErrorIs(t, err, context.Canceled)
		_, err = os.Stat(filepath.Join(dir, "data"))
		require.ErrorIs(t, err, os.ErrNotExist)
	}
}

func TestPrograms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(path string, mode os.FileMode) {
		path = filepath.Join(dir, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, nil, mode))
	}
	file("pg/9.6/bin/initdb", 0o755)
	file("pg/15/bin/initdb", 0o755)
	file("pg/16/bin/initdb", 0o644) // not a program
	file("pg/odd/bin/initdb", 0o755)
	dirs, err := newest(dir+"/pg/", "/bin")
	require.NoError(t, err)
	require.Equal(t, []string{dir + "/pg/16/bin", dir + "/pg/15/bin", dir + "/pg/9.6/bin", dir + "/pg/odd/bin"}, dirs)
	found, err := programs("postgresql", dirs, "initdb")
	require.NoError(t, err)
	require.Equal(t, dir+"/pg/15/bin", found)
	_, err = programs("postgresql", dirs, "initdb", "psql")
	require.ErrorContains(t, err, "Debian package postgresql")
}

func TestPassable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b")
	require.NoError(t, os.MkdirAll(deep, 0o700))
	require.NoError(t, passable(deep, "mysql"))
	for _, d := range []string{dir, filepath.Dir(deep), deep} {
		info, err := os.Stat(d)
		require.NoError(t, err)
		require.NotZero(t, info.Mode()&0o001, d)
	}
	if info, err := os.Stat("/root"); err == nil && info.Mode()&0o001 == 0 {
		err := passable("/root", "mysql")
		require.ErrorContains(t, err, "cannot pass through")
	}
}
