package storagetest

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"

	"clusterpedia.io/storage-api/storage"
)

// testOptional checks the optional interfaces that the storage layer implements.
func testOptional(t *testing.T, s suite) {
	st := s.start(t)
	put(t, st, objects(thing{name: "a"}, thing{cluster: `odd "cluster"\`, name: "b"})...)
	t.Run("Prober", func(t *testing.T) {
		prober, ok := st.(storage.Prober)
		if !ok {
			t.Skip("not implemented")
		}
		if err := prober.Probe(t.Context()); err != nil {
			t.Errorf("probe: %v", err)
		}
	})
	t.Run("MetricsWriter", func(t *testing.T) {
		metrics, ok := st.(storage.MetricsWriter)
		if !ok {
			t.Skip("not implemented")
		}
		checkMetrics(t, metrics)
	})
	t.Run("ClusterLister", func(t *testing.T) {
		if _, ok := st.(storage.ClusterLister); !ok {
			t.Skip("not implemented")
		}
		checkClusters(t, s.start(t))
	})
	t.Run("Collections", func(t *testing.T) {
		collections, ok := st.(storage.Collections)
		if !ok {
			t.Skip("not implemented")
		}
		checkCollections(t, collections)
	})
	t.Run("Migrator", func(t *testing.T) {
		migrator, ok := st.(storage.Migrator)
		if !ok {
			t.Skip("not implemented")
		}
		checkMigrator(t, migrator)
		checkStored(t, st, objects(thing{name: "a"}, thing{cluster: `odd "cluster"\`, name: "b"})...)
	})
}

// The lines of the text exposition format 0.0.4.
const (
	metricComment = `^# (HELP [a-zA-Z_:][a-zA-Z0-9_:]* .*|TYPE [a-zA-Z_:][a-zA-Z0-9_:]* (counter|gauge|histogram|summary|untyped))$`
	metricSample  = `^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="(\\[\\n"]|[^\\"])*",?)*\})? ([-+]?[0-9.]+(e[-+]?[0-9]+)?|[-+]?Inf|NaN)( [0-9]+)?$`
)

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func checkMetrics(t *testing.T, metrics storage.MetricsWriter) {
	var text bytes.Buffer
	if err := metrics.WriteMetrics(&text); err != nil {
		t.Fatalf("write metrics: %v", err)
	}
	line := regexp.MustCompile(metricComment + "|" + metricSample)
	seen := map[string]bool{}
	for l := range strings.Lines(text.String()) {
		l = strings.TrimSuffix(l, "\n")
		if l == "" {
			continue
		}
		if !line.MatchString(l) {
			t.Errorf("not a line of the text exposition format: %q", l)
		}
		series, _, _ := strings.Cut(l, "} ")
		if seen[series] {
			t.Errorf("given twice: %q", l)
		}
		seen[series] = true
	}
	if !strings.HasSuffix(text.String(), "\n") {
		t.Error("the last line does not end")
	}
	broken := errors.New("broken pipe")
	if err := metrics.WriteMetrics(failingWriter{broken}); !errors.Is(err, broken) {
		t.Errorf("write metrics to a writer that fails: %v", err)
	}
}

func checkCollections(t *testing.T, collections storage.Collections) {
	all, err := collections.Collections(t.Context())
	if err != nil {
		t.Fatalf("collections: %v", err)
	}
	seen := map[string]bool{}
	for _, c := range all {
		if c.Name == "" || seen[c.Name] {
			t.Errorf("the name %q is empty or given twice", c.Name)
		}
		seen[c.Name] = true
	}
}

// checkMigrator checks a schema that is up to date.
func checkMigrator(t *testing.T, migrator storage.Migrator) {
	pending, err := migrator.Pending(t.Context())
	if err != nil || len(pending) > 0 {
		t.Errorf("migrations are pending after Open: %v, %v", pending, err)
	}
	err = migrator.Migrate(t.Context(), func(m storage.Migration) { t.Errorf("the migration %d was run again", m.Number) })
	if err != nil {
		t.Errorf("migrate: %v", err)
	}
}
