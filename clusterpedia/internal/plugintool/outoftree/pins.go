package outoftree

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	storageapi "clusterpedia.io/storage-api"
)

// maxRounds bounds how often the versions of the plugin's modules are looked at:
// each round pins what the one before has brought to light.
const maxRounds = 30

// pinsModule is a module of the workspace that requires the host's versions. A
// requirement alone can only raise a version, so it excludes what is higher.
const pinsModule = "pins.invalid"

// pin makes the versions of all modules whose packages the plugin shares with the
// host those of the host.
func (b *build) pin(ctx context.Context) error {
	for range maxRounds {
		if err := b.writeWorkspace(); err != nil {
			return err
		}
		shared, err := b.sharedModules(ctx)
		if err != nil {
			return err
		}
		changed := false
		for _, module := range slices.Sorted(maps.Keys(shared)) {
			got, host := shared[module], b.hostModule(module)
			if host == nil {
				continue
			}
			want, err := sourceOf(host)
			if err != nil {
				return err
			}
			if got == want || b.pins[module] == host.Version && got.version == host.Version {
				continue // the latter is refused by the verification, if it matters
			}
			b.say("%s: the plugin would have %s, the host has %s", module, got, want)
			b.pins[module] = host.Version
			if want.replaced == "" && got.replaced != "" {
				b.restored[module] = true
			}
			if got.version != host.Version {
				b.excluded[module] = append(b.excluded[module], got.version)
			}
			changed = true
		}
		if !changed {
			return nil
		}
	}
	return fmt.Errorf("the versions of the plugin's modules do not settle on the host's after %d rounds", maxRounds)
}

// devel is the version of a module that is a directory, see debug.Module.
const devel = "(devel)"

// source is what a module's packages are made from.
type source struct {
	version string
	// replaced is the module and version in its place, parted by a space; empty if none.
	replaced string
}

// String is, for example, "v1.0.0" or "v1.0.0 => example.io/fork v1.0.1".
func (s source) String() string {
	if s.replaced == "" {
		return s.version
	}
	return s.version + " => " + s.replaced
}

// sourceOf returns what the host has of a module, if others can have it too.
func sourceOf(m *debug.Module) (source, error) {
	const cure = "only who has that directory can build the plugin; or let the plugin do without the module"
	if m.Version == devel {
		return source{}, fmt.Errorf("the host was built from a directory of module %s, which the plugin needs too: %s", m.Path, cure)
	}
	if m.Replace != nil && (m.Replace.Version == devel || m.Replace.Version == "") {
		return source{}, fmt.Errorf("the host was built from a directory in place of module %s %s, which the plugin needs too: %s", m.Path, m.Version, cure)
	}
	s := source{version: m.Version}
	if m.Replace != nil {
		s.replaced = m.Replace.Path + " " + m.Replace.Version
	}
	return s, nil
}

// hostModule is a module that the host was built with, unless it is one of the
// workspace's own.
func (b *build) hostModule(path string) *debug.Module {
	if path == storageapi.Path || path == b.module {
		return nil
	}
	for _, m := range b.host.Info.Deps {
		if m.Path == path {
			return m
		}
	}
	return nil
}

// writeWorkspace writes go.work and the module that pins versions.
func (b *build) writeWorkspace() error {
	language := strings.TrimPrefix(b.toolchain(), "go")
	var mod, sum, work strings.Builder
	fmt.Fprintf(&mod, "module %s\n\ngo %s\n", pinsModule, language)
	goMod, err := os.ReadFile(filepath.Join(b.root, "go.mod"))
	if err != nil {
		return err
	}
	work.WriteString(Work(language, goMod, b.root, "./storage-api") + "\nuse ./pins\n")
	for _, module := range slices.Sorted(maps.Keys(b.pins)) {
		fmt.Fprintf(&mod, "\nrequire %s %s\n", module, b.pins[module])
		for _, version := range b.excluded[module] {
			fmt.Fprintf(&mod, "exclude %s %s\n", module, version)
		}
		m := b.hostModule(module)
		if m.Sum != "" {
			fmt.Fprintf(&sum, "%s %s %s\n", m.Path, m.Version, m.Sum)
		}
		if b.restored[module] {
			fmt.Fprintf(&work, "\nreplace %s %s => %s %s\n", m.Path, m.Version, m.Path, m.Version)
		}
		if m.Replace != nil {
			fmt.Fprintf(&work, "\nreplace %s %s => %s %s\n", m.Path, m.Version, m.Replace.Path, m.Replace.Version)
			fmt.Fprintf(&sum, "%s %s %s\n", m.Replace.Path, m.Replace.Version, m.Replace.Sum)
		}
	}
	pins := filepath.Join(b.scratch, "pins")
	if err := os.MkdirAll(pins, 0o755); err != nil {
		return err
	}
	for file, text := range map[string]string{
		filepath.Join(pins, "go.mod"): mod.String(), filepath.Join(pins, "go.sum"): sum.String(), filepath.Join(b.scratch, "go.work"): work.String(),
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// sharedModules returns the modules, with the versions that the workspace selects,
// of the plugin's packages that the host has too.
func (b *build) sharedModules(ctx context.Context) (map[string]source, error) {
	out, err := b.goCommand(ctx, "list", "-deps", "-f", "{{with .Module}}{{$.ImportPath}} {{.Path}} {{.Version}}{{with .Replace}} {{.Path}} {{.Version}}{{end}}{{end}}", ".")
	if err != nil {
		return nil, err
	}
	shared := map[string]source{}
	for line := range strings.Lines(out) {
		fields := strings.SplitN(strings.TrimSpace(line), " ", 4)
		if len(fields) < 3 {
			continue // of the standard library, or of the workspace
		}
		if _, ok := b.host.Packages[fields[0]]; !ok {
			continue
		}
		s := source{version: fields[2]}
		if len(fields) == 4 && fields[3] != fields[1]+" "+fields[2] {
			s.replaced = fields[3]
		}
		shared[fields[1]] = s
	}
	return shared, nil
}

// toolchain is the release of Go that the host was built with, such as go1.26.8.
func (b *build) toolchain() string {
	version, _, _ := strings.Cut(b.host.Info.GoVersion, " ")
	version, _, _ = strings.Cut(version, "-X:")
	return version
}
