package plugintool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"clusterpedia.io/clusterpedia/internal/storageplugin"
	"clusterpedia.io/clusterpedia/internal/storageplugin/preflight"
)

// The output formats.
const (
	formatText = "text"
	formatJSON = "json"
)

func newVerify() *cobra.Command {
	var hosts []string
	var output string
	var probe bool
	cmd := &cobra.Command{
		Use:   "verify [--host BINARY...] FILE_OR_DIRECTORY...",
		Short: "Tell whether servers can open plugins, without running either",
		Long: `Tell whether servers can open plugins, without running either.

Of a directory, the files are checked that a server would open: of those for other
versions and architectures, standard error tells. They are checked as if each server
opened them in this order: Go's version,
build settings, C library, processor, and the fingerprint of every package that a
plugin shares with the server and with the plugins before it. The exit code is 0 if
every server can open every plugin, else 1.`,
		Example: "  clusterpedia plugin verify --host bin/apiserver bin/plugins\n  clusterpedia plugin verify --host apiserver --probe -o json redis-storage.so",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != formatText && output != formatJSON {
				return fmt.Errorf("-o must be %s or %s, not %q", formatText, formatJSON, output)
			}
			hosts, err := hostsOr(hosts)
			if err != nil {
				return err
			}
			var reports []*preflight.Report
			for _, host := range hosts {
				found, err := verify(cmd.Context(), cmd.ErrOrStderr(), host, args, probe)
				if err != nil {
					return err
				}
				reports = append(reports, found...)
			}
			return write(cmd.OutOrStdout(), output, reports)
		},
	}
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "the `binary` of a server; several are checked one by one. Default: the servers beside this program")
	cmd.Flags().StringVarP(&output, "output", "o", formatText, "the `format` of the result: text or json")
	cmd.Flags().BoolVar(&probe, "probe", false, "also let each server really open the plugins that fit it, in a process of its own")
	return cmd
}

// verify reports on each file that one host opens of those given, and tells log of
// plugins for other hosts.
func verify(ctx context.Context, log io.Writer, path string, given []string, probed bool) ([]*preflight.Report, error) {
	host, err := preflight.Read(path)
	if err != nil {
		return nil, fmt.Errorf("--host: %w", err)
	}
	files, ignored, err := choose(host, given)
	if err != nil {
		return nil, err
	}
	for _, i := range ignored {
		if i.Misfit {
			fmt.Fprintf(log, "%s ignores %s: %s\n", path, i.Path, i.Why)
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s would open none of the plugins in %s", path, strings.Join(given, ", "))
	}
	if cannot := host.CanOpenPlugins(); cannot != nil {
		reports := make([]*preflight.Report, 0, len(files))
		for _, file := range files {
			reports = append(reports, hostReport(path, file, cannot))
		}
		return reports, nil
	}
	reports := preflight.Verify(host, machineOf(host), files)
	if probed {
		probe(ctx, path, reports)
	}
	return reports, nil
}

// hostReport is the report about a host that can open no plugin.
func hostReport(host, file string, cannot error) *preflight.Report {
	row := preflight.Row{Kind: preflight.KindHost, What: "can open plugins", Host: "no", Plugin: "-", Verdict: preflight.Mismatch, Why: cannot.Error()}
	if e, ok := errors.AsType[*preflight.HostError](cannot); ok {
		row.Why, row.Cure = "the host "+e.Problem, e.Cure
	}
	return &preflight.Report{Host: host, Plugin: file, Rows: []preflight.Row{row}}
}

// probeLimit bounds the time that a server takes to open plugins.
const probeLimit = time.Minute

// probe lets the host open each plugin that fits, after the fitting ones before it.
// A server opens its plugins before it does anything else, also if it is only asked
// for its version.
func probe(ctx context.Context, host string, reports []*preflight.Report) {
	var opened []string
	for _, r := range reports {
		if !r.Loadable {
			continue
		}
		row := preflight.Row{Kind: preflight.KindProbe, What: "opened by the host", Host: "-", Plugin: "yes", Verdict: preflight.OK}
		if err := openIn(ctx, host, append(opened, r.Plugin)); err != nil {
			row.Plugin, row.Verdict, row.Why = "no", preflight.Mismatch, "the host does not open it: "+err.Error()
			row.Cure = "do what the host says; to build the plugin again from the same sources does not help"
			r.Loadable = false
		} else {
			opened = append(opened, r.Plugin)
		}
		r.Rows = append(r.Rows, row)
	}
}

// openIn runs a host that opens plugins, and nothing else.
func openIn(ctx context.Context, host string, plugins []string) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	list := make([]string, len(plugins))
	for i, p := range plugins {
		absolute, err := filepath.Abs(p)
		if err != nil {
			return err
		}
		list[i] = absolute
	}
	program, err := filepath.Abs(host)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, "--version")
	cmd.Env = append(os.Environ(), storageplugin.EnvVar+"="+strings.Join(list, string(filepath.ListSeparator)))
	output, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	text := strings.TrimSpace(string(output))
	if first, _, more := strings.Cut(text, "\n"); more {
		text = first // of a crash: what follows are stacks
	}
	return fmt.Errorf("%w: %s", err, text)
}

// write writes reports and returns ErrMisfit if a plugin does not fit.
func write(w io.Writer, format string, reports []*preflight.Report) error {
	misfit := false
	for _, r := range reports {
		misfit = misfit || !r.Loadable
	}
	if format == formatJSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(reports); err != nil {
			return err
		}
	} else {
		for i, r := range reports {
			if i > 0 {
				fmt.Fprintln(w)
			}
			if err := r.Write(w, true); err != nil {
				return err
			}
		}
	}
	if misfit {
		return ErrMisfit
	}
	return nil
}
