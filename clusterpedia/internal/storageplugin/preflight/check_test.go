package preflight

import (
	"debug/elf"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// image returns a plugin that fits hostImage.
func image(main string) *Image {
	return &Image{
		Path: "/plugins/" + main[strings.LastIndexByte(main, '/')+1:] + ".so", Type: elf.ET_DYN, Machine: elf.EM_X86_64, Data: elf.ELFDATA2LSB,
		Needed: []string{"libc.so.6"}, GLIBC: "2.34",
		Info: &debug.BuildInfo{
			GoVersion: "go1.26.8", Path: main,
			Main: debug.Module{Path: main, Version: "(devel)"},
			Deps: []*debug.Module{
				{Path: "clusterpedia.io/storage-api", Version: "(devel)"},
				{Path: "golang.org/x/text", Version: "v0.40.0", Sum: "h1:text"},
				{Path: "golang.org/x/text/private", Version: "v0.1.0", Sum: "h1:private"},
			},
			Settings: []debug.BuildSetting{
				{Key: "-buildmode", Value: "plugin"},
				{Key: "-trimpath", Value: "true"},
				{Key: "CGO_ENABLED", Value: "1"},
				{Key: "GOARCH", Value: "amd64"},
				{Key: "GOOS", Value: "linux"},
				{Key: "GOAMD64", Value: "v1"},
			},
		},
		Packages: map[string]string{
			"fmt": "aa", "clusterpedia.io/storage-api/digest": "bb", "clusterpedia.io/storage-api/storage": "cc",
			"golang.org/x/text/unicode/norm": "dd", "golang.org/x/text/private/x": "ee", main: "ff" + main,
		},
	}
}

func hostImage() *Image {
	host := image("example.com/host")
	host.Path = "/bin/host"
	host.Interpreter = "/lib64/ld-linux-x86-64.so.2"
	set(host, "-buildmode", "exe")
	host.Packages["main"] = "00"
	delete(host.Packages, "golang.org/x/text/private/x")
	return host
}

// set changes a build setting; empty removes it.
func set(im *Image, key, value string) {
	for i, s := range im.Info.Settings {
		if s.Key == key {
			im.Info.Settings[i].Value = value
			return
		}
	}
	im.Info.Settings = append(im.Info.Settings, debug.BuildSetting{Key: key, Value: value})
}

func dep(im *Image, path string) *debug.Module {
	for _, m := range im.Info.Deps {
		if m.Path == path {
			return m
		}
	}
	return nil
}

func TestCheck(t *testing.T) {
	t.Parallel()
	machine := Machine{GLIBC: "2.36", AMD64: 3}
	const (
		std      = "fmt"
		digest   = "clusterpedia.io/storage-api/digest"
		contract = "clusterpedia.io/storage-api/storage"
		text     = "golang.org/x/text/unicode/norm"
		private  = "golang.org/x/text/private/x"
	)
	change := func(packages ...string) func(host, plugin *Image) {
		return func(_, plugin *Image) {
			for _, pkg := range packages {
				plugin.Packages[pkg] += "!"
			}
		}
	}
	cases := map[string]struct {
		change   func(host, plugin *Image)
		machine  *Machine // another machine
		earlier  *Image
		loadable bool
		why      string // of the first row that is not OK; empty if there is none
		cure     string
		rows     int // that are not OK
		// byHand marks what no command mends.
		byHand bool
	}{
		"fits":         {loadable: true},
		"musl":         {byHand: true, change: func(_, p *Image) { p.Needed = []string{"libc.so"}; p.GLIBC = "" }, why: "it was built for the C library musl, the host for glibc", cure: "build the plugin with a C compiler (CC) for glibc", rows: 1},
		"musl host":    {byHand: true, change: func(h, _ *Image) { h.Interpreter = "/lib/ld-musl-x86_64.so.1" }, why: "it was built for the C library glibc, the host for musl", cure: "build the plugin with a C compiler (CC) for musl", rows: 1},
		"other libs":   {byHand: true, change: func(_, p *Image) { p.Needed = append(p.Needed, "libm.so.6", "ld-linux-x86-64.so.2", "libpq.so.5") }, loadable: true, why: "it needs the shared library libpq.so.5", cure: "make sure that the machine has libpq.so.5", rows: 1},
		"glibc":        {byHand: true, change: func(_, p *Image) { p.GLIBC = "2.38" }, why: "it needs glibc 2.38, this machine has 2.36", cure: "build the plugin on a system with glibc 2.36 or older, or run the host on one with 2.38 or newer", rows: 1},
		"glibc enough": {change: func(_, p *Image) { p.GLIBC = "2.36" }, loadable: true},
		"glibc elsewhere": {
			byHand: true,
			change: func(_, p *Image) { p.GLIBC = "2.36" }, machine: &Machine{}, loadable: true,
			why: "it needs glibc 2.36, the host only 2.34", cure: "run the host on a system with glibc 2.36 or newer, or build the plugin on an older one", rows: 1,
		},
		"processor":           {change: func(_, p *Image) { set(p, "GOAMD64", "v4") }, why: "it was built with GOAMD64=v4, this processor reaches v3", cure: "build the plugin with GOAMD64=v1", rows: 1},
		"processor enough":    {change: func(_, p *Image) { set(p, "GOAMD64", "v3") }, loadable: true},
		"processor elsewhere": {change: func(_, p *Image) { set(p, "GOAMD64", "v2") }, machine: &Machine{}, loadable: true, why: "it was built with GOAMD64=v2, the host with v1", cure: "build the plugin with GOAMD64=v1, or run it only on processors that reach v2", rows: 1},

		"toolchain": {
			change: func(_, p *Image) { p.Info.GoVersion = "go1.27.1"; change(std, digest, contract)(nil, p) },
			why:    "it was built with go1.27.1, the host with go1.26.8", cure: "build the plugin with GOTOOLCHAIN=go1.26.8", rows: 3,
		},
		"experiment": {
			change: func(_, p *Image) {
				p.Info.GoVersion = "go1.26.8-X:nogreenteagc"
				set(p, "GOEXPERIMENT", "nogreenteagc")
				change(std)(nil, p)
			},
			why: "it was built with go1.26.8-X:nogreenteagc, the host with go1.26.8", rows: 3,
		},
		"race": {
			change: func(_, p *Image) { set(p, "-race", "true"); change(std, contract)(nil, p) },
			why:    "it was built with -race, the host without it", cure: "build the plugin without -race", rows: 3,
		},
		"profile": {
			byHand: true,
			change: func(h, p *Image) { set(h, "-pgo", "host.pgo"); change(std)(nil, p) },
			why:    "it was built without -pgo=host.pgo, the host with it", cure: "build the plugin with -pgo=host.pgo", rows: 2,
		},
		"experiments of both": {
			change: func(h, p *Image) { set(h, "GOEXPERIMENT", "a"); set(p, "GOEXPERIMENT", "b"); change(std)(nil, p) },
			why:    "it was built with GOEXPERIMENT=b, the host with GOEXPERIMENT=a", cure: "build the plugin with GOEXPERIMENT=a", rows: 2,
		},
		"flags without a consequence": {change: func(_, p *Image) { set(p, "-tags", "x"); set(p, "-ldflags", "-s") }, loadable: true},
		"standard library": {
			byHand: true,
			change: change(std), why: "its standard library was compiled from other sources, or with other flags, than the host's",
			cure: "build host and plugin with the same installation of Go and the same flags", rows: 1,
		},
		"standard library in others": {
			byHand: true,
			change: change(std, contract, text), why: "its standard library was compiled from other sources, or with other flags, than the host's",
			cure: "build host and plugin with the same installation of Go and the same flags", rows: 3,
		},

		"contract": {
			change: change(digest, contract), why: "it was built against another storage-api source (host's bb (devel), plugin's bb! (devel))",
			cure: "build the plugin with the storage-api that the host was built with", rows: 1,
		},
		"contract with tags": {
			change: func(_, p *Image) { set(p, "-tags", "x"); change(digest)(nil, p) },
			why:    "it was built against another storage-api source (host's bb (devel), plugin's bb! (devel))", rows: 1,
			cure: "build the plugin with the storage-api that the host was built with",
		},
		"contract from a module proxy": {
			change: func(_, p *Image) {
				dep(p, contractModule).Version = "v1.2.3"
				change(contract)(nil, p)
			},
			why:  "it was built against another storage-api source (host's cc (devel), plugin's cc! v1.2.3)",
			cure: "build the plugin with the storage-api that the host was built with", rows: 1,
		},
		"dependency": {
			change: func(_, p *Image) { dep(p, "golang.org/x/text").Version = "v0.43.0"; change(text)(nil, p) },
			why:    "it was built with golang.org/x/text v0.43.0, the host with v0.40.0", cure: "build the plugin with golang.org/x/text v0.40.0", rows: 1,
		},
		"dependency from a directory": {
			byHand: true,
			change: func(h, p *Image) {
				dep(h, "golang.org/x/text").Replace = &debug.Module{Path: "../text", Version: ""}
				change(text)(nil, p)
			},
			why:  "it was built with golang.org/x/text v0.40.0, the host with v0.40.0 => ../text",
			cure: "build the plugin from the host's sources of golang.org/x/text", rows: 1,
		},
		"dependency, same version": {
			change: change(text), why: "it was built with other sources of golang.org/x/text than the host",
			cure: "build the plugin from the host's sources of golang.org/x/text", rows: 1,
		},
		"private dependency": {change: change(private), loadable: true},
		"same declarations": {
			change: func(_, p *Image) { dep(p, "golang.org/x/text").Sum = "h1:other" }, loadable: true,
			why:  "it was built with other sources of golang.org/x/text than the host, though with the same declarations",
			cure: "build the plugin with golang.org/x/text v0.40.0", rows: 1,
		},

		"same sources by a replacement": {
			change: func(_, p *Image) {
				d := dep(p, "golang.org/x/text")
				d.Replace, d.Sum = &debug.Module{Path: d.Path, Version: d.Version, Sum: d.Sum}, ""
			}, loadable: true,
		},

		"second plugin": {earlier: image("example.com/first"), loadable: true},
		"second plugin, other dependency": {
			byHand: true,
			change: change(private), earlier: image("example.com/first"),
			why:  "it and /plugins/first.so, which is opened before it, were built with different sources of golang.org/x/text/private",
			cure: "build /plugins/first.so and /plugins/plugin.so with the same version of golang.org/x/text/private", rows: 1,
		},
		"second of one name": {
			byHand:  true,
			earlier: image("example.com/plugin"), why: "plugin example.com/plugin is already loaded, from /plugins/plugin.so", rows: 1,
			cure: "remove one of /plugins/plugin.so and /plugins/plugin.so, or, if they are different plugins, give one another module path in its go.mod",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, plugin := hostImage(), image("example.com/plugin")
			if tc.change != nil {
				tc.change(host, plugin)
			}
			m, earlier := machine, []*Image(nil)
			if tc.machine != nil {
				m = *tc.machine
			}
			if tc.earlier != nil {
				earlier = []*Image{tc.earlier}
			}
			report := Check(host, m, plugin, earlier...)
			require.Equal(t, tc.loadable, report.Loadable, report)
			var rows []Row
			for _, row := range report.Rows {
				if row.Verdict != OK {
					rows = append(rows, row)
				}
			}
			require.Len(t, rows, tc.rows, report)
			if tc.rows > 0 {
				require.Equal(t, tc.why, rows[0].Why)
				require.Equal(t, tc.cure, rows[0].Cure)
			}
			for _, row := range rows {
				require.Equal(t, tc.byHand, row.Command == "", row)
				require.True(t, row.Command != "" || row.Cure != "", row)
			}
			rebuild := "clusterpedia plugin build --host /bin/host ."
			if tc.byHand || tc.rows == 0 {
				rebuild = ""
			}
			require.Equal(t, rebuild, report.Rebuild)
			require.Equal(t, report.Loadable, report.Reason() == "")
		})
	}
}

