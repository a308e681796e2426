// Package process starts and stops the programs of the test bed: API servers,
// databases, and Clusterpedia's own servers.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Spec says what to run.
type Spec struct {
	// Name of the process, and of its log and pid files.
	Name string
	// Dir holds the files NAME.log and NAME.pid, and is the working directory.
	Dir string
	// Command and its arguments.
	Command []string
	// Env is added to the environment.
	Env []string
	// User runs the process as another user, if this one is root.
	User string
	// Detached lets the process outlive this one. Otherwise it is killed when
	// this one dies.
	Detached bool
}

// Process is a started process.
type Process struct {
	spec Spec
	pid  int
	// done is closed when a process that this one started has ended; nil for one
	// that was found by its pid file.
	done chan struct{}
	err  error
}

// Start runs a process in the background. Its output goes to NAME.log. A process
// that runs already, by its pid file, is an error.
func Start(spec Spec) (*Process, error) {
	if _, running := Find(spec.Dir, spec.Name); running {
		return nil, fmt.Errorf("%s runs already in %s", spec.Name, spec.Dir)
	}
	if err := os.MkdirAll(spec.Dir, 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(spec.Dir, spec.Name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()                        // the process has its own
	cmd := exec.Command(spec.Command[0], spec.Command[1:]...) //nolint:noctx // it lives until it is stopped
	cmd.Dir, cmd.Stdout, cmd.Stderr = spec.Dir, log, log
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if !spec.Detached {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	if spec.User != "" && os.Getuid() == 0 {
		if cmd.SysProcAttr.Credential, err = credential(spec.User); err != nil {
			return nil, err
		}
	}
	p := &Process{spec: spec, done: make(chan struct{})}
	if err := p.run(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	stamp, err := startTime(p.pid)
	if err != nil {
		stamp = "" // it has ended already; Wait tells why
	}
	return p, os.WriteFile(pidFile(spec.Dir, spec.Name), fmt.Appendf(nil, "%d %s\n", p.pid, stamp), 0o644)
}

// Find returns the running process of that name that was started in dir, maybe by
// another program.
func Find(dir, name string) (*Process, bool) {
	text, err := os.ReadFile(pidFile(dir, name))
	if err != nil {
		return nil, false
	}
	pidText, stamp, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	pid, err := strconv.Atoi(pidText)
	if err != nil {
		return nil, false
	}
	// The start time tells a recycled pid.
	if now, err := startTime(pid); err != nil || now != stamp {
		return nil, false
	}
	return &Process{spec: Spec{Name: name, Dir: dir}, pid: pid}, true
}

// PID returns the process ID.
func (p *Process) PID() int { return p.pid }

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	if p.done != nil {
		select {
		case <-p.done:
			return false
		default:
			return true
		}
	}
	_, running := Find(p.spec.Dir, p.spec.Name)
	return running
}

// Signal sends a signal to the process alone.
func (p *Process) Signal(s syscall.Signal) error {
	if !p.Running() {
		return os.ErrProcessDone
	}
	if err := syscall.Kill(p.pid, s); !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return os.ErrProcessDone
}

// Kill ends the process at once and waits for its end.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.await(killLimit, p.Running)
}

// KillGroup is Kill for a process and what it started, but for what left its
// process group.
func (p *Process) KillGroup() error {
	if err := syscall.Kill(-p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s: %w", p.spec.Name, err)
	}
	return p.await(killLimit, func() bool { return p.Running() || groupRuns(p.pid) })
}

// Stop asks the process to end, and kills it if it hasn't after grace.
func (p *Process) Stop(grace time.Duration) error {
	return p.StopWith(syscall.SIGTERM, grace)
}

// StopWith is Stop with another signal than SIGTERM.
func (p *Process) StopWith(s syscall.Signal, grace time.Duration) error {
	if err := p.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.spec.Name, err)
	}
	if p.await(grace, p.Running) != nil {
		if err := p.Kill(); err != nil {
			return err
		}
	}
	if _, running := Find(p.spec.Dir, p.spec.Name); running {
		return nil // another one, started since
	}
	if err := os.Remove(pidFile(p.spec.Dir, p.spec.Name)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Wait returns when the process, started by this program, has ended: nil if its
// exit code was 0.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// killLimit bounds the end of what was killed.
const killLimit = 10 * time.Second

// await returns when nothing runs any more.
func (p *Process) await(limit time.Duration, runs func() bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); runs(); <-tick.C {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s did not end within %s", p.spec.Name, limit)
		}
	}
	return nil
}

// LogTail returns the last bytes of the process's log.
func (p *Process) LogTail(limit int64) string {
	f, err := os.Open(filepath.Join(p.spec.Dir, p.spec.Name+".log"))
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }() // only read
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, end-limit), io.SeekStart)
	}
	text, _ := io.ReadAll(f)
	return string(text)
}

// Until calls check every 50 ms until it returns nil, and returns its last error
// if it does not within limit, or if the process ends.
func (p *Process) Until(ctx context.Context, limit time.Duration, check func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := check(limited)
		if err == nil {
			return nil
		}
		if !p.Running() {
			return fmt.Errorf("%s has ended: %s", p.spec.Name, p.LogTail(2000))
		}
		select {
		case <-limited.Done():
			if ctx.Err() != nil {
				return fmt.Errorf("wait for %s: %w", p.spec.Name, ctx.Err())
			}
			return fmt.Errorf("%s is not ready after %s: %w; its log ends with:\n%s", p.spec.Name, limit, err, p.LogTail(2000))
		case <-time.After(50 * time.Millisecond):
		}
	}
}
