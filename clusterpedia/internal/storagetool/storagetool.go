// Package storagetool is the part of the tool that works on a storage layer itself,
// beside the path of the data: it brings schemas up to date where the servers may not, or
// before they start.
package storagetool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"clusterpedia.io/clusterpedia/internal/process"
	"clusterpedia.io/clusterpedia/internal/storageplugin"
	"clusterpedia.io/storage-api/storage"
)

// Name is the command's name. A program that is called with it as its first argument has
// to load plugins before it does anything else.
const Name = "storage"

// NewCommand returns the command. plugins are nil, and failed says why, if they could not
// be loaded.
func NewCommand(plugins *storageplugin.Registry, failed error) *cobra.Command {
	cmd := &cobra.Command{
		Use:   Name,
		Short: "Work on a storage layer",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newMigrate(plugins, failed))
	return cmd
}

func newMigrate(plugins *storageplugin.Registry, failed error) *cobra.Command {
	options := process.NewStorageOptions()
	var dry bool
	cmd := &cobra.Command{
		Use:   "migrate --storage-config FILE [--dry-run]",
		Short: "Bring the schema of a storage layer up to date",
		Long: `Bring the schema of a storage layer up to date.

Servers do so themselves when they start, unless autoMigrate is false in the
configuration of the storage layer. They may run meanwhile. Interrupted anywhere,
the command can be run again.

Plugins are looked for where the servers look: in $STORAGE_PLUGINS, in
/usr/local/lib/clusterpedia/plugins, or in plugins/ beside this program.`,
		Example: `  clusterpedia storage migrate --storage-config internalstorage.yaml --dry-run`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if failed != nil {
				return failed
			}
			if err := errors.Join(options.Validate()...); err != nil {
				return err
			}
			return migrate(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), plugins, options, dry)
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&dry, "dry-run", false, "Print what would be done, and change nothing")
	return cmd
}

func migrate(ctx context.Context, out, log io.Writer, plugins *storageplugin.Registry, options *process.StorageOptions, dry bool) (err error) {
	settings, err := options.Settings("clusterpedia")
	if err != nil {
		return err
	}
	settings.SkipMigrations = true
	settings.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	st, err := plugins.Open(ctx, options.Name, settings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close(context.WithoutCancel(ctx))) }()
	migrator, ok := st.(storage.Migrator)
	if !ok {
		return fmt.Errorf("the storage layer %s has no schema", options.Name)
	}
	pending, err := migrator.Pending(ctx)
	switch {
	case err != nil:
		return err
	case len(pending) == 0:
		fmt.Fprintln(out, "The schema is up to date.")
		return nil
	case dry:
		for _, m := range pending {
			fmt.Fprintf(out, "-- %d: %s\n", m.Number, m.Summary)
			for _, statement := range m.Statements {
				fmt.Fprintf(out, "%s;\n", statement)
			}
		}
		return nil
	}
	begin := time.Now()
	err = migrator.Migrate(ctx, func(m storage.Migration) {
		fmt.Fprintf(out, "%d: %s: done (%s)\n", m.Number, m.Summary, time.Since(begin).Round(time.Millisecond))
		begin = time.Now()
	})
	if err != nil {
		return err
	}
	if pending, err = migrator.Pending(ctx); err != nil || len(pending) == 0 {
		return err
	}
	fmt.Fprintln(out, "The database has refused what only makes some queries faster, see the log; run this again as a user who may do it:")
	for _, m := range pending {
		fmt.Fprintf(out, "%d: %s\n", m.Number, m.Summary)
	}
	return nil
}