// TestCheckTransitively checks that a plugin is compared with the first of those
// that have a package, as the dynamic linker binds it.
func TestCheckTransitively(t *testing.T) {
	t.Parallel()
	first, second, third := image("example.com/first"), image("example.com/second"), image("example.com/third")
	for _, im := range []*Image{first, second, third} {
		maps.DeleteFunc(im.Packages, func(pkg, _ string) bool { return strings.HasPrefix(pkg, "golang.org/x/text/private") })
	}
	second.Packages["golang.org/x/text/private/y"] = "second"
	third.Packages["golang.org/x/text/private/y"] = "third"
	require.True(t, Check(hostImage(), Machine{}, third, first).Loadable)
	report := Check(hostImage(), Machine{}, third, first, second)
	require.False(t, report.Loadable)
	require.Contains(t, report.Reason(), "it and /plugins/second.so, which is opened before it")
	require.Equal(t, 1, report.Differing)
}

func TestModuleOf(t *testing.T) {
	t.Parallel()
	known := modules(image("example.com/plugin").Info)
	for pkg, want := range map[string]string{
		"fmt":                                 "std",
		"internal/abi":                        "std",
		"vendor/golang.org/x/net/http2/hpack": "std",
		"golang.org/x/text/unicode/norm":      "golang.org/x/text",
		"golang.org/x/text/private":           "golang.org/x/text/private",
		"golang.org/x/textual":                "golang.org/x/textual",
		"example.com/plugin":                  "example.com/plugin",
	} {
		require.Equal(t, want, moduleOf(pkg, known), pkg)
	}
}

