package preflight

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// fingerprintPrefix begins the names of the symbols that hold fingerprints. The
// import path follows.
const fingerprintPrefix = "go:link.pkghashbytes."

// Bounds for what a file may claim, far above what linkers write.
const (
	maxName     = 4096  // bytes of a symbol or library name, and of a path
	maxVersions = 65536 // bytes of the table of needed versions
)

// readDynamic reads what the dynamic linker would see: libraries, their versions
// and, among the symbols, the fingerprints. A static executable has nothing of
// it.
//
// The methods of elf.File that do the same read every name into memory: tens of
// thousands for a host, and without bounds for a file that is made to be
// hostile.
func (im *Image) readDynamic(f *elf.File) error {
	im.Packages, im.stamps = map[string]string{}, map[string]string{}
	tables := &tables{file: f}
	if err := im.readSymbols(tables); err != nil {
		return fmt.Errorf("dynamic symbols: %w", err)
	}
	if err := im.readNeeded(tables); err != nil {
		return fmt.Errorf("needed libraries: %w", err)
	}
	if err := im.readVersions(tables); err != nil {
		return fmt.Errorf("needed versions: %w", err)
	}
	return nil
}

// readSymbols looks for fingerprints.
func (im *Image) readSymbols(t *tables) error {
	table, names, err := t.withStrings(elf.SHT_DYNSYM)
	if err != nil {
		return err
	}
	f, order := t.file, t.file.ByteOrder
	for ; len(table) >= elf.Sym64Size; table = table[elf.Sym64Size:] {
		at := order.Uint32(table)
		section := elf.SectionIndex(order.Uint16(table[6:]))
		if uint64(at) >= uint64(len(names)) || section == elf.SHN_UNDEF {
			continue
		}
		fingerprints := bytes.HasPrefix(names[at:], []byte(fingerprintPrefix))
		if !fingerprints && !stamped(names[at:]) {
			continue
		}
		name, err := cstring(names, uint64(at))
		if err != nil {
			return err
		}
		if !fingerprints {
			if err := im.readStamp(f, name, section, order.Uint64(table[8:]), order.Uint64(table[16:])); err != nil {
				return err
			}
			continue
		}
		fingerprint, err := dataAt(f, section, order.Uint64(table[8:]), order.Uint64(table[16:]))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		im.Packages[strings.TrimPrefix(name, fingerprintPrefix)] = hex.EncodeToString(fingerprint)
	}
	return nil
}

// dataAt returns the bytes of a section that a symbol stands for: a fingerprint, for
// which Go writes 8, or a stamp.
func dataAt(f *elf.File, index elf.SectionIndex, address, size uint64) ([]byte, error) {
	if int(index) >= len(f.Sections) {
		return nil, fmt.Errorf("there is no section %d", index)
	}
	section := f.Sections[index]
	if section.Type == elf.SHT_NOBITS || section.ReaderAt == nil {
		return nil, fmt.Errorf("section %s has no data", section.Name)
	}
	if size == 0 || size > maxStamp {
		return nil, fmt.Errorf("it has %d bytes", size)
	}
	if address < section.Addr || address-section.Addr > section.FileSize {
		return nil, fmt.Errorf("it lies outside of section %s", section.Name)
	}
	data := make([]byte, size)
	if _, err := section.ReadAt(data, int64(address-section.Addr)); err != nil {
		return nil, err
	}
	return data, nil
}

// readNeeded reads which libraries the binary asks for.
func (im *Image) readNeeded(t *tables) error {
	table, names, err := t.withStrings(elf.SHT_DYNAMIC)
	if err != nil {
		return err
	}
	order, entry := t.file.ByteOrder, binary.Size(elf.Dyn64{})
	for ; len(table) >= entry; table = table[entry:] {
		switch elf.DynTag(order.Uint64(table)) {
		case elf.DT_NULL: // the end of the table; padding may follow
			return nil
		case elf.DT_NEEDED:
			name, err := cstring(names, order.Uint64(table[8:]))
			if err != nil {
				return err
			}
			im.Needed = append(im.Needed, name)
		}
	}
	return nil
}

// readVersions reads which versions of the GNU C library the binary asks for. The
// table is a list of libraries, each with a list of versions; each entry holds
// the distance to the next.
func (im *Image) readVersions(t *tables) error {
	const size = 16 // of a library's entry, and of a version's
	table, names, err := t.withStrings(elf.SHT_GNU_VERNEED)
	if err != nil {
		return err
	}
	if len(table) > maxVersions {
		return fmt.Errorf("a table of %d bytes", len(table))
	}
	order := t.file.ByteOrder
	for len(table) >= size {
		count, versions, next := order.Uint16(table[2:]), order.Uint32(table[8:]), order.Uint32(table[12:])
		if uint64(versions) > uint64(len(table)) {
			return io.ErrUnexpectedEOF
		}
		for v := table[versions:]; count > 0 && len(v) >= size; count-- {
			name, err := cstring(names, uint64(order.Uint32(v[8:])))
			if err != nil {
				return err
			}
			im.GLIBC = maxGLIBC(im.GLIBC, name)
			step := order.Uint32(v[12:])
			if step == 0 {
				break
			}
			if step < size || uint64(step) > uint64(len(v)) {
				return io.ErrUnexpectedEOF
			}
			v = v[step:]
		}
		if next == 0 {
			return nil
		}
		if next < size || uint64(next) > uint64(len(table)) {
			return io.ErrUnexpectedEOF
		}
		table = table[next:]
	}
	return nil
}

// tables reads sections of a file. Strings, of which a host has many, are read once.
type tables struct {
	file *elf.File
	// strings are those of the section of that number; 0: none was read.
	number  uint32
	strings []byte
}

// withStrings returns the first section of that type, and the strings that it refers
// to. Both are empty if there is none.
func (t *tables) withStrings(kind elf.SectionType) (table, names []byte, err error) {
	section := t.file.SectionByType(kind)
	if section == nil {
		return nil, nil, nil
	}
	if table, err = contents(section); err != nil {
		return nil, nil, err
	}
	if int64(section.Link) >= int64(len(t.file.Sections)) {
		return nil, nil, fmt.Errorf("there is no section %d", section.Link)
	}
	if t.number != section.Link || t.number == 0 {
		if t.strings, err = contents(t.file.Sections[section.Link]); err != nil {
			return nil, nil, err
		}
		t.number = section.Link
	}
	return table, t.strings, nil
}

// contents reads a section, which lies inside the file, and is not compressed. The
// method of elf.Section takes several times the memory.
func contents(s *elf.Section) ([]byte, error) {
	if s.Type == elf.SHT_NOBITS || s.ReaderAt == nil {
		return nil, fmt.Errorf("section %s has no data", s.Name)
	}
	data := make([]byte, s.FileSize)
	if n, err := s.ReadAt(data, 0); n < len(data) {
		return nil, err
	}
	return data, nil
}

// cstring returns the string that begins at an offset of a table of strings.
func cstring(table []byte, at uint64) (string, error) {
	if at >= uint64(len(table)) {
		return "", io.ErrUnexpectedEOF
	}
	table = table[at:min(uint64(len(table)), at+maxName)]
	end := bytes.IndexByte(table, 0)
	if end < 0 {
		return "", fmt.Errorf("a name of more than %d bytes", len(table))
	}
	return string(table[:end]), nil
}
