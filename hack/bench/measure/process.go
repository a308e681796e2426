// Package measure reads what processes have cost: processor time, memory, allocations.
// It reads Linux' /proc and the metrics that Go's runtime exposes, so that servers are
// measured from outside, as they are.
package measure

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU returns the processor time that a process has used so far, of the user and of the
// kernel, to the nanosecond, without that of its children.
func CPU(pid int) (time.Duration, error) {
	var t unix.Timespec
	// The clock of another process, as clock_getcpuclockid(3) makes it.
	const precise = 2
	if err := unix.ClockGettime(int32(^pid<<3|precise), &t); err != nil { //nolint:gosec // so it is encoded
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// ticks is the unit of times in /proc, which Linux fixed long ago.
const ticks = 10 * time.Millisecond

// TreeCPU returns the processor time of a process, of its children, and of those that
// have ended.
func TreeCPU(pid int) (time.Duration, error) {
	total, err := CPU(pid)
	if err != nil {
		return 0, err
	}
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	for _, field := range fields[13:15] { // cutime, cstime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		total += time.Duration(n) * ticks
	}
	children, err := children(pid)
	if err != nil {
		return 0, err
	}
	for _, child := range children {
		used, err := CPU(child)
		if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
			continue // it has ended meanwhile
		}
		if err != nil {
			return 0, err
		}
		total += used
	}
	return total, nil
}

// stat returns the fields of /proc/PID/stat from the third on, the state.
func stat(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The second is a name in parentheses, which may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 {
		return nil, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
	}
	return fields, nil
}

func children(pid int) ([]int, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, err
	}
	var all []int
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue // the thread has ended
		}
		if err != nil {
			return nil, err
		}
		for word := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			all = append(all, child)
		}
	}
	return all, nil
}

// RSS returns the resident memory of a process in bytes, and its greatest since the
// start or the last ResetPeak.
func RSS(pid int) (now, peak int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		value, ok := map[string]*int64{"VmRSS": &now, "VmHWM": &peak}[name]
		if !ok {
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("/proc/%d/status: %w", pid, err)
		}
		*value = kilobytes << 10
	}
	return now, peak, nil
}

// ResetPeak makes the greatest resident memory of a process its present one.
func ResetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// Allocated is what a Go program has allocated since its start.
type Allocated struct{ Bytes, Objects float64 }

// Allocations reads a server's metrics, in the text format of Prometheus.
func Allocations(ctx context.Context, client *http.Client, url string) (Allocated, error) {
	var a Allocated
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return a, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return a, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return a, a.read(resp.Body)
}

func (a *Allocated) read(r io.Reader) error {
	wanted := map[string]*float64{"go_memstats_alloc_bytes_total": &a.Bytes, "go_memstats_mallocs_total": &a.Objects}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		into, ok := wanted[name]
		if !ok {
			continue
		}
		var err error
		if *into, err = strconv.ParseFloat(strings.TrimSpace(value), 64); err != nil {
			return fmt.Errorf("metric %s: %w", name, err)
		}
		delete(wanted, name)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	for name := range wanted {
		return fmt.Errorf("metric %s is missing", name)
	}
	return nil
}
