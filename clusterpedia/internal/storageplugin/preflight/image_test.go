package preflight

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// tinyELF is a plugin with all that Read looks at and nothing else: no code, one
// segment over the whole file, addresses equal to offsets.
type tinyELF struct {
	data    []byte
	headers map[string]int // offsets of the sections' headers, by name
	offsets map[string]int // offsets of the sections, by name
}

// Offsets of fields, in the file or in a section's header.
const (
	phoffField, shoffField, phentsizeField, phnumField, shnumField, shstrndxField = 32, 40, 54, 56, 60, 62

	flagsField, offsetField, sizeField, linkField = 8, 24, 32, 40
)

func newTinyELF() *tinyELF {
	le := binary.LittleEndian
	words := func(values ...any) []byte {
		var b bytes.Buffer
		for _, v := range values {
			_ = binary.Write(&b, le, v) // a Buffer returns no error
		}
		return b.Bytes()
	}
	blob := func(text string) []byte { return append(binary.AppendUvarint(nil, uint64(len(text))), text...) }
	frame := "0123456789abcdef"
	info := frame + "path\texample.com/plugin\nbuild\t-buildmode=plugin\n" + frame

	const strings = "\x00" + fingerprintPrefix + "fmt\x00libc.so.6\x00GLIBC_2.34\x00"
	library := uint32(1 + len(fingerprintPrefix) + len("fmt\x00"))
	version := library + uint32(len("libc.so.6\x00"))
	header := binary.Size(elf.Header64{}) + binary.Size(elf.Prog64{})
	fingerprintAt := uint64(header)
	sections := []struct {
		name string
		kind elf.SectionType
		link uint32
		data []byte
	}{
		{name: ""},
		{".rodata", elf.SHT_PROGBITS, 0, []byte("\x01\x02\x03\x04\x05\x06\x07\x08")},
		{".dynstr", elf.SHT_STRTAB, 0, []byte(strings)},
		{".dynsym", elf.SHT_DYNSYM, 2, words(elf.Sym64{}, elf.Sym64{Name: 1, Shndx: 1, Value: fingerprintAt, Size: 8})},
		{".dynamic", elf.SHT_DYNAMIC, 2, words(elf.Dyn64{Tag: int64(elf.DT_NEEDED), Val: uint64(library)}, elf.Dyn64{})},
		{".gnu.version_r", elf.SHT_GNU_VERNEED, 2, words(
			[2]uint16{1, 1}, [3]uint32{library, 16, 0}, // one library
			uint32(0), [2]uint16{0, 2}, [2]uint32{version, 0}, // one version
		)},
		{".go.buildinfo", elf.SHT_PROGBITS, 0, slices.Concat(
			[]byte("\xff Go buildinf:\x08\x02"), make([]byte, 16), blob("go1.26.8"), blob(info))},
		{".shstrtab", elf.SHT_STRTAB, 0, nil},
	}
	var names bytes.Buffer
	for _, s := range sections {
		names.WriteString(s.name + "\x00")
	}
	sections[len(sections)-1].data = names.Bytes()

	tiny := &tinyELF{data: make([]byte, header), headers: map[string]int{}, offsets: map[string]int{}}
	var table []byte
	name := 0
	for _, s := range sections {
		for len(tiny.data)%16 != 8 && s.name == ".rodata" || len(tiny.data)%16 != 0 && s.name != ".rodata" {
			tiny.data = append(tiny.data, 0)
		}
		tiny.headers[s.name], tiny.offsets[s.name] = len(table), len(tiny.data)
		at := uint64(len(tiny.data))
		if s.kind == elf.SHT_NULL {
			at = 0
		}
		table = append(table, words(elf.Section64{
			Name: uint32(name), Type: uint32(s.kind), Flags: uint64(elf.SHF_ALLOC), Link: s.link,
			Off: at, Addr: at, Size: uint64(len(s.data)),
		})...)
		tiny.data = append(tiny.data, s.data...)
		name += len(s.name) + 1
	}
	le.PutUint64(tiny.data[tiny.offsets[".dynsym"]+elf.Sym64Size+8:], uint64(tiny.offsets[".rodata"]))
	shoff := len(tiny.data)
	for name := range tiny.headers {
		tiny.headers[name] += shoff
	}
	tiny.data = append(tiny.data, table...)
	copy(tiny.data, words(
		elf.Header64{
			Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
			Type:  uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
			Phoff: uint64(binary.Size(elf.Header64{})), Phentsize: uint16(binary.Size(elf.Prog64{})), Phnum: 1,
			Shoff: uint64(shoff), Shentsize: uint16(binary.Size(elf.Section64{})),
			Shnum: uint16(len(sections)), Shstrndx: uint16(len(sections) - 1),
		},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Filesz: uint64(len(tiny.data)), Memsz: uint64(len(tiny.data))},
	))
	return tiny
}

