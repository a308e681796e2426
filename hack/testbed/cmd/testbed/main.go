// Command testbed runs real Kubernetes control planes, fills them, and runs
// commands with private database servers: what Clusterpedia is tested on. It is run
// in the test bed's module:
//
//	GOWORK=off go run -C hack/testbed ./cmd/testbed help
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/pflag"
)

const usage = `Real clusters and databases on this machine.

  testbed build [PROGRAM...]     build what is missing of the programs (default: those
                                 of clusters; mysql is go-mysql-server)
  testbed start NAME...          start clusters, in parallel; they run until stopped
  testbed stop NAME... | --all   stop clusters; --purge deletes their data
  testbed status                 list the clusters
  testbed load NAME              fill a cluster with sample objects (flags: load --help)
  testbed kubeconfig NAME        print the path of a cluster's kubeconfig
  testbed databases -- COMMAND   run a command with TEST_POSTGRES_DSN, TEST_MYSQL_DSN
                                 and TEST_GOMYSQL_DSN of private servers; those set
                                 already stay as they are. --workdir DIR: run it there

Paths are relative to the root of the repository. Clusters are kept in
.testbed/clusters, or in another directory given with --dir.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	interrupted := ctx.Err() != nil
	stop()
	var ended exitError
	switch {
	case err == nil, errors.Is(err, pflag.ErrHelp):
	case errors.As(err, &ended):
		os.Exit(int(ended))
	case interrupted:
		fmt.Fprintln(os.Stderr, "interrupted")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// exitError ends this program as a command that it ran ended.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// testbed is one invocation.
type testbed struct {
	// root of the repository, and the directory of the test bed's module in it.
	root, module string
	out, err     io.Writer
}

func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("no command is given\n\n%s", usage)
	}
	root, err := repository()
	if err != nil {
		return err
	}
	t := &testbed{root: root, module: filepath.Join(root, "hack", "testbed"), out: out, err: errOut}
	commands := map[string]func(context.Context, []string) error{
		"build": t.build, "start": t.start, "stop": t.stop, "status": t.status,
		"load": t.load, "kubeconfig": t.kubeconfig, "databases": t.databases,
	}
	switch args[0] {
	case "help", "-h", "--help":
		fmt.Fprint(out, usage)
		return nil
	}
	command, ok := commands[args[0]]
	if !ok {
		return fmt.Errorf("unknown command %q\n\n%s", args[0], usage)
	}
	return command(ctx, args[1:])
}

// repository returns the directory above this one that has go.work and the test bed.
func repository() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		_, work := os.Stat(filepath.Join(dir, "go.work"))
		_, module := os.Stat(filepath.Join(dir, "hack", "testbed", "go.mod"))
		if work == nil && module == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside the repository: run it there, or with go run -C REPOSITORY/hack/testbed", start)
		}
	}
}

// path makes a path absolute.
func (t *testbed) path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(t.root, path)
}

// flags of a command; its usage goes where errors go.
func (t *testbed) flags(name string) *pflag.FlagSet {
	f := pflag.NewFlagSet(name, pflag.ContinueOnError)
	f.SetOutput(t.err)
	f.SortFlags = false
	return f
}
