package report

import (
	"fmt"
	"strings"
)

// Page renders the page of all results. sync may be nil.
func Page(all []*Results, sync *Sync) string {
	var out strings.Builder
	out.WriteString(head)
	for _, r := range all {
		r.section(&out)
	}
	if sync != nil {
		sync.section(&out)
	}
	return out.String()
}

const head = "# Benchmarks\n" + `
This page is written by ` + "`make bench`" + `, from ` + "`docs/benchmarks/*.json`" + `.

` + "```sh" + `
make bench                    # the storage layers and the manager alone, then profile small: 2 clusters, 1,000 pods each; about 6 minutes
make bench PROFILE=pods       # 2 clusters, 10,000 pods each
make bench PROFILE=million    # 1,000,000 objects of seven kinds in 50 clusters
make bench BENCH_ARGS='--engine mariadb'   # or sqlite: the same, on another database
make bench-storage            # only the storage layers, through their contract
make bench-sync               # only the manager: section Synchronization
` + "```" + `

Everything is real but the member clusters: the built ` + "`apiserver`" + ` with the built plugin behind TLS and HTTP/2, its
host cluster, PostgreSQL with ` + "`fsync`" + ` on. Three servers answer the same requests on the same objects, in
turns, so that whatever else the machine does meets all of them:

* **clusterpedia**: this repository.
* **classic**: the usual way, a small server in ` + "`hack/bench/baseline/classic`" + ` on the table of v0.9: gorm scans the
  documents, each is decoded into Kubernetes' type, converted to the internal one and given its defaults; the stock
  handlers convert the list back and encode it. Labels and fields are JSON expressions without an index, pages are
  offsets. It writes with one INSERT for each object, which it encodes first. Neither it nor clusterpedia counts what is
  behind a page; v0.9's binding-apiserver did, which ` + "`BENCH_ARGS=--classic-count`" + ` adds.
* **floor**: the least that any server could do. Bytes go from the driver to the socket, for rows of text compressed by
  LZ4. It knows no conditions, and writes with COPY.

Clusterpedia's objects are copied by the built ` + "`clustersynchro-manager`" + ` from stand-ins of members' API servers; in
profile ` + "`million`" + ` they are written through the storage layer's contract, after the manager has copied a sample
that says what it calls the columns of pods. The stand-ins have their answers ready, so that what is measured is who reads
them; a member with a real kube-apiserver and etcd is copied, too. Before a request is measured, the objects and the rows that the servers give
are compared. Profile ` + "`million`" + ` needs 20 GB in the temporary directory (` + "`BENCH_ARGS='--dir /another'`" + `), and about 20
minutes.

*min* is the fastest request of all rounds. CPU, allocations and sizes are those of the round in which they were
least, for one request; database CPU is that of all its processes. *Growth of RSS* is the peak of the server's resident
memory above the least that it had before, idle, without a large list.
Servers that were measured so are started anew: after lists of that size a server has room for the garbage of
hundreds of others, and would collect none while those are measured.

To compare two runs, keep ` + "`docs/benchmarks/PROFILE.txt`" + ` of the first:

` + "```sh" + `
go run golang.org/x/perf/cmd/benchstat@latest -ignore commit -filter '/server:clusterpedia' old.txt docs/benchmarks/pods.txt
` + "```" + `
`

func (r *Results) section(out *strings.Builder) {
	fmt.Fprintf(out, "\n## %s\n\n", r.Profile)
	fmt.Fprintf(out, "%s.\n%s; commit %s; %s.\n%s; load average %s.\n\n```sh\n%s\n```\n", r.Data, r.Engine, r.Commit, r.Date, r.Machine, r.Load, r.Command)
	for _, note := range r.Notes {
		fmt.Fprintf(out, "\n%s\n", note)
	}
	fmt.Fprintf(out, "\n### Goals\n\n%s", r.GoalTable())
	if chart := r.Chart(); chart != "" {
		fmt.Fprintf(out, "\nHow many times faster than the classic way (min, logarithmic):\n\n```\n%s```\n", chart)
	}
	for _, t := range []struct{ title, text string }{
		{"Requests", r.RequestTable()}, {"Memory", r.MemoryTable()}, {"Rates", r.RateTable()}, {"Disk", r.SizeTable()},
	} {
		if t.text != "" {
			fmt.Fprintf(out, "\n### %s\n\n%s", t.title, t.text)
		}
	}
}

// Text renders the results for a terminal.
func (r *Results) Text() string {
	var out strings.Builder
	for _, t := range []string{r.RequestTable(), r.MemoryTable(), r.RateTable(), r.SizeTable(), r.GoalTable()} {
		if t != "" {
			out.WriteString(t + "\n")
		}
	}
	return out.String()
}
