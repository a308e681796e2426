package plugintool

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"clusterpedia.io/clusterpedia/internal/storageplugin"
	"clusterpedia.io/clusterpedia/internal/storageplugin/preflight"
)

func newList() *cobra.Command {
	var hosts []string
	cmd := &cobra.Command{
		Use:   "list [--host BINARY...] [DIRECTORY]",
		Short: "List the plugins of a directory, and whether they fit the servers",
		Long: `List the plugins of a directory, and whether they fit the servers.

STORAGE-API is the version and the digest of the storage API that a plugin was built
with. Each plugin is checked on its own: whether several can be opened together is for
verify to say. The default directory is plugins/ beside the first server.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			hosts, err := hostsOr(hosts)
			if err != nil {
				return err
			}
			dir := filepath.Join(filepath.Dir(hosts[0]), "plugins")
			if len(args) > 0 {
				dir = args[0]
			}
			readers, err := readersOf(hosts, dir)
			if err != nil {
				return err
			}
			files, err := pluginsIn(dir)
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 2, 8, 2, ' ', 0)
			fmt.Fprintln(table, "NAME\tFILE\tVERSION\tSTORAGE-API\tGO\tVERDICT")
			for _, file := range files {
				fmt.Fprintln(table, describe(readers, file))
			}
			return table.Flush()
		},
	}
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "the `binary` of a server; several are checked one by one. Default: the servers beside this program")
	return cmd
}

// reader is a server that may read a directory of plugins.
type reader struct {
	*preflight.Image
	name    string
	machine preflight.Machine
	// ignored says why the server does not open a file.
	ignored map[string]string
	// cannot says why the server would not start with that directory; empty if it would.
	cannot string
}

// readersOf reads the binaries of hosts, and what they ignore in a directory.
func readersOf(hosts []string, dir string) ([]reader, error) {
	readers := make([]reader, 0, len(hosts))
	for _, path := range hosts {
		host, err := preflight.Read(path)
		if err != nil {
			return nil, fmt.Errorf("--host: %w", err)
		}
		r := reader{Image: host, name: filepath.Base(path), machine: machineOf(host), ignored: map[string]string{}}
		_, ignored, err := choose(host, []string{dir})
		for _, i := range ignored {
			r.ignored[i.Path] = i.Why
		}
		switch cannot := host.CanOpenPlugins(); {
		case cannot != nil:
			r.cannot = "can open no plugin"
		case err != nil:
			r.cannot = "would not start: " + err.Error()
		}
		readers = append(readers, r)
	}
	return readers, nil
}

// verdict says whether the server opens a plugin; plugin is nil if it cannot be read.
func (r *reader) verdict(file string, plugin *preflight.Image) string {
	if r.cannot != "" {
		return r.name + " " + r.cannot
	}
	if why, ok := r.ignored[file]; ok {
		return "ignored by " + r.name + ": " + why
	}
	var report *preflight.Report
	if plugin != nil {
		report = preflight.Check(r.Image, r.machine, plugin)
	} else {
		report = preflight.Verify(r.Image, r.machine, []string{file})[0] // tells why
	}
	if !report.Loadable {
		return "refused by " + r.name + ": " + report.Reason()
	}
	return "fits " + r.name
}

// pluginsIn returns the plugins of a directory.
func pluginsIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) == ".so" && !strings.HasPrefix(entry.Name(), ".") {
			files = append(files, filepath.Join(dir, entry.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no plugin (*.so) in directory %s", dir)
	}
	return files, nil
}

// describe returns the line about one plugin.
func describe(readers []reader, file string) string {
	version, contract, goVersion := "-", "-", "-"
	plugin, err := preflight.Read(file)
	if err == nil {
		goVersion = plugin.Info.GoVersion
		contract = contractOf(plugin)
		if v := plugin.Version(); v != "" {
			version = v
		}
	}
	verdicts := make([]string, len(readers))
	for i, r := range readers {
		verdicts[i] = r.verdict(file, plugin)
	}
	return strings.Join([]string{storageplugin.PluginName(file), filepath.Base(file), version, contract, goVersion, strings.Join(verdicts, "; ")}, "\t")
}

// contractOf names the storage API that a plugin was built with, as the plugin does.
func contractOf(plugin *preflight.Image) string {
	text, err := plugin.ContractText()
	switch {
	case err != nil:
		return "not readable"
	case text != "":
		return text
	case plugin.Contract() != "":
		return "unknown (fingerprint " + plugin.Contract() + ")"
	default:
		return "-"
	}
}
