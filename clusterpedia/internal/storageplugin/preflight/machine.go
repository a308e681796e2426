package preflight

import (
	"debug/elf"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Machine is what is known of the machine that is to run the host. The zero
// value is a machine of which nothing is known.
type Machine struct {
	// GLIBC is the version of its GNU C library, such as "2.36"; empty if it has
	// another C library or if it is not known.
	GLIBC string
	// AMD64 is the level of the x86-64 architecture that the processor reaches, 1
	// to 4; 0 if it is another architecture or not known.
	AMD64 int
}

// ThisMachine returns what is known of the machine that runs this process. The C
// library is known only if this process uses it.
func ThisMachine() Machine {
	var m Machine
	// What cannot be read, as on other systems than Linux, is not known.
	maps, _ := os.ReadFile("/proc/self/maps")
	if library := mapped(string(maps), "libc.so.6"); library != "" {
		m.GLIBC = definedGLIBC(library)
	}
	if runtime.GOARCH == "amd64" {
		cpus, _ := os.ReadFile("/proc/cpuinfo")
		m.AMD64 = amd64Level(string(cpus))
	}
	return m
}

// mapped returns the path of the first file of that base name in a table such as
// /proc/self/maps; empty if there is none.
func mapped(maps, base string) string {
	for line := range strings.Lines(maps) {
		line = strings.TrimSuffix(line, "\n")
		if i := strings.IndexByte(line, '/'); i >= 0 && filepath.Base(line[i:]) == base {
			return line[i:]
		}
	}
	return ""
}

// definedGLIBC returns the highest version that a C library offers; empty if it
// cannot be read.
func definedGLIBC(library string) string {
	f, err := elf.Open(library)
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // It was only read.
	versions, err := f.DynamicVersions()
	if err != nil {
		return ""
	}
	highest := ""
	for _, v := range versions {
		highest = maxGLIBC(highest, v.Name)
	}
	return highest
}

// amd64Features are the flags of /proc/cpuinfo that the levels 2, 3 and 4 of the
// x86-64 architecture add to the one before.
var amd64Features = [...][]string{
	{"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"},
	{"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"},
	{"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}

// amd64Level returns the level that the first processor in a table such as
// /proc/cpuinfo reaches; 0 if the table shows no flags.
func amd64Level(cpus string) int {
	for line := range strings.Lines(cpus) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) != "flags" {
			continue
		}
		flags, level := strings.Fields(value), 1
		for _, needed := range amd64Features {
			if slices.ContainsFunc(needed, func(f string) bool { return !slices.Contains(flags, f) }) {
				break
			}
			level++
		}
		return level
	}
	return 0
}
