package document

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"

	"clusterpedia.io/clusterpedia/internal/rawjson"
)

// maxDepth is the deepest nesting that encoding/json reads.
const maxDepth = 10000

// manyKeys is the number of keys of one object above which duplicates are looked
// for in a map: before, comparing each with each is quicker.
const manyKeys = 32

// validate checks that doc is one JSON value, encoded as valid UTF-8, in which no
// object has a key twice. It reports whether doc has no space between tokens.
func validate(doc []byte) (compact bool, err error) {
	v := validator{doc: doc}
	i, err := v.value(v.space(0), 0)
	if err != nil {
		return false, err
	}
	if i = v.space(i); i != len(doc) {
		return false, fmt.Errorf("%w: more behind the value, at byte %d", rawjson.ErrMalformed, i)
	}
	return !v.spaces, nil
}

type validator struct {
	doc    []byte
	spaces bool
	// keys are those of all objects that are open, the innermost last.
	keys [][]byte
}

func (v *validator) bad(i int) error {
	return fmt.Errorf("%w at byte %d", rawjson.ErrMalformed, i)
}

func (v *validator) space(i int) int {
	if i < len(v.doc) && v.doc[i] > ' ' {
		return i
	}
	end := rawjson.SkipSpace(v.doc, i)
	v.spaces = v.spaces || end > i
	return end
}

// at returns the byte at i, 0 behind the end. A zero byte is part of no token.
func (v *validator) at(i int) byte {
	if i < len(v.doc) {
		return v.doc[i]
	}
	return 0
}

func (v *validator) value(i, depth int) (int, error) {
	if depth > maxDepth {
		return i, fmt.Errorf("%w: nested deeper than %d", rawjson.ErrMalformed, maxDepth)
	}
	switch c := v.at(i); c {
	case '{':
		return v.object(i, depth)
	case '[':
		return v.array(i, depth)
	case '"':
		return v.string(i)
	case 't':
		return v.word(i, "true")
	case 'f':
		return v.word(i, "false")
	case 'n':
		return v.word(i, "null")
	default:
		return v.number(i)
	}
}

func (v *validator) word(i int, word string) (int, error) {
	if end := i + len(word); end <= len(v.doc) && string(v.doc[i:end]) == word {
		return end, nil
	}
	return i, v.bad(i)
}

func (v *validator) object(i, depth int) (int, error) {
	outer, spelled := len(v.keys), false
	defer func() { v.keys = v.keys[:outer] }()
	i = v.space(i + 1)
	if v.at(i) == '}' {
		return i + 1, nil
	}
	for {
		end, err := v.string(i)
		if err != nil {
			return end, err
		}
		key := v.doc[i+1 : end-1]
		v.keys = append(v.keys, key)
		spelled = spelled || spelledFreely(key)
		if i = v.space(end); v.at(i) != ':' {
			return i, v.bad(i)
		}
		if i, err = v.value(v.space(i+1), depth+1); err != nil {
			return i, err
		}
		switch i = v.space(i); v.at(i) {
		case ',':
			i = v.space(i + 1)
		case '}':
			if spelled {
				if err := spellOut(v.keys[outer:]); err != nil {
					return i, err
				}
			}
			return i + 1, unique(v.keys[outer:])
		default:
			return i, v.bad(i)
		}
	}
}

// spelledFreely reports whether a key has escapes of characters that can be written in
// other ways, too. A quote or a backslash, as managed fields have many, cannot but by one
// of those.
func spelledFreely(key []byte) bool {
	for i := bytes.IndexByte(key, '\\'); i >= 0 && i < len(key); i++ {
		if key[i] != '\\' {
			continue
		}
		if i++; key[i] != '"' && key[i] != '\\' {
			return true
		}
	}
	return false
}

// spellOut replaces keys, which are valid, by what they say.
func spellOut(keys [][]byte) error {
	for i, key := range keys {
		said, err := rawjson.Text(slices.Concat([]byte{'"'}, key, []byte{'"'}))
		if err != nil {
			return err
		}
		keys[i] = said
	}
	return nil
}

func unique(keys [][]byte) error {
	if len(keys) > manyKeys {
		seen := make(map[string]struct{}, len(keys))
		for _, key := range keys {
			if _, ok := seen[string(key)]; ok {
				return duplicate(key)
			}
			seen[string(key)] = struct{}{}
		}
		return nil
	}
	for i, key := range keys {
		for _, other := range keys[:i] {
			if string(key) == string(other) {
				return duplicate(key)
			}
		}
	}
	return nil
}

func duplicate(key []byte) error { return fmt.Errorf("key %q occurs twice in one object", key) }

func (v *validator) array(i, depth int) (int, error) {
	i = v.space(i + 1)
	if v.at(i) == ']' {
		return i + 1, nil
	}
	for {
		end, err := v.value(i, depth+1)
		if err != nil {
			return end, err
		}
		i = end
		switch i = v.space(i); v.at(i) {
		case ',':
			i = v.space(i + 1)
		case ']':
			return i + 1, nil
		default:
			return i, v.bad(i)
		}
	}
}

func (v *validator) string(i int) (int, error) {
	if v.at(i) != '"' {
		return i, v.bad(i)
	}
	start, ascii := i+1, true
	for i = start; i < len(v.doc); i++ {
		switch c := v.doc[i]; {
		case c == '"':
			if !ascii && !utf8.Valid(v.doc[start:i]) {
				return i, fmt.Errorf("invalid UTF-8 in the string at byte %d", start)
			}
			return i + 1, nil
		case c == '\\':
			i++
			n := v.escape(i)
			if n == 0 {
				return i, v.bad(i)
			}
			i += n - 1
		case c < ' ':
			return i, v.bad(i)
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return i, v.bad(i)
}

// escape returns the length of what follows a backslash, 0 if it is no escape.
func (v *validator) escape(i int) int {
	switch v.at(i) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		for j := i + 1; j < i+5; j++ {
			if c := v.at(j); (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return 0
			}
		}
		return 5
	}
	return 0
}

func (v *validator) digits(i int) int {
	for c := v.at(i); c >= '0' && c <= '9'; c = v.at(i) {
		i++
	}
	return i
}

func (v *validator) number(i int) (int, error) {
	start := i
	if v.at(i) == '-' {
		i++
	}
	first := i
	if i = v.digits(i); i == first || (i > first+1 && v.doc[first] == '0') {
		return start, v.bad(start)
	}
	if v.at(i) == '.' {
		fraction := i + 1
		if i = v.digits(fraction); i == fraction {
			return start, v.bad(start)
		}
	}
	if c := v.at(i); c == 'e' || c == 'E' {
		i++
		if c := v.at(i); c == '+' || c == '-' {
			i++
		}
		exponent := i
		if i = v.digits(exponent); i == exponent {
			return start, v.bad(start)
		}
	}
	return i, nil
}
