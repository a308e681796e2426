package report

import (
	"fmt"
	"strings"
)

// units are what benchstat knows metrics by.
func units() []struct {
	metric, unit string
	scale        float64
} {
	return []struct {
		metric, unit string
		scale        float64
	}{
		{Wall, "ns/op", 1e9},
		{CPU, "cpu-ns/op", 1e9},
		{Database, "db-cpu-ns/op", 1e9},
		{Alloc, "B/op", 1},
		{Mallocs, "allocs/op", 1},
		{Memory, "rss-growth-B", 1},
		{Rate, "ops/s", 1},
		{P50, "p50-ns", 1e9},
		{P99, "p99-ns", 1e9},
		{Size, "size/json", 1},
	}
}

// Benchstat renders the samples in Go's benchmark format: a line for each round.
func (r *Results) Benchstat() string {
	var out strings.Builder
	fmt.Fprintf(&out, "pkg: clusterpedia.io/bench\nprofile: %s\nengine: %s\ncommit: %s\ncpu: %s\n", r.Profile, r.Engine, r.Commit, r.Machine)
	for _, s := range r.Samples {
		fmt.Fprintf(&out, "Benchmark/row=%s/server=%s\t%d", s.Row, s.Server, s.Count)
		for _, u := range units() {
			if v, ok := s.Metrics[u.metric]; ok {
				fmt.Fprintf(&out, "\t%.6g %s", v*u.scale, u.unit)
			}
		}
		out.WriteString("\n")
	}
	return out.String()
}
