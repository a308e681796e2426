package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Sync is what the benchmarks of clustersynchro-manager have measured.
type Sync struct {
	Machine string `json:"machine"`
	// Load is the machine's load average behind it.
	Load    string `json:"load"`
	Date    string `json:"date"`
	Commit  string `json:"commit"`
	Command string `json:"command"`
	// Values are by benchmark and unit, as "FirstSync MiB-peak-RSS".
	Values map[string]float64 `json:"values"`
}

// syncGoal is a goal of the synchronization, and what v0.9 reaches on such a machine.
type syncGoal struct {
	Goal
	value, upstream string
	// scale makes a value of the benchmark's unit one of the goal's.
	scale float64
}

// keptValue is what a manager keeps in memory for each object, in bytes.
const keptValue = "FirstSync B-kept/object"

func syncGoals() []syncGoal {
	goal := func(title, value, upstream string, unit unit, scale, least, aim float64) syncGoal {
		return syncGoal{Goal{Title: title, Least: least, Aim: aim, Unit: unit}, value, upstream, scale}
	}
	goals := []syncGoal{
		goal("kept in memory for each object, idle", keptValue, "494 B", memory, 1, 200, 48),
		goal("first sync, CPU for each object, without the database", "FirstSync CPU-µs/object", "864 µs", duration, 1e-6, 86.4e-6, 34.56e-6),
		goal("first sync of 100,000 objects: peak RSS", "FirstSync MiB-peak-RSS", "9.2 GiB", memory, mebibyte, 150*mebibyte, 60*mebibyte),
	}
	for _, event := range []string{"restart", "leader-change", "health-flap"} {
		goals = append(goals, syncGoal{Goal{Title: "rows written by a " + strings.ReplaceAll(event, "-", " ") + ", nothing having changed"}, "NothingChanged rows-written/" + event, "", 1})
	}
	return goals
}

// ReadSyncOutput adds what the output of "go test -bench" says.
func (s *Sync) ReadSyncOutput(output io.Reader) error {
	s.Values = map[string]float64{}
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(fields[0], "Benchmark"), "-")
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return fmt.Errorf("%q is no line of a benchmark: %w", lines.Text(), err)
			}
			s.Values[name+" "+fields[i+1]] = value
		}
	}
	for _, g := range syncGoals() {
		if _, ok := s.Values[g.value]; !ok {
			return fmt.Errorf("the benchmarks did not tell %s", g.value)
		}
	}
	return lines.Err()
}

const syncFile = "sync.json"

// Write writes the figures into a directory.
func (s *Sync) Write(dir string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, syncFile), append(text, '\n'), 0o644)
}

// ReadSync reads what Write has written; nil if there is none.
func ReadSync(dir string) (*Sync, error) {
	text, err := os.ReadFile(filepath.Join(dir, syncFile))
	if os.IsNotExist(err) {
		return nil, nil //nolint:nilnil // none is an answer
	}
	if err != nil {
		return nil, err
	}
	s := &Sync{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("%s: %w", syncFile, err)
	}
	return s, nil
}

// GoalTable renders the goals.
func (s *Sync) GoalTable() string {
	rows := [][]string{{"goal", "least", "aim", "measured", "reached", "v0.9"}}
	for _, g := range syncGoals() {
		v := s.Values[g.value] * g.scale
		row := []string{g.Title, g.bound(g.Least), g.bound(g.Aim), g.Unit.print(v), g.reached(v), g.upstream}
		if g.Least == 0 { // nothing is all that is good enough
			row[1], row[2], row[3], row[4] = "none", "none", short(v), "aim"
			if v != 0 {
				row[4] = "**no**"
			}
		}
		rows = append(rows, row)
	}
	return table(rows)
}

func (s *Sync) section(out *strings.Builder) {
	fmt.Fprintf(out, `
## Synchronization

The built `+"`clustersynchro-manager`"+`, as a process: it copies 100,000 pods of 8 KiB from a stand-in of a member's API
server, in pages, into a storage layer that forgets them; and 10,000 into SQLite, whose triggers count the rows that are
written later on. Commit %s; %s.
%s; load average %s.

`+"```sh\n%s\n```\n\n%s", s.Commit, s.Date, s.Machine, s.Load, s.Command, s.GoalTable())
	mib := func(unit string) string { return bytes(s.Values["FirstSync "+unit] * mebibyte) }
	fmt.Fprintf(out, `
Of the peak RSS, %s were there before the sync. Most are pages of the program's files, which Linux takes back when it needs
them: the memory of the process's own is %s at its peak. It copied %s objects/s.
`, mib("MiB-peak-before"), mib("MiB-peak-anonymous"), short(s.Values["FirstSync objects/s"]))
}
