package preflight

import (
	"debug/elf"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// HostError says that a binary can open no plugin at all.
type HostError struct {
	Path string
	// Problem says why, to be read after the path.
	Problem string
	// Cure says how to build the binary.
	Cure string
}

// Error implements error. It is one line.
func (e *HostError) Error() string {
	return fmt.Sprintf("%s %s and so cannot open plugins: %s", e.Path, e.Problem, e.Cure)
}

// CanOpenPlugins returns a *HostError if the binary can open no plugin.
func (im *Image) CanOpenPlugins() error {
	switch {
	case len(im.Packages) > 0 && im.Interpreter != "":
		return nil
	case im.Setting("CGO_ENABLED") == "0":
		return &HostError{im.Path, "was built without cgo", "build it with CGO_ENABLED=1 and a C compiler"}
	case im.Interpreter == "":
		// The first plugin.Open of a static executable ends the process.
		return &HostError{im.Path, "is linked statically", "build it without -static in -extldflags"}
	default:
		return &HostError{im.Path, "does not import package plugin with cgo", "build it with CGO_ENABLED=1 from sources that open plugins"}
	}
}

// Verify reads the files and checks each as the plugin that is opened after those
// before it. It returns one report for each file, in their order; a file that
// cannot be read gets a report too.
func Verify(host *Image, machine Machine, files []string) []*Report {
	var reports []*Report
	var fitting []*Image
	for _, file := range files {
		plugin, err := Read(file)
		if err != nil {
			reports = append(reports, unreadable(host, file, err))
			continue
		}
		report := Check(host, machine, plugin, fitting...)
		if report.Loadable {
			fitting = append(fitting, plugin)
		}
		reports = append(reports, report)
	}
	return reports
}

// unreadable is the report about a file that Read refused.
func unreadable(host *Image, file string, err error) *Report {
	row := Row{Kind: KindFile, What: "content", Host: "-", Plugin: "not readable", Verdict: Mismatch, Why: err.Error()}
	if ferr, ok := errors.AsType[*FileError](err); ok {
		row.Plugin, row.Cure = ferr.Found, ferr.Cure
		row.Why = "it is " + ferr.Found
		if ferr.Err != nil {
			row.Why += ": " + ferr.Err.Error()
		}
	}
	return &Report{Host: host.Path, Plugin: file, Rows: []Row{row}}
}

// Check says whether the host can open the plugin after the earlier ones, each
// of which must fit. The host must be one that can open plugins.
func Check(host *Image, machine Machine, plugin *Image, earlier ...*Image) *Report {
	c := &check{
		host: host, plugin: plugin, earlier: earlier, machine: machine,
		hostModules: modules(host.Info), pluginModules: modules(plugin.Info),
		report: &Report{Host: host.Path, Plugin: plugin.Path, Main: plugin.Info.Path},
	}
	// What is no plugin for this machine has nothing else worth comparing.
	if c.file() {
		c.libraries()
		c.processor()
		c.toolchain()
		c.packages()
		c.conflicts()
		c.skew()
	}
	c.report.Loadable = !slices.ContainsFunc(c.report.Rows, func(r Row) bool { return r.Verdict == Mismatch })
	slices.SortStableFunc(c.report.Rows, func(a, b Row) int { return rank(a) - rank(b) })
	return c.report
}

// rank orders rows: what refuses the plugin or explains it, what warns, what
// agrees.
func rank(r Row) int {
	switch r.Verdict {
	case Cause, Mismatch:
		return 0
	case Warning:
		return 1
	default:
		return 2
	}
}

// check is a report in the making.
type check struct {
	host, plugin               *Image
	earlier                    []*Image
	machine                    Machine
	hostModules, pluginModules map[string]module
	report                     *Report
	// explained is true once a row explains why packages differ. Cure is what mends the
	// first of these rows that no command mends.
	explained bool
	cure      string
}

func (c *check) add(r Row) {
	r.Host, r.Plugin = orDash(r.Host), orDash(r.Plugin)
	c.report.Rows = append(c.report.Rows, r)
}

// explain adds a row that explains differing packages.
func (c *check) explain(r Row) {
	c.explained = true
	if r.Command == "" && c.cure == "" {
		c.cure = r.Cure
	}
	c.add(r)
}

// follow adds a row that follows from those which explain it.
func (c *check) follow(r Row) {
	if r.Cure = c.cure; r.Cure == "" {
		r.Command = c.rebuild()
	}
	c.add(r)
}

// file checks that the file is a plugin for the host's machine, and reports
// whether it is.
func (c *check) file() bool {
	fits := true
	if h, p := describeMachine(c.host), describeMachine(c.plugin); h == p {
		c.add(Row{Kind: KindFile, What: "machine", Host: h, Plugin: p, Verdict: OK})
	} else {
		fits = false
		c.add(Row{
			Kind: KindFile, What: "machine", Host: h, Plugin: p, Verdict: Mismatch,
			Why:  fmt.Sprintf("it was built for %s, the host for %s", p, h),
			Cure: fmt.Sprintf("build the plugin with GOOS=%s GOARCH=%s", c.host.Setting("GOOS"), c.host.Setting("GOARCH")), Command: c.rebuild(),
		})
	}
	const what = "-buildmode"
	mode := c.plugin.Setting(what)
	if mode == "plugin" && c.plugin.Type == elf.ET_DYN && c.plugin.Interpreter == "" {
		c.add(Row{Kind: KindFile, What: what, Host: c.host.Setting(what), Plugin: mode, Verdict: OK})
		return fits
	}
	kind := "a Go binary of an unknown build mode"
	switch {
	case c.plugin.Interpreter != "" || c.plugin.Type == elf.ET_EXEC:
		kind = "an executable"
	case mode != "":
		kind = "a Go library of build mode " + mode
	}
	c.add(Row{
		Kind: KindFile, What: what, Host: "-", Plugin: mode, Verdict: Mismatch,
		Why:  "it is " + kind + ", no plugin",
		Cure: "build it with go build -buildmode=plugin, or remove the file", Command: c.rebuild(),
	})
	return false
}

// describeMachine names the machine that a binary was built for.
func describeMachine(im *Image) string {
	name := strings.TrimPrefix(im.Machine.String(), "EM_")
	if im.Data == elf.ELFDATA2MSB {
		name += " big-endian"
	}
	return name
}

// libraries compares what the dynamic linker will look for.
func (c *check) libraries() {
	h, p := c.host.libc(), c.plugin.libc()
	row := Row{Kind: KindLibrary, What: "C library", Host: h, Plugin: p, Verdict: OK}
	if h != p && p != "" {
		row.Verdict = Mismatch
		row.Why = fmt.Sprintf("it was built for the C library %s, the host for %s", p, orDash(h))
		row.Cure = fmt.Sprintf("build the plugin with a C compiler (CC) for %s", orDash(h))
	}
	c.add(row)
	c.glibcVersion()
	for _, library := range c.plugin.Needed {
		if ofToolchain(library) || slices.Contains(c.host.Needed, library) {
			continue
		}
		c.add(Row{
			Kind: KindLibrary, What: library, Plugin: "needed", Verdict: Warning,
			Why:  "it needs the shared library " + library,
			Cure: "make sure that the machine has " + library,
		})
	}
}

// glibcVersion checks that the GNU C library is new enough for the plugin.
func (c *check) glibcVersion() {
	p := c.plugin.GLIBC
	row := Row{Kind: KindLibrary, What: "glibc version", Plugin: p}
	switch {
	case c.machine.GLIBC != "" && lessGLIBC(c.machine.GLIBC, p):
		row.Host, row.Verdict = "the machine has "+c.machine.GLIBC, Mismatch
		row.Why = fmt.Sprintf("it needs glibc %s, this machine has %s", p, c.machine.GLIBC)
		row.Cure = fmt.Sprintf("build the plugin on a system with glibc %s or older, or run the host on one with %s or newer", c.machine.GLIBC, p)
	case c.machine.GLIBC == "" && c.host.libc() == glibc && lessGLIBC(c.host.GLIBC, p):
		row.Host, row.Verdict = c.host.GLIBC, Warning
		row.Why = fmt.Sprintf("it needs glibc %s, the host only %s", p, c.host.GLIBC)
		row.Cure = fmt.Sprintf("run the host on a system with glibc %s or newer, or build the plugin on an older one", p)
	default:
		return
	}
	c.add(row)
}

// ofToolchain reports whether a library belongs to the C toolchain, so that any
// machine on which the host runs has it.
func ofToolchain(library string) bool {
	name, _, _ := strings.Cut(library, ".so")
	switch name {
	case "libc", "libpthread", "libdl", "libm", "librt", "libresolv", "libgcc_s":
		return true
	}
	return strings.HasPrefix(name, "ld-") || strings.HasPrefix(name, "ld64") || strings.HasPrefix(name, "libc.musl-")
}

// processor checks the level of the x86-64 architecture. Nothing else does: the
// plugin would be opened, and die of an illegal instruction.
func (c *check) processor() {
	const what = "GOAMD64"
	p, h := amd64Setting(c.plugin), amd64Setting(c.host)
	switch {
	case c.machine.AMD64 > 0 && p > c.machine.AMD64:
		c.add(Row{
			Kind: KindMachine, What: what, Host: fmt.Sprintf("the processor has v%d", c.machine.AMD64), Plugin: fmt.Sprintf("v%d", p),
			Verdict: Mismatch,
			Why:     fmt.Sprintf("it was built with GOAMD64=v%d, this processor reaches v%d", p, c.machine.AMD64),
			Cure:    fmt.Sprintf("build the plugin with GOAMD64=v%d", h), Command: c.rebuild(),
		})
	case c.machine.AMD64 == 0 && p > h:
		c.add(Row{
			Kind: KindMachine, What: what, Host: fmt.Sprintf("v%d", h), Plugin: fmt.Sprintf("v%d", p), Verdict: Warning,
			Why:  fmt.Sprintf("it was built with GOAMD64=v%d, the host with v%d", p, h),
			Cure: fmt.Sprintf("build the plugin with GOAMD64=v%d, or run it only on processors that reach v%d", h, p), Command: c.rebuild(),
		})
	}
}

// amd64Setting returns the level that a binary was compiled for; 0 for other
// architectures.
func amd64Setting(im *Image) int {
	level, err := strconv.Atoi(strings.TrimPrefix(im.Setting("GOAMD64"), "v"))
	if err != nil {
		return 0
	}
	return level
}

// toolchain compares the versions of Go.
func (c *check) toolchain() {
	h, p := c.host.Info.GoVersion, c.plugin.Info.GoVersion
	row := Row{Kind: KindToolchain, What: "Go version", Host: h, Plugin: p, Verdict: OK}
	if h == p {
		c.add(row)
		return
	}
	row.Verdict, row.Command = Mismatch, c.rebuild()
	row.Why = fmt.Sprintf("it was built with %s, the host with %s", p, h)
	// Experiments are part of the version; a row of their own tells of them.
	if release(h) != release(p) {
		row.Cure = "build the plugin with GOTOOLCHAIN=" + release(h)
	}
	c.explain(row)
}

// release returns a Go version without the experiments that follow it.
func release(version string) string {
	version, _, _ = strings.Cut(version, " ")
	version, _, _ = strings.Cut(version, "-X:")
	return version
}

// rebuild returns the command that builds the plugin anew, for a shell in another
// directory than this.
func (c *check) rebuild() string {
	host := c.host.Path
	if absolute, err := filepath.Abs(host); err == nil {
		host = absolute
	}
	c.report.Rebuild = fmt.Sprintf("clusterpedia plugin build --host %s .", quote(host))
	return c.report.Rebuild
}

// quote returns a path as a shell reads it.
func quote(path string) string {
	if !strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || strings.ContainsRune("\"'`$\\&|;<>()*?[]{}~#!", r) }) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// conflicts compares the plugin with those that are opened before it: packages
