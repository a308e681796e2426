package process

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"k8s.io/component-base/featuregate"
	"k8s.io/klog/v2"
	"sigs.k8s.io/yaml"

	"clusterpedia.io/clusterpedia/internal/storageplugin"
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

// closeLimit bounds the orderly end of a storage layer.
const closeLimit = 10 * time.Second

// Open opens the storage layer for a component. The caller calls closeStorage at
// the end.
func (o *StorageOptions) Open(ctx context.Context, plugins *storageplugin.Registry, component string, gate featuregate.FeatureGate) (st storage.Storage, driver storageplugin.Driver, closeStorage func(), err error) {
	if driver, err = plugins.Driver(o.Name); err != nil {
		return nil, driver, nil, fmt.Errorf("failed to init storage: %w", err)
	}
	settings, err := o.Settings(component)
	if err != nil {
		return nil, driver, nil, err
	}
	settings.Gates = gateStates(gate, driver.Gates)
	settings.Logger = slog.New(logr.ToSlogHandler(klog.Background().WithName("storage")))
	if st, err = plugins.Open(ctx, o.Name, settings); err != nil {
		return nil, driver, nil, fmt.Errorf("failed to init storage: %w", err)
	}
	klog.InfoS("Opened the storage layer", "name", driver.Name, "version", driver.Version, "plugin", driver.Origin())
	return st, driver, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		if err := st.Close(ctx); err != nil {
			klog.ErrorS(err, "The storage layer did not close well")
		}
	}, nil
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
