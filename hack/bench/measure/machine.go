package measure

import (
	"os"
	"runtime"
	"strconv"
	"strings"
)

// Machine describes the machine in a line.
func Machine() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	memory := ""
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		fields := strings.Fields(string(text))
		if len(fields) > 1 {
			if kilobytes, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				memory = ", " + strconv.FormatInt((kilobytes+1<<19)>>20, 10) + " GiB"
			}
		}
	}
	return strconv.Itoa(runtime.NumCPU()) + " × " + model + memory + ", " + runtime.GOOS + ", " + runtime.Version()
}

// Load returns the machine's load average of the last minute; "" if it is not known.
func Load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
