package main
import (
 _ "gorm.io/driver/mysql"
 _ "gorm.io/driver/postgres"
 _ "gorm.io/driver/sqlite"
 _ "github.com/go-sql-driver/mysql"
 _ "github.com/jackc/pgx/v5/pgconn"
 _ "github.com/mattn/go-sqlite3"
 _ "github.com/stretchr/testify/require"
 _ "clusterpedia.io/storage-api/storage"
)
func main() {}
