package database

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"clusterpedia.io/testbed/process"
)

// programs looks for programs in directories, the first of which that has all of
// them counts. The search path is of no use: it lacks the directories for servers,
// and may have wrappers of other origin.
func programs(debianPackage string, dirs []string, names ...string) (string, error) {
	for _, dir := range dirs {
		missing := false
		for _, name := range names {
			info, err := os.Stat(filepath.Join(dir, name))
			missing = missing || err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0
		}
		if !missing {
			return dir, nil
		}
	}
	return "", fmt.Errorf("found no %s in %s: install it (Debian package %s; hack/testbed/install-packages.sh does)",
		strings.Join(names, ", "), strings.Join(dirs, ", "), debianPackage)
}

// newest returns the directories that match a pattern such as /usr/lib/x/*/bin,
// those with the greatest version in place of the star first.
func newest(prefix, suffix string) ([]string, error) {
	found, err := filepath.Glob(prefix + "*" + suffix)
	if err != nil {
		return nil, err
	}
	version := func(path string) float64 {
		v, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimPrefix(path, prefix), suffix), 64)
		if err != nil {
			return 0
		}
		return v
	}
	slices.SortFunc(found, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	return found, nil
}

// account returns the user that a server must run as: name if this process is
// root, else "", which is the user of this process. It gives him dir.
func account(dir, name, debianPackage string) (string, error) {
	if os.Getuid() != 0 {
		return "", nil
	}
	if err := give(dir, name); err != nil {
		return "", fmt.Errorf("the server refuses to run as root, and its own user is missing (Debian package %s makes it): %w", debianPackage, err)
	}
	return name, passable(filepath.Dir(dir), name)
}

// give makes a user the owner of a file, if this process is root.
func give(path, name string) error {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}

// passable lets other users pass through dir and the directories above.
func passable(dir, name string) error {
	for ; dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 != 0 {
			continue
		}
		if inside, err := filepath.Rel(os.TempDir(), dir); err != nil || strings.HasPrefix(inside, "..") {
			return fmt.Errorf("the user %s, whom the database runs as, cannot pass through %s: choose another directory for it, or chmod o+x that one", name, dir)
		}
		if err := os.Chmod(dir, info.Mode()|0o011); err != nil {
			return err
		}
	}
	return nil
}

// temporary is an environment variable for temporary files in dir. Those of this
// process may be closed to the server's user.
func temporary(dir string) []string { return []string{"TMPDIR=" + dir} }

// initialize makes the directory data in dir with a command that is given the
// path to make, once. It is made aside and renamed, so that half of one, of an
// interrupted start, is not taken for a whole.
func initialize(ctx context.Context, dir, account string, command func(path string) []string) (data string, err error) {
	data = filepath.Join(dir, "data")
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		return data, err
	}
	aside := data + ".new"
	if err := os.RemoveAll(aside); err != nil {
		return "", err
	}
	p, err := process.Start(process.Spec{Name: "initialize", Dir: dir, User: account, Env: temporary(dir), Command: command(aside)})
	if err != nil {
		return "", err
	}
	limited, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	waited := p.Wait(limited)
	// It may be a script, interrupted in the middle.
	if err := errors.Join(p.KillGroup(), p.Stop(0)); err != nil {
		return "", err
	}
	if waited != nil {
		return "", fmt.Errorf("initialize %s: %w\n%s", data, waited, p.LogTail(2000))
	}
	return data, os.Rename(aside, data)
}
