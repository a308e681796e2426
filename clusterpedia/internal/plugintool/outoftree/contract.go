package outoftree

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	storageapi "clusterpedia.io/storage-api"
)

// requirement matches the storage API among the requirements of a go.mod.
var requirement = regexp.MustCompile(`(?m)^\s*(?:require\s+)?` + regexp.QuoteMeta(storageapi.Path) + `\s+(v\S+)`)

// Work returns a go.work, in a version of the Go language, of a module in directory
// root, which has that go.mod, and of the storage API in directory contract. The
// version of the storage API that the module requires need not be published: go looks
// for it all the same, unless it is replaced.
func Work(language string, goMod []byte, root, contract string) string {
	work := fmt.Sprintf("go %s\n\nuse (\n\t%s\n\t%s\n)\n", language, quoted(root), quoted(contract))
	if required := requirement.FindSubmatch(goMod); required != nil {
		work += fmt.Sprintf("\nreplace %s %s => %s\n", storageapi.Path, required[1], quoted(contract))
	}
	return work
}

// quoted returns a path as go.work has it, see https://go.dev/ref/mod#go-mod-file-lexical.
func quoted(path string) string {
	if strings.ContainsAny(path, " \t\"`'()[]{},") || strings.Contains(path, "//") {
		return strconv.Quote(path)
	}
	return path
}

// WriteContract writes the source of the storage API that this program carries into
// a directory, which is made. What is there is replaced.
func WriteContract(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	err := fs.WalkDir(storageapi.Source, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, filepath.FromSlash(name))
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := storageapi.Source.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
	if err != nil {
		return fmt.Errorf("write the source of the storage API: %w", err)
	}
	return nil
}
