// Package storageapi carries the source of its own module: the contract, its tests
// and its go.mod. The tool clusterpedia imports it, to build and test storage layers
// where the module cannot be fetched; nothing else does.
package storageapi

import "embed"

// Path is the path of the module.
const Path = "clusterpedia.io/storage-api"

// Source is the module as it is in its repository, from its root.
//
//go:embed go.mod digest object query storage storagetest source.go
var Source embed.FS
