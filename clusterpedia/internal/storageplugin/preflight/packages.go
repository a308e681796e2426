package preflight

import (
	"fmt"
	"maps"
	"slices"
)

// The storage API, through which alone host and plugins talk, and its package
// that changes with every change of its sources.
const (
	contractModule = "clusterpedia.io/storage-api"
	contractDigest = contractModule + "/digest"
)

// The build settings that change what packages compile to. Others, such as
// -ldflags and GOAMD64, do not keep a plugin from being opened.
var (
	compilerSettings = []string{
		"-compiler", "-trimpath", "-race", "-msan", "-asan", "-cover", "-pgo", "-gcflags", "-asmflags", "GOEXPERIMENT", "GOFIPS140",
	}
	// Tags choose files. They often differ without a consequence, and the storage
	// API has no file that depends on any.
	sourceSettings = []string{"-tags"}
	// The tool builds plugins without these, also for a host that has them.
	uncarriedSettings = []string{"-compiler", "-cover", "-pgo"}
)

// packages compares the fingerprints of what the plugin shares with the host,
// and explains the differences.
func (c *check) packages() {
	differing := c.differing(c.host.Packages, nil, c.hostModules)
	if len(differing) == 0 {
		c.add(Row{
			Kind: KindPackage, What: "shared packages", Verdict: OK,
			Host:   fmt.Sprintf("%d of %d", c.report.Shared, len(c.host.Packages)),
			Plugin: fmt.Sprintf("%d of %d", c.report.Shared, len(c.plugin.Packages)),
		})
		return
	}
	c.settings(compilerSettings)
	if _, std := differing[stdModule]; !std && !c.explained {
		// The same compiler with the same flags: it is the sources that differ.
		if packages, ok := differing[contractModule]; ok {
			c.contract(packages)
			delete(differing, contractModule)
		}
	}

	if len(differing) > 0 {
		c.settings(sourceSettings)
	}

	// Modules of different versions explain the others, which may import them; so does a
	// standard library that nothing explains.
	order := func(mod string) int {
		switch {
		case mod == stdModule && !c.explained:
			return 0
		case c.hostModules[mod].version != c.pluginModules[mod].version:
			return 1
		default:
			return 2
		}
	}
	mods := slices.Sorted(maps.Keys(differing))
	slices.SortStableFunc(mods, func(a, b string) int { return order(a) - order(b) })
	for _, mod := range mods {
		c.module(mod, differing[mod])
	}
}

// settings adds those of the build settings that differ.
func (c *check) settings(keys []string) {
	for _, key := range keys {
		h, p := c.host.Setting(key), c.plugin.Setting(key)
		if h == p {
			continue
		}
		row := Row{Kind: KindSetting, What: key, Host: h, Plugin: p, Verdict: Cause}
		switch {
		case p == "":
			row.Why = fmt.Sprintf("it was built without %s, the host with it", flag(key, h))
		case h == "":
			row.Why = fmt.Sprintf("it was built with %s, the host without it", flag(key, p))
		default:
			row.Why = fmt.Sprintf("it was built with %s, the host with %s", flag(key, p), flag(key, h))
		}
		row.Cure = "build the plugin with " + flag(key, h)
		if h == "" {
			row.Cure = "build the plugin without " + flag(key, p)
		}
		if h == "" || !slices.Contains(uncarriedSettings, key) {
			row.Command = c.rebuild()
		}
		c.explain(row)
	}
}

// flag returns a build setting as it is written for go build.
func flag(key, value string) string {
	if key[0] == '-' && value == "true" {
		return key
	}
	return key + "=" + value
}

// contract adds what there is to say of a plugin that was built against another
// storage API.
func (c *check) contract(packages []string) {
	telling := packages[0]
	if slices.Contains(packages, contractDigest) {
		telling = contractDigest
	}
	h, p := c.host.Packages[telling], c.plugin.Packages[telling]
	hv, pv := c.hostModules[contractModule].version, c.pluginModules[contractModule].version
	c.add(Row{
		Kind: KindContract, What: contractModule, Host: h + " " + hv, Plugin: p + " " + pv, Verdict: Mismatch, Packages: packages,
		Why:  fmt.Sprintf("it was built against another storage-api source (host's %s %s, plugin's %s %s)", h, hv, p, pv),
		Cure: "build the plugin with the storage-api that the host was built with", Command: c.rebuild(),
	})
}

// module adds the row for the packages of one module that differ.
func (c *check) module(mod string, packages []string) {
	h, p := c.hostModules[mod], c.pluginModules[mod]
	row := Row{Kind: KindPackage, What: mod, Packages: packages, Host: h.version, Plugin: p.version, Verdict: Mismatch}
	switch {
	case mod != stdModule && h.version != p.version:
		row.Why = fmt.Sprintf("it was built with %s %s, the host with %s", mod, p.version, h.version)
		row.Cure = fmt.Sprintf("build the plugin with %s %s", mod, h.version)
		if h.local() {
			row.Cure = fmt.Sprintf("build the plugin from the host's sources of %s", mod)
		}
		row.Command = c.rebuildWith(mod)
		c.explain(row)
	case c.explained:
		row.Why = fmt.Sprintf("its packages of %s were compiled otherwise than the host's", mod)
		c.follow(row)
	case mod == stdModule:
		row.Why = "its standard library was compiled from other sources, or with other flags, than the host's"
		row.Cure = "build host and plugin with the same installation of Go and the same flags"
		c.explain(row)
	default:
		row.Why = fmt.Sprintf("it was built with other sources of %s than the host", mod)
		row.Cure = fmt.Sprintf("build the plugin from the host's sources of %s", mod)
		row.Command = c.rebuildWith(mod)
		c.add(row)
	}
}

// rebuildWith returns the command that builds the plugin with what the host has of a
// module; empty if only the host's builder has that.
func (c *check) rebuildWith(mod string) string {
	if h := c.hostModules[mod]; mod != contractModule && h.sum == "" && h.local() {
		return ""
	}
	return c.rebuild()
}
