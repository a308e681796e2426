package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"clusterpedia.io/bench/measure"
	"clusterpedia.io/bench/report"
	"clusterpedia.io/testbed/cluster"
	"clusterpedia.io/testbed/stack"
)

// suite is one run.
type suite struct {
	Config
	dir     string
	began   time.Time
	engine  *engine
	host    *cluster.Cluster
	stack   *stack.Stack
	servers map[string]*server
	loaded  loaded
	// podColumns is what Clusterpedia calls the columns of pods; empty if it keeps no cells.
	podColumns string
	// written are the bytes of JSON that the last writer wrote.
	written float64
	results *report.Results
	// cleanups are done in reverse order.
	cleanups []func() error
}

func (s *suite) cleanup(fn func() error) { s.cleanups = append(s.cleanups, fn) }

// say tells what happens.
func (s *suite) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "[%4.0fs] %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

func (s *suite) note(format string, args ...any) {
	s.results.Notes = append(s.results.Notes, fmt.Sprintf(format, args...))
	s.say(format, args...)
}

// Run runs the benchmarks of a profile.
func Run(ctx context.Context, c Config) (results *report.Results, err error) {
	s := &suite{Config: c, dir: c.Dir, began: time.Now(), servers: map[string]*server{}}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "clusterpedia-bench-"); err != nil {
			return nil, err
		}
	}
	if !c.Keep {
		s.cleanup(func() error { return os.RemoveAll(s.dir) })
	}
	defer func() {
		for _, fn := range slices.Backward(s.cleanups) {
			err = errors.Join(err, fn())
		}
	}()
	s.results = &report.Results{
		Profile: c.Profile.Name, Machine: measure.Machine(), Load: measure.Load(), Date: s.began.UTC().Format(time.RFC3339), Commit: Commit(ctx, c.Repository), Command: c.Command,
	}
	for _, step := range []func(context.Context) error{s.start, s.measureMemory, s.measureRows, s.measureClients, s.measureDisk, s.measureWrites, s.measureSync, s.measureRealSync} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	s.results.Load += " to " + measure.Load()
	s.say("done")
	return s.results, nil
}

// start starts and loads everything.
func (s *suite) start(ctx context.Context) (err error) {
	if s.engine, err = startEngine(ctx, &s.Config, s.dir); err != nil {
		return err
	}
	s.cleanup(s.engine.stop)
	if s.results.Engine, err = s.engine.version(ctx); err != nil {
		return err
	}
	if err := s.startHost(ctx); err != nil {
		return err
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	if err := s.engine.settle(ctx, ownDatabase, classicDatabase, floorDatabase); err != nil {
		return err
	}
	s.results.Data = fmt.Sprintf("%d objects in %d clusters, %d of them pods; %.0f bytes of JSON on average", s.loaded.objects, s.Profile.Fleet.Clusters, s.loaded.pods, s.loaded.json/float64(s.loaded.objects))
	s.results.Objects, s.results.JSON = s.loaded.objects, s.loaded.json/float64(s.loaded.objects)
	s.say("%s", s.results.Data)
	return s.startServers(ctx)
}

// Commit is what was built, as git describes it.
func Commit(ctx context.Context, repository string) string {
	cmd := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--exclude", "*")
	cmd.Dir = repository
	out, err := cmd.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
