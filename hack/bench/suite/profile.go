// Package suite runs the benchmarks: it starts a database, loads the same objects for
// Clusterpedia and for the baselines, starts the servers, sends all of them the same
// requests in turns, and measures from outside what each has cost.
package suite

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"clusterpedia.io/bench/baseline/oldtable"
	"clusterpedia.io/bench/fleet"
)

// Profile says how much is measured, and on what.
type Profile struct {
	Name  string
	Fleet fleet.Fleet
	// Rounds, and for how long a server is asked the same in each of them.
	Rounds int
	Round  time.Duration
	// Lists is for whole lists, Writes for writes.
	Lists, Writes bool
	// Depth is how many pods stand before the page that is compared with the first one; 0:
	// none is.
	Depth int
	// Buffers is the memory of PostgreSQL's own cache.
	Buffers string
	// FieldIndex has the storage layer index fields, if it can in that database.
	FieldIndex bool
}

const seed = 1

func profiles() map[string]Profile {
	// A pod's deployment and replica set stand for what else a cluster holds.
	pods := func(apps int) fleet.Fleet {
		return fleet.Fleet{Seed: seed, Clusters: 2, Namespaces: 50, Apps: apps, App: fleet.App{ReplicaSets: 1, Pods: 5}}
	}
	return map[string]Profile{
		"small": {Name: "small", Fleet: pods(200), Rounds: 3, Round: 200 * time.Millisecond, Lists: true, Writes: true, Buffers: "256MB"},
		"pods":  {Name: "pods", Fleet: pods(2000), Rounds: 6, Round: time.Second, Lists: true, Writes: true, Buffers: "1GB"},
		"million": {
			Name: "million", Rounds: 3, Round: time.Second, Depth: 500_000, Buffers: "3GB", FieldIndex: true,
			Fleet: fleet.Fleet{Seed: seed, Clusters: 50, Namespaces: 50, Apps: 1250, App: fleet.App{ReplicaSets: 2, Pods: 9, Services: 1, ConfigMaps: 1, Secrets: 1, Slices: 1}},
		},
	}
}

// ProfileNames are the names of all profiles.
func ProfileNames() []string { return []string{"small", "pods", "million"} }

// Named returns the profile of that name.
func Named(name string) (Profile, error) {
	p, ok := profiles()[name]
	if !ok {
		return p, fmt.Errorf("unknown profile %q, want one of %s", name, strings.Join(slices.Sorted(maps.Keys(profiles())), ", "))
	}
	return p, nil
}

// Config says what to run.
type Config struct {
	Profile Profile
	Engine  oldtable.Engine
	// Repository is the directory of the repository, whose bin/ holds what is measured.
	Repository string
	// Dir holds data and logs while the benchmarks run; "" for a temporary directory.
	Dir string
	// Keep leaves Dir as it is.
	Keep bool
	// Count is whether the classic way counts each list.
	Count bool
	// Lean is the storage layer's configuration of its lean mode.
	Lean string
	// Only are the names of the rows to measure; none: all.
	Only []string
	// Command is how the benchmarks were called, for the reader.
	Command string
}

func (c *Config) wants(row string) bool { return len(c.Only) == 0 || slices.Contains(c.Only, row) }
