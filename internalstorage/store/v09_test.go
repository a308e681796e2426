package store_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	mysqldriver "gorm.io/driver/mysql"
	postgresdriver "gorm.io/driver/postgres"
	sqlitedriver "gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// oldJSON is a document of v0.9.
type oldJSON []byte

// GormDBDataType is how gorm asks for a type.
func (oldJSON) GormDBDataType(db *gorm.DB, _ *schema.Field) string {
	return map[string]string{"sqlite": "JSON", "mysql": "JSON", "postgres": "JSONB"}[db.Name()]
}

// Resource is a row of v0.9, from which gorm brings the table up to date at each start.
type Resource struct {
	ID                    uint    `gorm:"primaryKey"`
	Group                 string  `gorm:"size:63;not null;uniqueIndex:uni_group_version_resource_cluster_namespace_name;index:idx_group_version_resource_namespace_name;index:idx_group_version_resource_name"`
	Version               string  `gorm:"size:15;not null;uniqueIndex:uni_group_version_resource_cluster_namespace_name;index:idx_group_version_resource_namespace_name;index:idx_group_version_resource_name"`
	Resource              string  `gorm:"size:63;not null;uniqueIndex:uni_group_version_resource_cluster_namespace_name;index:idx_group_version_resource_namespace_name;index:idx_group_version_resource_name"`
	Kind                  string  `gorm:"size:63;not null"`
	Cluster               string  `gorm:"size:253;not null;uniqueIndex:uni_group_version_resource_cluster_namespace_name,length:100;index:idx_cluster"`
	Namespace             string  `gorm:"size:253;not null;uniqueIndex:uni_group_version_resource_cluster_namespace_name,length:50;index:idx_group_version_resource_namespace_name"`
	Name                  string  `gorm:"size:253;not null;uniqueIndex:uni_group_version_resource_cluster_namespace_name,length:100;index:idx_group_version_resource_namespace_name;index:idx_group_version_resource_name"`
	OwnerUID              string  `gorm:"column:owner_uid;size:36;not null;default:''"`
	UID                   string  `gorm:"size:36;not null"`
	ResourceVersion       string  `gorm:"size:30;not null"`
	Object                oldJSON `gorm:"not null"`
	Events                oldJSON
	EventResourceVersions oldJSON
	CreatedAt             time.Time `gorm:"not null"`
	SyncedAt              time.Time `gorm:"not null;autoUpdateTime"`
	DeletedAt             sql.NullTime
}

// start does what v0.9 does to the schema when it starts.
func (o oldDatabase) start(t *testing.T) error {
	t.Helper()
	dialector := map[string]func(string) gorm.Dialector{"sqlite3": sqlitedriver.Open, "pgx": postgresdriver.Open, "mysql": mysqldriver.Open}[o.driver](o.dsn)
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	defer func() { require.NoError(t, pool.Close()) }()
	return db.AutoMigrate(&Resource{})
}

// TestLostTriggers has the triggers that keep labels go for a while, as when a table is written
// anew by who does not know of them.
func TestLostTriggers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"SQLite", "MariaDB"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := oldDatabases()[name](t)
			db := d.make(t)
			for _, name := range []string{"a", "b", "c"} {
				d.insert(t, db, name, "1", replicaSet(name, "1", "red"))
			}
			red := func() map[string]string {
				t.Helper()
				adopted(t, oldDatabase{d.driver, d.dsn, d.config, nil, d.mark})
				require.Empty(t, pending(t, d))
				st := open(t, d.config)
				defer func() { require.NoError(t, st.Close(t.Context())) }()
				return colors(t, st, &query.Query{Labels: []query.LabelRequirement{{Key: "color", Operator: query.In, Values: []string{"red"}}}})
			}
			require.Equal(t, map[string]string{"a": "red", "b": "red", "c": "red"}, red())
			for _, trigger := range []string{"insert", "update", "delete"} {
				d.exec(t, db, "DROP TRIGGER resource_labels_"+trigger)
			}
			d.exec(t, db, "UPDATE resources SET resource_version = '2', object = ? WHERE name = 'b'", replicaSet("b", "2", "blue"))
			d.insert(t, db, "d", "1", replicaSet("d", "1", "red"))
			require.Equal(t, map[string]string{"a": "red", "c": "red", "d": "red"}, red())
		})
	}
}

// TestStartOfOld has v0.9 start on tables that we have taken over, and on new ones: it goes on
// with them, and so do we behind it, as if it had not been there.
func TestStartOfOld(t *testing.T) {
	t.Parallel()
	for name, fresh := range oldDatabases() {
		for _, madeBy := range []string{"v0.9", "us"} {
			if name == "MariaDB" && madeBy == "us" {
				continue // the docs say that v0.9 refuses these
			}
			t.Run(name+", made by "+madeBy, func(t *testing.T) {
				t.Parallel()
				d := fresh(t)
				if madeBy == "v0.9" {
					require.NoError(t, d.start(t))
				}
				migrated := func() storage.Storage {
					st := open(t, d.config)
					t.Cleanup(func() { require.NoError(t, st.Close(context.WithoutCancel(t.Context()))) })
					require.NoError(t, st.(storage.Migrator).Migrate(t.Context(), nil))
					require.Empty(t, pending(t, d))
					return st
				}
				before := migrated()
				want := map[string]string{"a": fitting("a", `["a"]`)}
				check := func(st storage.Storage) {
					t.Helper()
					got, err := listCells(t, st, query.Query{})
					require.NoError(t, err)
					require.Equal(t, want, got)
				}
				putAll(t, before, withCells("a", "1", `["a"]`))
				check(before)
				made := shape(t, d)

				require.NoError(t, d.start(t))
				check(before)
				putAll(t, before, withCells("b", "1", `["b"]`))
				want["b"] = fitting("b", `["b"]`)
				check(before)
				after := migrated()
				require.Equal(t, made, shape(t, d))
				check(after)
			})
		}
	}
}
