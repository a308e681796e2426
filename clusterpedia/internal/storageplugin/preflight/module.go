package preflight

import (
	"runtime/debug"
	"strings"
)

// stdModule stands for the standard library, which belongs to no module.
const stdModule = "std"

// module is one version of a module.
type module struct {
	version string // with the replacement, if there is one
	sum     string // of the sources that were compiled; empty for local ones
}

// modules returns the modules that a binary was built from, by path. The
// standard library's version is that of Go.
func modules(info *debug.BuildInfo) map[string]module {
	out := map[string]module{stdModule: {version: info.GoVersion}}
	add := func(m *debug.Module) {
		v := module{version: m.Version, sum: m.Sum}
		if m.Replace != nil {
			v.version = strings.TrimSpace(m.Version + " => " + m.Replace.Path + " " + m.Replace.Version)
			v.sum = m.Replace.Sum
		}
		out[m.Path] = v
	}
	if info.Main.Path != "" {
		add(&info.Main)
	}
	for _, m := range info.Deps {
		add(m)
	}
	return out
}

// moduleOf returns the path of the module that a package belongs to; the path of
// the package itself if the build information does not tell.
func moduleOf(pkg string, known ...map[string]module) string {
	for path := pkg; ; {
		for _, m := range known {
			if _, ok := m[path]; ok {
				return path
			}
		}
		i := strings.LastIndexByte(path, '/')
		if i < 0 && strings.Contains(path, ".") {
			return pkg // as of a domain name
		}
		if i < 0 {
			return stdModule
		}
		path = path[:i]
	}
}

// local reports whether a module was compiled from a directory, so that its
// version does not tell its sources.
func (m module) local() bool {
	return m.version == "" || m.version == "(devel)" || strings.Contains(m.version, "=>")
}
