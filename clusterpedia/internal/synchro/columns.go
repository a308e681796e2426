package synchro

import (
	"context"
	"strings"
	"sync"
	"time"

	"clusterpedia.io/clusterpedia/internal/rawjson"
	"clusterpedia.io/clusterpedia/internal/synchro/negotiation"
	"clusterpedia.io/storage-api/storage"
)

// definitions are custom resource definitions, as they are stored.
var definitions = storage.Resource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// columnsWait is how long custom resources wait for their definitions to be read first.
// What is written without knows no cells until it is written anew.
const columnsWait = 30 * time.Second

// columns knows what tables show of a cluster's custom resources, by their definitions. It
// learns these where they are synced: otherwise tables have no columns for them.
type columns struct {
	custom func(defined []byte) (negotiation.Print, error)
	// read is closed when all definitions were read, or the member does not let them be.
	read     chan struct{}
	readOnce sync.Once

	mu       sync.Mutex
	expected bool
	known    map[definition]map[string]negotiation.Print
}

// definition is what a definition is called by; it has columns for each version.
type definition struct{ group, plural string }

func newColumns(kinds negotiation.Kinds) *columns {
	return &columns{custom: kinds.CustomCells, read: make(chan struct{}), known: map[definition]map[string]negotiation.Print{}}
}

// expect says that definitions will be read.
func (c *columns) expect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expected = true
}

// done says that all definitions were read, or that the member does not let them be.
func (c *columns) done() { c.readOnce.Do(func() { close(c.read) }) }

// wait returns when the definitions were read, if they will be, or have taken too long.
func (c *columns) wait(ctx context.Context) {
	c.mu.Lock()
	expected := c.expected
	c.mu.Unlock()
	if !expected {
		return
	}
	timer := time.NewTimer(columnsWait)
	defer timer.Stop()
	select {
	case <-c.read:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// learn takes a definition.
func (c *columns) learn(doc []byte) {
	var group, plural string
	versions := map[string]negotiation.Print{}
	field(doc, "spec", func(spec []byte) {
		_ = rawjson.Fields(spec, func(name, value []byte) bool {
			switch string(name) {
			case "group":
				group, _ = rawjson.String("group", value)
			case "names":
				field(value, "plural", func(value []byte) { plural, _ = rawjson.String("plural", value) })
			case "versions":
				_ = rawjson.Elements(value, func(version []byte) { c.version(version, versions) })
			}
			return true
		})
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[definition{group, plural}] = versions
}

// field calls found with the value of a field of a JSON object.
func field(object []byte, name string, found func(value []byte)) {
	_ = rawjson.Fields(object, func(n, value []byte) bool {
		if string(n) != name {
			return true
		}
		found(value)
		return false
	})
}

// version reads one version of a definition. What cannot be read has no columns.
func (c *columns) version(version []byte, into map[string]negotiation.Print) {
	var name string
	var p negotiation.Print
	_ = rawjson.Fields(version, func(n, value []byte) bool {
		switch string(n) {
		case "name":
			name, _ = rawjson.String("name", value)
		case "additionalPrinterColumns":
			p, _ = c.custom(value)
		}
		return true
	})
	if name != "" && p != nil {
		into[name] = p
	}
}

// forget takes the name of a definition that is gone: resource.group.
func (c *columns) forget(name string) {
	plural, group, _ := strings.Cut(name, ".")
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, definition{group, plural})
}

// print returns what prints a custom resource; nil if nothing is known of its columns.
func (c *columns) print(r storage.Resource) negotiation.Print {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[definition{r.Group, r.Resource}][r.Version]
}
