package storageplugin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		files []string // below a new directory; those that end in a slash are directories
		link  [2]string
		list  string // relative to the directory
		want  []string
		// ignored are the paths with the reasons.
		ignored []string
		err     string
	}{
		"directory": {
			files: []string{"p/b.so", "p/a.so", "p/README.md", "p/.a.so.new", "p/.hidden.so", "p/sub/c.so"}, list: "p",
			want: []string{"p/a.so", "p/b.so"},
			ignored: []string{
				"p/.a.so.new: its name begins with a dot", "p/.hidden.so: its name begins with a dot",
				"p/README.md: its name does not end in .so", "p/sub: its name does not end in .so",
			},
		},
		"own version": {
			files: []string{"p/a.so", "p/a_v1.2.2.so", "p/a_v1.2.3.so", "p/a_v1.2.4.so"}, list: "p", want: []string{"p/a_v1.2.3.so"},
			ignored: []string{
				"p/a_v1.2.2.so: it is for version v1.2.2, this is v1.2.3", "p/a_v1.2.4.so: it is for version v1.2.4, this is v1.2.3",
				"p/a.so: a_v1.2.3.so fits more exactly",
			},
		},
		"own architecture": {
			files: []string{"p/a_v1.2.3.so", "p/a_v1.2.3_linux_amd64.so", "p/a_v1.2.3_linux_arm64.so"}, list: "p", want: []string{"p/a_v1.2.3_linux_amd64.so"},
			ignored: []string{"p/a_v1.2.3_linux_arm64.so: it is for linux/arm64, this is linux/amd64", "p/a_v1.2.3.so: a_v1.2.3_linux_amd64.so fits more exactly"},
		},
		"version before architecture": {
			files: []string{"p/a_linux_amd64.so", "p/a_v1.2.3.so"}, list: "p", want: []string{"p/a_v1.2.3.so"},
			ignored: []string{"p/a_linux_amd64.so: a_v1.2.3.so fits more exactly"},
		},
		"unsuffixed": {
			files: []string{"p/a.so", "p/a_v1.2.2.so"}, list: "p", want: []string{"p/a.so"},
			ignored: []string{"p/a_v1.2.2.so: it is for version v1.2.2, this is v1.2.3"},
		},
		"never another version": {
			files: []string{"p/a_v1.2.2.so", "p/b.so"}, list: "p", want: []string{"p/b.so"},
			ignored: []string{"p/a_v1.2.2.so: it is for version v1.2.2, this is v1.2.3"},
		},
		"another build is another version": {
			files: []string{"p/a_v1.2.3+x.so", "p/b.so"}, list: "p", want: []string{"p/b.so"},
			ignored: []string{"p/a_v1.2.3+x.so: it is for version v1.2.3+x, this is v1.2.3"},
		},
		"list": {
			files: []string{"p/b.so", "p/a.so", "any name"}, list: "any name::p:",
			want: []string{"any name", "p/a.so", "p/b.so"},
		},
		"named file of another version": {files: []string{"a_v0.1.0.so"}, list: "a_v0.1.0.so", want: []string{"a_v0.1.0.so"}},
		"same file twice": {
			files: []string{"p/a.so"}, link: [2]string{"a.so", "p/b.so"}, list: "p/a.so:p", want: []string{"p/a.so"},
			ignored: []string{"p/a.so: it is the same file as p/a.so", "p/b.so: it is the same file as p/a.so"},
		},
		"link to nowhere is chosen, to be refused": {files: []string{"p/"}, link: [2]string{"nowhere", "p/a.so"}, list: "p", want: []string{"p/a.so"}},
		"directory named as a plugin likewise":     {files: []string{"p/a.so/"}, list: "p", want: []string{"p/a.so"}},

		"missing directory": {list: "nope", err: "STORAGE_PLUGINS: there is no nope; create it, or do not name it"},
		"missing file":      {list: "p/a.so", err: "STORAGE_PLUGINS: there is no p/a.so; create it, or do not name it"},
		"file as directory": {files: []string{"a.so"}, list: "a.so/b.so", err: "STORAGE_PLUGINS: stat a.so/b.so: not a directory"},
		"empty directory":   {files: []string{"p/"}, list: "p", err: "STORAGE_PLUGINS: there is no plugin (*.so) in directory p; put one there, or do not name it"},
		"no plugin":         {files: []string{"p/README.md"}, list: "p", err: "STORAGE_PLUGINS: there is no plugin (*.so) in directory p; put one there, or do not name it"},
		"no name":           {files: []string{"p/my_storage.so"}, list: "p", err: `STORAGE_PLUGINS: directory p: "my_storage.so" is no name of a plugin: rename the file`},
		"nothing":           {list: ":", err: `STORAGE_PLUGINS: ":" names nothing; name a directory, or unset the variable`},

		"default":                {files: []string{"one/a.so", "two/b.so"}, want: []string{"one/a.so"}},
		"second default":         {files: []string{"two/b.so"}, want: []string{"two/b.so"}},
		"no default":             {},
		"empty default":          {files: []string{"one/", "two/b.so"}},
		"default that is a file": {files: []string{"one", "two/b.so"}, want: []string{"two/b.so"}},
		"default with bad names": {files: []string{"one/my_storage.so"}, err: `one: "my_storage.so" is no name of a plugin`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, file := range tc.files {
				path := filepath.Join(dir, file)
				if strings.HasSuffix(file, "/") {
					require.NoError(t, os.MkdirAll(path, 0o755))
					continue
				}
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
				require.NoError(t, os.WriteFile(path, []byte(file), 0o644))
			}
			if tc.link[0] != "" {
				require.NoError(t, os.Symlink(tc.link[0], filepath.Join(dir, tc.link[1])))
			}
			c := &chooser{version: "v1.2.3", arch: "amd64", defaults: []string{filepath.Join(dir, "one"), filepath.Join(dir, "two")}}
			var list []string
			for path := range strings.SplitSeq(tc.list, ":") {
				if path != "" {
					path = filepath.Join(dir, path)
				}
				list = append(list, path)
			}
			err := c.choose(strings.Join(list, ":"))
			relative := func(text string) string { return strings.ReplaceAll(text, dir+"/", "") }
			if tc.err != "" {
				require.Error(t, err)
				require.Contains(t, relative(err.Error()), tc.err)
				return
			}
			require.NoError(t, err)
			var files, ignored []string
			for _, file := range c.files {
				files = append(files, relative(file))
			}
			for _, i := range c.ignored {
				ignored = append(ignored, relative(i.Path+": "+i.Why))
			}
			require.Equal(t, tc.want, files)
			require.Equal(t, tc.ignored, ignored)
		})
	}
}
