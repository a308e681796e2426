// Package scaffold writes the repository of a new storage layer, from templates that
// are themselves a complete one.
package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	gomodule "golang.org/x/mod/module"

	"clusterpedia.io/clusterpedia/internal/plugintool/outoftree"
)

//go:embed template
var templates embed.FS

// Suffix is what the path of a storage layer's module ends in, by convention.
const Suffix = "-storage"

// language is the version of Go in the go.mod of a new repository.
const language = "1.26.0"

// contractDir is where Workspace writes the storage API.
const contractDir = ".clusterpedia/storage-api"

var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)

// Name returns the name of the storage layer of a module: redis for
// example.com/you/redis-storage.
func Name(module string) (string, error) {
	if err := checkPath(module); err != nil {
		return "", fmt.Errorf("%q is no path of a module, such as example.com/you/redis%s: %w", module, Suffix, err)
	}
	name, ok := strings.CutSuffix(path.Base(module), Suffix)
	switch {
	case !ok || !namePattern.MatchString(name):
		return "", fmt.Errorf("the last element of %s must be NAME%s, with a name of lower case letters, digits, hyphens and dots", module, Suffix)
	case name == "internal" || name == "memory":
		return "", fmt.Errorf("the name %s is taken by a storage layer of Clusterpedia's own", name)
	}
	return name, nil
}

// checkPath checks the path of a module as the go command does: less strictly if it does
// not begin with a domain, for such a module cannot be fetched anyway.
func checkPath(module string) error {
	check := gomodule.CheckImportPath
	if domain, _, _ := strings.Cut(module, "/"); strings.Contains(domain, ".") {
		check = gomodule.CheckPath
	}
	err := check(module)
	if invalid, ok := errors.AsType[*gomodule.InvalidPathError](err); ok {
		return invalid.Err // without the path, and what it is called
	}
	return err
}

// New writes the repository of a storage layer into a directory, which must be
// missing or empty.
func New(dir, module string) error {
	name, err := Name(module)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty: remove it, or give --dir another directory", dir)
	}
	values := map[string]string{"Module": module, "Name": name, "Go": language}
	err = fs.WalkDir(templates, "template", func(from string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return write(dir, from, values)
	})
	if err != nil {
		return err
	}
	return Workspace(dir)
}

// write writes the file of one template.
func write(dir, from string, values map[string]string) error {
	text, err := templates.ReadFile(from)
	if err != nil {
		return err
	}
	parsed, err := template.New(from).Parse(string(text))
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, values); err != nil {
		return err
	}
	to := strings.TrimSuffix(strings.TrimPrefix(from, "template/"), ".tmpl")
	// Names that begin with a dot are not embedded.
	to = strings.Replace(to, "gitignore", ".gitignore", 1)
	to = strings.Replace(to, "workflows/", ".github/workflows/", 1)
	target := filepath.Join(dir, filepath.FromSlash(to))
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.WriteFile(target, out.Bytes(), 0o644)
}

// Workspace lets the go command and editors find the storage API in a repository:
// it writes the API's source and a go.work, which git ignores.
func Workspace(dir string) error {
	goMod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return fmt.Errorf("%s is no root of a module: %w", dir, err)
	}
	if err := outoftree.WriteContract(filepath.Join(dir, filepath.FromSlash(contractDir))); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "go.work"), []byte(outoftree.Work(language, goMod, ".", "./"+contractDir)), 0o644)
}
