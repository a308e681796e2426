// Package document reads and rewrites the JSON documents of objects without
// decoding them.
//
// It stands between reading from a member cluster and writing to storage. A
// member's bytes reach the clients of the apiserver as they are stored, so
// whatever goes through Rewrite is checked: one JSON object, valid UTF-8, no key
// twice.
package document
