// Command plugin is the storage layer "redis" as a Go plugin.
package main

import (
	"clusterpedia.io/storage-api/storage"

	"example.com/redis-storage/store"
)

// version is set by the linker.
var version = "v0.0.0-unset"

func init() {
	storage.Register(storage.Driver{Name: "redis", Version: version, Open: store.Open})
}

func main() {}
