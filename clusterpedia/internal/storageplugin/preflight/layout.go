package preflight

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"unicode/utf8"
)

// FileError says that a file is not a Go binary that could be read.
type FileError struct {
	// Path is the file's name as it was given.
	Path string
	// Found says what the file is instead, to be read after "is": "an empty
	// file".
	Found string
	// Cure says what to do.
	Cure string
	// Err is the cause, if it is one of the operating system or of a decoder.
	Err error
}

// Error implements error.
func (e *FileError) Error() string {
	text := e.Path + " is " + e.Found
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }

const (
	cureNoPlugin = "remove the file, or put a plugin built with go build -buildmode=plugin in its place"
	cureDamaged  = "copy the file again, under another name first and then renamed, or build it again"
)

// sniffLen is how many bytes of a file are looked at to tell what it is.
const sniffLen = 512

// Bounds for the table of sections, of which Go's linker writes about 50.
const (
	maxSections     = 1024
	maxSectionNames = 64 << 10 // bytes
)

// checkLayout reports what is no complete ELF file: all that the dynamic linker
// would map into memory, and all that this package reads, must lie inside the
// file. The dynamic linker itself does not look: a page mapped beyond the end of
// the file kills the process with SIGBUS when it is touched.
func checkLayout(r io.ReaderAt, size int64) (*elf.File, *FileError) {
	head := make([]byte, min(size, sniffLen))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, &FileError{Found: "not readable", Cure: cureDamaged, Err: err}
	}
	switch {
	case len(head) == 0:
		return nil, &FileError{Found: "an empty file", Cure: cureDamaged}
	case !bytes.HasPrefix(head, []byte(elf.ELFMAG)) && isText(head):
		return nil, &FileError{Found: "a text file", Cure: cureNoPlugin}
	case !bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return nil, &FileError{Found: "no ELF file, the only kind that can be opened on Linux", Cure: cureNoPlugin}
	case len(head) < binary.Size(elf.Header64{}):
		return nil, cutOff(size, uint64(binary.Size(elf.Header64{})))
	case elf.Class(head[elf.EI_CLASS]) != elf.ELFCLASS64:
		return nil, &FileError{Found: "no 64-bit ELF file", Cure: "build the plugin for the host's machine (GOARCH)"}
	}
	if err := checkHeader(r, size, head); err != nil {
		return nil, err
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, damaged("its headers cannot be read", err)
	}
	return f, checkExtents(f, size)
}

// checkHeader checks the tables that the ELF header points to, before
// elf.NewFile follows them.
func checkHeader(r io.ReaderAt, size int64, head []byte) *FileError {
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	var h elf.Header64
	if err := binary.Read(bytes.NewReader(head), order, &h); err != nil {
		return damaged("its header cannot be read", err)
	}
	if int(h.Phentsize) != binary.Size(elf.Prog64{}) || int(h.Shentsize) != binary.Size(elf.Section64{}) {
		return damaged("its tables have entries of an unknown size", nil)
	}
	if h.Shnum > maxSections {
		return damaged(fmt.Sprintf("it has %d sections", h.Shnum), nil)
	}
	if h.Shnum == 0 || h.Shstrndx >= h.Shnum {
		return &FileError{
			Found: "without a table of sections, and so cannot be checked",
			Cure:  "build the plugin without removing section headers; strip and -ldflags=-s -w keep them",
		}
	}
	if err := inside(size, h.Phoff, uint64(h.Phnum)*uint64(h.Phentsize)); err != nil {
		return err
	}
	if err := inside(size, h.Shoff, uint64(h.Shnum)*uint64(h.Shentsize)); err != nil {
		return err
	}

	// elf.NewFile reads the names of the sections whole, and expands them if they
	// are compressed.
	var names elf.Section64
	at := int64(h.Shoff) + int64(h.Shstrndx)*int64(h.Shentsize)
	if err := binary.Read(io.NewSectionReader(r, at, int64(h.Shentsize)), order, &names); err != nil {
		return damaged("its table of sections cannot be read", err)
	}
	if elf.SectionFlag(names.Flags)&elf.SHF_COMPRESSED != 0 || names.Size > maxSectionNames {
		return damaged("the names of its sections are too long", nil)
	}
	return nil
}

// checkExtents checks that segments and sections lie inside the file, and that
// what will be read whole is not compressed.
func checkExtents(f *elf.File, size int64) *FileError {
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD && p.Type != elf.PT_INTERP {
			continue
		}
		if err := inside(size, p.Off, p.Filesz); err != nil {
			return err
		}
	}
	for _, s := range f.Sections {
		if s.Type == elf.SHT_NULL || s.Type == elf.SHT_NOBITS {
			continue
		}
		if err := inside(size, s.Offset, s.FileSize); err != nil {
			return err
		}
		// Debug information may be compressed, it is not read here.
		unread := s.Type == elf.SHT_PROGBITS && s.Flags&elf.SHF_ALLOC == 0
		if s.Flags&elf.SHF_COMPRESSED != 0 && !unread {
			return damaged("its section "+s.Name+" is compressed", nil)
		}
	}
	return nil
}

// inside reports a part of the file that does not lie inside of it.
func inside(size int64, offset, length uint64) *FileError {
	end, carry := bits.Add64(offset, length, 0)
	if carry != 0 {
		return damaged("its headers point nowhere", nil)
	}
	if end > uint64(size) {
		return cutOff(size, end)
	}
	return nil
}

func cutOff(size int64, need uint64) *FileError {
	return &FileError{
		Found: fmt.Sprintf("cut off: it has %d bytes, its headers speak of %d", size, need),
		Cure:  cureDamaged,
	}
}

func damaged(how string, err error) *FileError {
	return &FileError{Found: "damaged: " + how, Cure: cureDamaged, Err: err}
}

// isText reports whether the beginning of a file reads as text.
func isText(head []byte) bool {
	for len(head) > 0 {
		r, n := utf8.DecodeRune(head)
		if r == utf8.RuneError && n == 1 {
			// The last rune may have been cut in two.
			return len(head) < utf8.UTFMax
		}
		if r < ' ' && r != '\n' && r != '\r' && r != '\t' {
			return false
		}
		head = head[n:]
	}
	return true
}
