package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// limit bounds what is awaited; nothing takes that long.
const limit = 30 * time.Second

func start(t *testing.T, spec Spec) *Process {
	t.Helper()
	if spec.Dir == "" {
		spec.Dir = t.TempDir()
	}
	spec.Name = "it"
	p, err := Start(spec)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Kill() })
	return p
}

// says waits for a line in the log.
func says(t *testing.T, p *Process, line string) {
	t.Helper()
	require.NoError(t, p.Until(t.Context(), limit, func(context.Context) error {
		if !strings.Contains(p.LogTail(1000), line) {
			return fmt.Errorf("has not said %q", line)
		}
		return nil
	}))
}

func TestStartAndStop(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script string
		signal syscall.Signal
		// log is what the script says at last.
		log string
	}{
		"obedient":     {"echo ready; exec sleep 1000", syscall.SIGTERM, "ready\n"},
		"other signal": {"trap 'echo bye; exit' INT; echo ready; while :; do sleep 0.05; done", syscall.SIGINT, "ready\nbye\n"},
		"stubborn":     {"trap '' TERM; echo ready; while :; do sleep 0.05; done", syscall.SIGTERM, "ready\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "new")
			p := start(t, Spec{Dir: dir, Command: []string{"sh", "-c", c.script}})
			says(t, p, "ready")
			require.True(t, p.Running())
			found, running := Find(dir, "it")
			require.True(t, running)
			require.Equal(t, p.PID(), found.PID())
			_, err := Start(Spec{Name: "it", Dir: dir, Command: []string{"true"}})
			require.ErrorContains(t, err, "runs already")

			grace := limit
			if name == "stubborn" {
				grace = 100 * time.Millisecond
			}
			require.NoError(t, p.StopWith(c.signal, grace))
			require.False(t, p.Running())
			require.Equal(t, c.log, p.LogTail(1000))
			require.ErrorIs(t, syscall.Kill(p.PID(), 0), syscall.ESRCH)
			require.NoFileExists(t, pidFile(dir, "it"))
			require.NoError(t, p.Stop(limit), "stopped twice")
			require.ErrorIs(t, p.Signal(syscall.SIGTERM), os.ErrProcessDone)
		})
	}
}

// Stop by one that was found leaves nothing, either.
func TestStopFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, Spec{Dir: dir, Command: []string{"sleep", "1000"}})
	found, running := Find(dir, "it")
	require.True(t, running)
	require.NoError(t, found.Stop(limit))
	require.False(t, found.Running())
	require.Error(t, p.Wait(t.Context()), "ended by a signal")
	require.NoError(t, p.Stop(limit))
}

// An old handle does not take away the files of a process started since.
func TestStopOld(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := start(t, Spec{Dir: dir, Command: []string{"sleep", "1000"}})
	require.NoError(t, old.Kill())
	next := start(t, Spec{Dir: dir, Command: []string{"sleep", "1000"}})
	require.NoError(t, old.Stop(limit))
	require.True(t, next.Running())
	_, running := Find(dir, "it")
	require.True(t, running)
}

func TestKill(t *testing.T) {
	t.Parallel()
	p := start(t, Spec{Command: []string{"sleep", "1000"}})
	require.NoError(t, p.Kill())
	require.False(t, p.Running())
	require.NoError(t, p.Kill(), "killed twice")
	_, running := Find(p.spec.Dir, "it")
	require.False(t, running)
	var exit *exec.ExitError
	require.ErrorAs(t, p.Wait(t.Context()), &exit)
}

func TestKillGroup(t *testing.T) {
	t.Parallel()
	p := start(t, Spec{Command: []string{"sh", "-c", "sleep 1000 & echo $!; wait"}})
	says(t, p, "\n")
	child, err := strconv.Atoi(strings.TrimSpace(p.LogTail(100)))
	require.NoError(t, err)
	_, err = startTime(child)
	require.NoError(t, err)
	require.NoError(t, p.KillGroup())
	require.False(t, p.Running())
	_, err = startTime(child)
	require.Error(t, err)
	require.NoError(t, p.KillGroup(), "killed twice")
}

