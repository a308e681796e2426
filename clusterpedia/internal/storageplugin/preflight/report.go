package preflight

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Report says whether one plugin fits one host, and why not.
type Report struct {
	// Host and Plugin are the files.
	Host   string `json:"host"`
	Plugin string `json:"plugin"`
	// Main is the import path of the plugin's main package; empty if it could not
	// be read.
	Main string `json:"main,omitempty"`
	// Loadable says that the plugin can be opened.
	Loadable bool `json:"loadable"`
	// Shared counts the packages that the plugin has in common with the host and
	// with the plugins before it, Differing those of them that differ.
	Shared    int `json:"shared"`
	Differing int `json:"differing"`
	// Rows are what was compared, the most telling difference first.
	Rows []Row `json:"rows"`
	// Rebuild is the command of the rows that have one; empty if building the plugin
	// again would mend none of them.
	Rebuild string `json:"rebuild,omitempty"`
}

// Row is one thing that was compared.
type Row struct {
	Kind Kind `json:"kind"`
	// What was compared: a build setting, a module, a library.
	What string `json:"what"`
	// Host and Plugin are the values of both sides, "-" where there is none.
	Host    string  `json:"host"`
	Plugin  string  `json:"plugin"`
	Verdict Verdict `json:"verdict"`
	// Packages are the import paths that the row is about.
	Packages []string `json:"packages,omitempty"`
	// Why is the row as half a sentence, whose "it" is the plugin. Empty for what
	// agrees.
	Why string `json:"why,omitempty"`
	// Cure is what mends it, in words. Empty for what agrees, and where Command says all.
	Cure string `json:"cure,omitempty"`
	// Command mends it: it builds the plugin with the host's versions and flags, and is to
	// be run in the directory of the plugin's main package. Empty for what agrees, and for
	// what building it again does not mend.
	Command string `json:"command,omitempty"`
}

// Kind says what sort of thing a row compares.
type Kind string

// The kinds of rows.
const (
	KindFile      Kind = "file"      // the file as such
	KindLibrary   Kind = "library"   // shared libraries, the C library above all
	KindMachine   Kind = "machine"   // the processor
	KindToolchain Kind = "toolchain" // the version of Go
	KindSetting   Kind = "setting"   // a flag or variable of go build
	KindContract  Kind = "contract"  // the storage API
	KindPackage   Kind = "package"   // packages, by module
	KindPlugin    Kind = "plugin"    // another plugin
	KindHost      Kind = "host"      // whether the host opens plugins at all
	KindProbe     Kind = "probe"     // what happened when it was opened
)

// Verdict is what a row means for the plugin.
type Verdict string

// The verdicts.
const (
	OK       Verdict = "ok"
	Warning  Verdict = "warning"  // it can be opened, but somebody should look
	Cause    Verdict = "cause"    // it explains a mismatch
	Mismatch Verdict = "mismatch" // it cannot be opened
)

// Reason returns the most telling row's reason; empty if the plugin fits.
func (r *Report) Reason() string {
	for _, row := range r.Rows {
		if row.Verdict == Cause || row.Verdict == Mismatch {
			return row.Why
		}
	}
	return ""
}

// String returns the report as text, without the rows that agree.
func (r *Report) String() string {
	var text strings.Builder
	_ = r.Write(&text, false) // a Builder returns no error
	return text.String()
}

// Write writes the report as text: one line, a table and what to do. The rows
// that agree are left out unless all is set.
func (r *Report) Write(w io.Writer, all bool) error {
	name := r.Plugin
	if r.Main != "" {
		name += " (" + r.Main + ")"
	}
	line := fmt.Sprintf("%s fits %s: %d shared packages agree", name, r.Host, r.Shared)
	if !r.Loadable {
		line = fmt.Sprintf("%s does not fit %s: %s", name, r.Host, r.Reason())
	}
	if _, err := fmt.Fprintln(w, line); err != nil {
		return err
	}
	if err := r.writeTable(w, all); err != nil {
		return err
	}
	if r.Differing > 0 {
		if _, err := fmt.Fprintf(w, "  %d of %d shared packages differ\n", r.Differing, r.Shared); err != nil {
			return err
		}
	}
	return r.writeCures(w)
}

func (r *Report) writeTable(w io.Writer, all bool) error {
	table := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	header := true
	for _, row := range r.Rows {
		if row.Verdict == OK && !all {
			continue
		}
		if header {
			fmt.Fprint(table, "  KIND\tWHAT\tHOST\tPLUGIN\tVERDICT\n")
			header = false
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\n", row.Kind, row.What+shorten(row.What, row.Packages), row.Host, row.Plugin, row.Verdict)
	}
	return table.Flush() // which returns the errors of the writes as well
}

func (r *Report) writeCures(w io.Writer) error {
	written := map[string]bool{}
	for _, row := range r.Rows {
		if row.Cure == "" || written[row.Cure] {
			continue
		}
		written[row.Cure] = true
		if _, err := fmt.Fprintf(w, "  to mend it: %s\n", row.Cure); err != nil {
			return err
		}
	}
	if r.Rebuild == "" {
		return nil
	}
	_, err := fmt.Fprintf(w, "  or build it with the versions and flags of the host, in the directory of %s: %s\n", r.Main, r.Rebuild)
	return err
}

// shorten lists packages of a module in a cell of a table, the first few by name.
func shorten(module string, packages []string) string {
	const shown = 3
	if len(packages) == 0 {
		return ""
	}
	var names []string
	for _, pkg := range packages[:min(shown, len(packages))] {
		names = append(names, strings.TrimPrefix(pkg, module+"/"))
	}
	if len(packages) > shown {
		names = append(names, fmt.Sprintf("… (%d in all)", len(packages)))
	}
	return ": " + strings.Join(names, ", ")
}

// orDash fills the cell of a value that there is not.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
