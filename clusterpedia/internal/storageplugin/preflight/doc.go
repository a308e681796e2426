// Package preflight says, without running either, whether a Go plugin fits a
// host binary and the plugins that are opened before it.
//
// Storage layers come to the processes of Clusterpedia as plugins: the
// clustersynchro-manager writes through one and the apiserver reads through one.
// Package storageplugin asks here before it opens any file, for three reasons.
// plugin.Open names only the first package that differs. Some files (a library
// that is no Go plugin, one that was cut off while it was copied) kill the
// process rather than return an error. And a plugin that Go refused stays in the
// address space, where one that is opened after it can be bound to its
// variables, and crashes when they are collected.
//
// # What is compared
//
// The linker writes a fingerprint of the exported declarations of each package,
// as they were compiled, into a plugin and into a binary that can open plugins.
// The runtime compares these, package by package; so does Check. Both sides keep
// them among their dynamic symbols, which the dynamic linker needs, so that
// stripped files have them as well. Everything else that Check reads (versions,
// flags, the C library) either decides whether the dynamic linker takes the file
// at all, or explains to people why fingerprints differ.
//
// It cannot see bits that rotted inside a file, an init function that panics,
// and a library that the plugin needs and the machine does not have; the last it
// warns of.
package preflight
