package memory

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// WriteMetrics implements storage.MetricsWriter: the number of stored objects of
// each cluster.
func (s *Store) WriteMetrics(w io.Writer) error {
	counts := map[string]int{}
	s.mu.RLock()
	for name, c := range s.clusters {
		for _, entries := range c.resources {
			counts[name] += len(entries)
		}
	}
	s.mu.RUnlock()

	var text bytes.Buffer
	text.WriteString("# HELP clusterpedia_memorystorage_objects Stored objects by member cluster.\n" +
		"# TYPE clusterpedia_memorystorage_objects gauge\n")
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&text, "clusterpedia_memorystorage_objects{cluster=\"%s\"} %d\n", labelValue.Replace(name), counts[name])
	}
	if _, err := w.Write(text.Bytes()); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

// labelValue escapes a label's value for the text exposition format.
var labelValue = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