func (tiny *tinyELF) put16(at int, v uint16) { binary.LittleEndian.PutUint16(tiny.data[at:], v) }
func (tiny *tinyELF) put32(at int, v uint32) { binary.LittleEndian.PutUint32(tiny.data[at:], v) }
func (tiny *tinyELF) put64(at int, v uint64) { binary.LittleEndian.PutUint64(tiny.data[at:], v) }

func (tiny *tinyELF) read() (*Image, *FileError) {
	return read(bytes.NewReader(tiny.data), int64(len(tiny.data)))
}

func TestReadTiny(t *testing.T) {
	t.Parallel()
	im, err := newTinyELF().read()
	require.Nil(t, err)
	require.Equal(t, map[string]string{"fmt": "0102030405060708"}, im.Packages)
	require.Equal(t, []string{"libc.so.6"}, im.Needed)
	require.Equal(t, "2.34", im.GLIBC)
	require.Equal(t, glibc, im.libc())
	require.Equal(t, "go1.26.8", im.Info.GoVersion)
	require.Equal(t, "example.com/plugin", im.Info.Path)
	require.Equal(t, "plugin", im.Setting("-buildmode"))
	require.Empty(t, im.Setting("-trimpath"))
}

func TestReadDamaged(t *testing.T) {
	t.Parallel()
	const secondSymbol = elf.Sym64Size
	cases := map[string]struct {
		damage func(*tinyELF)
		found  string
	}{
		"no sections":               {func(e *tinyELF) { e.put16(shnumField, 0) }, "without a table of sections"},
		"many sections":             {func(e *tinyELF) { e.put16(shnumField, 60000) }, "it has 60000 sections"},
		"sections beyond the end":   {func(e *tinyELF) { e.put64(shoffField, 1<<40) }, "cut off"},
		"sections beyond all ends":  {func(e *tinyELF) { e.put64(shoffField, 1<<64-1) }, "its headers point nowhere"},
		"names of no section":       {func(e *tinyELF) { e.put16(shstrndxField, 99) }, "without a table of sections"},
		"names are no strings":      {func(e *tinyELF) { e.put16(shstrndxField, 1) }, "its headers cannot be read"},
		"names are compressed":      {func(e *tinyELF) { e.put64(e.headers[".shstrtab"]+flagsField, uint64(elf.SHF_COMPRESSED)) }, "too long"},
		"names are long":            {func(e *tinyELF) { e.put64(e.headers[".shstrtab"]+sizeField, 1<<20) }, "too long"},
		"segments beyond the end":   {func(e *tinyELF) { e.put64(phoffField, 1<<40) }, "cut off"},
		"many segments":             {func(e *tinyELF) { e.put16(phnumField, 60000) }, "cut off"},
		"odd segments":              {func(e *tinyELF) { e.put16(phentsizeField, 1) }, "entries of an unknown size"},
		"a segment beyond the end":  {func(e *tinyELF) { e.put64(64+32, 1<<40) }, "cut off"},
		"a section beyond the end":  {func(e *tinyELF) { e.put64(e.headers[".rodata"]+sizeField, 1<<40) }, "cut off"},
		"symbols are compressed":    {func(e *tinyELF) { e.put64(e.headers[".dynsym"]+flagsField, uint64(elf.SHF_COMPRESSED)) }, "damaged"},
		"symbols without strings":   {func(e *tinyELF) { e.put32(e.headers[".dynsym"]+linkField, 1000) }, "there is no section 1000"},
		"fingerprint outside":       {func(e *tinyELF) { e.put64(e.offsets[".dynsym"]+secondSymbol+8, 1<<63) }, "outside of section .rodata"},
		"fingerprint below":         {func(e *tinyELF) { e.put64(e.offsets[".dynsym"]+secondSymbol+8, 0) }, "outside of section .rodata"},
		"fingerprint at the end":    {func(e *tinyELF) { e.put64(e.offsets[".dynsym"]+secondSymbol+8, uint64(e.offsets[".rodata"]+4)) }, "EOF"},
		"huge fingerprint":          {func(e *tinyELF) { e.put64(e.offsets[".dynsym"]+secondSymbol+16, 1<<62) }, "it has 4611686018427387904 bytes"},
		"fingerprint of no section": {func(e *tinyELF) { e.put16(e.offsets[".dynsym"]+secondSymbol+6, 0xfff1) }, "there is no section"},
		"library without a name":    {func(e *tinyELF) { e.put64(e.offsets[".dynamic"]+8, 1<<63) }, "needed libraries"},
		"version without a name":    {func(e *tinyELF) { e.put32(e.offsets[".gnu.version_r"]+16+8, 1<<31) }, "needed versions"},
		"versions that go back":     {func(e *tinyELF) { e.put32(e.offsets[".gnu.version_r"]+12, 1) }, "needed versions"},
		"no build information":      {func(e *tinyELF) { e.data[e.offsets[".go.buildinfo"]] = 0 }, "a Go binary without build information"},
		"big-endian by mistake":     {func(e *tinyELF) { e.data[elf.EI_DATA] = byte(elf.ELFDATA2MSB) }, "damaged"},
		"unknown byte order":        {func(e *tinyELF) { e.data[elf.EI_DATA] = 9 }, "damaged"},
		"32 bits":                   {func(e *tinyELF) { e.data[elf.EI_CLASS] = byte(elf.ELFCLASS32) }, "no 64-bit ELF file"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tiny := newTinyELF()
			tc.damage(tiny)
			_, err := tiny.read()
			require.NotNil(t, err)
			require.Contains(t, err.Error(), tc.found)
			require.NotEmpty(t, err.Cure)
		})
	}
}

