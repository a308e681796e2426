// Package templates renders the Go templates of ClusterImportPolicies and
// PediaClusterLifecycles: with the functions of Sprig, a source object as .source, and
// each referenced object as .references.KEY.
//
// Earlier releases rendered HTML, which turned "+" into "&#43;" and so broke base64
// and JSON. This one renders plain text. It lacks the functions env, expandenv and
// getHostByName, by which a policy would read this process's environment and DNS. What a
// template may take in time and memory is bounded (bounds.go).
//
// It stands before the data's path: the controllers make PediaClusters of what it
// renders.
package templates

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"text/template"
	"time"

	"github.com/Masterminds/sprig/v3"
)

// maxLength bounds what a template renders, in bytes. No object of an API server is
// longer.
const maxLength = 1 << 20

// ErrTooLong says that a template renders more than an object can hold.
var ErrTooLong = fmt.Errorf("the template renders more than %d bytes", maxLength)

// Data is what a template sees.
type Data struct {
	// Source is the content of the source object.
	Source map[string]any
	// References are the contents of the referenced objects, by their keys. A
	// template that is rendered before they are known sees none.
	References map[string]any
}

// Parse returns an error if a text is no template.
func Parse(name, text string) error {
	_, err := compile(name, text)
	return err
}

func compile(name, text string) (*template.Template, error) {
	functions := maps.Clone(sprig.TxtFuncMap())
	for _, unsafe := range []string{"env", "expandenv", "getHostByName"} {
		delete(functions, unsafe)
	}
	bound(functions)
	deadline := time.Now().Add(maxTime)
	functions[tick] = func() (string, error) {
		if time.Now().After(deadline) {
			return "", ErrTooSlow
		}
		return "", nil
	}
	t, err := template.New(name).Funcs(functions).Parse(text)
	if err != nil {
		return nil, err
	}
	return t, ticking(t)
}

// Render renders a template. The name is for messages. What the data lacks renders as
// nothing.
func Render(name, text string, data Data) (string, error) {
	t, err := compile(name, text)
	if err != nil {
		return "", err
	}
	values := map[string]any{"source": data.Source}
	if data.References != nil {
		values["references"] = data.References
	}
	var out limited
	if err := t.Execute(&out, values); err != nil {
		for _, limit := range []error{ErrTooLong, ErrTooSlow} {
			if errors.Is(err, limit) {
				return "", fmt.Errorf("%s: %w", name, limit)
			}
		}
		return "", err
	}
	return strings.ReplaceAll(out.String(), "<no value>", ""), nil
}

// IsTrue renders a template and reports whether the result is "true", in upper or
// lower case, with space around it or not.
func IsTrue(name, text string, data Data) (bool, error) {
	result, err := Render(name, text, data)
	return strings.EqualFold(strings.TrimSpace(result), "true"), err
}

// limited is a buffer that refuses to grow without end.
type limited struct{ strings.Builder }

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxLength {
		return 0, ErrTooLong
	}
	return l.Builder.Write(p)
}
