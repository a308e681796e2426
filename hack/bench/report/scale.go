package report

import (
	"fmt"
	"strings"
)

// The marks in a page between which Scale's tables stand.
const (
	scaleBegin = "<!-- measured -->\n"
	scaleEnd   = "<!-- /measured -->\n"
)

// Scaled returns a page with the tables between its marks replaced by those of the
// results of profiles pods and million, and of the manager alone, which may be nil.
func Scaled(page string, pods, million *Results, sync *Sync) (string, error) {
	before, rest, ok := strings.Cut(page, scaleBegin)
	_, after, also := strings.Cut(rest, scaleEnd)
	if !ok || !also {
		return "", fmt.Errorf("the page lacks the marks %q and %q", strings.TrimSpace(scaleBegin), strings.TrimSpace(scaleEnd))
	}
	return before + scaleBegin + scale(pods, million, sync) + scaleEnd + after, nil
}

// costs of one object.
type perObject struct {
	// disk and kept are bytes, times are seconds, rate is objects a second.
	disk, kept, manager, database, rate float64
}

func scale(pods, million *Results, sync *Sync) string {
	var out strings.Builder
	size, _ := million.Value("disk", Own, Size)
	rate, _ := pods.Value("sync-real", Own, Rate)
	manager, _ := pods.Value("sync-real", Own, CPU)
	database, _ := pods.Value("sync-real", Own, Database)
	memory, _ := pods.Value("sync-real-memory", Own, Memory)
	list, _ := pods.Value("list-500", Own, CPU)
	o := perObject{disk: size * million.JSON, manager: manager, database: database, rate: rate}
	if sync != nil {
		o.kept = sync.Values[keptValue]
	}
	fmt.Fprintf(&out, "\nMeasured on %s, %s (commits %s and %s).\n\n", pods.Machine, pods.Engine, pods.Commit, million.Commit)
	out.WriteString(table([][]string{
		{"an object costs", ""},
		{"its JSON, on average", bytes(million.JSON)},
		{"disk, with indexes", bytes(o.disk)},
		{"processor of the manager, to copy it", seconds(o.manager)},
		{"processor of the database, to store it", seconds(o.database)},
		{"objects a second of one manager, one member", short(o.rate)},
		{"memory of the manager, kept", bytes(o.kept)},
		{fmt.Sprintf("growth of the manager's memory while it copied %s", short(float64(pods.Synced))), bytes(memory)},
		{"processor of an API server, to list it among 500", seconds(list / 500)},
	}))
	out.WriteString("\n" + o.fleets() + "\n" + growth(pods, million))
	return out.String()
}

// fleets renders what fleets need, if all grows in proportion.
func (o perObject) fleets() string {
	rows := [][]string{{"fleet", "objects", "disk", "kept by managers", "initial sync by one manager", "processor of the database for it", "database cores for 1 % of the objects changing each minute"}}
	for _, f := range []struct {
		name    string
		objects float64
	}{
		{"50 clusters of 20,000", 1e6}, {"1,000 clusters of 10,000", 1e7}, {"1,000 clusters of 100,000", 1e8},
	} {
		rows = append(rows, []string{
			f.name, short(f.objects), bytes(o.disk * f.objects), bytes(o.kept * f.objects), hours(f.objects / o.rate), hours(o.database * f.objects), short(o.database * f.objects * .01 / 60),
		})
	}
	return table(rows)
}

func hours(v float64) string {
	switch {
	case v < 120:
		return short(v) + " s"
	case v < 7200:
		return short(v/60) + " min"
	}
	return short(v/3600) + " h"
}

// growth renders what searches take in a small and in a great fleet.
func growth(pods, million *Results) string {
	rows := [][]string{{"search", fmt.Sprintf("%s objects", short(float64(pods.Objects))), fmt.Sprintf("%s objects", short(float64(million.Objects))), "times", ""}}
	for _, row := range million.Rows {
		was, ok := pods.Value(row.Name, Own, P50)
		is, also := million.Value(row.Name, Own, P50)
		if !ok || !also || row.By[Own][Wall] == 0 {
			continue
		}
		verdict := ""
		// Between both, an index may have become deeper, and caches colder.
		if is > 3*was {
			verdict = "grows"
		}
		rows = append(rows, []string{row.Title, seconds(was), seconds(is), short(is / was), verdict})
	}
	return table(rows)
}
