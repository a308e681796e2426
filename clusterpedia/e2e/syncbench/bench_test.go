package syncbench

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"

	"clusterpedia.io/e2e/bed"
	"clusterpedia.io/testbed/cluster"
	"clusterpedia.io/testbed/process"
	"clusterpedia.io/testbed/stack"
)

const (
	// pods of the first copy, and of the restarts on a database.
	pods, storedPods = 100_000, 10_000
	syncLimit        = 5 * time.Minute
	stopLimit        = 20 * time.Second
	// flap is how long the member fails its health checks: longer than the two checks
	// behind which it is paused.
	flap  = 20 * time.Second
	name  = "big"
	lease = 2 * time.Second
)

// bench is a manager on a host cluster.
type bench struct {
	*stack.Stack
	b       *testing.B
	dir     string
	metrics string
	member  *member
	manager *process.Process
}

func newBench(b *testing.B, storage, config string, podCount int) *bench {
	b.Helper()
	s := &bench{b: b, dir: b.TempDir(), member: startMember(podCount)}
	b.Cleanup(func() {
		s.member.CloseClientConnections()
		s.member.Close()
	})
	root, bin, err := bed.Locate("../../..", "clustersynchro-manager", "plugins/internalstorage.so")
	require.NoError(b, err)
	binaries, err := bed.ControlPlane(b.Context(), root)
	require.NoError(b, err)
	host := &cluster.Cluster{Name: "host", Dir: filepath.Join(s.dir, "host"), Binaries: binaries}
	b.Cleanup(func() { require.NoError(b, host.Remove()) })
	require.NoError(b, host.Start(b.Context()))
	free, err := process.FreePorts(1)
	require.NoError(b, err)
	s.metrics = fmt.Sprintf("http://127.0.0.1:%d", free[0])
	s.Stack = &stack.Stack{
		Host: host, Dir: filepath.Join(s.dir, "servers"), Bin: bin, CRDs: filepath.Join(root, "charts", "clusterpedia", "crds"),
		Storage: storage, StorageConfig: config,
		ManagerArgs: []string{
			"--metrics-port", fmt.Sprint(free[0]),
			"--leader-elect-lease-duration", lease.String(), "--leader-elect-renew-deadline", (lease * 3 / 4).String(), "--leader-elect-retry-period", (lease / 8).String(),
		},
	}
	require.NoError(b, s.Install(b.Context()))
	b.Cleanup(func() {
		if s.manager != nil {
			if b.Failed() {
				b.Logf("the manager's log ends with:\n%s", s.manager.LogTail(4000))
			}
			require.NoError(b, s.manager.Stop(stopLimit))
		}
	})
	return s
}

func (s *bench) start() {
	s.b.Helper()
	var err error
	s.manager, err = s.StartManager(s.b.Context())
	require.NoError(s.b, err)
}

// register has the member's pods copied, and returns when they are.
func (s *bench) register() {
	s.b.Helper()
	type object = map[string]any
	text, err := json.Marshal(object{
		"apiVersion": "v1", "kind": "Config", "current-context": name,
		"clusters": []object{{"name": name, "cluster": object{"server": s.member.URL}}},
		"users":    []object{{"name": name, "user": object{"token": rand.Text()}}},
		"contexts": []object{{"name": name, "context": object{"cluster": name, "user": name}}},
	})
	require.NoError(s.b, err)
	kubeconfig := filepath.Join(s.dir, "kubeconfig")
	require.NoError(s.b, os.WriteFile(kubeconfig, text, 0o600))
	require.NoError(s.b, s.AddCluster(s.b.Context(), name, kubeconfig, stack.SyncResource{Resources: []string{"pods"}}))
	s.synced()
}

func (s *bench) synced() {
	s.b.Helper()
	require.NoError(s.b, s.WaitSynced(s.b.Context(), name, syncLimit, nil))
}

// awaitMetrics returns when the manager serves its port.
func (s *bench) awaitMetrics() {
	s.b.Helper()
	require.NoError(s.b, s.manager.Until(s.b.Context(), time.Minute, func(ctx context.Context) error {
		_, err := get(ctx, s.metrics+"/healthz")
		return err
	}))
}

// heap returns what is on the manager's heap behind a garbage collection, in bytes, and
// whether it says so.
func (s *bench) heap() (float64, bool) {
	s.b.Helper()
	text, err := get(s.b.Context(), s.metrics+"/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		s.b.Logf("the memory that is kept is not measured: %v", err)
		return 0, false
	}
	return float64(match(s.b, `# HeapAlloc = (\d+)`, string(text))), true
}

func get(ctx context.Context, url string) (body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// cpu returns the processor time that the manager has taken.
func (s *bench) cpu() time.Duration {
	s.b.Helper()
	text := s.proc("stat")
	fields := strings.Fields(text[strings.LastIndex(text, ")")+1:])
	ticks := 0
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(f)
		require.NoError(s.b, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // Linux tells programs 100 a second
}

// peak returns the highest resident memory that the manager has had, in MiB.
func (s *bench) peak() float64 {
	return float64(match(s.b, `VmHWM:\s+(\d+) kB`, s.proc("status"))) / 1024
}

// watchAnonymous looks at the manager's resident memory that is no part of its program
// files, until it is asked for the highest, in MiB.
func (s *bench) watchAnonymous() func() float64 {
	ctx, cancel := context.WithCancel(s.b.Context())
	highest := make(chan int)
	go func() {
		peak := 0
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				highest <- peak
				return
			case <-tick.C:
				peak = max(peak, match(s.b, `RssAnon:\s+(\d+) kB`, s.proc("status")))
			}
		}
	}()
	return func() float64 {
		cancel()
		return float64(<-highest) / 1024
	}
}

