// Package report holds what the benchmarks have measured, and prints it: beside the
// goals, as Markdown, and in the format that benchstat compares.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// The servers that are compared.
const (
	Own     = "clusterpedia"
	Classic = "classic"
	Floor   = "floor"
)

// Servers are all of them, in the order of tables.
func Servers() []string { return []string{Own, Classic, Floor} }

// What is measured, for one request or row unless said otherwise. Times are seconds.
const (
	// Wall is the shortest time of a request, P50 and P99 the time within which half of
	// them, and all but one in a hundred, are answered.
	Wall = "wall"
	P50  = "p50"
	P99  = "p99"
	// CPU is the processor time of the server (of writes: the writer), Database that of
	// the database.
	CPU      = "cpu"
	Database = "database"
	// Alloc and Mallocs are what the server allocates, in bytes and in objects.
	Alloc   = "alloc"
	Mallocs = "mallocs"
	// Bytes is the length of the answer, as it is sent.
	Bytes = "bytes"
	// Memory is by how many bytes the server's resident memory grows.
	Memory = "memory"
	// Rate is how many requests are answered, or rows written, in a second.
	Rate = "rate"
	// Size is what is stored, and Table that without indexes, for a byte of JSON.
	Size  = "size"
	Table = "table"
)

// Metrics are values by their names.
type Metrics map[string]float64

// Row is something that is measured, on each server that can do it.
type Row struct {
	Name  string             `json:"name"`
	Title string             `json:"title"`
	By    map[string]Metrics `json:"by"`
}

// Sample is what one round of a row has measured on one server.
type Sample struct {
	Row, Server string
	// Count is the number of requests or rows of the round.
	Count   int
	Metrics Metrics
}

// Results are those of one run.
type Results struct {
	Profile string `json:"profile"`
	// Data says in a line what was loaded.
	Data string `json:"data"`
	// Objects were loaded, of JSON bytes on average; Synced were copied by the manager.
	Objects int     `json:"objects"`
	JSON    float64 `json:"jsonBytes"`
	Synced  int     `json:"synced,omitempty"`
	Engine  string  `json:"engine"`
	Machine string  `json:"machine"`
	// Load is the machine's load average before and after.
	Load    string `json:"load"`
	Date    string `json:"date"`
	Commit  string `json:"commit"`
	Command string `json:"command"`
	// Notes are for the reader.
	Notes []string `json:"notes,omitempty"`
	Rows  []Row    `json:"rows"`

	Samples []Sample `json:"-"`
}

// Row returns the row of that name, which is made if it is missing.
func (r *Results) Row(name, title string) *Row {
	for i := range r.Rows {
		if r.Rows[i].Name == name {
			return &r.Rows[i]
		}
	}
	r.Rows = append(r.Rows, Row{Name: name, Title: title, By: map[string]Metrics{}})
	return &r.Rows[len(r.Rows)-1]
}

// Value returns a metric; false if it was not measured.
func (r *Results) Value(row, server, metric string) (float64, bool) {
	for i := range r.Rows {
		if r.Rows[i].Name == row {
			v, ok := r.Rows[i].By[server][metric]
			return v, ok
		}
	}
	return 0, false
}

// Write writes the results of a profile into a directory, beside those of others: as
// JSON, from which the page is made, and as text for benchstat.
func (r *Results) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, r.Profile+".json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, r.Profile+".txt"), []byte(r.Benchstat()), 0o644)
}

// Read reads what Write has written; nil if there is none.
func Read(dir, profile string) (*Results, error) {
	path := filepath.Join(dir, profile+".json")
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil //nolint:nilnil // none is an answer
	}
	if err != nil {
		return nil, err
	}
	r := &Results{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}
