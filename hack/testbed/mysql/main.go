// Command mysql serves an in-memory database with MySQL 8's syntax on the
// loopback address, for what only MySQL's parser accepts and MariaDB's doesn't.
package main

import (
	"flag"
	"fmt"
	"os"

	sqle "github.com/dolthub/go-mysql-server"
	"github.com/dolthub/go-mysql-server/memory"
	"github.com/dolthub/go-mysql-server/server"
	"github.com/dolthub/go-mysql-server/sql"
)

func main() {
	address := flag.String("listen", "127.0.0.1:0", "address to listen on")
	name := flag.String("database", "clusterpedia", "name of the first database")
	flag.Parse()
	if err := serve(*address, *name); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(address, name string) error {
	db := memory.NewDatabase(name)
	db.EnablePrimaryKeyIndexes()
	provider := memory.NewDBProvider(db)
	engine := sqle.NewDefault(provider)
	s, err := server.NewServer(server.Config{Protocol: "tcp", Address: address}, engine, sql.NewContext, memory.NewSessionBuilder(provider), nil)
	if err != nil {
		return err
	}
	return s.Start()
}
