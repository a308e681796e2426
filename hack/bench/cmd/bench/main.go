// Command bench measures Clusterpedia against the classic way of doing what it does, and
// against the least that it could cost. It is what "make bench" runs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"clusterpedia.io/bench/baseline/classic"
	"clusterpedia.io/bench/baseline/floor"
	"clusterpedia.io/bench/baseline/oldtable"
	"clusterpedia.io/bench/baseline/server"
	"clusterpedia.io/bench/measure"
	"clusterpedia.io/bench/report"
	"clusterpedia.io/bench/suite"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	if len(args) > 1 && args[0] == "serve" {
		return serve(ctx, args[1], args[2:])
	}
	return run(ctx, args)
}

// run runs a profile, prints what it measured and writes it down.
func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	c := suite.Config{}
	profile := f.String("profile", "small", "what is measured: "+strings.Join(suite.ProfileNames(), ", "))
	engine := f.String("engine", string(oldtable.PostgreSQL), "the database: postgres, mariadb, sqlite")
	only := f.String("only", "", "comma separated names of rows, to measure only these; nothing is written then")
	out := f.String("out", "", "directory for results (default: docs/benchmarks of the repository; for other databases its .testbed/bench)")
	output := f.String("sync", "", "file with the output of the manager's benchmarks: only they are written down")
	render := f.Bool("render", false, "only write the page, from the results that there are")
	f.StringVar(&c.Repository, "repository", "../..", "directory of the repository: the servers are those of its bin/")
	f.StringVar(&c.Dir, "dir", "", "directory for data and logs (default: a temporary one)")
	f.BoolVar(&c.Keep, "keep", false, "leave the data and logs")
	f.BoolVar(&c.Count, "classic-count", false, "let the classic way count each list, as the binding-apiserver of v0.9 does")
	f.StringVar(&c.Lean, "lean", `{"mode":"lean"}`, "configuration of the storage layer's lean mode")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", f.Arg(0))
	}
	var err error
	if c.Repository, err = filepath.Abs(c.Repository); err != nil {
		return err
	}
	docs := filepath.Join(c.Repository, "docs")
	if *out == "" {
		*out = filepath.Join(docs, "benchmarks")
		if oldtable.Engine(*engine) != oldtable.PostgreSQL {
			*out = filepath.Join(c.Repository, ".testbed", "bench", *engine)
		}
	}
	if *output != "" {
		if err := writeSync(ctx, *output, *out, c.Repository); err != nil {
			return err
		}
		*render = true
	}
	if *render {
		return page(*out, docs)
	}
	if c.Profile, err = suite.Named(*profile); err != nil {
		return err
	}
	c.Engine, c.Command = oldtable.Engine(*engine), "make bench PROFILE="+*profile
	if c.Engine != oldtable.PostgreSQL {
		c.Command += " BENCH_ARGS='--engine " + *engine + "'"
	}
	if *only != "" {
		c.Only = strings.Split(*only, ",")
	}
	results, err := suite.Run(ctx, c)
	if err != nil {
		return err
	}
	fmt.Print(results.Text())
	if *only != "" {
		return nil
	}
	if err := results.Write(*out); err != nil {
		return err
	}
	if c.Engine != oldtable.PostgreSQL {
		return page(*out, *out)
	}
	return page(*out, docs)
}

// writeSync writes down what the benchmarks of the manager have put out.
func writeSync(ctx context.Context, output, dir, repository string) error {
	file, err := os.Open(output)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	s := &report.Sync{
		Machine: measure.Machine(), Load: measure.Load(), Date: time.Now().UTC().Format(time.RFC3339), Commit: suite.Commit(ctx, repository), Command: "make bench-sync",
	}
	if err := s.ReadSyncOutput(file); err != nil {
		return fmt.Errorf("%s: %w", output, err)
	}
	fmt.Print(s.GoalTable())
	return s.Write(dir)
}

// page writes the page of all results of a directory.
func page(from, into string) error {
	var all []*report.Results
	for _, name := range suite.ProfileNames() {
		r, err := report.Read(from, name)
		if err != nil {
			return err
		}
		if r != nil {
			all = append(all, r)
		}
	}
	sync, err := report.ReadSync(from)
	if err != nil {
		return err
	}
	path := filepath.Join(into, "benchmarks.md")
	if err := os.WriteFile(path, []byte(report.Page(all, sync)), 0o644); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "written:", path)
	return scale(all, sync, filepath.Join(into, "scale.md"))
}

// scale writes the figures of the page on scale anew, if there is one and they are known.
func scale(all []*report.Results, sync *report.Sync, path string) error {
	named := map[string]*report.Results{}
	for _, r := range all {
		named[r.Profile] = r
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || named["pods"] == nil || named["million"] == nil {
		return nil
	}
	if err != nil {
		return err
	}
	page, err := report.Scaled(string(text), named["pods"], named["million"], sync)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	fmt.Fprintln(os.Stderr, "written:", path)
	return os.WriteFile(path, []byte(page), 0o644)
}

// serve is a baseline as a server.
func serve(ctx context.Context, name string, args []string) error {
	f := flag.NewFlagSet("bench serve", flag.ContinueOnError)
	var o server.Options
	engine := f.String("engine", "", "the database")
	dsn := f.String("dsn", "", "how to reach it")
	count := f.Bool("count", false, "count each list")
	authority := f.String("authority", "", "file of the authority of clients")
	f.StringVar(&o.Address, "listen", "", "address")
	f.StringVar(&o.Certificate, "certificate", "", "its file")
	f.StringVar(&o.Key, "key", "", "its file")
	if err := f.Parse(args); err != nil {
		return err
	}
	if name == report.Floor {
		handler, err := floor.Handler(ctx, oldtable.Engine(*engine), *dsn)
		if err != nil {
			return err
		}
		return server.Run(ctx, o, handler)
	}
	db, err := oldtable.Open(oldtable.Engine(*engine), *dsn)
	if err != nil {
		return err
	}
	handler, err := classic.WithChain(classic.NewHandler(oldtable.Engine(*engine), db, *count), *authority)
	if err != nil {
		return err
	}
	o.Clients = true
	return server.Run(ctx, o, handler)
}