// that the host does not have, and the name of the plugin itself.
func (c *check) conflicts() {
	path := c.plugin.pluginPath()
	if path == "" {
		c.add(Row{
			Kind: KindPlugin, What: "-pluginpath", Plugin: "set", Verdict: Mismatch,
			Why:  "it was linked with another -pluginpath than the import path of its main package",
			Cure: "build the plugin without -pluginpath in -ldflags", Command: c.rebuild(),
		})
	}
	compared := maps.Clone(c.host.Packages)
	for _, e := range c.earlier {
		name := filepath.Base(e.Path)
		if path != "" && path == e.pluginPath() {
			c.add(Row{
				Kind: KindPlugin, What: "main package", Host: "taken by " + name, Plugin: path, Verdict: Mismatch,
				Why:  fmt.Sprintf("plugin %s is already loaded, from %s", path, e.Path),
				Cure: fmt.Sprintf("remove one of %s and %s, or, if they are different plugins, give one another module path in its go.mod", e.Path, c.plugin.Path),
			})
			continue // a copy differs in nothing, another build only in what follows
		}
		theirs := modules(e.Info)
		differing := c.differing(e.Packages, compared, theirs)
		for _, mod := range slices.Sorted(maps.Keys(differing)) {
			h, p := theirs[mod].version, c.pluginModules[mod].version
			c.add(Row{
				Kind: KindPackage, What: mod, Packages: differing[mod],
				Host: strings.TrimSpace(name + " " + h), Plugin: p, Verdict: Mismatch,
				Why:  fmt.Sprintf("it and %s, which is opened before it, were built with different sources of %s", e.Path, mod),
				Cure: fmt.Sprintf("build %s and %s with the same version of %s", e.Path, c.plugin.Path, mod),
			})
		}
		for pkg, fingerprint := range e.Packages {
			if _, ok := compared[pkg]; !ok {
				compared[pkg] = fingerprint
			}
		}
	}
}

