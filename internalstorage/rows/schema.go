package rows

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/storage-api/storage"
)

// The tables beside resources. Owners other than the controller are rare, so they
// stand apart; the writers' epochs outlive the objects.
const (
	ownersTable = "CREATE TABLE IF NOT EXISTS resource_owners (cluster %[1]s NOT NULL, owner_uid %[1]s NOT NULL, id bigint NOT NULL, PRIMARY KEY (cluster, owner_uid, id))"
	epochsTable = "CREATE TABLE IF NOT EXISTS clusterpedia_epochs (cluster %[1]s NOT NULL PRIMARY KEY, epoch bigint NOT NULL)"
	schemaTable = "CREATE TABLE IF NOT EXISTS clusterpedia_schema (version bigint NOT NULL PRIMARY KEY)"
)

// SchemaVersion is the version of the schema that this release needs.
const SchemaVersion = 1

// Pending returns what is to be done to bring the schema up to date.
func Pending(ctx context.Context, db *gorm.DB, d dialect.Dialect) ([]storage.Migration, error) {
	if db.WithContext(ctx).Migrator().HasTable("clusterpedia_schema") {
		var version *int64
		if err := db.WithContext(ctx).Raw("SELECT MAX(version) FROM clusterpedia_schema").Scan(&version).Error; err != nil {
			return nil, fmt.Errorf("read the schema's version: %w", err)
		}
		if version != nil && *version >= SchemaVersion {
			return nil, nil
		}
	}
	have, err := d.Schema(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	m := storage.Migration{Number: SchemaVersion, Summary: "create the tables"}
	if len(have.Columns) == 0 {
		m.Statements = d.Tables()
	} else {
		m.Summary = "add to the tables of an older release what they lack"
		m.Statements = d.Adopt(have)
	}
	for _, table := range []string{ownersTable, epochsTable} {
		m.Statements = append(m.Statements, fmt.Sprintf(table, d.KeyType()))
	}
	m.Statements = append(m.Statements, schemaTable, fmt.Sprintf("INSERT INTO clusterpedia_schema (version) VALUES (%d)", SchemaVersion))
	return []storage.Migration{m}, nil
}

// Migrate brings the schema up to date. Several processes may call it at once, on
// an empty database too.
func Migrate(ctx context.Context, db *gorm.DB, d dialect.Dialect, done func(storage.Migration)) error {
	if pending, err := Pending(ctx, db, d); err == nil && len(pending) == 0 {
		return nil
	}
	return d.Locked(ctx, db, func(tx *gorm.DB) error {
		pending, err := Pending(ctx, tx, d)
		if err != nil {
			return err
		}
		for _, m := range pending {
			for _, statement := range m.Statements {
				if err := tx.Exec(statement).Error; err != nil {
					return fmt.Errorf("migration %d: %w", m.Number, err)
				}
			}
			if done != nil {
				done(m)
			}
		}
		return nil
	})
}
