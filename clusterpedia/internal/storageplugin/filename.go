package storageplugin

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// extension is what the names of plugin files end in.
const extension = ".so"

// fileName is the name of a plugin file, taken apart:
//
//	name.so
//	name_vX.Y.Z.so
//	name_vX.Y.Z_linux_ARCH.so
//	name_linux_ARCH.so
//
// The parts are separated by underscores, which neither names nor semantic
// versions contain; both contain hyphens and dots.
type fileName struct {
	name    string
	version string // of the host it is for, with the "v"; empty for any
	arch    string // as GOARCH; empty for any
}

var (
	namePattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)
	archPattern = regexp.MustCompile(`^[a-z0-9]+$`)
	// versionPattern is that of semver.org, with a "v" in front.
	versionPattern = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
		`(-((0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?` +
		`(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)
)

// FileName returns the name of the file of a plugin that is for hosts of one
// version, such as "v1.2.3", and architecture, as GOARCH. A version that is no
// semantic one is left out, for no host would look for it.
func FileName(name, version, arch string) (string, error) {
	f := fileName{name: name, arch: arch}
	if versionPattern.MatchString(version) {
		f.version = version
	}
	if !namePattern.MatchString(name) {
		return "", fmt.Errorf("%q is no name of a plugin: it has letters, digits, hyphens and dots", name)
	}
	return f.String(), nil
}

// PluginName returns the name of the plugin in a file, without version and
// architecture; the whole base name if it is not named by the rules.
func PluginName(path string) string {
	base := filepath.Base(path)
	f, err := parseFileName(base)
	if err != nil {
		return base
	}
	return f.name
}

// parseFileName takes the base name of a plugin file apart.
func parseFileName(base string) (fileName, error) {
	stem, ok := strings.CutSuffix(base, extension)
	parts := strings.Split(stem, "_")
	f := fileName{name: parts[0]}
	rest := parts[1:]
	if len(rest) > 0 && versionPattern.MatchString(rest[0]) {
		f.version, rest = rest[0], rest[1:]
	}
	if len(rest) == 2 && rest[0] == "linux" && archPattern.MatchString(rest[1]) {
		f.arch, rest = rest[1], nil
	}
	if !ok || len(rest) > 0 || !namePattern.MatchString(f.name) {
		return fileName{}, fmt.Errorf("%q is no name of a plugin: rename the file to name.so, name_vX.Y.Z.so or name_vX.Y.Z_linux_ARCH.so, "+
			"where the name has letters, digits, hyphens and dots", base)
	}
	return f, nil
}

// String returns the name of the file.
func (f fileName) String() string {
	text := f.name
	if f.version != "" {
		text += "_" + f.version
	}
	if f.arch != "" {
		text += "_linux_" + f.arch
	}
	return text + extension
}

// unfit says why a host of that version and architecture passes over the file;
// empty if it does not.
func (f fileName) unfit(version, arch string) string {
	switch {
	case f.version != "" && f.version != version:
		return fmt.Sprintf("it is for version %s, this is %s", f.version, version)
	case f.arch != "" && f.arch != arch:
		return fmt.Sprintf("it is for linux/%s, this is linux/%s", f.arch, arch)
	}
	return ""
}

// preference orders files of one name that all fit: the version says more than
// the architecture.
func (f fileName) preference() int {
	preference := 0
	if f.version != "" {
		preference += 2
	}
	if f.arch != "" {
		preference++
	}
	return preference
}
