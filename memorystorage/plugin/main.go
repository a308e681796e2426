// Command plugin is the storage layer "memory" as a Go plugin, loaded by the
// hosts from STORAGE_PLUGINS.
package main

import (
	"clusterpedia.io/memorystorage/memory"
	"clusterpedia.io/storage-api/storage"
)

// version is set by the linker.
var version = "v0.0.0-unset"

func init() {
	storage.Register(storage.Driver{Name: "memory", Version: version, Open: memory.Open})
}

func main() {}
