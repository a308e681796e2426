package preflight

import "strings"

// sources is a workspace with a host, two plugins and a stand-in for the storage API
// (beside its own package digest), which all share, and with two more modules: deps,
// which only the plugins share, and one that is published, which all share. It needs the
// standard library alone, so that it builds fast and offline.
var sources = map[string]string{
	"go.work": workspace("./host"),
	// The same with other versions of what is published.
	"newer.work":   workspace("./newer"),
	"newer/go.mod": "module fixture.example/newer\n\ngo 1.26.0\n\nrequire " + textModule + " " + newerText + "\n",
	"patch.work":   workspace("./patch"),
	"patch/go.mod": "module fixture.example/patch\n\ngo 1.26.0\n\nrequire " + textModule + " " + patchedText + "\n",

	"storage-api/go.mod":           "module clusterpedia.io/storage-api\n\ngo 1.26.0\n",
	"storage-api/digest/source.go": digestSource("1111111111111111"),
	"storage-api/storage/storage.go": `package storage

import "clusterpedia.io/storage-api/digest"

const Source = digest.Source

type entry struct{ name string }

var entries []entry

func Register(name string) { entries = append(entries, entry{name: name}) }

func Names() (names []string) {
	for _, e := range entries {
		names = append(names, e.name)
	}
	return names
}

//go:noinline
func Twice(n int) int { return 2 * n }
`,
	"deps/go.mod":     "module fixture.example/deps\n\ngo 1.26.0\n",
	"deps/lib/lib.go": "package lib\n\nfunc Name() string { return \"lib\" }\n",

	"host/go.mod": "module fixture.example/host\n\ngo 1.26.0\n\nrequire " + textModule + " " + hostText + "\n",
	"host/main.go": `package main

import (
	"fmt"
	"os"
	"plugin"
	"runtime"

	"clusterpedia.io/storage-api/storage"
	"fixture.example/text"
)

func main() {
	for _, file := range os.Args[1:] {
		if _, err := plugin.Open(file); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	runtime.GC()
	fmt.Println(storage.Names(), text.Upper("done"))
}
`,
	"plugins/go.mod":         "module fixture.example/plugins\n\ngo 1.26.0\n\nrequire " + textModule + " " + hostText + "\n",
	"plugins/first/main.go":  pluginSource("first"),
	"plugins/second/main.go": pluginSource("second"),

	// A plugin that was built on a newer system, of which this is the C library, as far as
	// the plugin uses it.
	"plugins/glibc/main.go": `package main

// #cgo LDFLAGS: -L${SRCDIR}/libc -lnewer
// int answer(void);
import "C"

import "clusterpedia.io/storage-api/storage"

func init() { storage.Register(string(rune(C.answer()))) }

func main() {}
`,
	"plugins/glibc/libc/newer.c":   "int answer(void) { return 42; }\n",
	"plugins/glibc/libc/newer.map": "GLIBC_2.99 { global: answer; };\n",

	// A plugin as an author builds it without the tool: outside of the host's workspace,
	// with a version of the storage API that was published.
	"apart/go.mod": "module fixture.example/apart\n\ngo 1.26.0\n\nrequire " + contractModule + " " + publishedContract + "\n",
	"apart/main.go": `package main

import "clusterpedia.io/storage-api/storage"

func init() { storage.Register("apart") }

func main() {}
`,
	// Makes a profile of what a server does most.
	"profile/go.mod": "module fixture.example/profile\n\ngo 1.26.0\n",
	"profile/main.go": `package main

import (
	"fmt"
	"os"
	"runtime/pprof"
)

func main() {
	if err := pprof.StartCPUProfile(os.Stdout); err != nil {
		panic(err)
	}
	for i := range 300_000 {
		_ = fmt.Sprint(map[string]int{"a": i, "b": 2, "c": 3})
	}
	pprof.StopCPUProfile()
}
`,
}

// The module that is published, the versions that are, and which of them hosts use.
const (
	textModule  = "fixture.example/text"
	hostText    = "v1.0.0"
	patchedText = "v1.0.1" // another body of a function
	newerText   = "v1.1.0" // another function

	publishedContract = "v1.0.0"
)

func textSource(version string) map[string]string {
	files := map[string]string{
		"go.mod":  "module " + textModule + "\n\ngo 1.26.0\n",
		"text.go": "package text\n\nimport \"strings\"\n\nfunc Upper(s string) string { return strings.ToUpper(s) }\n",
		"more.go": "//go:build more\n\npackage text\n\nfunc Lower(s string) string { return s }\n",
	}
	switch version {
	case patchedText:
		files["text.go"] = strings.Replace(files["text.go"], "strings.ToUpper(s)", "strings.ToUpper(s) + strings.ToLower(s)", 1)
	case newerText:
		files["text.go"] += "\nfunc Title(s string) string { return s }\n"
	}
	return files
}

func workspace(member string) string {
	return "go 1.26.0\n\nuse (\n\t./deps\n\t./plugins\n\t./profile\n\t./storage-api\n\t" + member + "\n)\n"
}

func digestSource(digest string) string {
	return "package digest\n\nconst Source = \"" + digest + "\"\n"
}

func pluginSource(name string) string {
	return `package main

import (
	"clusterpedia.io/storage-api/storage"
	"fixture.example/deps/lib"
	"fixture.example/text"
)

var Version = "v1"

func init() { storage.Register(text.Upper("` + name + `") + lib.Name()) }

func main() {}
`
}

// changes are what some builds find in place of the sources, or of those of Go, whose
// names begin with GOROOT.
var changes = map[string]map[string]string{
	// Nothing that the storage package exports changes; only the digest tells.
	"contract": {
		"storage-api/digest/source.go": digestSource("2222222222222222"),
		"storage-api/storage/storage.go": strings.Replace(sources["storage-api/storage/storage.go"],
			"struct{ name string }", "struct{ weight int; name string }", 1),
	},
	"body": {
		"storage-api/digest/source.go":   digestSource("3333333333333333"),
		"storage-api/storage/storage.go": otherBody(),
	},
	// Go itself does not see it, which is what the digest is there for.
	"body without digest": {"storage-api/storage/storage.go": otherBody()},
	"api": {
		"storage-api/storage/storage.go": sources["storage-api/storage/storage.go"] + "\nfunc Count() int { return len(entries) }\n",
	},
	"lib":  {"deps/lib/lib.go": sources["deps/lib/lib.go"] + "\nfunc Other() int { return 1 }\n"},
	"main": {"plugins/first/main.go": pluginSource("other")},
	// A Go that somebody patched.
	"std": {"GOROOT/src/errors/patched.go": "package errors\n\nfunc Patched() {}\n"},
}

func otherBody() string {
	return strings.Replace(sources["storage-api/storage/storage.go"], "return 2 * n", "return n + n", 1)
}
