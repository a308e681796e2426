// Command plugin is the storage layer "memory" as a Go plugin, loaded by the
// hosts from STORAGE_PLUGINS.
package main

import (
	"clusterpedia.io/memorystorage/memory"
	"clusterpedia.io/storage-api/storage"
)

func init() {
	storage.Register(storage.Driver{Name: "memory", Open: memory.Open})
}

func main() {}
