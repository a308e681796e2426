// Package process holds what the servers' mains share: their version, the options
// of the storage layer, logging, leader election and the port for metrics.
package process

import (
	"fmt"
	"runtime"
	"strconv"

	"github.com/spf13/pflag"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// Set by the linker, with -ldflags "-X clusterpedia.io/clusterpedia/internal/process.gitVersion=v1.2.3 …".
var (
	gitVersion   = "v0.0.0-unset"
	gitCommit    = "unknown"
	gitTreeState = "unknown"
	buildDate    = "1970-01-01T00:00:00Z"
)

// BuildInfo tells from which sources, and how, a program was built.
type BuildInfo struct {
	GitVersion, GitCommit, GitTreeState, BuildDate string
	GoVersion, Compiler, Platform                  string
}

// Version returns the build info of this program.
func Version() BuildInfo {
	return BuildInfo{
		GitVersion: gitVersion, GitCommit: gitCommit, GitTreeState: gitTreeState, BuildDate: buildDate,
		GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// registerVersion shows the build info among the metrics of the process. It is called
// once in a process.
func registerVersion() error {
	info := Version()
	gauge := metrics.NewGaugeVec(&metrics.GaugeOpts{
		Name: "clusterpedia_build_info", StabilityLevel: metrics.ALPHA,
		Help: "Always 1, with labels that tell from which sources, and how, the program was built.",
	}, []string{"git_version", "git_commit", "git_tree_state", "build_date", "go_version", "compiler", "platform"})
	if err := legacyregistry.Register(gauge); err != nil {
		return fmt.Errorf("register the build info: %w", err)
	}
	gauge.WithLabelValues(info.GitVersion, info.GitCommit, info.GitTreeState, info.BuildDate, info.GoVersion, info.Compiler, info.Platform).Set(1)
	return nil
}

// VersionFlag is --version: absent, true or raw.
type VersionFlag string

// AddFlags adds --version.
func (v *VersionFlag) AddFlags(fs *pflag.FlagSet) {
	fs.Var(v, "version", "--version, --version=raw prints version information and quits")
	fs.Lookup("version").NoOptDefVal = "true"
}

// Requested returns what is to be printed, if the flag was given.
func (v *VersionFlag) Requested() (string, bool) {
	switch *v {
	case "", "false":
		return "", false
	case "raw":
		return fmt.Sprintf("%#v", Version()), true
	}
	return "Clusterpedia " + gitVersion, true
}

// String implements pflag.Value.
func (v *VersionFlag) String() string {
	if *v == "" {
		return "false"
	}
	return string(*v)
}

// Set implements pflag.Value.
func (v *VersionFlag) Set(s string) error {
	if s == "raw" {
		*v = "raw"
		return nil
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		return fmt.Errorf("must be true, false or raw: %w", err)
	}
	*v = VersionFlag(strconv.FormatBool(b))
	return nil
}

// Type implements pflag.Value.
func (v *VersionFlag) Type() string { return "version" }
