package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

var errMalformed = errors.New("malformed JSON")

// fields calls yield with the name and the value of each member of the JSON object
// that starts at doc[0], until yield returns false. Both are parts of doc, but for
// a name with escapes. It finds its way by brackets and quotes alone, so doc may be
// malformed in other ways.
func fields(doc []byte, yield func(name, value []byte) bool) error {
	i := skipSpace(doc, 0)
	if i >= len(doc) || doc[i] != '{' {
		return fmt.Errorf("%w: not an object", errMalformed)
	}
	i = skipSpace(doc, i+1)
	if i < len(doc) && doc[i] == '}' {
		return nil
	}
	for {
		nameEnd := skipString(doc, i)
		if nameEnd < 0 {
			return fmt.Errorf("%w: no name at byte %d", errMalformed, i)
		}
		name, err := text(doc[i:nameEnd])
		if err != nil {
			return err
		}
		i = skipSpace(doc, nameEnd)
		if i >= len(doc) || doc[i] != ':' {
			return fmt.Errorf("%w: no colon at byte %d", errMalformed, i)
		}
		i = skipSpace(doc, i+1)
		end := skipValue(doc, i)
		if end < 0 {
			return fmt.Errorf("%w: no value at byte %d", errMalformed, i)
		}
		if !yield(name, doc[i:end]) {
			return nil
		}
		i = skipSpace(doc, end)
		switch {
		case i < len(doc) && doc[i] == ',':
			i = skipSpace(doc, i+1)
		case i < len(doc) && doc[i] == '}':
			return nil
		default:
			return fmt.Errorf("%w: neither comma nor bracket at byte %d", errMalformed, i)
		}
	}
}

// elements calls yield with each element of a JSON array, under the same
// conditions as fields.
func elements(doc []byte, yield func(value []byte)) error {
	i := skipSpace(doc, 0)
	if i >= len(doc) || doc[i] != '[' {
		return fmt.Errorf("%w: not an array", errMalformed)
	}
	i = skipSpace(doc, i+1)
	if i < len(doc) && doc[i] == ']' {
		return nil
	}
	for {
		end := skipValue(doc, i)
		if end < 0 {
			return fmt.Errorf("%w: no value at byte %d", errMalformed, i)
		}
		yield(doc[i:end])
		i = skipSpace(doc, end)
		switch {
		case i < len(doc) && doc[i] == ',':
			i = skipSpace(doc, i+1)
		case i < len(doc) && doc[i] == ']':
			return nil
		default:
			return fmt.Errorf("%w: neither comma nor bracket at byte %d", errMalformed, i)
		}
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

func skipSpace(b []byte, i int) int {
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

// text returns what a JSON string says; quoted includes its quotes.
func text(quoted []byte) ([]byte, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1], nil
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return []byte(s), nil
}

// stringValue returns the text of a string, and "" for null.
func stringValue(name string, value []byte) (string, error) {
	if string(value) == "null" {
		return "", nil
	}
	if len(value) < 2 || value[0] != '"' {
		return "", fmt.Errorf("%s is not a string", name)
	}
	s, err := text(value)
	return string(s), err
}
