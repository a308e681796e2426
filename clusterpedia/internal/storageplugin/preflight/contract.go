package preflight

import (
	"debug/elf"
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
)

// contractText is the text that package digest of the storage API leaves in binaries.
var contractText = regexp.MustCompile(regexp.QuoteMeta(contractModule) + ` (v[0-9][0-9A-Za-z.-]{0,40}) ([0-9a-f]{16})\n`)

const (
	// maxContractText bounds what contractText matches, in bytes.
	maxContractText = 128
	// contractChunk is how much of a file is searched at a time, in bytes.
	contractChunk = 1 << 20
)

// ContractText returns the version and the digest of the storage API that a binary was
// built with, such as "v1.0.0+b913d021bb1ecff2"; empty if the binary does not say, or
// names several. It reads the file again. The error is a *FileError.
func (im *Image) ContractText() (string, error) {
	file, size, ferr := openRegular(im.Path)
	if ferr != nil {
		return "", ferr
	}
	defer file.Close() //nolint:errcheck // It was only read.
	f, ferr := checkLayout(file, size)
	if ferr != nil { // it is another file by now
		ferr.Path = im.Path
		return "", ferr
	}
	found := map[string]bool{}
	for _, s := range f.Sections {
		const kinds = elf.SHF_ALLOC | elf.SHF_EXECINSTR
		if s.Type != elf.SHT_PROGBITS || s.Flags&kinds != elf.SHF_ALLOC || s.ReaderAt == nil {
			continue
		}
		if err := findContract(s.Open(), found); err != nil {
			return "", &FileError{Path: im.Path, Found: "not readable", Cure: cureDamaged, Err: err}
		}
	}
	if len(found) != 1 {
		return "", nil
	}
	return slices.Collect(maps.Keys(found))[0], nil
}

// findContract adds what the text of r says of the storage API, a chunk at a time.
func findContract(r io.Reader, found map[string]bool) error {
	buffer := make([]byte, contractChunk+maxContractText)
	kept := 0 // bytes of the last chunk, in which a text may have begun
	for {
		n, err := io.ReadFull(r, buffer[kept:])
		text := buffer[:kept+n]
		for _, m := range contractText.FindAllSubmatch(text, -1) {
			found[string(m[1])+"+"+string(m[2])] = true
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
		kept = copy(buffer, text[max(0, len(text)-maxContractText):])
	}
}
