// This plugin panics while it is opened.
package main

import _ "clusterpedia.io/storage-api/storage"

var table map[string]int

func init() { table["entry"] = 1 }

func main() {}
