// This plugin registers nothing.
package main

import _ "clusterpedia.io/storage-api/storage"

func main() {}
