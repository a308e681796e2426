package report

import (
	"fmt"
	"math"
	"strings"
)

// short prints a number with three digits at least, and no more than matter.
func short(v float64) string {
	switch {
	case v == 0:
		return "0"
	case math.Abs(v) < .01:
		return fmt.Sprintf("%.2g", v)
	case math.Abs(v) < 10:
		return fmt.Sprintf("%.2f", v)
	case math.Abs(v) < 100:
		return fmt.Sprintf("%.1f", v)
	}
	digits := fmt.Sprintf("%.0f", v)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func seconds(v float64) string {
	switch {
	case v < .0001:
		return short(v*1e6) + " µs"
	case v < 10:
		return short(v*1e3) + " ms"
	}
	return short(v) + " s"
}

func bytes(v float64) string {
	switch {
	case v < 1<<10:
		return short(v) + " B"
	case v < 1<<20:
		return short(v/(1<<10)) + " KiB"
	case v < 1<<30:
		return short(v/(1<<20)) + " MiB"
	}
	return short(v/(1<<30)) + " GiB"
}

// text prints a value of a metric.
func text(metric string, v float64) string {
	switch metric {
	case Wall, P50, P99, CPU, Database:
		return seconds(v)
	case Alloc, Bytes, Memory:
		return bytes(v)
	case Rate:
		return short(v) + "/s"
	case Size, Table:
		return fmt.Sprintf("%.2f", v)
	default:
		return short(v)
	}
}

// table renders rows of cells, the first of which are the head, as Markdown that is
// aligned in plain text too. All columns but the first are right aligned.
func table(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var out strings.Builder
	for n, row := range rows {
		for i, cell := range row {
			padding := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			if i == 0 {
				out.WriteString("| " + cell + padding + " ")
				continue
			}
			out.WriteString("| " + padding + cell + " ")
		}
		out.WriteString("|\n")
		if n > 0 {
			continue
		}
		for i, width := range widths {
			if i == 0 {
				out.WriteString("|" + strings.Repeat("-", width+2))
				continue
			}
			out.WriteString("|" + strings.Repeat("-", width+1) + ":")
		}
		out.WriteString("|\n")
	}
	return out.String()
}