// TestReadCut cuts a file at every length.
func TestReadCut(t *testing.T) {
	t.Parallel()
	tiny := newTinyELF()
	for size := range tiny.data {
		_, err := read(bytes.NewReader(tiny.data[:size]), int64(size))
		require.NotNil(t, err, size)
	}
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := Read(filepath.Join(dir, "missing.so"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "missing.so is not readable")
	_, err = Read(dir)
	require.ErrorContains(t, err, "is no regular file")
	var ferr *FileError
	require.ErrorAs(t, err, &ferr)
	require.Equal(t, dir, ferr.Path)

	// Nobody writes to it, so that to open it would never end.
	pipe := filepath.Join(dir, "pipe.so")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	_, err = Read(pipe)
	require.ErrorContains(t, err, "pipe.so is no regular file")
	_, err = (&Image{Path: pipe}).ContractText()
	require.ErrorContains(t, err, "pipe.so is no regular file")
}

func TestPluginPath(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ main, pkg, want string }{
		"package": {"example.com/a", "example.com/a", "example.com/a"},
		"files":   {"command-line-arguments", "plugin/unnamed-0123", "plugin/unnamed-0123"},
		"renamed": {"example.com/a", "example.com/b", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			im := image(tc.main)
			im.Packages = map[string]string{"fmt": "1", tc.pkg: "2"}
			require.Equal(t, tc.want, im.pluginPath())
		})
	}
}

func TestGLIBCVersions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b string
		less bool
	}{
		{"", "2.2", true},
		{"2.2", "2.2.5", true},
		{"2.2.5", "2.2", false},
		{"2.9", "2.34", true},
		{"2.34", "2.34", false},
		{"2.36", "2.34", false},
		{"2.36", "", false},
		{"2.36", "PRIVATE", false},
	} {
		require.Equal(t, tc.less, lessGLIBC(tc.a, tc.b), "%q %q", tc.a, tc.b)
	}
	require.Equal(t, "2.34", maxGLIBC("2.34", "GLIBC_ABI_DT_RELR"))
	require.Equal(t, "2.34", maxGLIBC("2.34", "GCC_7.0"))
}

// FuzzRead checks that no content of a file makes Read panic, loop or take much
// memory.
func FuzzRead(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("#!/bin/sh\n"))
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	tiny := newTinyELF()
	f.Add(tiny.data)
	f.Add(tiny.data[:len(tiny.data)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		im, err := read(bytes.NewReader(data), int64(len(data)))
		if (im == nil) == (err == nil) {
			t.Fatalf("both or neither of image and error: %v", err)
		}
		if im != nil {
			Check(im, Machine{}, im)
			_ = im.CanOpenPlugins()
		}
	})
}
