package report

import "fmt"

// Goal is a goal of the project.
type Goal struct {
	Title string
	// Profile is the one that the goal is for, if it is for one alone.
	Profile string
	// Row and Metric of Server are meant, divided by those of By if that is not empty;
	// of another row if ByRow is not.
	Row, Server, Metric string
	ByRow, By           string
	// Least must be reached, Aim is what we are after; 0 for none. High says that more
	// is better.
	Least, Aim float64
	High       bool
	// Unit prints a value.
	Unit unit
}

type unit int

const (
	ratio unit = iota
	times
	duration
	memory
	perSecond
)

// faster is a goal of how many times less Clusterpedia costs than the classic way.
func faster(title, row, metric string, least, aim float64) Goal {
	return Goal{Title: title, Row: row, Server: Classic, Metric: metric, By: Own, Least: least, Aim: aim, High: true, Unit: times}
}

// within is a goal of a greatest value.
func within(title, profile, row, metric string, unit unit, least, aim float64) Goal {
	return Goal{Title: title, Profile: profile, Row: row, Server: Own, Metric: metric, Least: least, Aim: aim, Unit: unit}
}

const mebibyte = 1 << 20

// Goals are all goals, on PostgreSQL.
func Goals() []Goal {
	const million = "million"
	lean := faster("writes of a worker, lean: rows/s", "write-lean", Rate, 6, 8)
	lean.Server, lean.By = Own, Classic
	compatible := faster("writes of a worker, compatible: rows/s", "write", Rate, 3, 4)
	compatible.Server, compatible.By = Own, Classic
	clients := faster("8 clients, list 500: requests/s", "clients", Rate, 10, 18)
	clients.Server, clients.By = Own, Classic
	sync := within("initial sync of a real API server: objects/s", "", "sync-real", Rate, perSecond, 2500, 5000)
	sync.High = true
	return []Goal{
		faster("list 500, JSON: server CPU", "list-500", CPU, 15, 20),
		{Title: "list 500, JSON: server CPU, of the floor's", Row: "list-500", Server: Own, Metric: CPU, By: Floor, Aim: 1.2, Unit: ratio},
		faster("list 500, JSON: bytes allocated", "list-500", Alloc, 100, 250),
		faster("list 500, gzip: wall", "list-500-gzip", Wall, 9, 40),
		faster("list all, JSON: wall", "list-all", Wall, 10, 15),
		within("list all, JSON: growth of RSS", "", "list-all-memory", Memory, memory, 32*mebibyte, 2*mebibyte),
		within("list all, JSON, four at once: growth of RSS", "", "list-all-memory-4", Memory, memory, 32*mebibyte, 2*mebibyte),
		faster("list 500, Table: wall", "list-500-table", Wall, 6, 100),
		faster("list 500, metadata only: wall", "list-500-metadata", Wall, 6, 50),
		clients,
		within("a selective label: p50", million, "label", P50, duration, .010, .002),
		within("a field: p50", million, "field", P50, duration, .010, .010),
		within("a part of the name: p50", million, "fuzzy", P50, duration, .010, .002),
		within("owner two generations up: p50", million, "owner", P50, duration, .010, .002),
		within("newest 20: p50", million, "newest", P50, duration, .010, .002),
		{Title: "page behind 500,000, of the first page: p50", Profile: million, Row: "page-deep", Server: Own, Metric: P50, ByRow: "page-first", By: Own, Least: 1.5, Aim: 1.2, Unit: ratio},
		compatible,
		lean,
		{Title: "writes of a worker, lean: the COPY floor's rows/s, of its", Row: "write-lean", Server: Floor, Metric: Rate, By: Own, Aim: 1.5, Unit: ratio},
		sync,
		within("lag of a change at 63/s: p99", "", "lag", P99, duration, .100, .030),
		within("disk, of the JSON: compatible", "", "disk", Size, ratio, 1.5, 1.2),
		within("disk, of the JSON: lean", "", "disk-lean", Size, ratio, .7, .5),
	}
}

// Measured returns the goal's value; false if it was not measured.
func (g Goal) Measured(r *Results) (float64, bool) {
	v, ok := r.Value(g.Row, g.Server, g.Metric)
	if g.By == "" || !ok {
		return v, ok
	}
	row := g.ByRow
	if row == "" {
		row = g.Row
	}
	by, ok := r.Value(row, g.By, g.Metric)
	if !ok || by == 0 {
		return 0, false
	}
	return v / by, true
}

// OfFloor returns what the floor reaches, of a goal that compares with the classic way;
// false if it was not measured.
func (g Goal) OfFloor(r *Results) (float64, bool) {
	switch {
	case g.Server == Classic && g.By == Own:
		g.By = Floor
	case g.Server == Own && g.By == Classic, g.Server == Own && g.By == "":
		g.Server = Floor
	default:
		return 0, false
	}
	return g.Measured(r)
}

// For says whether the goal is for a profile.
func (g Goal) For(profile string) bool { return g.Profile == "" || g.Profile == profile }

// reached says how far a value is.
func (g Goal) reached(v float64) string {
	meets := func(bound float64) bool { return bound != 0 && (g.High && v >= bound || !g.High && v <= bound) }
	switch {
	case meets(g.Aim):
		return "aim"
	case meets(g.Least):
		return "least"
	case g.Least == 0:
		return "not the aim"
	}
	return "**no**"
}

func (g Goal) bound(v float64) string {
	switch {
	case v == 0:
		return ""
	case g.High:
		return "≥ " + g.Unit.print(v)
	}
	return "≤ " + g.Unit.print(v)
}

func (u unit) print(v float64) string {
	switch u {
	case times:
		return short(v) + " ×"
	case duration:
		return seconds(v)
	case memory:
		return bytes(v)
	case perSecond:
		return short(v) + "/s"
	default:
		return fmt.Sprintf("%.2f", v)
	}
}