// TestRebuildElsewhere checks that the command can be run in another directory.
func TestRebuildElsewhere(t *testing.T) {
	t.Parallel()
	here, err := os.Getwd()
	require.NoError(t, err)
	for given, want := range map[string]string{
		"/bin/host":        "/bin/host",
		"host":             here + "/host",
		"../a/host":        filepath.Dir(here) + "/a/host",
		"/opt/a b/host":    "'/opt/a b/host'",
		"/opt/you're/$a/h": `'/opt/you'\''re/$a/h'`,
	} {
		host, plugin := hostImage(), image("example.com/plugin")
		host.Path = given
		set(plugin, "-pgo", "a")
		plugin.Packages["fmt"] += "!"
		require.Equal(t, "clusterpedia plugin build --host "+want+" .", Check(host, Machine{}, plugin).Rebuild)
	}
}

func TestCanOpenPlugins(t *testing.T) {
	t.Parallel()
	host := hostImage()
	require.NoError(t, host.CanOpenPlugins())

	host.Interpreter = ""
	require.EqualError(t, host.CanOpenPlugins(), "/bin/host is linked statically and so cannot open plugins: build it without -static in -extldflags")

	set(host, "CGO_ENABLED", "0")
	require.EqualError(t, host.CanOpenPlugins(), "/bin/host was built without cgo and so cannot open plugins: build it with CGO_ENABLED=1 and a C compiler")

	host = hostImage()
	host.Packages = nil
	require.ErrorContains(t, host.CanOpenPlugins(), "does not import package plugin with cgo")
}

