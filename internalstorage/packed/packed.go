// Package packed is how documents stand in the database in mode lean: compressed by the
// storage layer itself, and without their lists where the database looks into them. It
// stands between package rows and the bytes of a column.
package packed

import (
	"bytes"
	"compress/flate"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

// mark is what packed documents begin with: the number of their form. JSON begins with no
// such byte.
const mark = 1

// level is that of the compression: the next ones take longer and gain little.
const level = 3

// maxSize bounds the size that a packed document may say it has.
const maxSize = 1 << 28

// dictionary is what documents are taken to follow, as far as compression goes. Stored
// documents depend on each of its bytes: another one needs another mark.
//
//go:embed dictionary-1.txt
var dictionary string

// ErrDamaged says that a packed document cannot be restored.
var ErrDamaged = errors.New("the packed document is damaged")

// Is says whether what is stored is packed.
func Is(stored []byte) bool { return len(stored) > 0 && stored[0] == mark }

// Packer packs documents. It may be used concurrently; its zero value is ready.
type Packer struct{ encoders, writers sync.Pool }

// Append appends a document in packed form: the mark, the document's size and CRC, and a
// raw DEFLATE stream with the dictionary.
func (p *Packer) Append(dst, doc []byte) ([]byte, error) {
	dst = binary.AppendUvarint(append(dst, mark), uint64(len(doc)))
	dst = binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(doc))
	e, ok := p.encoders.Get().(*encoder)
	if !ok {
		e = newEncoder()
	}
	defer p.encoders.Put(e)
	begin := len(dst)
	dst = e.append(dst, doc)
	if len(dst)-begin <= len(doc)/2 {
		return dst, nil
	}
	return p.appendBest(dst[:begin], doc)
}

// writer takes longer than an encoder, and makes more of what nothing was like before.
type writer struct {
	out    bytes.Buffer
	stream *flate.Writer
}

func (p *Packer) appendBest(dst, doc []byte) ([]byte, error) {
	w, ok := p.writers.Get().(*writer)
	if !ok {
		w = &writer{}
		var err error
		if w.stream, err = flate.NewWriterDict(&w.out, level, []byte(dictionary)); err != nil {
			return dst, err
		}
	}
	defer p.writers.Put(w)
	w.out.Reset()
	w.stream.Reset(&w.out)
	if _, err := w.stream.Write(doc); err != nil {
		return dst, err
	}
	if err := w.stream.Close(); err != nil {
		return dst, err
	}
	return append(dst, w.out.Bytes()...), nil
}

// Size returns the size of a packed document as it was, or ErrDamaged.
func Size(stored []byte) (int, error) {
	size, _, err := header(stored)
	return size, err
}

// header returns what stands before the stream, and how long that is.
func header(stored []byte) (size, length int, err error) {
	if !Is(stored) {
		return 0, 0, ErrDamaged
	}
	n, digits := binary.Uvarint(stored[1:])
	if digits <= 0 || n > maxSize || len(stored) < 1+digits+crc32.Size {
		return 0, 0, ErrDamaged
	}
	return int(n), 1 + digits + crc32.Size, nil
}

// Unpacker restores documents, one at a time. Its zero value is ready.
type Unpacker struct {
	in     bytes.Reader
	stream io.ReadCloser
}

// Append appends the document that is stored in packed form. Errors wrap ErrDamaged.
func (u *Unpacker) Append(dst, stored []byte) ([]byte, error) {
	size, length, err := header(stored)
	if err != nil {
		return dst, err
	}
	u.in.Reset(stored[length:])
	if again, ok := u.stream.(flate.Resetter); !ok {
		u.stream = flate.NewReaderDict(&u.in, []byte(dictionary))
	} else if err := again.Reset(&u.in, []byte(dictionary)); err != nil {
		return dst, err
	}
	at := len(dst)
	if cap(dst)-at < size {
		dst = append(make([]byte, 0, at+size), dst...)
	}
	dst = dst[:at+size]
	if _, err := io.ReadFull(u.stream, dst[at:]); err != nil {
		return dst[:at], fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if crc32.ChecksumIEEE(dst[at:]) != binary.BigEndian.Uint32(stored[length-crc32.Size:]) {
		return dst[:at], fmt.Errorf("%w: its checksum is wrong", ErrDamaged)
	}
	return dst, nil
}
