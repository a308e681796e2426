package storage

import (
	"context"
	"log/slog"
	"slices"
	"sync"
)

// Driver opens a storage layer. A plugin registers one in an init function.
type Driver struct {
	// Name is what users give to --storage-name.
	Name string
	// Version of the storage layer, shown to users; may be empty.
	Version string
	// Gates are the feature gates that the storage layer adds to the host's
	// --feature-gates.
	Gates []Gate
	// Params are the URL parameters that the storage layer reads from
	// query.Query.Params, beyond those that every storage layer serves.
	Params []string
	// Open returns the storage layer, ready to serve. It fails with one line that
	// names the setting to mend if the settings are wrong.
	Open func(ctx context.Context, s Settings) (Storage, error)
}

// Gate is a feature gate.
type Gate struct {
	Name    string
	Default bool
	// Stage is "ALPHA", "BETA" or empty for a feature that is generally
	// available.
	Stage string
}

// Settings are what a host passes to a storage layer.
type Settings struct {
	// Component is the name of the host, such as "apiserver".
	Component string
	// ConfigPath is the file of --storage-config; empty if none was given.
	ConfigPath string
	// Config is the content of that file, converted to JSON if it was YAML; nil if
	// there is none.
	Config []byte
	// Gates holds the state of the driver's own feature gates.
	Gates map[string]bool
	// SkipMigrations leaves the schema to a later call of Migrator.Migrate.
	SkipMigrations bool
	// Logger is never nil in a host. It must not be given credentials or the
	// content of objects.
	Logger *slog.Logger
}

// registry is the only state of this package: plugins can hand over their
// drivers in no other way than from init.
var registry struct {
	sync.Mutex
	drivers []Driver
}

// Register adds a driver. It is called from init functions, where no error
// could reach anybody, so it takes whatever it gets; the host judges.
func Register(d Driver) {
	registry.Lock()
	defer registry.Unlock()
	registry.drivers = append(registry.drivers, d)
}

// Registered returns all drivers in the order of their registration,
// duplicates included.
func Registered() []Driver {
	registry.Lock()
	defer registry.Unlock()
	return slices.Clone(registry.drivers)
}
