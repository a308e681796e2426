package process

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"clusterpedia.io/storage-api/storage"
)

// StorageOptions choose the storage layer.
type StorageOptions struct {
	// Name of a registered storage layer.
	Name string
	// ConfigPath is its configuration file, YAML or JSON; may be empty.
	ConfigPath string
}

// NewStorageOptions returns the defaults.
func NewStorageOptions() *StorageOptions { return &StorageOptions{Name: "internal"} }

// AddFlags adds --storage-name and --storage-config.
func (o *StorageOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Name, "storage-name", o.Name, "The name of the storage layer, one of those that the loaded plugins register")
	fs.StringVar(&o.ConfigPath, "storage-config", o.ConfigPath, "The path of the storage layer's configuration file")
}

// Validate checks the options.
func (o *StorageOptions) Validate() []error {
	if o.ConfigPath == "" {
		return nil
	}
	info, err := os.Stat(o.ConfigPath)
	if err != nil {
		return []error{fmt.Errorf("--storage-config: %w", err)}
	}
	if info.IsDir() {
		return []error{fmt.Errorf("--storage-config: %s is a directory", o.ConfigPath)}
	}
	return nil
}

// Settings reads the configuration file for the storage layer.
func (o *StorageOptions) Settings(component string) (storage.Settings, error) {
	s := storage.Settings{Component: component, ConfigPath: o.ConfigPath}
	if o.ConfigPath == "" {
		return s, nil
	}
	text, err := os.ReadFile(o.ConfigPath)
	if err != nil {
		return s, fmt.Errorf("--storage-config: %w", err)
	}
	if s.Config, err = yaml.YAMLToJSON(text); err != nil {
		return s, fmt.Errorf("--storage-config: %s is neither YAML nor JSON: %w", o.ConfigPath, err)
	}
	return s, nil
}