// differing returns the plugin's packages, except those in skip, whose
// fingerprints differ from the others', by module and sorted. It counts what it
// compares.
func (c *check) differing(others, skip map[string]string, theirs map[string]module) map[string][]string {
	out := map[string][]string{}
	for pkg, fingerprint := range c.plugin.Packages {
		other, ok := others[pkg]
		if _, done := skip[pkg]; done || !ok {
			continue
		}
		c.report.Shared++
		if other != fingerprint {
			c.report.Differing++
			mod := moduleOf(pkg, c.pluginModules, theirs)
			out[mod] = append(out[mod], pkg)
		}
	}
	for _, packages := range out {
		slices.Sort(packages)
	}
	return out
}

// skew warns of modules whose sources are known to differ although none of the
// exported declarations do.
func (c *check) skew() {
	warned := map[string]bool{}
	for _, pkg := range slices.Sorted(maps.Keys(c.plugin.Packages)) {
		if c.host.Packages[pkg] != c.plugin.Packages[pkg] {
			continue
		}
		mod := moduleOf(pkg, c.pluginModules)
		h, p := c.hostModules[mod], c.pluginModules[mod]
		if warned[mod] || h.sum == "" || p.sum == "" || h.sum == p.sum {
			continue
		}
		warned[mod] = true
		c.add(Row{
			Kind: KindPackage, What: mod, Host: h.version + " " + h.sum, Plugin: p.version + " " + p.sum, Verdict: Warning,
			Why:  "it was built with other sources of " + mod + " than the host, though with the same declarations",
			Cure: fmt.Sprintf("build the plugin with %s %s", mod, h.version), Command: c.rebuild(),
		})
	}
}
