package storageplugin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// EnvVar names the environment variable that says where the plugins are: a
// directory, or a list of files and directories separated by colons.
const EnvVar = "STORAGE_PLUGINS"

// systemDir is where the plugins are if the variable does not say it, as in the
// images. If it does not exist, the directory of besideDir next to the executable
// is.
const (
	systemDir = "/usr/local/lib/clusterpedia/plugins"
	besideDir = "plugins"
)

// Ignored is a file that was seen and not chosen.
type Ignored struct {
	Path string
	// Why says the reason as half a sentence, whose "it" is the file.
	Why string
	// Misfit is true for a plugin that is for other versions or architectures, which
	// somebody may have put there by mistake.
	Misfit bool
}

// Choose returns the files that a server of that version and architecture opens, in
// this order, if EnvVar names these files and directories, and the files that it
// ignores. It fails if the server would refuse to start.
func Choose(version, arch string, paths []string) (files []string, ignored []Ignored, err error) {
	c := &chooser{version: version, arch: arch}
	for _, path := range paths {
		if err := c.entry(path); err != nil {
			return nil, nil, err
		}
	}
	return c.files, c.ignored, nil
}

// chooser chooses files.
type chooser struct {
	version, arch string   // the host's
	defaults      []string // directories, of which the first that exists is taken

	files   []string      // chosen, in the order in which they are to be opened
	infos   []fs.FileInfo // of these files
	ignored []Ignored
}

// choose reads the value of EnvVar, which may be empty.
func (c *chooser) choose(list string) error {
	if list == "" {
		for _, dir := range c.defaults {
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				_, err := c.directory(dir)
				return err
			}
		}
		return nil
	}
	named := false
	for path := range strings.SplitSeq(list, string(filepath.ListSeparator)) {
		if path == "" {
			continue // "a::b", as in PATH
		}
		named = true
		if err := c.entry(path); err != nil {
			return fmt.Errorf("%s: %w", EnvVar, err)
		}
	}
	if !named {
		return fmt.Errorf("%s: %q names nothing; name a directory, or unset the variable", EnvVar, list)
	}
	return nil
}

// entry chooses what one element of the list names.
func (c *chooser) entry(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no %s; create it, or do not name it", path)
	case err != nil:
		return err
	case !info.IsDir():
		c.add(path)
		return nil
	}
	plugins, err := c.directory(path)
	if err == nil && plugins == 0 {
		return fmt.Errorf("there is no plugin (*%s) in directory %s; put one there, or do not name it", extension, path)
	}
	return err
}

// directory chooses files of a directory, for each name at most one, and returns
// how many plugins it saw.
func (c *chooser) directory(dir string) (plugins int, err error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return 0, err
	}
	best := map[string]fileName{}
	var names []string // in the order of the files
	var fitting []fileName
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		switch {
		case strings.HasPrefix(entry.Name(), "."):
			c.ignore(path, "its name begins with a dot", false)
			continue
		case filepath.Ext(entry.Name()) != extension:
			c.ignore(path, "its name does not end in "+extension, false)
			continue
		}
		plugins++
		f, err := parseFileName(entry.Name())
		if err != nil {
			return plugins, fmt.Errorf("directory %s: %w", dir, err)
		}
		if why := f.unfit(c.version, c.arch); why != "" {
			c.ignore(path, why, true)
			continue
		}
		fitting = append(fitting, f)
		other, ok := best[f.name]
		if !ok {
			names = append(names, f.name)
		}
		if !ok || f.preference() > other.preference() {
			best[f.name] = f
		}
	}
	for _, f := range fitting {
		if chosen := best[f.name]; f != chosen {
			c.ignore(filepath.Join(dir, f.String()), chosen.String()+" fits more exactly", false)
		}
	}
	for _, name := range names {
		c.add(filepath.Join(dir, best[name].String()))
	}
	return plugins, nil
}

// add chooses a file, unless it is one that is chosen already: Go opens a file
// once, so that the second time it would register nothing. What else is wrong
// with the file is for the verification to say.
func (c *chooser) add(path string) {
	info, err := os.Stat(path)
	if err == nil {
		same := func(other fs.FileInfo) bool { return other != nil && os.SameFile(info, other) }
		if i := slices.IndexFunc(c.infos, same); i >= 0 {
			c.ignore(path, "it is the same file as "+c.files[i], false)
			return
		}
	}
	c.files = append(c.files, path)
	c.infos = append(c.infos, info)
}

func (c *chooser) ignore(path, why string, misfit bool) {
	c.ignored = append(c.ignored, Ignored{path, why, misfit})
}
