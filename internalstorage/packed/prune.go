package packed

import (
	"bytes"
	"errors"
)

// errMalformed says that a document is not JSON, as far as is looked at.
var errMalformed = errors.New("the document is malformed")

// WithoutLists appends a document whose lists are empty. Within them nothing is looked at
// but where they end; what is left is for the database to check.
func WithoutLists(dst, doc []byte) ([]byte, error) {
	from, depth := 0, 0
	for i := 0; i < len(doc); i++ {
		switch doc[i] {
		case '"':
			n := StringLength(doc[i:])
			if n < 0 {
				return dst, errMalformed
			}
			i += n - 1
		case '[':
			if depth++; depth == 1 {
				dst = append(dst, doc[from:i+1]...)
			}
		case ']':
			if depth--; depth < 0 {
				return dst, errMalformed
			}
			from = i
		}
	}
	if depth != 0 {
		return dst, errMalformed
	}
	return append(dst, doc[from:]...), nil
}

// StringLength returns the length of the JSON string that a text begins with, or -1.
func StringLength(text []byte) int {
	for i := 1; ; {
		n := bytes.IndexByte(text[i:], '"')
		if n < 0 {
			return -1
		}
		i += n + 1
		escapes := 0
		for j := i - 2; j > 0 && text[j] == '\\'; j-- {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
}
