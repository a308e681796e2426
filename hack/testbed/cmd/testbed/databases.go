package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"clusterpedia.io/testbed/database"
)

// endLimit is how long a command has to end after a signal.
const endLimit = 20 * time.Second

// databases runs a command with database servers that live as long as it.
func (t *testbed) databases(ctx context.Context, args []string) (err error) {
	f := t.flags("databases")
	f.SetInterspersed(false) // the command has flags of its own
	workdir := f.String("workdir", ".", "directory to run the command in")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() == 0 {
		return errors.New("databases: give a command after --")
	}
	dir, err := os.MkdirTemp("", "testbed-databases-")
	if err != nil {
		return err
	}
	servers, err := t.startDatabases(ctx, dir)
	defer func() {
		if cleanup := errors.Join(stopDatabases(servers), os.RemoveAll(dir)); err == nil {
			err = cleanup
		} else if cleanup != nil {
			fmt.Fprintln(t.err, "error:", cleanup) // the command's exit code is worth more
		}
	}()
	if err != nil {
		return err
	}
	where := t.path(*workdir)
	env := append(environment(), "PWD="+where)
	for _, s := range servers {
		env = append(env, s.Kind.Variable()+"="+s.DSN)
		if name := s.Kind.DirVariable(); name != "" {
			env = append(env, name+"="+s.Dir())
		}
	}
	return t.command(ctx, where, env, f.Args())
}

// startDatabases starts, in parallel, the servers whose variable is not set. It
// returns those that run even if it fails.
func (t *testbed) startDatabases(ctx context.Context, dir string) ([]*database.Server, error) {
	var lock sync.Mutex
	var servers []*database.Server
	group, ctx := errgroup.WithContext(ctx)
	for _, kind := range database.Kinds() {
		if os.Getenv(kind.Variable()) != "" {
			fmt.Fprintf(t.err, "%s is set: no %s is started\n", kind.Variable(), kind)
			continue
		}
		group.Go(func() error {
			s, err := database.Start(ctx, kind, database.Options{Dir: filepath.Join(dir, string(kind)), Module: t.module, Progress: t.err})
			if err != nil {
				return err
			}
			lock.Lock()
			defer lock.Unlock()
			servers = append(servers, s)
			return nil
		})
	}
	err := group.Wait()
	return servers, err
}

// stopDatabases stops servers, in parallel.
func stopDatabases(servers []*database.Server) error {
	var group errgroup.Group
	for _, s := range servers {
		group.Go(s.Stop)
	}
	return group.Wait()
}

// environment is that of this program, without what "go run" of a module outside of
// the workspace needs and a command inside does not.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool { return entry == "GOWORK=off" })
}

// command runs a command and returns its exit code, if that is not 0. Signals are
// passed on to it.
func (t *testbed) command(ctx context.Context, dir string, env, args []string) error {
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // signals are passed on, so that it can end well
	cmd.Dir, cmd.Env = dir, env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, t.out, t.err
	// On a terminal the command must stay in the foreground, where Ctrl-C reaches it
	// anyway. Elsewhere it gets a group, so that a signal reaches its children too.
	terminal := term.IsTerminal(int(os.Stdin.Fd()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !terminal}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := ctx.Err(); err != nil {
		return err // one came before there was a command to get it
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	send := func(s syscall.Signal) {
		if terminal {
			_ = syscall.Kill(cmd.Process.Pid, s)
			return
		}
		_ = syscall.Kill(-cmd.Process.Pid, s)
	}
	var late <-chan time.Time
	for {
		select {
		case err := <-done:
			return exit(err)
		case <-late:
			send(syscall.SIGKILL)
		case s := <-signals:
			number, ok := s.(syscall.Signal)
			if !ok || terminal && number == syscall.SIGINT {
				continue // the terminal sent it to the command too
			}
			send(number)
			late = time.After(endLimit)
		}
	}
}

// exit turns the end of a command into this program's, as a shell does.
func exit(err error) error {
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		return err
	}
	if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitError(128 + int(status.Signal()))
	}
	return exitError(ended.ExitCode())
}
