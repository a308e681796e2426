// Command plugin is the SQL storage layer as a Go plugin. It registers "internal".
package main

import (
	_ "time/tzdata" // images have no zones, and mysql.loc names one

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/storage"
)

// version is set by the linker.
var version = "v0.0.0-unset"

func init() {
	storage.Register(store.Driver(version))
}

func main() {}
