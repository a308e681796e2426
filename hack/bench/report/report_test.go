package report

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files")

// results are made up.
func results() *Results {
	r := &Results{
		Profile: "pods", Data: "28000 objects in 2 clusters, 20000 of them pods", Engine: "PostgreSQL 15", Machine: "2 × something", Load: "0.10 to 1.90",
		Date: "2026-01-01T00:00:00Z", Commit: "abc123", Command: "make bench PROFILE=pods", Notes: []string{"Something was not measured."},
	}
	costs := func(scale float64) Metrics {
		return Metrics{Wall: .0065 * scale, P50: .008 * scale, P99: .0201 * scale, CPU: .006 * scale, Database: 12e-6 * scale, Alloc: 1234 * scale * scale, Mallocs: 230, Bytes: 3.2e6}
	}
	r.Row("list-500", "list 500").By = map[string]Metrics{Own: costs(1), Classic: costs(22), Floor: costs(.9)}
	r.Row("newest", "newest 20").By = map[string]Metrics{Own: costs(2), Classic: costs(1)}
	r.Row("list-all-memory", "list all").By = map[string]Metrics{Own: {Memory: 3 << 20}, Classic: {Memory: 1.2e9}, Floor: {Memory: 0}}
	r.Row("clients", "8 clients, list 500").By = map[string]Metrics{Own: {Rate: 292, P50: .02, P99: .0981}, Classic: {Rate: 14}}
	r.Row("write", "write, compatible").By = map[string]Metrics{Own: {Rate: 3745, CPU: 52e-6, Database: 217e-6}, Classic: {Rate: 974}}
	r.Row("disk", "compatible").By = map[string]Metrics{Own: {Size: 1.3, Table: 1.2}, Classic: {Size: .68}}
	for _, row := range r.Rows {
		for _, server := range Servers() {
			if m, ok := row.By[server]; ok {
				r.Samples = append(r.Samples, Sample{Row: row.Name, Server: server, Count: 100, Metrics: m})
			}
		}
	}
	return r
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run go test ./report -update")
	require.Equal(t, string(want), got)
}

func TestPage(t *testing.T) {
	t.Parallel()
	golden(t, "page.golden", Page([]*Results{results()}, nil))
	golden(t, "benchstat.golden", results().Benchstat())
	golden(t, "text.golden", results().Text())
}

func TestScaled(t *testing.T) {
	t.Parallel()
	pods := results()
	pods.Objects, pods.Synced = 28000, 14000
	pods.Row("sync-real", "").By = map[string]Metrics{Own: {Rate: 2800, CPU: 120e-6, Database: 200e-6}}
	pods.Row("sync-real-memory", "").By = map[string]Metrics{Own: {Memory: 14e6}}
	million := results()
	million.Objects, million.JSON = 1_000_000, 4867
	million.Row("newest", "").By[Own][P50] = 1.6
	page, err := Scaled("# Scale\n<!-- measured -->\nold\n<!-- /measured -->\nThe end.\n", pods, million, &Sync{Values: map[string]float64{keptValue: 52}})
	require.NoError(t, err)
	golden(t, "scale.golden", page)
	again, err := Scaled(page, pods, million, &Sync{Values: map[string]float64{keptValue: 52}})
	require.NoError(t, err)
	require.Equal(t, page, again)
	_, err = Scaled("# Scale\n", pods, million, &Sync{Values: map[string]float64{keptValue: 52}})
	require.ErrorContains(t, err, "lacks the marks")
}

// What is written can be read, but for the samples, which are for benchstat.
func TestWrite(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	none, err := Read(dir, "pods")
	require.NoError(t, err)
	require.Nil(t, none)
	r := results()
	require.NoError(t, r.Write(dir))
	again, err := Read(dir, "pods")
	require.NoError(t, err)
	r.Samples = nil
	require.Equal(t, r, again)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pods.json"), []byte("{"), 0o644))
	_, err = Read(dir, "pods")
	require.ErrorContains(t, err, "pods.json")
}

func TestReached(t *testing.T) {
	t.Parallel()
	high, low := faster("", "row", CPU, 10, 20), within("", "", "row", CPU, duration, .01, .002)
	for _, c := range []struct {
		goal Goal
		v    float64
		want string
	}{
		{high, 25, "aim"},
		{high, 20, "aim"},
		{high, 19, "least"},
		{high, 9, "**no**"},
		{low, .001, "aim"},
		{low, .009, "least"},
		{low, .02, "**no**"},
		{Goal{Aim: 1.2}, 1.3, "not the aim"},
		{Goal{Aim: 1.2}, 1.1, "aim"},
	} {
		require.Equal(t, c.want, c.goal.reached(c.v), "%+v %v", c.goal, c.v)
	}
}

func TestMeasured(t *testing.T) {
	t.Parallel()
	r := results()
	for _, c := range []struct {
		title string
		goal  Goal
		want  float64
		ok    bool
	}{
		{"classic by own", faster("", "list-500", CPU, 1, 1), 22, true},
		{"own", within("", "", "disk", Size, ratio, 1, 1), 1.3, true},
		{"another row", Goal{Row: "newest", Server: Own, Metric: P50, ByRow: "list-500", By: Own}, 2, true},
		{"no row", faster("", "none", CPU, 1, 1), 0, false},
		{"no server", Goal{Row: "newest", Server: Own, Metric: CPU, By: Floor}, 0, false},
	} {
		v, ok := c.goal.Measured(r)
		require.Equal(t, c.ok, ok, c.title)
		require.InDelta(t, c.want, v, 1e-9, c.title)
	}
}

func TestShort(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", .00123: "0.0012", .5: "0.50", 9.999: "10.00", 12.34: "12.3", 999.6: "1,000", 1234567: "1,234,567", -1234: "-1,234"} {
		require.Equal(t, want, short(v))
	}
	require.Equal(t, "1.50 ms", seconds(.0015))
	require.Equal(t, "12.0 µs", seconds(12e-6))
	require.Equal(t, "12.0 s", seconds(12))
	require.Equal(t, "1.50 GiB", bytes(1.5*(1<<30)))
}

// Every goal names a row and a metric that have columns.
func TestGoals(t *testing.T) {
	t.Parallel()
	titles := map[string]bool{}
	for _, g := range Goals() {
		require.False(t, titles[g.Title], g.Title)
		titles[g.Title] = true
		require.NotEmpty(t, heads()[g.Metric], g.Title)
		require.NotContains(t, g.Title, "|")
		require.Positive(t, g.Aim, g.Title)
	}
}
