package suite

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"clusterpedia.io/bench/measure"
	"clusterpedia.io/bench/report"
)

const (
	// mostRequests and leastRequests bound the requests of a round.
	mostRequests  = 500
	leastRequests = 5
)

// measureRows measures all requests.
func (s *suite) measureRows(ctx context.Context) error {
	for _, r := range s.rows() {
		if err := s.measureRow(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// measureRow measures one request on all servers, in turns.
func (s *suite) measureRow(ctx context.Context, r row) error {
	if err := s.check(ctx, r); err != nil {
		return err
	}
	counts, walls := map[string]int{}, map[string][]float64{}
	for range s.Profile.Rounds {
		for _, server := range s.of(r) {
			if counts[server.name] == 0 {
				a, err := s.ask(ctx, server, r.request) // the first to warm up
				if err != nil {
					return err
				}
				counts[server.name] = s.count(a.took)
			}
			m, took, err := s.round(ctx, server, r.request, counts[server.name])
			if err != nil {
				return err
			}
			walls[server.name] = append(walls[server.name], took...)
			s.results.Samples = append(s.results.Samples, report.Sample{Row: r.name, Server: server.name, Count: counts[server.name], Metrics: m})
		}
	}
	into := s.results.Row(r.name, r.title)
	for _, server := range s.of(r) {
		m := least(s.results.Samples, r.name, server.name)
		m[report.Wall], m[report.P50], m[report.P99] = percentiles(walls[server.name])
		into.By[server.name] = m
	}
	return nil
}

// count is how many requests of that length make a round.
func (s *suite) count(took time.Duration) int {
	least := leastRequests
	if took > s.Profile.Round {
		least = 1
	}
	return min(max(int(s.Profile.Round/max(took, 1)), least), mostRequests)
}

// round sends a request many times, one after the other.
func (s *suite) round(ctx context.Context, server *server, r request, count int) (report.Metrics, []float64, error) {
	before, err := s.costs(ctx, server)
	if err != nil {
		return nil, nil, err
	}
	var took []float64
	var size int64
	for range count {
		a, err := s.ask(ctx, server, r)
		if err != nil {
			return nil, nil, err
		}
		took = append(took, a.took.Seconds())
		size += a.bytes
	}
	after, err := s.costs(ctx, server)
	if err != nil {
		return nil, nil, err
	}
	m := s.since(before, after, server, count)
	m[report.Bytes] = float64(size) / float64(count)
	m[report.Wall] = slices.Min(took)
	return m, took, nil
}

// costs is what a server and the database have used so far.
type costs struct {
	server, database time.Duration
	allocated        measure.Allocated
}

// costs reads what a server has used. The last thing that is read before requests, and
// the first behind them, are the clocks.
func (s *suite) costs(ctx context.Context, server *server) (c costs, err error) {
	if c.allocated, err = measure.Allocations(ctx, server.client, server.url+"/metrics"); err != nil {
		return c, err
	}
	if c.server, err = measure.CPU(server.process.PID()); err != nil {
		return c, err
	}
	c.database, err = s.engine.cpu()
	return c, err
}

// since returns the costs of a request. Reading the metrics costs something, too, which
// was measured without requests.
func (s *suite) since(before, after costs, server *server, count int) report.Metrics {
	n := float64(count)
	m := report.Metrics{
		report.CPU:     max(0, (after.server-before.server-server.scrapeCPU).Seconds()) / n,
		report.Alloc:   max(0, after.allocated.Bytes-before.allocated.Bytes-server.scrape.Bytes) / n,
		report.Mallocs: max(0, after.allocated.Objects-before.allocated.Objects-server.scrape.Objects) / n,
	}
	s.database(m, after.database-before.database, count)
	return m
}

// database notes the processor time of the database, if it has processes of its own.
func (s *suite) database(m report.Metrics, used time.Duration, count int) {
	if s.engine.server != nil {
		m[report.Database] = used.Seconds() / float64(count)
	}
}

// calibrate measures what reading the metrics costs.
func (s *suite) calibrate(ctx context.Context) error {
	const readings = 20
	for _, server := range s.servers {
		var bytes, objects, cpu []float64
		before, err := s.costs(ctx, server)
		if err != nil {
			return err
		}
		for range readings {
			after, err := s.costs(ctx, server)
			if err != nil {
				return err
			}
			bytes = append(bytes, after.allocated.Bytes-before.allocated.Bytes)
			objects = append(objects, after.allocated.Objects-before.allocated.Objects)
			cpu = append(cpu, float64(after.server-before.server))
			before = after
		}
		_, server.scrape.Bytes, _ = percentiles(bytes)
		_, server.scrape.Objects, _ = percentiles(objects)
		least, _, _ := percentiles(cpu)
		server.scrapeCPU = time.Duration(least)
	}
	return nil
}

// least returns the least of each metric over all rounds.
func least(samples []report.Sample, row, server string) report.Metrics {
	m := report.Metrics{}
	for _, sample := range samples {
		if sample.Row != row || sample.Server != server {
			continue
		}
		for k, v := range sample.Metrics {
			if old, ok := m[k]; !ok || v < old {
				m[k] = v
			}
		}
	}
	return m
}

// percentiles returns the least, the median and the 99th percentile.
func percentiles(values []float64) (least, p50, p99 float64) {
	sorted := slices.Sorted(slices.Values(values))
	at := func(share float64) float64 {
		return sorted[min(int(math.Ceil(share*float64(len(sorted))))-1, len(sorted)-1)]
	}
	return sorted[0], at(.5), at(.99)
}

// measureMemory measures by how much a list of everything lets a server's memory grow,
// and four at once. The servers have just been started.
func (s *suite) measureMemory(ctx context.Context) error {
	if !s.Profile.Lists || !s.wants("list-all-memory") {
		return nil
	}
	one := row{request: request{path: pods}, floor: true}
	for _, server := range s.of(one) {
		for range 5 {
			if _, err := s.ask(ctx, server, request{path: pods, limit: 1}); err != nil {
				return err
			}
		}
		idle, _, err := measure.RSS(server.process.PID())
		if err != nil {
			return err
		}
		for _, at := range []struct {
			name, title string
			clients     int
		}{{"list-all-memory", "list all", 1}, {"list-all-memory-4", "list all, four at once", 4}} {
			// What the start has left is given back to the system at some time.
			now, _, err := measure.RSS(server.process.PID())
			if err != nil {
				return err
			}
			idle = min(idle, now)
			growth, err := s.growth(ctx, server, one.request, at.clients, idle)
			if err != nil {
				return err
			}
			s.results.Row(at.name, at.title).By[server.name] = report.Metrics{report.Memory: growth}
			s.results.Samples = append(s.results.Samples, report.Sample{Row: at.name, Server: server.name, Count: 1, Metrics: report.Metrics{report.Memory: growth}})
			s.say("%s of %s: memory grows by %.1f MiB", at.title, server.name, growth/(1<<20))
		}
	}
	return s.restart(ctx)
}

// growth is the peak of a server's memory, while so many clients read, above what it had.
func (s *suite) growth(ctx context.Context, server *server, r request, clients int, idle int64) (float64, error) {
	if err := measure.ResetPeak(server.process.PID()); err != nil {
		return 0, err
	}
	group, ctx := errgroup.WithContext(ctx)
	for range clients {
		client, err := s.newClient()
		if err != nil {
			return 0, err
		}
		group.Go(func() error {
			defer client.CloseIdleConnections()
			_, err := askWith(ctx, client, server, r)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	_, peak, err := measure.RSS(server.process.PID())
	return max(0, float64(peak-idle)), err
}

// clients is how many ask at the same time.
const clients = 8

// measureClients measures how many requests are answered when many ask at once.
func (s *suite) measureClients(ctx context.Context) error {
	if !s.wants("clients") {
		return nil
	}
	r := row{request: request{path: pods, limit: 500}, floor: true}
	into := s.results.Row("clients", fmt.Sprintf("%d clients, list 500", clients))
	for range s.Profile.Rounds {
		for _, server := range s.of(r) {
			m, count, err := s.crowd(ctx, server, r.request)
			if err != nil {
				return err
			}
			s.results.Samples = append(s.results.Samples, report.Sample{Row: "clients", Server: server.name, Count: count, Metrics: m})
			if m[report.Rate] > into.By[server.name][report.Rate] {
				into.By[server.name] = m
			}
		}
	}
	return nil
}

// crowd lets many clients ask for some time.
func (s *suite) crowd(ctx context.Context, server *server, r request) (report.Metrics, int, error) {
	before, err := s.costs(ctx, server)
	if err != nil {
		return nil, 0, err
	}
	limit := 4 * s.Profile.Round
	took := make([][]float64, clients)
	began := time.Now()
	group, inner := errgroup.WithContext(ctx)
	for i := range clients {
		client, err := s.newClient()
		if err != nil {
			return nil, 0, err
		}
		group.Go(func() error {
			defer client.CloseIdleConnections()
			for time.Since(began) < limit {
				a, err := askWith(inner, client, server, r)
				if err != nil {
					return err
				}
				took[i] = append(took[i], a.took.Seconds())
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, 0, err
	}
	elapsed := time.Since(began).Seconds()
	after, err := s.costs(ctx, server)
	if err != nil {
		return nil, 0, err
	}
	all := slices.Concat(took...)
	m := s.since(before, after, server, len(all))
	delete(m, report.Alloc)
	delete(m, report.Mallocs)
	m[report.Rate] = float64(len(all)) / elapsed
	_, m[report.P50], m[report.P99] = percentiles(all)
	return m, len(all), nil
}