func TestFindNothing(t *testing.T) {
	t.Parallel()
	self, err := startTime(os.Getpid())
	require.NoError(t, err)
	for name, text := range map[string]string{
		"recycled":    fmt.Sprintf("%d %s1", os.Getpid(), self),
		"no stamp":    strconv.Itoa(os.Getpid()),
		"ended":       "4194305 1", // greater than the greatest pid
		"not a pid":   "x 1",
		"empty":       "",
		"foreign pid": "0 0",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(pidFile(dir, "it"), []byte(text), 0o600))
			_, running := Find(dir, "it")
			require.False(t, running)
			// And it is no obstacle.
			p := start(t, Spec{Dir: dir, Command: []string{"true"}})
			require.NoError(t, p.Wait(t.Context()))
		})
	}
	_, running := Find(t.TempDir(), "it")
	require.False(t, running)
}

func TestWait(t *testing.T) {
	t.Parallel()
	p := start(t, Spec{Command: []string{"sh", "-c", "echo $GREETING; pwd; exit 3"}, Env: []string{"GREETING=hello"}})
	var exit *exec.ExitError
	require.ErrorAs(t, p.Wait(t.Context()), &exit)
	require.Equal(t, 3, exit.ExitCode())
	require.Equal(t, "hello\n"+p.spec.Dir+"\n", p.LogTail(1000))
	require.Equal(t, "\n", p.LogTail(1))

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, start(t, Spec{Command: []string{"sleep", "1000"}}).Wait(canceled), context.Canceled)
	_, err := Start(Spec{Name: "it", Dir: t.TempDir(), Command: []string{"/does/not/exist"}})
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestUntil(t *testing.T) {
	t.Parallel()
	never := func(context.Context) error { return errors.New("not yet") }
	p := start(t, Spec{Command: []string{"sh", "-c", "echo the reason; exit 1"}})
	require.ErrorContains(t, p.Until(t.Context(), limit, never), "the reason")

	p = start(t, Spec{Command: []string{"sleep", "1000"}})
	require.ErrorContains(t, p.Until(t.Context(), time.Millisecond, never), "not yet")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, p.Until(canceled, limit, never), context.Canceled)
}

// A process that is not detached ends with the one that started it, even if that is
// killed; a detached one does not.
func TestDetached(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("TEST_DETACHED_DIR"); dir != "" {
		for _, name := range []string{"attached", "detached"} {
			_, err := Start(Spec{Name: name, Dir: dir, Command: []string{"sleep", "1000"}, Detached: name == "detached"})
			require.NoError(t, err)
		}
		require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGKILL))
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDetached$")
	cmd.Env = append(os.Environ(), "TEST_DETACHED_DIR="+dir)
	require.ErrorContains(t, cmd.Run(), "killed")
	detached, running := Find(dir, "detached")
	require.True(t, running)
	t.Cleanup(func() { require.NoError(t, detached.Kill()) })
	require.Eventually(t, func() bool {
		_, running := Find(dir, "attached")
		return !running
	}, limit, 10*time.Millisecond)
}

func TestUser(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		require.NoError(t, os.Chmod(d, 0o755)) // the user must pass
	}
	p := start(t, Spec{Dir: dir, User: "nobody", Command: []string{"id", "-un"}})
	require.NoError(t, p.Wait(t.Context()))
	want := "nobody"
	if os.Getuid() != 0 {
		out, err := exec.CommandContext(t.Context(), "id", "-un").Output()
		require.NoError(t, err)
		want = strings.TrimSpace(string(out))
	}
	require.Equal(t, want+"\n", p.LogTail(100))
	if os.Getuid() == 0 {
		_, err := Start(Spec{Name: "it", Dir: t.TempDir(), User: "no-such-user", Command: []string{"id"}})
		require.ErrorContains(t, err, "no-such-user")
	}
}
