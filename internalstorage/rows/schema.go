package rows

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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

// The migrations. The first is all that is needed to read and write; the others make
// queries fast, and are made while servers read and write.
const (
	migrationTables = 1 + iota
	migrationIndexes
	migrationOptional
	migrationLabels // dialect.MigrationLabels
	migrationLayout
)

// Migration is one that is due.
type Migration struct {
	storage.Migration
	// Required is whether nothing works without it.
	Required bool
	optional bool
	// filled is whether fill needs what is made.
	filled bool
	// locks is whether it waits for those who read and write, and they for it.
	locks bool
	fill  *dialect.Filling
}

// Pending returns what is to be done to bring the schema up to date, in order.
func Pending(ctx context.Context, db *gorm.DB, d dialect.Dialect) ([]Migration, error) {
	have, err := d.Schema(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	var due, optional, locking []Migration
	if !have.Done(migrationTables) {
		due = append(due, tables(d, have))
	}
	indexes := Migration{Migration: storage.Migration{Number: migrationIndexes, Summary: "add indexes"}}
	for _, step := range d.Online(have) {
		switch {
		case step.Locks:
			locking = append(locking, Migration{
				Migration: storage.Migration{Number: migrationLayout, Summary: step.Summary, Statements: step.Statements}, optional: step.Optional, locks: true,
			})
		case step.Optional:
			optional = append(optional, Migration{
				Migration: storage.Migration{Number: migrationOptional, Summary: step.Summary, Statements: step.Statements}, optional: true, filled: step.Filled,
			})
		default:
			indexes.Statements = append(indexes.Statements, step.Statements...)
		}
	}
	if len(indexes.Statements) > 0 && len(have.Columns) > 0 {
		due = append(due, indexes)
	}
	due = append(due, optional...)
	if fill := d.Fill(have); fill != nil {
		due = append(due, Migration{
			Migration: storage.Migration{Number: migrationLabels, Summary: "fill the table of labels", Statements: []string{fill.Statement, done(migrationLabels)}}, optional: true, fill: fill,
		})
	}
	return append(due, locking...), nil // nothing else waits for those
}

func tables(d dialect.Dialect, have dialect.Schema) Migration {
	m := Migration{Migration: storage.Migration{Number: migrationTables, Summary: "create the tables"}, Required: true}
	var later []string // nobody waits for an index of an empty table
	if len(have.Columns) == 0 {
		m.Statements = d.Tables()
		for _, step := range d.Online(have) {
			if !step.Optional && !step.Locks {
				later = append(later, strings.ReplaceAll(strings.Join(step.Statements, ""), " CONCURRENTLY", ""))
			}
		}
	} else {
		m.Summary = "add to the tables of an older release what they lack"
		m.Statements = d.Adopt(have)
	}
	for _, table := range []string{ownersTable, epochsTable} {
		m.Statements = append(m.Statements, fmt.Sprintf(table, d.KeyType()))
	}
	m.Statements = append(append(m.Statements, later...), schemaTable, done(migrationTables))
	return m
}

func done(number int) string {
	return fmt.Sprintf("INSERT INTO clusterpedia_schema (version) VALUES (%d)", number)
}

// MigrateTables makes the migration that nothing works without, if it is due. Several
// processes may call it at once, on an empty database too.
func MigrateTables(ctx context.Context, db *gorm.DB, d dialect.Dialect, made func(Migration)) error {
	if due, err := Pending(ctx, db, d); err == nil && (len(due) == 0 || !due[0].Required) {
		return nil
	}
	return d.Locked(ctx, db, func(tx *gorm.DB) error {
		due, err := Pending(ctx, tx, d)
		if err != nil || len(due) == 0 || !due[0].Required {
			return err
		}
		if err := run(ctx, tx, d, due[0]); err != nil {
			return err
		}
		made(due[0])
		return nil
	})
}

func run(ctx context.Context, db *gorm.DB, d dialect.Dialect, m Migration) error {
	for _, statement := range m.Statements {
		if err := d.Change(ctx, db, statement); err != nil {
			return fmt.Errorf("migration %d: %w", m.Number, err)
		}
	}
	return nil
}

// MigrateOnline makes the other migrations, while other processes read and write, and
// maybe make them too. What the database refuses of those that are optional is left out;
// refused is told.
func MigrateOnline(ctx context.Context, db *gorm.DB, d dialect.Dialect, made func(Migration), refused func(Migration, error)) error {
	if due, err := Pending(ctx, db, d); err == nil && len(due) == 0 {
		return nil
	}
	return d.LockedOnline(ctx, db, func(conn *gorm.DB) (err error) {
		// Whoever changes or locks the table meanwhile may make a step fail, or the schema
		// seem to lack what it has: then it is looked at anew.
		for try := 1; ; try++ {
			if err = migrateOnline(ctx, conn, d, made, refused); err == nil || try == onlineTries {
				return err
			}
			select {
			case <-ctx.Done():
				return err
			case <-time.After(onlinePause):
			}
		}
	})
}

// The tries that changes of the schema beside running servers have, and the pause between.
const (
	onlineTries = 5
	onlinePause = time.Second
)

func migrateOnline(ctx context.Context, conn *gorm.DB, d dialect.Dialect, made func(Migration), refused func(Migration, error)) error {
	due, err := Pending(ctx, conn, d)
	if err != nil {
		return err
	}
	var missing bool
	for _, m := range due {
		if m.fill != nil && missing {
			continue // there may be no table to be filled
		}
		switch {
		case m.fill != nil:
			err = fill(ctx, conn, d, m)
		case m.locks: // only for a moment at a time
			err = d.Briefly(ctx, conn, func(tx *gorm.DB) error {
				again, err := Pending(ctx, tx, d) // another process may have made it meanwhile
				if !slices.ContainsFunc(again, func(a Migration) bool { return slices.Equal(a.Statements, m.Statements) }) {
					return err
				}
				return run(ctx, tx, d, m)
			})
		default:
			err = run(ctx, conn, d, m)
		}
		switch {
		case err == nil:
			made(m)
		case m.optional && ctx.Err() == nil:
			missing = missing || m.filled
			refused(m, err)
		default:
			return err
		}
	}
	return nil
}

// fill goes through the rows in steps, so that nobody waits long for one. Begun anew it
// finds most of them filled.
func fill(ctx context.Context, db *gorm.DB, d dialect.Dialect, m Migration) error {
	var last *int64
	if err := db.Raw("SELECT MAX(id) FROM resources").Scan(&last).Error; err != nil {
		return err
	}
	if last == nil {
		last = new(int64)
	}
	for at := int64(0); at < *last; at += m.fill.Rows {
		if err := d.Change(ctx, db, m.fill.Statement, at, at+m.fill.Rows); err != nil {
			return fmt.Errorf("migration %d, behind row %d: %w", m.Number, at, err)
		}
	}
	err := db.Exec(done(migrationLabels)).Error
	var count int64
	if err != nil { // another process may have said so meanwhile
		return errors.Join(db.Raw("SELECT COUNT(*) FROM clusterpedia_schema WHERE version = ?", migrationLabels).Scan(&count).Error, unless(count > 0, err))
	}
	return nil
}

func unless(ok bool, err error) error {
	if ok {
		return nil
	}
	return err
}

// markLean stands among the numbers of migrations, beyond all of them, once there may be
// documents of mode lean.
const markLean = 1000

// RememberLean has the database remember that it may hold documents of mode lean.
func RememberLean(ctx context.Context, db *gorm.DB, d dialect.Dialect) error {
	return db.WithContext(ctx).Exec(d.InsertIgnore("clusterpedia_schema", []string{"version"}, 1), markLean).Error
}

// HasLean reports whether the database may hold documents of mode lean.
func HasLean(ctx context.Context, db *gorm.DB) (bool, error) {
	var found []int
	err := db.WithContext(ctx).Raw("SELECT 1 FROM clusterpedia_schema WHERE version = ?", markLean).Scan(&found).Error
	return len(found) > 0, err
}

// Empty reports whether there are no rows.
func Empty(ctx context.Context, db *gorm.DB) (bool, error) {
	var found []int
	err := db.WithContext(ctx).Raw("SELECT 1 FROM resources LIMIT 1").Scan(&found).Error
	return len(found) == 0, err
}

// Summaries joins what migrations do, for a message.
func Summaries(due []Migration) string {
	texts := make([]string, len(due))
	for i, m := range due {
		texts[i] = m.Summary
	}
	return strings.Join(texts, ", ")
}
