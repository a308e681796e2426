// Package stream splits the answers of a Kubernetes API server into documents
// while they arrive: a list into its items, a watch into its events. It never holds
// more than one document.
//
// It stands between the connection to a member cluster and package document, which
// checks what the documents hold: here only brackets and quotes are looked at.
package stream

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxDocument is the size in bytes of the largest document that is read.
const MaxDocument = 64 << 20

// A process reads thousands of streams at once, nearly all of which are silent:
// buffers start small, and one that grew for a large event is given back.
const (
	firstBuffer = 4 << 10
	largeBuffer = 256 << 10
)

// ErrTooLarge says that a document is larger than MaxDocument.
var ErrTooLarge = errors.New("document is larger than 64 MiB")

// Reader reads documents from a stream.
type Reader struct {
	r io.Reader
	// buf[start:end] is read and not used yet.
	buf        []byte
	start, end int
	max        int
}

// NewReader returns a reader of r.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: r, buf: make([]byte, firstBuffer), max: MaxDocument}
}

// fill reads more. It may move the unused bytes to the start of the buffer.
func (r *Reader) fill() error {
	if r.end == len(r.buf) {
		switch {
		case r.start > 0:
			r.end = copy(r.buf, r.buf[r.start:r.end])
			r.start = 0
		case len(r.buf) >= r.max:
			return ErrTooLarge
		default:
			larger := make([]byte, min(2*len(r.buf), r.max))
			copy(larger, r.buf[:r.end])
			r.buf = larger
		}
	}
	// A reader may return nothing without an error, but not for ever.
	for range 100 {
		n, err := r.r.Read(r.buf[r.end:])
		r.end += n
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// peek returns the next byte that is no space, without using it.
func (r *Reader) peek() (byte, error) {
	for {
		for r.start < r.end {
			switch c := r.buf[r.start]; c {
			case ' ', '\t', '\r', '\n':
				r.start++
			default:
				return c, nil
			}
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
}

// expect uses the next byte that is no space, which must be c.
func (r *Reader) expect(c byte) error {
	next, err := r.peek()
	if err != nil {
		return unexpected(err)
	}
	if next != c {
		return fmt.Errorf("found %q in place of %q", next, c)
	}
	r.start++
	return nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// value returns the next value as it is written. It is valid until the next call.
func (r *Reader) value() ([]byte, error) {
	first, err := r.peek()
	if err != nil {
		return nil, unexpected(err)
	}
	var s scanner
	switch first {
	case '{', '[', '"':
	case '}', ']', ',', ':':
		return nil, fmt.Errorf("found %q in place of a value", first)
	default:
		s.scalar = true
	}
	for used := 0; ; {
		if n, done := s.scan(r.buf[r.start+used : r.end]); done {
			value := r.buf[r.start : r.start+used+n]
			r.start += used + n
			return value, nil
		}
		used = r.end - r.start
		if err := r.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// scanner looks for the end of a value that comes in pieces.
type scanner struct {
	depth             int
	inString, escaped bool
	// scalar is a number, true, false or null, which ends before the next byte
	// that is none of its own.
	scalar bool
}

// scan returns how much of piece belongs to the value, and whether it ends there.
func (s *scanner) scan(piece []byte) (int, bool) {
	for i, c := range piece {
		switch {
		case s.escaped:
			s.escaped = false
		case s.inString:
			switch c {
			case '\\':
				s.escaped = true
			case '"':
				s.inString = false
				if s.depth == 0 {
					return i + 1, true
				}
			}
		case s.scalar:
			switch c {
			case ',', '}', ']', ' ', '\t', '\r', '\n':
				return i, true
			}
		default:
			switch c {
			case '"':
				s.inString = true
			case '{', '[':
				s.depth++
			case '}', ']':
				if s.depth--; s.depth == 0 {
					return i + 1, true
				}
			}
		}
	}
	return len(piece), false
}

// object reads an object. It calls field behind the colon of each field; field
// must read the value.
func (r *Reader) object(field func(name string) error) error {
	if err := r.expect('{'); err != nil {
		return err
	}
	if c, err := r.peek(); err == nil && c == '}' {
		return r.expect('}')
	}
	for {
		quoted, err := r.value()
		if err != nil {
			return err
		}
		var name string
		if err := json.Unmarshal(quoted, &name); err != nil {
			return fmt.Errorf("name of a field: %w", err)
		}
		if err := r.expect(':'); err != nil {
			return err
		}
		if err := field(name); err != nil {
			return err
		}
		if more, err := r.more('}'); err != nil || !more {
			return err
		}
	}
}

// array reads an array and calls yield with each element.
func (r *Reader) array(yield func(element []byte) error) error {
	if err := r.expect('['); err != nil {
		return err
	}
	if c, err := r.peek(); err == nil && c == ']' {
		return r.expect(']')
	}
	for {
		element, err := r.value()
		if err != nil {
			return err
		}
		if err := yield(element); err != nil {
			return err
		}
		if more, err := r.more(']'); err != nil || !more {
			return err
		}
	}
}

// more uses a comma, which promises more, or the bracket that ends it all.
func (r *Reader) more(end byte) (bool, error) {
	c, err := r.peek()
	if err != nil {
		return false, unexpected(err)
	}
	if c == ',' {
		return true, r.expect(',')
	}
	return false, r.expect(end)
}
