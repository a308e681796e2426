// Package plugintool is the part of the tool clusterpedia that authors and operators
// of storage plugins use: it starts a plugin's repository, builds a plugin for a
// server, tells whether a plugin fits, and lists those of a directory. It stands
// beside the data's path: servers check and open plugins themselves.
package plugintool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"clusterpedia.io/clusterpedia/internal/storageplugin"
	"clusterpedia.io/clusterpedia/internal/storageplugin/preflight"
)

// ErrMisfit says that a plugin does not fit. What does not was printed.
var ErrMisfit = errors.New("not every plugin fits")

// NewCommand returns the command plugin.
func NewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "Start, build, verify and list storage plugins",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newNew(), newWorkspace(), newBuild(), newVerify(), newList())
	return cmd
}

// servers are the programs that open storage plugins.
func servers() []string { return []string{"apiserver", "binding-apiserver", "clustersynchro-manager"} }

// hostsOr returns the hosts that were given, or the servers beside this program.
func hostsOr(given []string) ([]string, error) {
	if len(given) > 0 {
		return given, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("give --host, the binary of a server: %w", err)
	}
	var found []string
	for _, name := range servers() {
		path := filepath.Join(filepath.Dir(self), name)
		if _, err := os.Stat(path); err == nil {
			found = append(found, path)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("give --host, the binary of a server: there is none in %s", filepath.Dir(self))
	}
	return found, nil
}

// choose returns what a host opens of the files and directories that were given, and
// what it ignores.
func choose(host *preflight.Image, given []string) ([]string, []storageplugin.Ignored, error) {
	return storageplugin.Choose(host.Version(), host.Setting("GOARCH"), given)
}

// machineOf is what is known of the machine that is to run a host: it is taken to be
// this one, unless the host is for another architecture.
func machineOf(host *preflight.Image) preflight.Machine {
	if host.Setting("GOARCH") != runtime.GOARCH {
		return preflight.Machine{}
	}
	return preflight.ThisMachine()
}
