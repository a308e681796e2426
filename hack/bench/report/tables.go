package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// GoalTable renders the goals of the profile.
func (r *Results) GoalTable() string {
	rows := [][]string{{"goal", "least", "aim", "measured", "reached", "the floor's"}}
	for _, g := range Goals() {
		if !g.For(r.Profile) {
			continue
		}
		value, reached := "not measured", ""
		if v, ok := g.Measured(r); ok {
			value, reached = g.Unit.print(v), g.reached(v)
		}
		floor := ""
		if v, ok := g.OfFloor(r); ok {
			floor = g.Unit.print(v)
		}
		rows = append(rows, []string{g.Title, g.bound(g.Least), g.bound(g.Aim), value, reached, floor})
	}
	slower, compared := r.slower()
	row := []string{"requests that are slower than the classic way", "none", "none", fmt.Sprintf("%d of %d", len(slower), compared), "aim", ""}
	if len(slower) > 0 {
		row[4] = "**no**"
	}
	text := table(append(rows, row))
	if len(slower) > 0 {
		text += "\nSlower than the classic way: " + strings.Join(slower, "; ") + ".\n"
	}
	return text
}

// slower returns the titles of the requests that take longer than the classic way's, the
// fastest and the median of them, and how many were compared.
func (r *Results) slower() (titles []string, compared int) {
	for _, row := range r.Rows {
		own, classic := row.By[Own], row.By[Classic]
		if own[Wall] == 0 || classic[Wall] == 0 {
			continue
		}
		compared++
		if own[Wall] > classic[Wall] && own[P50] > classic[P50] {
			titles = append(titles, row.Title)
		}
	}
	return titles, compared
}

// costs are the metrics of requests, in the order of columns.
func costs() []string { return []string{Wall, P50, P99, CPU, Database, Alloc, Mallocs, Bytes} }

// heads are the titles of columns.
func heads() map[string]string {
	return map[string]string{
		Wall: "min", P50: "p50", P99: "p99", CPU: "server CPU", Database: "database CPU", Alloc: "allocated", Mallocs: "mallocs", Bytes: "answer",
		Memory: "growth of RSS", Rate: "rate", Size: "of the JSON", Table: "without indexes",
	}
}

// RequestTable renders what requests cost.
func (r *Results) RequestTable() string {
	return r.rows(costs(), func(row Row) bool { return row.By[Own][Wall] > 0 })
}

// MemoryTable renders the growth of the servers' memory.
func (r *Results) MemoryTable() string {
	return r.rows([]string{Memory}, func(row Row) bool { _, ok := row.By[Own][Memory]; return ok })
}

// RateTable renders what is written, or asked by many at once.
func (r *Results) RateTable() string {
	return r.rows([]string{Rate, P50, P99, CPU, Database}, func(row Row) bool {
		_, rate := row.By[Own][Rate]
		_, lag := row.By[Own][P99]
		return (rate || lag) && row.By[Own][Wall] == 0
	})
}

// SizeTable renders what is stored.
func (r *Results) SizeTable() string {
	return r.rows([]string{Size, Table}, func(row Row) bool { _, ok := row.By[Own][Size]; return ok })
}

// rows renders the rows that are chosen, "" if none is: one line for each server.
func (r *Results) rows(metrics []string, choose func(Row) bool) string {
	head := []string{"", ""}
	for _, metric := range metrics {
		head = append(head, heads()[metric])
	}
	rows := [][]string{head}
	for _, row := range r.Rows {
		if !choose(row) {
			continue
		}
		title := row.Title
		for _, server := range Servers() {
			values, ok := row.By[server]
			if !ok {
				continue
			}
			cells := []string{title, server}
			for _, metric := range metrics {
				cell := ""
				if v, ok := values[metric]; ok {
					cell = text(metric, v)
				}
				cells = append(cells, cell)
			}
			rows = append(rows, cells)
			title = ""
		}
	}
	if len(rows) == 1 {
		return ""
	}
	return table(withoutEmpty(rows))
}

// withoutEmpty leaves out columns that hold nothing.
func withoutEmpty(rows [][]string) [][]string {
	var keep []int
	for i := range rows[0] {
		if i < 2 || slices.ContainsFunc(rows[1:], func(row []string) bool { return row[i] != "" }) {
			keep = append(keep, i)
		}
	}
	kept := make([][]string, len(rows))
	for n, row := range rows {
		for _, i := range keep {
			kept[n] = append(kept[n], row[i])
		}
	}
	return kept
}

// Chart draws how many times less than the classic way the requests take, as bars on a
// logarithmic scale.
func (r *Results) Chart() string {
	const width = 40
	type bar struct {
		title string
		times float64
	}
	var bars []bar
	longest, most := 0, 1.0
	for _, row := range r.Rows {
		own, classic := row.By[Own][Wall], row.By[Classic][Wall]
		if own == 0 || classic == 0 {
			continue
		}
		bars = append(bars, bar{row.Title, classic / own})
		longest, most = max(longest, len([]rune(row.Title))), max(most, classic/own)
	}
	if len(bars) == 0 {
		return ""
	}
	var out strings.Builder
	for _, b := range bars {
		n := 0
		if b.times > 1 && most > 1 {
			n = max(1, int(math.Round(width*math.Log(b.times)/math.Log(most))))
		}
		fmt.Fprintf(&out, "%s%s  %s %s ×\n", b.title, strings.Repeat(" ", longest-len([]rune(b.title))), strings.Repeat("█", n), short(b.times))
	}
	return out.String()
}
