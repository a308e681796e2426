package rows

import (
	"bytes"
	"errors"

	"clusterpedia.io/internalstorage/packed"
)

// errMalformed says that a stored document is no JSON object.
var errMalformed = errors.New("the stored document is malformed")

// Metadata returns a document's apiVersion, kind and metadata.
func Metadata(doc []byte) ([]byte, error) { return onlyMetadata(nil, doc) }

// onlyMetadata appends to dst a document's apiVersion, kind and metadata, as they are
// spelled in it. The document was valid when it was stored: only its structure is
// looked at, and only as far as these three go.
func onlyMetadata(dst, doc []byte) ([]byte, error) {
	rest := skipBlanks(doc)
	if len(rest) == 0 || rest[0] != '{' {
		return dst, errMalformed
	}
	dst = append(dst, '{')
	rest = skipBlanks(rest[1:])
	for found := 0; found < 3; {
		if len(rest) > 0 && rest[0] == '}' {
			break
		}
		name, after, err := cutValue(rest)
		if err != nil {
			return dst, err
		}
		after = skipBlanks(after)
		if len(name) < 2 || name[0] != '"' || len(after) == 0 || after[0] != ':' {
			return dst, errMalformed
		}
		value, after, err := cutValue(skipBlanks(after[1:]))
		if err != nil {
			return dst, err
		}
		switch string(name) {
		case `"apiVersion"`, `"kind"`, `"metadata"`:
			if found++; found > 1 {
				dst = append(dst, ',')
			}
			dst = append(append(append(dst, name...), ':'), value...)
		}
		rest = skipBlanks(after)
		if len(rest) > 0 && rest[0] == ',' {
			rest = skipBlanks(rest[1:])
		}
	}
	return append(dst, '}'), nil
}

// cutHead splits a document behind apiVersion, kind and metadata, if it begins with
// them, as documents do that the synchro or Go's encoder has written; else all of it is the
// rest.
func cutHead(doc []byte) (head, rest []byte) {
	first, second := `{"apiVersion":`, `,"kind":`
	if bytes.HasPrefix(doc, []byte(`{"kind":`)) {
		first, second = `{"kind":`, `,"apiVersion":`
	}
	rest = doc
	for _, name := range []string{first, second, `,"metadata":`} {
		value, ok := bytes.CutPrefix(rest, []byte(name))
		if !ok {
			return nil, doc
		}
		var err error
		if _, rest, err = cutValue(value); err != nil {
			return nil, doc
		}
	}
	return doc[:len(doc)-len(rest)], rest
}

func skipBlanks(text []byte) []byte { return bytes.TrimLeft(text, " \t\r\n") }

// cutValue splits a text behind the JSON value that it begins with.
func cutValue(text []byte) (value, rest []byte, err error) {
	depth, i := 0, 0
	for i < len(text) {
		switch text[i] {
		case '"':
			end := packed.StringLength(text[i:])
			if end < 0 {
				return nil, nil, errMalformed
			}
			i += end
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		default: // a number, true, false, null, or what stands between values
			end := bytes.IndexAny(text[i:], `,:{}[]" `+"\t\r\n")
			switch {
			case end < 0:
				end = len(text) - i
			case end == 0 && depth == 0:
				return nil, nil, errMalformed
			case end == 0:
				end = 1
			}
			i += end
		}
		if depth <= 0 {
			break
		}
	}
	if depth != 0 || i == 0 {
		return nil, nil, errMalformed
	}
	return text[:i], text[i:], nil
}
