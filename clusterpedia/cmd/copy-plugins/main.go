// Command copy-plugins copies storage plugins in an init container. It is linked
// statically, for it runs in images that hold plugins and nothing else:
//
//	copy-plugins self DIRECTORY    copies itself, in an image that has it
//	copy-plugins FROM TO           copies the plugins, in an image that has those
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "copy-plugins:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("give what to copy, or self, and a directory")
	}
	files := []string{}
	var err error
	if args[0] == "self" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		files = append(files, self)
	} else if files, err = filepath.Glob(filepath.Join(args[0], "*.so")); err != nil {
		return err
	} else if len(files) == 0 {
		return fmt.Errorf("there is no plugin (*.so) in %s", args[0])
	}
	if err := os.MkdirAll(args[1], 0o755); err != nil {
		return err
	}
	for _, file := range files {
		to := filepath.Join(args[1], filepath.Base(file))
		if err := copyFile(file, to); err != nil {
			return err
		}
		fmt.Println("copied", to)
	}
	return nil
}

// copyFile puts a whole file in place of an older one.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	aside := to + ".new"
	out, err := os.OpenFile(aside, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Rename(aside, to)
}
