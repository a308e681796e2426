package plugintool

import (
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"clusterpedia.io/clusterpedia/internal/storageplugin"
	"clusterpedia.io/clusterpedia/internal/storageplugin/preflight"
	"clusterpedia.io/storage-api/digest"
)

func newList() *cobra.Command {
	var hosts []string
	cmd := &cobra.Command{
		Use:   "list [--host BINARY...] [DIRECTORY]",
		Short: "List the plugins of a directory, and whether they fit the servers",
		Long: `List the plugins of a directory, and whether they fit the servers.

STORAGE-API is the digest of the storage API that a plugin was built with, or the
fingerprint of another one. Each plugin is checked on its own: whether several can
be opened together is for verify to say. The default directory is plugins/ beside
the first server.`,
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
			files, err := pluginFiles([]string{dir})
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 2, 8, 2, ' ', 0)
			fmt.Fprintln(table, "NAME\tFILE\tVERSION\tSTORAGE-API\tGO\tVERDICT")
			for _, file := range files {
				line, err := describe(hosts, file)
				if err != nil {
					return err
				}
				fmt.Fprintln(table, line)
			}
			return table.Flush()
		},
	}
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "the `binary` of a server; several are checked one by one. Default: the servers beside this program")
	return cmd
}

// describe returns the line about one plugin.
func describe(hosts []string, file string) (string, error) {
	version, contract, goVersion := "-", "-", "-"
	plugin, err := preflight.Read(file)
	if err == nil {
		goVersion = plugin.Info.GoVersion
		if v := plugin.Version(); v != "" {
			version = v
		}
	}
	var verdicts []string
	for _, path := range hosts {
		host, err := preflight.Read(path)
		if err != nil {
			return "", fmt.Errorf("--host: %w", err)
		}
		if plugin != nil && plugin.Contract() != "" {
			contract = contractName(host, plugin)
		}
		verdict := "fits " + filepath.Base(path)
		if err := host.CanOpenPlugins(); err != nil {
			verdict = filepath.Base(path) + " can open no plugin"
		} else if r := preflight.Verify(host, preflight.ThisMachine(), []string{file})[0]; !r.Loadable {
			verdict = "refused by " + filepath.Base(path) + ": " + r.Reason()
		}
		verdicts = append(verdicts, verdict)
	}
	return strings.Join([]string{storageplugin.PluginName(file), filepath.Base(file), version, contract, goVersion, strings.Join(verdicts, "; ")}, "\t"), nil
}

// contractName is the digest of the storage API that this program and the host were
// built with, if the plugin was too.
func contractName(host, plugin *preflight.Image) string {
	if plugin.Contract() == host.Contract() {
		return digest.Source
	}
	return "another (" + plugin.Contract() + ")"
}
