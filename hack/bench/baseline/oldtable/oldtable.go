// Package oldtable is the table in which Clusterpedia v0.9 keeps objects, as users have
// it in their databases, and the way in which its writer fills it. The classic baseline
// reads and writes it.
package oldtable

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"clusterpedia.io/storage-api/object"
)

// Engine is a database system.
type Engine string

// The engines.
const (
	PostgreSQL Engine = "postgres"
	MariaDB    Engine = "mariadb"
	SQLite     Engine = "sqlite"
)

// Type is what the configuration of the storage layer calls the engine.
func (e Engine) Type() string {
	if e == MariaDB {
		return "mysql"
	}
	return string(e)
}

// Resource is a row of the table.
type Resource struct {
	ID              uint64 `gorm:"primaryKey"`
	Group           string
	Version         string
	Resource        string
	Kind            string
	Cluster         string
	Namespace       string
	Name            string
	OwnerUID        string `gorm:"column:owner_uid"`
	UID             string `gorm:"column:uid"`
	ResourceVersion string
	Object          string
	CreatedAt       time.Time
	SyncedAt        time.Time
	DeletedAt       *time.Time `gorm:"column:deleted_at"`
}

// TableName implements gorm's Tabler.
func (Resource) TableName() string { return "resources" }

// RowOf returns the row of an object.
func RowOf(o *object.Object, document string) *Resource {
	r := &Resource{
		Group: o.Group, Version: o.Version, Resource: o.Resource.Resource, Kind: o.Kind, Cluster: o.Cluster, Namespace: o.Namespace, Name: o.Name,
		OwnerUID: o.Controller, UID: o.UID, ResourceVersion: o.ResourceVersion, Object: document, CreatedAt: o.CreatedAt, SyncedAt: time.Now().UTC(),
	}
	if !o.DeletedAt.IsZero() {
		r.DeletedAt = &o.DeletedAt
	}
	return r
}

// Open connects to a database.
func Open(e Engine, dsn string) (*gorm.DB, error) {
	dialector := map[Engine]func(string) gorm.Dialector{PostgreSQL: postgres.Open, MariaDB: mysql.Open, SQLite: sqlite.Open}[e]
	if dialector == nil {
		return nil, fmt.Errorf("unknown engine %q, want postgres, mariadb or sqlite", e)
	}
	db, err := gorm.Open(dialector(dsn), &gorm.Config{SkipDefaultTransaction: true, Logger: logger.Discard})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", e, err)
	}
	return db, nil
}

// Tables returns the statements that make the table and its indexes.
func Tables(e Engine) []string {
	columns := "GROUP VARCHAR(63) NOT NULL, version VARCHAR(15) NOT NULL, resource VARCHAR(63) NOT NULL, kind VARCHAR(63) NOT NULL, " +
		"cluster VARCHAR(253) NOT NULL, namespace VARCHAR(253) NOT NULL, name VARCHAR(253) NOT NULL, owner_uid VARCHAR(36) NOT NULL DEFAULT '', " +
		"uid VARCHAR(36) NOT NULL, resource_version VARCHAR(30) NOT NULL, "
	id, json, moment, key, suffix := "bigserial PRIMARY KEY", "jsonb", "timestamptz", "cluster, namespace, name", ""
	switch e {
	case MariaDB:
		id, json, moment, key, suffix = "bigint unsigned AUTO_INCREMENT PRIMARY KEY", "json", "datetime(3)", "cluster(100), namespace(50), name(100)", " DEFAULT CHARSET utf8mb4"
	case SQLite:
		columns = regexp.MustCompile(`VARCHAR\(\d+\)`).ReplaceAllString(columns, "text")
		id, json, moment = "integer PRIMARY KEY AUTOINCREMENT", "JSON", "datetime"
	case PostgreSQL:
	}
	statements := []string{
		fmt.Sprintf("CREATE TABLE resources (id %s, %sobject %[3]s NOT NULL, events %[3]s, event_resource_versions %[3]s, created_at %[4]s NOT NULL, synced_at %[4]s NOT NULL, deleted_at %[4]s NULL)%[5]s",
			id, columns, json, moment, suffix),
		"CREATE UNIQUE INDEX uni_group_version_resource_cluster_namespace_name ON resources (GROUP, version, resource, " + key + ")",
		"CREATE INDEX idx_group_version_resource_namespace_name ON resources (GROUP, version, resource, namespace, name)",
		"CREATE INDEX idx_group_version_resource_name ON resources (GROUP, version, resource, name)",
		"CREATE INDEX idx_cluster ON resources (cluster)",
	}
	for i := range statements {
		statements[i] = strings.ReplaceAll(statements[i], "GROUP", Quote(e, "group"))
	}
	return statements
}

// Make makes the table.
func Make(ctx context.Context, e Engine, db *gorm.DB) error {
	for _, statement := range Tables(e) {
		if err := db.WithContext(ctx).Exec(statement).Error; err != nil {
			return fmt.Errorf("make the table of v0.9: %w", err)
		}
	}
	return nil
}

// Quote quotes the name of a column.
func Quote(e Engine, name string) string {
	if e == MariaDB {
		return "`" + name + "`"
	}
	return `"` + name + `"`
}

// Path is the expression for the text at a path of the document. The path's names are
// this program's own, and not a client's.
func Path(e Engine, path ...string) string {
	switch e {
	case MariaDB:
		return `JSON_UNQUOTE(JSON_EXTRACT(object,'$."` + strings.Join(path, `"."`) + `"'))`
	case SQLite:
		return `CAST(JSON_EXTRACT(object,'$."` + strings.Join(path, `"."`) + `"') as TEXT)`
	default:
		return "object -> '" + strings.Join(path[:len(path)-1], "' -> '") + "' ->> '" + path[len(path)-1] + "'"
	}
}

// Metadata is the expression for the metadata of the document.
func Metadata(e Engine) string {
	if e == PostgreSQL {
		return "object->>'metadata'"
	}
	return "JSON_EXTRACT(object,'$.metadata')"
}
