package process

import (
	"fmt"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/featuregate"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json
)

// Program is what the command of a server is made of.
type Program struct {
	Use, Short string
	// Flags are all flags of its own, by section.
	Flags    cliflag.NamedFlagSets
	Logs     *logs.Options
	Gates    featuregate.FeatureGate
	Validate func() error
	Run      func() error
}

// NewCommand returns the command of a server: it prints its version, or sets up its logs,
// validates its options and runs.
func NewCommand(p Program) *cobra.Command {
	var version VersionFlag
	cmd := &cobra.Command{
		Use:          p.Use,
		Short:        p.Short,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error {
			if text, ok := version.Requested(); ok {
				fmt.Println(text)
				return nil
			}
			if err := logsapi.ValidateAndApply(p.Logs, p.Gates); err != nil {
				return err
			}
			if err := p.Validate(); err != nil {
				return err
			}
			return p.Run()
		},
	}
	version.AddFlags(p.Flags.FlagSet("global"))
	p.Flags.FlagSet("global").BoolP("help", "h", false, "help for "+p.Use)
	for _, fs := range p.Flags.FlagSets {
		cmd.Flags().AddFlagSet(fs)
	}
	cliflag.SetUsageAndHelpFunc(cmd, p.Flags, 100)
	return cmd
}
