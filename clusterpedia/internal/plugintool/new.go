package plugintool

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"clusterpedia.io/clusterpedia/internal/plugintool/scaffold"
)

func newNew() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "new MODULE",
		Short: "Start the repository of a storage layer that builds and passes its tests",
		Long: `Start the repository of a storage layer that builds and passes its tests.

By convention the module's path ends in NAME-storage, and the storage layer is
registered as NAME, which users give to --storage-name. It keeps everything in memory
until you put a database in the place of its file memory.go.`,
		Example: "  clusterpedia plugin new example.com/you/redis-storage",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := scaffold.Name(args[0])
			if err != nil {
				return err
			}
			if dir == "" {
				dir = name + scaffold.Suffix
			}
			if err := scaffold.New(dir, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is a storage layer named %q. Next:\n\n  cd %s\n  go test ./...                                # it keeps the contract\n  clusterpedia plugin build --host APISERVER   # a plugin for that server\n", dir, name, dir)
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the `directory` to make. Default: NAME-storage")
	return cmd
}

func newWorkspace() *cobra.Command {
	return &cobra.Command{
		Use:   "workspace [DIRECTORY]",
		Short: "Let go and editors find the storage API in a storage layer's repository",
		Long: `Let go and editors find the storage API in a storage layer's repository.

It writes the storage API that this program carries, and a go.work that uses it. Both
are for this machine alone, and ignored by git.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			if err := scaffold.Workspace(dir); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote %s and the storage API that it uses\n", filepath.Join(dir, "go.work"))
			return nil
		},
	}
}
