package preflight

import (
	"bytes"
	"debug/elf"
	"fmt"
	"strings"
)

const (
	// hostVersion is the variable in which the linker put a host's version.
	hostVersion = "clusterpedia.io/clusterpedia/internal/process.gitVersion"
	// pluginVersion is that variable in a plugin's main package.
	pluginVersion = "version"
	// stampSuffix ends the name of the symbol that holds the text which -ldflags=-X
	// gave a variable. It is kept in stripped files, as fingerprints are.
	stampSuffix = ".str"
	// maxStamp bounds a stamped text, in bytes.
	maxStamp = 256
)

// stamped reports whether the symbol whose name begins a table of names holds a
// stamped version.
func stamped(names []byte) bool {
	end := bytes.IndexByte(names[:min(len(names), maxName)], 0)
	if end < 0 {
		return false
	}
	variable, ok := bytes.CutSuffix(names[:end], []byte(stampSuffix))
	return ok && (string(variable) == hostVersion || bytes.HasSuffix(variable, []byte("."+pluginVersion)))
}

// readStamp keeps the text of the symbol of a stamped version.
func (im *Image) readStamp(f *elf.File, name string, section elf.SectionIndex, address, size uint64) error {
	variable := strings.TrimSuffix(name, stampSuffix)
	text, err := dataAt(f, section, address, size)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	im.stamps[variable] = strings.TrimRight(string(text), "\x00")
	return nil
}

// Version returns the version that a host or plugin was stamped with; empty if it
// was not.
func (im *Image) Version() string {
	if v, ok := im.stamps[hostVersion]; ok && im.Interpreter != "" {
		return v
	}
	return im.stamps[symbolPath(im.pluginPath())+"."+pluginVersion]
}

// symbolPath returns an import path as it stands in the names of symbols: dots
// behind the last slash are escaped.
func symbolPath(path string) string {
	slash := strings.LastIndexByte(path, '/') + 1
	return path[:slash] + strings.ReplaceAll(path[slash:], ".", "%2e")
}

// Contract returns the fingerprint of the storage API's digest that a binary was
// built with; empty if it uses none.
func (im *Image) Contract() string { return im.Packages[contractDigest] }
