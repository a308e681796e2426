package document

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"clusterpedia.io/clusterpedia/internal/rawjson"
)

// Path leads from the top of an object to a field, by names. It passes through all
// elements of the lists on its way.
type Path []string

// kept are the fields by which an object is known and ordered.
func kept() []Path {
	return []Path{
		{"apiVersion"},
		{"kind"},
		{"metadata", "name"},
		{"metadata", "namespace"},
		{"metadata", "uid"},
		{"metadata", "resourceVersion"},
		{"metadata", "creationTimestamp"},
		{"metadata", "deletionTimestamp"},
	}
}

// ParsePath reads a path as users write it: names with dots in between, of which the
// first may begin with one. Names with dots stand in brackets and quotes:
// "metadata.annotations['example.com/a']". "[*]" and "[]" after the name of a list mean
// what is meant without them. What an object is known by is refused.
func ParsePath(text string) (Path, error) {
	path, err := parsePath(text)
	if err != nil {
		return nil, fmt.Errorf("%q is no path of a field: %w", text, err)
	}
	for _, needed := range kept() {
		n := min(len(needed), len(path))
		if slices.Equal(needed[:n], path[:n]) {
			return nil, fmt.Errorf("%q cannot be left out: objects are known by %s", text, needed)
		}
	}
	return path, nil
}

func parsePath(text string) (Path, error) {
	rest := strings.TrimPrefix(strings.TrimPrefix(text, "$"), ".")
	var path Path
	for name := true; ; {
		switch {
		case rest == "" && !name:
			return path, nil
		case strings.HasPrefix(rest, "["):
			inner, after, ok := cutBrackets(rest)
			if !ok {
				return nil, errors.New("a bracket or quote is not closed")
			}
			rest = after
			if inner == "" || inner == "*" {
				if len(path) == 0 || name {
					return nil, errors.New("an object is no list")
				}
				break
			}
			quoted, err := unquote(inner)
			if err != nil {
				return nil, err
			}
			path, name = append(path, quoted), false
		case name:
			end := strings.IndexAny(rest, ".[]'\"")
			if end < 0 {
				end = len(rest)
			}
			if end == 0 {
				return nil, errors.New("a name is missing")
			}
			path, rest, name = append(path, rest[:end]), rest[end:], false
		case strings.HasPrefix(rest, "."):
			rest, name = rest[1:], true
		default:
			return nil, fmt.Errorf("unexpected %q", rest[:1])
		}
	}
}

// cutBrackets returns what stands in the brackets that text begins with, and what
// follows.
func cutBrackets(text string) (inner, after string, ok bool) {
	end := strings.IndexByte(text, ']')
	if len(text) > 1 && (text[1] == '\'' || text[1] == '"') {
		i := strings.Index(text[2:], text[1:2]+"]")
		if i < 0 {
			return "", "", false
		}
		end = i + 3
	}
	if end < 0 {
		return "", "", false
	}
	return text[1:end], text[end+1:], true
}

func unquote(text string) (string, error) {
	if n := len(text); n > 2 && (text[0] == '\'' || text[0] == '"') && text[n-1] == text[0] {
		return text[1 : n-1], nil
	}
	return "", errors.New("what stands in brackets must be a name in quotes, or *")
}

// String returns the path in the way in which ParsePath reads it.
func (p Path) String() string {
	var b strings.Builder
	for i, name := range p {
		switch {
		case strings.Contains(name, "'"):
			b.WriteString(`["` + name + `"]`)
		case strings.ContainsAny(name, ".[]\"") || name == "" || strings.HasPrefix(name, "$"):
			b.WriteString("['" + name + "']")
		default:
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(name)
		}
	}
	return b.String()
}

// Fields are fields that are left out. The zero value and nil are none.
type Fields struct {
	// below are the names of which something is left out; all of it if none follow.
	below map[string]*Fields
}

// NewFields returns the fields at the paths, with all that is below them.
func NewFields(paths ...Path) *Fields {
	top := &Fields{}
	for _, path := range paths {
		top.add(path)
	}
	return top
}

func (f *Fields) add(path Path) {
	for i, name := range path {
		next := f.below[name]
		switch {
		case next != nil && len(next.below) == 0:
			return // all of it is left out already
		case i == len(path)-1:
			next = &Fields{}
		case next == nil:
			next = &Fields{below: map[string]*Fields{}}
		}
		if f.below == nil {
			f.below = map[string]*Fields{}
		}
		f.below[name] = next
		f = next
	}
}

// prune returns a document without the fields. It must be valid and compact.
func (f *Fields) prune(doc []byte) ([]byte, error) {
	if f == nil || len(f.below) == 0 {
		return doc, nil
	}
	w := newWriter(len(doc))
	if err := f.value(w, doc); err != nil {
		return nil, err
	}
	return w.bytes(), nil
}

func (f *Fields) value(w *writer, value []byte) error {
	switch value[0] {
	case '{':
		return f.object(w, value)
	case '[':
		return f.list(w, value)
	}
	w.buf = append(w.buf, value...)
	return nil
}

func (f *Fields) object(w *writer, value []byte) error {
	var inner error
	w.open()
	err := rawjson.Fields(value, func(name, value []byte) bool {
		next := f.below[string(name)]
		switch {
		case next == nil:
			w.field(name, value)
		case len(next.below) > 0:
			w.name(string(name))
			inner = next.value(w, value)
		}
		return inner == nil
	})
	w.close()
	return errors.Join(err, inner)
}

func (f *Fields) list(w *writer, value []byte) error {
	var inner error
	first := true
	w.buf = append(w.buf, '[')
	err := rawjson.Elements(value, func(value []byte) {
		if !first {
			w.buf = append(w.buf, ',')
		}
		first = false
		inner = errors.Join(inner, f.value(w, value))
	})
	w.buf = append(w.buf, ']')
	return errors.Join(err, inner)
}