//nolint:dupword // Tables repeat values.
func TestReportText(t *testing.T) {
	t.Parallel()
	plugin := image("example.com/plugin")
	set(plugin, "-trimpath", "")
	for pkg := range plugin.Packages {
		plugin.Packages[pkg] += "!"
	}
	report := Check(hostImage(), Machine{}, plugin)
	require.Equal(t, `/plugins/plugin.so (example.com/plugin) does not fit /bin/host: it was built without -trimpath, the host with it
  KIND     WHAT                                          HOST      PLUGIN    VERDICT
  setting  -trimpath                                     true      -         cause
  package  clusterpedia.io/storage-api: digest, storage  (devel)   (devel)   mismatch
  package  golang.org/x/text: unicode/norm               v0.40.0   v0.40.0   mismatch
  package  std: fmt                                      go1.26.8  go1.26.8  mismatch
  4 of 4 shared packages differ
  to mend it: build the plugin with -trimpath
  or build it with the versions and flags of the host, in the directory of example.com/plugin: clusterpedia plugin build --host /bin/host .
`, report.String())

	report = Check(hostImage(), Machine{}, image("example.com/plugin"))
	require.Equal(t, "/plugins/plugin.so (example.com/plugin) fits /bin/host: 4 shared packages agree\n", report.String())
	var all strings.Builder
	require.NoError(t, report.Write(&all, true))
	require.Contains(t, all.String(), "  toolchain  Go version       go1.26.8  go1.26.8  ok\n")
}

func TestReportJSON(t *testing.T) {
	t.Parallel()
	plugin := image("example.com/plugin")
	plugin.Packages["clusterpedia.io/storage-api/digest"] = "b1"
	text, err := json.Marshal(Check(hostImage(), Machine{}, plugin))
	require.NoError(t, err)
	var report struct {
		Host, Plugin, Main, Rebuild string
		Loadable                    bool
		Shared, Differing           int
		Rows                        []map[string]any
	}
	require.NoError(t, json.Unmarshal(text, &report))
	require.Equal(t, "/bin/host", report.Host)
	require.Equal(t, "clusterpedia plugin build --host /bin/host .", report.Rebuild)
	require.False(t, report.Loadable)
	require.Equal(t, []int{4, 1}, []int{report.Shared, report.Differing})
	require.Equal(t, map[string]any{
		"kind": "contract", "what": "clusterpedia.io/storage-api", "host": "bb (devel)", "plugin": "b1 (devel)", "verdict": "mismatch",
		"packages": []any{"clusterpedia.io/storage-api/digest"},
		"why":      "it was built against another storage-api source (host's bb (devel), plugin's b1 (devel))",
		"cure":     "build the plugin with the storage-api that the host was built with",
		"command":  "clusterpedia plugin build --host /bin/host .",
	}, report.Rows[0])
}
