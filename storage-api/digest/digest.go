// Package digest holds the fingerprint of the contract's source.
//
// Go's loader compares the exported declarations of the packages that host and
// plugin share, but neither the bodies of their functions nor unexported types: a
// plugin built against other sources may load and read memory wrongly. The
// constant here changes with every byte of the packages object, query and
// storage, and so makes the loader refuse. The loader compares this package as well,
// so the constant covers this file too: within a version of the contract it stays as
// it is.
package digest

// Version is the version of the contract. Each has one digest, that of file
// versions.txt; whoever changes the contract gives it another version.
const Version = "v1.0.0"

// Text stands in every binary that was built with the contract, stripped ones too,
// for people who ask of which contract a plugin is: a constant that no code uses is in
// no binary.
const Text = "clusterpedia.io/storage-api " + Version + " " + Source + "\n"

var _ = keep(Text)

// keep makes the linker keep text.
//
//go:noinline
func keep(text string) int { return len(text) }
