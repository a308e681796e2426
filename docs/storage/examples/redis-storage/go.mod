module example.com/redis-storage

go 1.26.0

require (
	clusterpedia.io/storage-api v0.0.0
	github.com/redis/go-redis/v9 v9.23.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
)

// Written by "clusterpedia plugin workspace", and ignored by git: a plugin is built with
// the storage API of the server that it is for.
replace clusterpedia.io/storage-api => ./.clusterpedia/storage-api
