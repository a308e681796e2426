package preflight

import (
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// Image is what a Go binary, host or plugin, says of itself.
type Image struct {
	// Path names the file in reports.
	Path string
	// Type tells executables from shared objects, though not reliably: a
	// position-independent executable is a shared object too.
	Type    elf.Type
	Machine elf.Machine
	Data    elf.Data
	// Interpreter is the dynamic linker that an executable asks for. Empty for
	// plugins and for executables that are linked statically.
	Interpreter string
	// Needed are the shared libraries that the binary asks for.
	Needed []string
	// GLIBC is the highest version of the GNU C library that the binary asks for,
	// such as "2.34"; empty if it asks for none.
	GLIBC string
	// Info is what go version -m shows: toolchain, modules, build settings.
	Info *debug.BuildInfo
	// Packages maps the import path of each package that was linked in to its
	// fingerprint in hexadecimal. Empty for a binary that neither is a plugin nor
	// can open one.
	Packages map[string]string
	// stamps are the texts that the linker gave to variables named version, and to
	// the host's.
	stamps map[string]string
}

// Read reads the binary at path. It runs nothing of it. The error is a
// *FileError if the file is not a complete Go binary.
func Read(path string) (*Image, error) {
	file, size, ferr := openRegular(path)
	if ferr != nil {
		return nil, ferr
	}
	defer file.Close() //nolint:errcheck // It was only read.
	im, ferr := read(file, size)
	if ferr != nil {
		ferr.Path = path
		return nil, ferr
	}
	im.Path = path
	return im, nil
}

// openRegular opens a regular file, and returns its size in bytes. It looks before it
// opens: whoever opens a named pipe waits for another end.
func openRegular(path string) (*os.File, int64, *FileError) {
	if stat, err := os.Stat(path); err == nil && !stat.Mode().IsRegular() {
		return nil, 0, &FileError{Path: path, Found: "no regular file", Cure: cureNoPlugin}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, &FileError{Path: path, Found: "not readable", Cure: "mend the path or the file's permissions", Err: err}
	}
	stat, err := file.Stat()
	if err != nil {
		return nil, 0, &FileError{Path: path, Found: "not readable", Cure: cureDamaged, Err: errors.Join(err, file.Close())}
	}
	return file, stat.Size(), nil
}

// read reads a binary of that many bytes.
func read(r io.ReaderAt, size int64) (im *Image, err *FileError) {
	// The decoders of the standard library are not made for hostile files. That
	// one of them panics is a finding about the file.
	defer func() {
		if p := recover(); p != nil {
			im, err = nil, damaged("it cannot be decoded", fmt.Errorf("%v", p))
		}
	}()
	f, err := checkLayout(r, size)
	if err != nil {
		return nil, err
	}
	im = &Image{Type: f.Type, Machine: f.Machine, Data: f.Data}
	if im.Interpreter, err = interpreter(f); err != nil {
		return nil, err
	}
	if err := im.readDynamic(f); err != nil {
		return nil, damaged("it cannot be decoded", err)
	}
	info, ierr := buildinfo.Read(r)
	if ierr != nil {
		found := "no Go binary"
		if len(im.Packages) > 0 {
			found = "a Go binary without build information"
		}
		return nil, &FileError{Found: found, Cure: cureNoPlugin}
	}
	im.Info = info
	return im, nil
}

// interpreter returns the dynamic linker that an executable names.
func interpreter(f *elf.File) (string, *FileError) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		if p.Filesz > maxName {
			return "", damaged("the path of its dynamic linker is too long", nil)
		}
		path := make([]byte, p.Filesz)
		if _, err := p.ReadAt(path, 0); err != nil {
			return "", damaged("the path of its dynamic linker cannot be read", err)
		}
		return strings.TrimRight(string(path), "\x00"), nil
	}
	return "", nil
}

// Setting returns a build setting as go version -m shows it, such as
// "-trimpath"; empty if it was not set.
func (im *Image) Setting(key string) string {
	for _, s := range im.Info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// pluginPath returns the name under which the runtime knows a plugin: it opens
// no two of one name. It is the import path of the main package, or a made up
// one for a plugin that was built from a list of files. It is empty if the linker
// was told another name, for then the name no longer fits the plugin's symbols.
func (im *Image) pluginPath() string {
	const fromFiles, fromFilesPath = "command-line-arguments", "plugin/unnamed-"
	if im.Info.Path != fromFiles {
		if _, ok := im.Packages[im.Info.Path]; ok {
			return im.Info.Path
		}
		return ""
	}
	for path := range im.Packages {
		if strings.HasPrefix(path, fromFilesPath) {
			return path
		}
	}
	return ""
}

// The C libraries of Linux.
const (
	glibc = "glibc"
	musl  = "musl"
)

// libc returns the C library that the binary was built for; empty if it uses
// none.
func (im *Image) libc() string {
	if strings.Contains(im.Interpreter, "ld-musl") {
		return musl
	}
	for _, library := range im.Needed {
		switch {
		case library == "libc.so.6":
			return glibc
		case library == "libc.so", strings.HasPrefix(library, "libc.musl-"):
			return musl
		}
	}
	return ""
}

// maxGLIBC returns the higher of a version and the one in the name of a symbol
// version, such as GLIBC_2.34. Names of another form are passed over.
func maxGLIBC(version, name string) string {
	other, ok := strings.CutPrefix(name, "GLIBC_")
	if !ok || !lessGLIBC(version, other) {
		return version
	}
	return other
}

// lessGLIBC compares versions of the GNU C library. Text that is no version is
// lower than any.
func lessGLIBC(a, b string) bool {
	x, y := numbers(a), numbers(b)
	for i := range max(len(x), len(y)) {
		switch {
		case i == len(x):
			return true
		case i == len(y):
			return false
		case x[i] != y[i]:
			return x[i] < y[i]
		}
	}
	return false
}

// numbers splits a version such as 2.34; nil if it is none.
func numbers(version string) []int {
	var out []int
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil
		}
		out = append(out, n)
	}
	return out
}
