package fieldselector

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"

	"clusterpedia.io/storage-api/query"
)

// maxDepth bounds the length of a path: databases refuse JSON paths of more than
// 100 steps, and no Kubernetes object is that deep.
const maxDepth = 64

// maxLists bounds the lists in one path. Conditions on them are nested in a database:
// in MySQL each index doubles the length of the statement, SQLite refuses more than six
// lists of any element, and PostgreSQL takes minutes to plan a statement with many.
const maxLists = 4

// parsePath reads a path such as spec.containers[0].image, .spec.nodeName or
// metadata.annotations['a.b/c'].
func parsePath(text string) ([]query.PathElement, error) {
	rest := text
	if strings.HasPrefix(rest, ".[") {
		rest = rest[1:]
	}
	var path []query.PathElement
	for rest != "" {
		var err error
		if rest[0] == '[' {
			path, rest, err = parseBracket(path, rest[1:])
		} else {
			path, rest, err = parseField(path, strings.TrimPrefix(rest, "."))
		}
		if err != nil {
			return nil, err
		}
		if len(path) > maxDepth {
			return nil, fmt.Errorf("a path has more than %d fields", maxDepth)
		}
	}
	return path, nil
}

// parseField reads what may follow a dot: a name or a quoted name.
func parseField(path []query.PathElement, text string) (longer []query.PathElement, rest string, err error) {
	if text == "" {
		return nil, "", errors.New("empty field after '.'")
	}
	if text[0] == '\'' || text[0] == '"' {
		length := strings.IndexByte(text[1:], text[0])
		if length < 0 {
			return nil, "", fmt.Errorf("not found the closing quote of .%s", text)
		}
		length += 2
		longer, err = appendQuoted(path, text[:length])
		return longer, text[length:], err
	}
	length := strings.IndexAny(text, ".[")
	if length < 0 {
		length = len(text)
	}
	longer, err = appendName(path, text[:length])
	return longer, text[length:], err
}

// parseBracket reads what may follow an opening bracket: a quoted name, the index
// of a list, or nothing, for every element of a list; and the closing bracket.
func parseBracket(path []query.PathElement, text string) (longer []query.PathElement, rest string, err error) {
	inner, rest, found := strings.Cut(text, "]")
	if !found {
		return nil, "", errors.New("not found ']'")
	}
	if strings.HasPrefix(inner, "'") || strings.HasPrefix(inner, `"`) {
		longer, err = appendQuoted(path, inner)
		return longer, rest, err
	}
	index := query.AllElements
	if inner != "" {
		// Signs are no part of an index, and databases count in 32 bits.
		n, err := strconv.ParseUint(inner, 10, 32)
		if err != nil || n > math.MaxInt32 {
			return nil, "", fmt.Errorf("%s[<index>] list index invalid. if %[2]s is a field, please use ['%[2]s'] or .'%[2]s'",
				query.PathString(path), inner)
		}
		index = int(n)
	}
	if len(path) == 0 {
		return nil, "", fmt.Errorf("not found a field before '[%s]'", inner)
	}
	last := &path[len(path)-1]
	if last.List {
		return nil, "", fmt.Errorf("%s[%s]: lists of lists are not supported", query.PathString(path), inner)
	}
	last.List, last.Index = true, index
	lists := 0
	for _, e := range path {
		if e.List {
			lists++
		}
	}
	if lists > maxLists {
		return nil, "", fmt.Errorf("a path has more than %d lists", maxLists)
	}
	return path, rest, nil
}

// appendQuoted appends a name that stands with its quotes.
func appendQuoted(path []query.PathElement, quoted string) ([]query.PathElement, error) {
	if len(quoted) < 2 || quoted[len(quoted)-1] != quoted[0] {
		return nil, fmt.Errorf("not found the closing quote of [%s]", quoted)
	}
	if len(quoted) == 2 {
		return nil, fmt.Errorf("empty field %s", quoted)
	}
	return appendName(path, quoted[1:len(quoted)-1])
}

// appendName appends a field. Names are limited to those of labels and
// annotations, which all fields of Kubernetes fit.
func appendName(path []query.PathElement, name string) ([]query.PathElement, error) {
	if reasons := content.IsLabelKey(name); len(reasons) > 0 {
		return nil, fmt.Errorf("%s[%s]: Invalid value: %q: %s", query.PathString(path), name, name, strings.Join(reasons, "; "))
	}
	return append(path, query.PathElement{Name: name}), nil
}
