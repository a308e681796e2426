// Package rawjson finds its way through JSON texts without decoding them: on the way in,
// where documents of members are checked and brought into their stored form, and on the
// way out, where answers are made of parts of stored documents.
package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrMalformed says that a text is no JSON.
var ErrMalformed = errors.New("malformed JSON")

// Fields calls yield with the name and the value of each member of the JSON object
// that starts at doc[0], until yield returns false. Both are parts of doc, but for
// a name with escapes. It finds its way by brackets and quotes alone, so doc may be
// malformed in other ways.
func Fields(doc []byte, yield func(name, value []byte) bool) error {
	i := SkipSpace(doc, 0)
	if i >= len(doc) || doc[i] != '{' {
		return fmt.Errorf("%w: not an object", ErrMalformed)
	}
	i = SkipSpace(doc, i+1)
	if i < len(doc) && doc[i] == '}' {
		return nil
	}
	for {
		nameEnd := skipString(doc, i)
		if nameEnd < 0 {
			return fmt.Errorf("%w: no name at byte %d", ErrMalformed, i)
		}
		name, err := Text(doc[i:nameEnd])
		if err != nil {
			return err
		}
		i = SkipSpace(doc, nameEnd)
		if i >= len(doc) || doc[i] != ':' {
			return fmt.Errorf("%w: no colon at byte %d", ErrMalformed, i)
		}
		i = SkipSpace(doc, i+1)
		end := skipValue(doc, i)
		if end < 0 {
			return fmt.Errorf("%w: no value at byte %d", ErrMalformed, i)
		}
		if !yield(name, doc[i:end]) {
			return nil
		}
		i = SkipSpace(doc, end)
		switch {
		case i < len(doc) && doc[i] == ',':
			i = SkipSpace(doc, i+1)
		case i < len(doc) && doc[i] == '}':
			return nil
		default:
			return fmt.Errorf("%w: neither comma nor bracket at byte %d", ErrMalformed, i)
		}
	}
}

// Elements calls yield with each element of a JSON array, under the same
// conditions as Fields.
func Elements(doc []byte, yield func(value []byte)) error {
	i := SkipSpace(doc, 0)
	if i >= len(doc) || doc[i] != '[' {
		return fmt.Errorf("%w: not an array", ErrMalformed)
	}
	i = SkipSpace(doc, i+1)
	if i < len(doc) && doc[i] == ']' {
		return nil
	}
	for {
		end := skipValue(doc, i)
		if end < 0 {
			return fmt.Errorf("%w: no value at byte %d", ErrMalformed, i)
		}
		yield(doc[i:end])
		i = SkipSpace(doc, end)
		switch {
		case i < len(doc) && doc[i] == ',':
			i = SkipSpace(doc, i+1)
		case i < len(doc) && doc[i] == ']':
			return nil
		default:
			return fmt.Errorf("%w: neither comma nor bracket at byte %d", ErrMalformed, i)
		}
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// SkipSpace returns the index of the first byte from b[i] on that is no white space.
func SkipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

// skipString returns the index behind the string that starts at b[i], -1 if there
// is none.
func skipString(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return -1
}

// skipValue returns the index behind the value that starts at b[i], -1 if there is
// none.
func skipValue(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		return skipNested(b, i)
	}
	start := i
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && !isSpace(b[i]) {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

func skipNested(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = skipString(b, i); i < 0 {
				return -1
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}

// Text returns what a JSON string says; quoted includes its quotes.
func Text(quoted []byte) ([]byte, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1], nil
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return []byte(s), nil
}

// String returns the text of a string, and "" for null. An error calls it by name.
func String(name string, value []byte) (string, error) {
	if string(value) == "null" {
		return "", nil
	}
	if len(value) < 2 || value[0] != '"' {
		return "", fmt.Errorf("%s is not a string", name)
	}
	s, err := Text(value)
	return string(s), err
}
