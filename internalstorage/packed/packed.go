// Package packed is how documents stand in the database: compressed by the storage layer
// itself, and in mode lean without their lists where the database looks into them. It
// stands between package rows and the bytes of a column.
package packed

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/s2"
)

// form is the first byte of what is packed; what follows is one block of S2, an extension of
// Snappy's format, with the dictionary. Form 1 was DEFLATE; no release had it.
// See https://github.com/klauspost/compress/tree/master/s2#format-extensions.
const form = 2

// anyForm is above what may begin other forms, and below what JSON begins with.
const anyForm = '\t'

// maxSize bounds the size, in bytes, that a packed document may say it has. Larger ones
// are stored as they are.
const maxSize = 1 << 28

// dictionary is what documents are taken to follow, as far as compression goes. Stored
// documents depend on each of its bytes: another one needs another form.
//
//go:embed dictionary-2.txt
var dictionary string

// ErrDamaged says that a packed document cannot be restored.
var ErrDamaged = errors.New("the packed document is damaged")

// Packer packs documents, or parts of them, and restores them. It may be used
// concurrently.
type Packer struct{ dict *s2.Dict }

// New returns a Packer.
func New() *Packer { return &Packer{dict: s2.MakeDictManual([]byte(dictionary), 0)} }

// Append appends a document in packed form.
func (p *Packer) Append(dst, doc []byte) []byte {
	if len(doc) > maxSize {
		return append(dst, doc...)
	}
	dst = append(slices.Grow(dst, 1+s2.MaxEncodedLen(len(doc))), form)
	return dst[:len(dst)+len(p.dict.Encode(dst[len(dst):cap(dst)], doc))]
}

// plain says that a document is stored as it is.
func plain(stored []byte) bool { return len(stored) == 0 || stored[0] >= anyForm }

// Size returns the size in bytes of a stored document as it was, or ErrDamaged. Those that
// are not packed are stored as they are.
func (p *Packer) Size(stored []byte) (int, error) {
	switch {
	case plain(stored):
		return len(stored), nil
	case stored[0] != form:
		return 0, fmt.Errorf("%w: its form is %d, known is %d", ErrDamaged, stored[0], form)
	}
	size, err := s2.DecodedLen(stored[1:])
	if err != nil || size > maxSize {
		return 0, fmt.Errorf("%w: its size is wrong", ErrDamaged)
	}
	return size, nil
}

// Restore appends a stored document as it was. Errors wrap ErrDamaged.
func (p *Packer) Restore(dst, stored []byte) ([]byte, error) {
	size, err := p.Size(stored)
	if err != nil {
		return dst, err
	}
	if plain(stored) {
		return append(dst, stored...), nil
	}
	dst = slices.Grow(dst, size)
	restored, err := p.dict.Decode(dst[len(dst):len(dst)+size], stored[1:])
	if err != nil {
		return dst, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return dst[:len(dst)+len(restored)], nil
}
