package document

import (
	"bytes"
	"encoding/json"
)

// writer writes nested JSON objects.
type writer struct {
	buf []byte
	// empty says that the object that is open has no field yet.
	empty bool
}

func newWriter(size int) *writer { return &writer{buf: make([]byte, 0, size)} }

func (w *writer) bytes() []byte { return w.buf }

func (w *writer) open() {
	w.buf = append(w.buf, '{')
	w.empty = true
}

func (w *writer) close() {
	w.buf = append(w.buf, '}')
	w.empty = false
}

// name begins a field, whose value must follow.
func (w *writer) name(name string) {
	if !w.empty {
		w.buf = append(w.buf, ',')
	}
	w.empty = false
	w.string(name)
	w.buf = append(w.buf, ':')
}

func (w *writer) field(name, value []byte) {
	w.name(string(name))
	w.buf = append(w.buf, value...)
}

func (w *writer) stringField(name, value string) {
	w.name(name)
	w.string(value)
}

func (w *writer) string(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c > '~' {
			w.quote(s)
			return
		}
	}
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, s...)
	w.buf = append(w.buf, '"')
}

// quote writes a string that needs escapes.
func (w *writer) quote(s string) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(s) != nil { // A string can always be encoded.
		return
	}
	w.buf = append(w.buf, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
