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

	"github.com/spf13/cobra"
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

// pluginFiles returns the files, and the plugins in the directories, that were
// given.
func pluginFiles(given []string) ([]string, error) {
	var files []string
	for _, path := range given {
		info, err := os.Stat(path)
		if err != nil || !info.IsDir() {
			files = append(files, path) // what is wrong with it the report says
			continue
		}
		found, err := filepath.Glob(filepath.Join(path, "*.so"))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("there is no plugin (*.so) in directory %s", path)
		}
		files = append(files, found...)
	}
	return files, nil
}
