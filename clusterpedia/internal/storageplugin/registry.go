package storageplugin

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"clusterpedia.io/storage-api/storage"
)

// Registry holds the storage layers that are available to this process. It does
// not change, so that it may be used by many goroutines.
type Registry struct {
	log     *slog.Logger
	drivers []Driver
	ignored []Ignored
}

// Driver is a storage layer and where it came from.
type Driver struct {
	storage.Driver
	// File is the plugin; empty for what is compiled into the program.
	File string
}

// Origin returns the file, or words for what has none.
func (d *Driver) Origin() string {
	if d.File == "" {
		return "compiled in"
	}
	return d.File
}

// add takes the drivers that a file registered.
func (r *Registry) add(file string, drivers []storage.Driver) error {
	for _, driver := range drivers {
		d := Driver{Driver: driver, File: file}
		if d.Name == "" || d.Open == nil {
			return fmt.Errorf("a storage layer (%s) is registered with the name %q and without a function to open it; set Name and Open of storage.Driver",
				d.Origin(), d.Name)
		}
		for _, other := range r.drivers {
			if other.Name == d.Name {
				return fmt.Errorf("storage name %q of %s is already taken by %s; remove one of both", d.Name, d.Origin(), other.Origin())
			}
			for _, gate := range d.Gates {
				if g, ok := findGate(other.Gates, gate.Name); ok && g != gate {
					return fmt.Errorf("feature gate %s is defined otherwise by storage %s (%s) than by storage %s (%s); remove one of both",
						gate.Name, d.Name, d.Origin(), other.Name, other.Origin())
				}
			}
		}
		r.drivers = append(r.drivers, d)
	}
	return nil
}

func findGate(gates []storage.Gate, name string) (storage.Gate, bool) {
	i := slices.IndexFunc(gates, func(g storage.Gate) bool { return g.Name == name })
	if i < 0 {
		return storage.Gate{}, false
	}
	return gates[i], true
}

// Drivers returns the storage layers in the order of their registration.
func (r *Registry) Drivers() []Driver { return slices.Clone(r.drivers) }

// Gates returns the feature gates that the storage layers add to those of the
// host, each once.
func (r *Registry) Gates() []storage.Gate {
	var gates []storage.Gate
	for _, d := range r.drivers {
		for _, gate := range d.Gates {
			if !slices.Contains(gates, gate) {
				gates = append(gates, gate)
			}
		}
	}
	return gates
}

// Driver returns the storage layer of that name. The error says which there are.
func (r *Registry) Driver(name string) (Driver, error) {
	for _, d := range r.drivers {
		if d.Name == name {
			return d, nil
		}
	}
	return Driver{}, fmt.Errorf("storage %s is unregistered; %s", name, r.inventory())
}

// inventory says what is registered, and what could have been.
func (r *Registry) inventory() string {
	var registered, ignored []string
	for _, d := range r.drivers {
		registered = append(registered, fmt.Sprintf("%s (%s)", d.Name, d.Origin()))
	}
	for _, i := range r.ignored {
		if i.Misfit {
			ignored = append(ignored, fmt.Sprintf("%s (%s)", i.Path, i.Why))
		}
	}
	text := fmt.Sprintf("no plugin is loaded: put one into %s, or into %s/ beside this program, or name it in %s", systemDir, besideDir, EnvVar)
	if len(registered) > 0 {
		text = "registered are: " + strings.Join(registered, ", ")
	}
	if len(ignored) > 0 {
		text += "; not opened were: " + strings.Join(ignored, ", ")
	}
	return text
}

// Open opens the storage layer of that name. Of s.Gates it is given those that
// it added itself, in their default state if s.Gates does not have them. The
// caller closes the result.
func (r *Registry) Open(ctx context.Context, name string, s storage.Settings) (storage.Storage, error) {
	d, err := r.Driver(name)
	if err != nil {
		return nil, err
	}
	own := make(map[string]bool, len(d.Gates))
	for _, gate := range d.Gates {
		own[gate.Name] = gate.Default
		if enabled, ok := s.Gates[gate.Name]; ok {
			own[gate.Name] = enabled
		}
	}
	s.Gates = own
	if s.Logger == nil {
		s.Logger = r.log
	}
	layer, err := d.Driver.Open(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("open storage %s: %w", name, err)
	}
	if layer == nil {
		return nil, fmt.Errorf("open storage %s: %s returned neither a storage layer nor an error", name, d.Origin())
	}
	return layer, nil
}
