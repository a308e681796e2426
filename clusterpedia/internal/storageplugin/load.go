package storageplugin

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"plugin"
	"runtime"
	"runtime/debug"
	"strings"

	"clusterpedia.io/storage-api/storage"

	"clusterpedia.io/clusterpedia/internal/storageplugin/preflight"
)

// Options say which plugins to load into which process.
type Options struct {
	// Plugins is the value of EnvVar. Empty means the first that exists of
	// /usr/local/lib/clusterpedia/plugins and plugins/ beside the executable, and
	// no plugins if neither does.
	Plugins string
	// HostVersion is the version of this program, such as "v1.2.3". It selects
	// among files that are named after versions.
	HostVersion string
	// Executable is the file of this program; empty means to ask the system.
	Executable string
	// Log is told which files are passed over, and, at debug level, which are
	// opened; nil means slog.Default().
	Log *slog.Logger
}

// VerifyError says that some of the chosen plugins do not fit this program. None
// of them was opened.
type VerifyError struct {
	// Reports are about those that do not fit.
	Reports []*preflight.Report
	// Chosen is the number of plugins that were verified.
	Chosen int
}

// Error implements error. It is a line, and a table for each plugin.
func (e *VerifyError) Error() string {
	text := fmt.Sprintf("%d of %d storage plugins cannot be opened, so none is:", len(e.Reports), e.Chosen)
	if e.Chosen == 1 {
		text = "the storage plugin cannot be opened:"
	}
	for _, report := range e.Reports {
		text += "\n\n" + strings.TrimRight(report.String(), "\n")
	}
	return text
}

// Load chooses plugins, verifies all of them, and opens them in their order. It
// must be called once, before anything else in main. After an error, which is a
// *VerifyError, a *preflight.HostError or one that stands for itself, the process
// must end.
func Load(o Options) (*Registry, error) {
	log := o.Log
	if log == nil {
		log = slog.Default()
	}
	executable, image, err := o.executable()
	if err != nil {
		return nil, err
	}
	c := &chooser{
		version: o.HostVersion, arch: runtime.GOARCH,
		defaults: []string{systemDir, filepath.Join(filepath.Dir(executable), besideDir)},
	}
	if err := c.choose(o.Plugins); err != nil {
		return nil, err
	}
	for _, ignored := range c.ignored {
		tell := log.Info
		if ignored.Misfit {
			tell = log.Warn
		}
		tell("A file among the storage plugins is not opened", "path", ignored.Path, "reason", ignored.Why)
	}

	registry := &Registry{log: log, ignored: c.ignored}
	known := storage.Registered()
	if err := registry.add("", known); err != nil {
		return nil, err
	}
	if len(c.files) == 0 {
		return registry, nil
	}
	reports, err := verify(image, executable, c.files)
	if err != nil {
		return nil, err
	}
	// To verify files takes more memory than anything that follows.
	debug.FreeOSMemory()
	for i, file := range c.files {
		log.Debug("Opening a storage plugin", "path", file)
		if err := open(file); err != nil {
			for _, row := range reports[i].Rows {
				if row.Verdict == preflight.Warning {
					err = fmt.Errorf("%w; %s: %s", err, row.Why, row.Cure)
				}
			}
			return nil, err
		}
		all := storage.Registered()
		if len(all) == len(known) {
			return nil, fmt.Errorf("storage plugin %s registers nothing; call storage.Register in an init function of its main package", file)
		}
		if err := registry.add(file, all[len(known):]); err != nil {
			return nil, err
		}
		known = all
	}
	return registry, nil
}

// executable returns the path of this program, and the file to read it from: the
// path may lead to another file since the program was started.
func (o *Options) executable() (path, image string, err error) {
	if o.Executable != "" {
		return o.Executable, o.Executable, nil
	}
	if path, err = os.Executable(); err != nil {
		return "", "", fmt.Errorf("cannot find the path of this program: %w", err)
	}
	if runtime.GOOS == "linux" {
		return path, "/proc/self/exe", nil
	}
	return path, path, nil
}

// verify checks that all files can be opened, one after the other, and returns the
// reports about them.
func verify(image, executable string, files []string) ([]*preflight.Report, error) {
	host, err := preflight.Read(image)
	if err != nil {
		return nil, fmt.Errorf("cannot verify storage plugins, which needs Linux: this program: %w", err)
	}
	host.Path = executable
	if err := host.CanOpenPlugins(); err != nil {
		return nil, err
	}
	verr := &VerifyError{Chosen: len(files)}
	reports := preflight.Verify(host, preflight.ThisMachine(), files)
	for _, report := range reports {
		if !report.Loadable {
			verr.Reports = append(verr.Reports, report)
		}
	}
	if len(verr.Reports) > 0 {
		return nil, verr
	}
	return reports, nil
}

// open opens one plugin, which runs the init functions of its packages.
func open(file string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("storage plugin %s panics in an init function: %v (%s)", file, p, panicOrigin())
		}
	}()
	if _, err := plugin.Open(file); err != nil {
		// Go's message repeats the path, without its extension.
		text := strings.TrimPrefix(err.Error(), fmt.Sprintf("plugin.Open(%q): ", strings.TrimSuffix(file, extension)))
		text = strings.TrimPrefix(text, fmt.Sprintf("plugin.Open(%q): ", file))
		return fmt.Errorf("storage plugin %s cannot be opened, although it was verified: %w", file, errors.New(text))
	}
	return nil
}

// panicOrigin returns where the panic began that is being recovered.
func panicOrigin() string {
	callers := make([]uintptr, 32)
	frames := runtime.CallersFrames(callers[:runtime.Callers(0, callers)])
	for panicking := false; ; {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			panicking = true
		case panicking && !strings.HasPrefix(frame.Function, "runtime."):
			return fmt.Sprintf("%s:%d", frame.File, frame.Line)
		}
		if !more {
			return "at an unknown place"
		}
	}
}