func (s *bench) proc(file string) string {
	s.b.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.manager.PID()), file))
	require.NoError(s.b, err)
	return string(text)
}

func match(b *testing.B, pattern, text string) int {
	b.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	require.NotNil(b, found, "%s in %s", pattern, text)
	n, err := strconv.Atoi(found[1])
	require.NoError(b, err)
	return n
}

// BenchmarkFirstSync copies 100,000 pods for the first time into a storage layer that
// forgets them.
func BenchmarkFirstSync(b *testing.B) {
	s := newBench(b, "null", "", pods)
	plugins := filepath.Join(s.dir, "plugins")
	require.NoError(b, os.Mkdir(plugins, 0o755))
	module := filepath.Join(s.dir, "null-storage")
	require.NoError(b, os.CopyFS(module, os.DirFS("testdata/null-storage")))
	cmd := exec.CommandContext(b.Context(), filepath.Join(s.Bin, "clusterpedia"), "plugin", "build",
		"--host", filepath.Join(s.Bin, "clustersynchro-manager"), "-o", filepath.Join(plugins, "null-storage.so"), ".")
	cmd.Dir, cmd.Env = module, append(os.Environ(), "PWD="+module, "GOWORK=", "GOFLAGS=")
	text, err := cmd.CombinedOutput()
	require.NoError(b, err, "%s", text)
	s.Env = []string{"STORAGE_PLUGINS=" + plugins}

	for b.Loop() {
		s.start()
		s.awaitMetrics()
		heapBefore, _ := s.heap()
		cpuBefore, idlePeak := s.cpu(), s.peak()
		start := time.Now()
		anonymous := s.watchAnonymous()
		s.register()
		took := time.Since(start)
		cpu, peak, peakAnonymous := s.cpu()-cpuBefore, s.peak(), anonymous()
		b.ReportMetric(float64(cpu.Microseconds())/pods, "CPU-µs/object")
		b.ReportMetric(peak, "MiB-peak-RSS")
		b.ReportMetric(peakAnonymous, "MiB-peak-anonymous")
		b.ReportMetric(idlePeak, "MiB-peak-before")
		if heap, ok := s.heap(); ok {
			b.ReportMetric((heap-heapBefore)/pods, "B-kept/object")
		}
		b.ReportMetric(pods/took.Seconds(), "objects/s")
		b.ReportMetric(0, "ns/op")
	}
}

// BenchmarkNothingChanged copies pods into SQLite, and counts the rows that are written
// when the manager is restarted, when another one takes over from one that was killed,
// and when the member's health fails for a while.
func BenchmarkNothingChanged(b *testing.B) {
	file := filepath.Join(b.TempDir(), "clusterpedia.db")
	s := newBench(b, "internal", fmt.Sprintf("type: sqlite\ndsn: %q\n", file), storedPods)
	db, err := sql.Open("sqlite3", "file:"+file+"?_busy_timeout=10000")
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	written := func() (n int) {
		require.NoError(b, db.QueryRowContext(b.Context(), "SELECT count(*) FROM journal").Scan(&n))
		return n
	}
	for b.Loop() {
		s.start()
		s.register()
		_, err = db.ExecContext(b.Context(), "CREATE TABLE IF NOT EXISTS journal (op text)")
		require.NoError(b, err)
		for _, op := range []string{"INSERT", "UPDATE", "DELETE"} {
			_, err = db.ExecContext(b.Context(), fmt.Sprintf("CREATE TRIGGER IF NOT EXISTS journal_%[1]s AFTER %[1]s ON resources BEGIN INSERT INTO journal VALUES ('%[1]s'); END", op))
			require.NoError(b, err)
		}
		for what, act := range map[string]func(){
			"restart":       func() { require.NoError(b, s.manager.Stop(stopLimit)); s.start() },
			"leader-change": func() { require.NoError(b, s.manager.Kill()); s.start() },
			"health-flap":   s.flap,
		} {
			before, lists, watches := written(), s.member.lists.Load(), s.member.watches.Load()
			act()
			require.NoError(b, s.manager.Until(b.Context(), syncLimit, func(context.Context) error {
				if s.member.lists.Load() == lists || s.member.watches.Load() == watches {
					return fmt.Errorf("the member was not read anew")
				}
				return nil
			}))
			s.synced()
			b.ReportMetric(float64(written()-before), "rows-written/"+what)
		}
		b.ReportMetric(0, "ns/op")
	}
}

// flap has the member's health checks fail for a while.
func (s *bench) flap() {
	s.b.Helper()
	s.member.sick.Store(true)
	defer s.member.sick.Store(false)
	select {
	case <-s.b.Context().Done():
	case <-time.After(flap):
	}
}
