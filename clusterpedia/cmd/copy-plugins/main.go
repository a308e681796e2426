// Command copy-plugins copies storage plugins in an init container. It is linked
// statically, for it runs in images that hold plugins and nothing else:
//
//	copy-plugins self DIRECTORY    copies itself, in an image that has it
//	copy-plugins FROM TO           copies the plugins, in an image that has those
//
// A plugin takes no other's place: what has its name and other content came from another
// image.
package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
		if args[0] != "self" {
			// An init container may run again, after it has copied.
			switch same, err := sameContent(file, to); {
			case err == nil && same:
				fmt.Println("there already is", to)
				continue
			case err == nil:
				return fmt.Errorf("%s is there with other content, from another image: rename one of both plugins", to)
			case !errors.Is(err, fs.ErrNotExist):
				return err
			}
		}
		if err := copyFile(file, to); err != nil {
			return err
		}
		fmt.Println("copied", to)
	}
	return nil
}

// sameContent reports whether two files have the same content. The error is
// fs.ErrNotExist if one is missing.
func sameContent(a, b string) (same bool, err error) {
	var sums [2][sha256.Size]byte
	for i, path := range []string{a, b} {
		if sums[i], err = sum(path); err != nil {
			return false, err
		}
	}
	return sums[0] == sums[1], nil
}

// sum returns the hash of a file.
func sum(path string) (out [sha256.Size]byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return out, err
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return out, errors.Join(err, file.Close())
	}
	copy(out[:], hash.Sum(nil))
	return out, file.Close()
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
