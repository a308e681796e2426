package plugintool

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"clusterpedia.io/clusterpedia/internal/plugintool/outoftree"
	"clusterpedia.io/clusterpedia/internal/storageplugin/preflight"
)

func newBuild() *cobra.Command {
	var o outoftree.Options
	cmd := &cobra.Command{
		Use:   "build --host BINARY [DIRECTORY]",
		Short: "Build a plugin for a server, given the server's binary",
		Long: `Build a plugin for a server, given the server's binary.

The binary tells which Go, flags and versions of shared modules to use. The storage
API comes with this program. The plugin's repository is not changed: neither its
go.mod nor its go.sum. The directory is that of the plugin's main package, or the one
above its package "plugin"; by default the current one. The plugin is written only
if it fits the server.

To build for another architecture, give the binary of the server for it, or --arch;
the C compiler is $CC, or the one that Debian's package gcc-aarch64-linux-gnu (and
the like) brings.`,
		Example: "  clusterpedia plugin build --host bin/apiserver ./redis-storage\n  clusterpedia plugin build --host bin/apiserver -o bin/plugins/ .",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir, o.Log = ".", cmd.ErrOrStderr()
			if len(args) > 0 {
				o.Dir = args[0]
			}
			if o.Host == "" {
				hosts, err := hostsOr(nil)
				if err != nil {
					return err
				}
				o.Host = hosts[0]
			}
			return build(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&o.Host, "host", "", "the `binary` of a server. Default: the first of the servers beside this program")
	cmd.Flags().StringVar(&o.Arch, "arch", "", "the `architecture` to build for, as GOARCH. Default: the server's")
	cmd.Flags().StringVarP(&o.Output, "output", "o", "", "the `file` to write, or the directory to write it in. Default: NAME_VERSION_linux_ARCH.so in the current directory, of the server's version")
	cmd.Flags().StringVar(&o.Version, "plugin-version", "", "the `version` to set the variable version of the plugin's main package to")
	return cmd
}

// build builds a plugin that takes its place only if it fits.
func build(ctx context.Context, o outoftree.Options, w io.Writer) error {
	o.Check = func(host *preflight.Image, built, file string) error {
		if o.Arch != "" && o.Arch != host.Setting("GOARCH") {
			fmt.Fprintf(o.Log, "not verified: the server is for %s; verify it with: clusterpedia plugin verify --host BINARY %s\n", host.Setting("GOARCH"), file)
			return nil
		}
		reports := preflight.Verify(host, preflight.Machine{}, []string{built})
		for _, r := range reports {
			r.Plugin = file
		}
		return write(o.Log, formatText, reports)
	}
	file, err := outoftree.Build(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, file)
	return nil
}
