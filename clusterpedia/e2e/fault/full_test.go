package fault

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/database"
)

// storageFull fills the disk of the database under load, and then makes room again.
func storageFull(t *testing.T, m *member, e engine) {
	if os.Getuid() != 0 {
		t.Skip("only root can make a small disk")
	}
	disk := filepath.Join(shared.dir, "disk-"+string(e.kind()))
	makeDisk(t, disk, map[engine]string{postgreSQL: "size=48m,mode=700,uid=postgres", mariaDB: "size=400m"}[e])
	dir := disk
	if e == postgreSQL {
		// It ends when there is no room for its log, as if it were killed; so only tables
		// are there.
		dir = filepath.Join(shared.dir, "full-"+string(e.kind()))
	}
	server, err := database.Start(t.Context(), e.kind(), database.Options{Dir: dir})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	if e == postgreSQL {
		admin, err := sql.Open("pgx", strings.Replace(server.DSN, "user="+server.User, "user=postgres", 1))
		require.NoError(t, err)
		for _, statement := range []string{
			"CREATE TABLESPACE small LOCATION '" + disk + "'", "GRANT CREATE ON TABLESPACE small TO " + server.User, "ALTER ROLE " + server.User + " SET default_tablespace = small",
		} {
			_, err := admin.ExecContext(t.Context(), statement)
			require.NoError(t, err, statement)
		}
		require.NoError(t, admin.Close())
	}
	s := newStage(t, m, scene{engine: e, server: server})
	pause(t, 2*time.Second)
	before := s.said(cannotWrite)
	free := fillDisk(t, disk)
	eventually(t, syncLimit, func() error {
		if s.said(cannotWrite) == before {
			return errors.New("the manager has not noticed that the disk is full")
		}
		return nil
	})
	pause(t, lasting(7*time.Second, time.Minute))
	require.True(t, s.manager.Running())
	t.Logf("while the disk was full, %d attempts to write failed", s.said(cannotWrite)-before)
	require.Zero(t, s.said("The storage layer refuses an object"), "it is not the objects' fault")
	free()
	pause(t, 2*time.Second)
	s.settleCleanly()
}

// makeDisk makes a disk that goes with the test.
func makeDisk(t *testing.T, dir, options string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() {
		out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "umount", dir).CombinedOutput()
		require.NoError(t, err, "%s", out)
	})
}

// fillDisk takes all room that is left, until free is called.
func fillDisk(t *testing.T, dir string) (free func()) {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, "filler"))
	require.NoError(t, err)
	_, err = io.Copy(file, endless{})
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, file.Close())
	return func() { require.NoError(t, os.Remove(file.Name())) }
}

// endless is a reader without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
