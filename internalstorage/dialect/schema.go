package dialect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
)

// Schema is what there is in a database.
type Schema struct {
	// Columns maps the names of the columns of table resources to their types, as the
	// database calls them; empty if there is no table.
	Columns map[string]string
	// Indexes are those of resources and of the tables beside it that can be used; Broken
	// are those that were left half made.
	Indexes map[string]bool
	Broken  []string
	// Triggers are those on resources.
	Triggers map[string]bool
	// Versions are the numbers of the migrations that say that they are done.
	Versions []int64
	// MariaDB says which of both the server is.
	MariaDB bool
	// Bytewise says that names compare bytewise of themselves.
	Bytewise bool
	// Compression is that of new documents in PostgreSQL: "lz4" or "pglz"; empty if it
	// cannot be chosen.
	Compression string
	// RowSize is toast_tuple_target of PostgreSQL, if it is set.
	RowSize string
	// Narrow are the columns of PostgreSQL that v0.9 has made too narrow for some names.
	Narrow []string
	// Compressed are the columns of packed documents and cells that PostgreSQL compresses.
	Compressed []string
}

// Done reports whether a migration says that it is done.
func (s Schema) Done(number int64) bool { return slices.Contains(s.Versions, number) }

// Step is a change of the schema that is made while others read and write.
type Step struct {
	// Summary says what an optional step adds.
	Summary    string
	Statements []string
	// Optional is what a database may refuse. Without it some queries take longer.
	Optional bool
	// Filled says that Fill needs what the step makes.
	Filled bool
	// Locks says that whoever reads or writes waits for the step, and the step for them.
	Locks bool
}

// Filling fills a table from the rows of resources, Rows of them at a time.
type Filling struct {
	// Statement has two arguments: the id behind which to begin, and that of the last row.
	Statement string
	Rows      int64
}

// LabelTriggers are on resources where table resource_labels is kept.
func labelTriggers() []string {
	return []string{"resource_labels_insert", "resource_labels_update", "resource_labels_delete"}
}

// labeled says that the triggers are there that keep table resource_labels.
func (s Schema) labeled() bool {
	return !slices.ContainsFunc(labelTriggers(), func(name string) bool { return !s.Triggers[name] })
}

// MigrationLabels is the number of the migration behind which table resource_labels has
// the labels of all rows.
const MigrationLabels = 4

func (s Schema) hasLabels() bool { return s.labeled() && s.Done(MigrationLabels) }

// adopted says that the table is there, and is not one that only v0.9 has seen.
func (s Schema) adopted() bool { return s.Columns["owners"] != "" }

// forgetLabels returns what stands before the triggers are made: if they were there, and gone
// for a while, the table misses what has changed since.
func (s Schema) forgetLabels() []string {
	if !s.Done(MigrationLabels) {
		return nil
	}
	return []string{fmt.Sprintf("DELETE FROM clusterpedia_schema WHERE version = %d", MigrationLabels), "DELETE FROM resource_labels"}
}

// indexSteps returns the steps that make the indexes that there are not yet. A statement
// is made of the index's name.
func indexSteps(have Schema, create string, indexes [][2]string) []Step {
	var steps []Step
	for _, index := range indexes {
		if !have.Indexes[index[0]] {
			steps = append(steps, Step{Statements: []string{fmt.Sprintf(create, index[0], index[1])}})
		}
	}
	return steps
}

// addColumns returns a statement for each column, name and type, that there is not yet.
func addColumns(have Schema, columns [][2]string) (statements []string) {
	for _, c := range columns {
		if have.Columns[c[0]] == "" {
			statements = append(statements, "ALTER TABLE resources ADD COLUMN "+c[0]+" "+c[1])
		}
	}
	return statements
}

// readSchema reads a schema by queries of names and types of columns, of names of indexes
// and of triggers.
func readSchema(ctx context.Context, db *gorm.DB, columns, indexes, triggers string) (Schema, error) {
	have := Schema{Columns: map[string]string{}, Indexes: map[string]bool{}, Triggers: map[string]bool{}, Bytewise: true}
	db = db.WithContext(ctx)
	var found []struct{ Name, Kind string }
	if err := db.Raw(columns).Scan(&found).Error; err != nil {
		return have, err
	}
	for _, c := range found {
		have.Columns[c.Name] = strings.ToLower(c.Kind)
	}
	for text, into := range map[string]map[string]bool{indexes: have.Indexes, triggers: have.Triggers} {
		var names []string
		if text == "" {
			continue
		}
		if err := db.Raw(text).Scan(&names).Error; err != nil {
			return have, err
		}
		for _, name := range names {
			into[name] = true
		}
	}
	if !db.Migrator().HasTable("clusterpedia_schema") {
		return have, nil
	}
	return have, db.Raw("SELECT version FROM clusterpedia_schema").Scan(&have.Versions).Error
}

// Schema implements Dialect.
func (postgres) Schema(ctx context.Context, db *gorm.DB) (Schema, error) {
	const ours = "n.nspname = current_schema() AND t.relname IN ('resources', 'resource_owners')"
	have, err := readSchema(ctx, db,
		"SELECT column_name AS name, data_type AS kind FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = 'resources'",
		"SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace WHERE i.indisvalid AND "+ours, "")
	if err != nil || len(have.Columns) == 0 {
		return have, err
	}
	db = db.WithContext(ctx)
	err = errors.Join(
		db.Raw("SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace WHERE NOT i.indisvalid AND "+ours).Scan(&have.Broken).Error,
		// That of the database may be C, too, but the planner does not take it for the same.
		db.Raw("SELECT c.collname = 'C' FROM pg_attribute a JOIN pg_collation c ON c.oid = a.attcollation "+
			"WHERE a.attrelid = 'resources'::regclass AND a.attname = 'name'").Scan(&have.Bytewise).Error,
		db.Raw("SELECT CASE WHEN attcompression = 'l' THEN 'lz4' ELSE 'pglz' END FROM pg_attribute, pg_settings WHERE attrelid = 'resources'::regclass AND attname = 'object' "+
			"AND pg_settings.name = 'default_toast_compression' AND 'lz4' = ANY(pg_settings.enumvals)").Scan(&have.Compression).Error,
		db.Raw("SELECT option_value FROM pg_class, pg_options_to_table(reloptions) WHERE pg_class.oid = 'resources'::regclass AND option_name = 'toast_tuple_target'").Scan(&have.RowSize).Error,
		db.Raw("SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = 'resources' "+
			"AND character_maximum_length < 253 ORDER BY ordinal_position").Scan(&have.Narrow).Error,
		db.Raw("SELECT attname FROM pg_attribute WHERE attrelid = 'resources'::regclass AND attname IN ('head', 'raw', 'cells') AND attstorage <> 'e' ORDER BY attnum").Scan(&have.Compressed).Error,
	)
	return have, err
}

// everCreated holds for all rows: see postgres.Created.
const everCreated = "created_at > '-infinity'"

// pendingLimit bounds what may wait to be sorted into an index of several values for each
// row, in KiB: each search reads all of that, and its room is never given back.
func pendingLimit(limit int) string { return fmt.Sprintf(" WITH (gin_pending_list_limit = %d)", limit) }

// Online makes the indexes of labels over an expression: so they need no column, and rows
// of older releases are in it as they are.
func (p postgres) Online(have Schema) []Step {
	var steps []Step
	indexes := [][2]string{
		{"idx_uid", "USING hash (uid)"},
		{"idx_labels", "USING gin (" + labelsOf + " jsonb_path_ops)" + pendingLimit(512)},
		{"idx_owner_uid", "(owner_uid, cluster) WHERE owner_uid <> ''"},
		{"idx_created_at", "(created_at)"},
		{"idx_type_newest", `("group", version, resource, created_at DESC, cluster COLLATE "C") WHERE ` + everCreated},
	}
	for _, part := range fieldParts() {
		switch name := "idx_fields_" + part; {
		case p.fieldIndex:
			indexes = append(indexes, [2]string{name, "USING gin (" + fieldsOf(part) + " jsonb_path_ops)"})
		case have.Indexes[name]:
			steps = append(steps, Step{Statements: []string{"DROP INDEX CONCURRENTLY IF EXISTS " + name}})
		}
	}
	orders, rest := orderIndexes(p, have, p.orders)
	for _, name := range rest {
		steps = append(steps, Step{Statements: []string{"DROP INDEX CONCURRENTLY IF EXISTS " + name}})
	}
	indexes = append(indexes, orders...)
	if !have.Bytewise {
		indexes = append(indexes, [2]string{"idx_type_bytewise", `("group", version, resource, cluster COLLATE "C", namespace COLLATE "C", name COLLATE "C")`})
	}
	for _, index := range append(indexes, [2]string{"idx_name_trigrams"}) {
		if slices.Contains(have.Broken, index[0]) {
			steps = append(steps, Step{Statements: []string{"DROP INDEX CONCURRENTLY IF EXISTS " + index[0]}})
		}
	}
	steps = append(steps, indexSteps(have, "CREATE INDEX CONCURRENTLY %s ON resources %s", indexes)...)
	if old := "idx_cluster_uid"; have.Indexes[old] || slices.Contains(have.Broken, old) { // it was twice as large
		steps = append(steps, Step{Statements: []string{"DROP INDEX CONCURRENTLY IF EXISTS " + old}})
	}
	if len(steps) > 0 {
		// The planner knows which labels are frequent only once it has looked.
		steps = append(steps, Step{Statements: []string{postgres{}.Analyze()}})
	}
	if !have.Indexes["idx_name_trigrams"] {
		steps = append(steps, Step{Optional: true, Summary: "index parts of names, by the extension pg_trgm", Statements: []string{
			"CREATE EXTENSION IF NOT EXISTS pg_trgm",
			"CREATE INDEX CONCURRENTLY idx_name_trigrams ON resources USING gin (name gin_trgm_ops)" + pendingLimit(2048),
		}})
	}
	var changes []string
	if have.Compression == "pglz" {
		changes = append(changes, "ALTER COLUMN object SET COMPRESSION lz4")
	}
	if have.Columns["raw"] != "" && (have.RowSize != rowSize || len(have.Compressed) > 0) {
		changes = append(changes, layout(have.Compressed...))
	}
	if len(changes) > 0 {
		steps = append(steps, Step{Locks: true, Summary: "keep new documents as they are packed", Statements: []string{"ALTER TABLE resources " + strings.Join(changes, ", ")}})
	}
	if have.Columns["raw"] != "" && len(have.Narrow) > 0 {
		steps = append(steps, Step{Locks: true, Summary: "widen the columns that v0.9 made narrow when it started", Statements: []string{"ALTER TABLE resources " + strings.Join(widened(have.Narrow), ", ")}})
	}
	return append(steps, cellsSteps(have, "bytea, ALTER COLUMN cells SET STORAGE EXTERNAL")...)
}

// Fill implements Dialect.
func (postgres) Fill(Schema) *Filling { return nil }

// On implements Dialect.
func (p postgres) On(have Schema) Dialect {
	p.cells = have.hasCells()
	return p
}

// Analyze implements Dialect.
func (postgres) Analyze() string { return "ANALYZE resources" }

// LockedOnline asks for the lock again and again: who waits for it within a statement
// would himself be waited for by whoever builds an index.
func (postgres) LockedOnline(ctx context.Context, db *gorm.DB, fn func(*gorm.DB) error) error {
	return onConnection(ctx, db, func(conn *gorm.DB) error {
		for {
			var got bool
			if err := conn.Raw("SELECT pg_try_advisory_lock(?)", int64(lockNumber)+1).Scan(&got).Error; err != nil {
				return fmt.Errorf("wait for the lock of schema changes: %w", err)
			}
			if got {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(lockPause):
			}
		}
		err := fn(conn)
		return errors.Join(err, conn.WithContext(context.WithoutCancel(ctx)).Exec("SELECT pg_advisory_unlock(?)", int64(lockNumber)+1).Error)
	})
}

// onConnection runs fn on one connection. A statement that fails does not keep those behind it
// from being run, as it does on what gorm passes.
func onConnection(ctx context.Context, db *gorm.DB, fn func(*gorm.DB) error) error {
	return db.WithContext(ctx).Connection(func(conn *gorm.DB) error { return fn(conn.Session(&gorm.Session{})) })
}

// lockPause is between two questions for a lock.
const lockPause = 200 * time.Millisecond

// Schema implements Dialect.
func (sqlite) Schema(ctx context.Context, db *gorm.DB) (Schema, error) {
	return readSchema(ctx, db, "SELECT name, type AS kind FROM pragma_table_info('resources')",
		"SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name IN ('resources', 'resource_owners')",
		"SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'resources'")
}

// Online keeps labels in a table beside, by triggers: so they are right for what older
// releases write, too.
func (s sqlite) Online(have Schema) []Step {
	indexes := [][2]string{
		{"idx_cluster_uid", "resources (cluster, uid)"},
		{"idx_owner_uid", "resources (owner_uid, cluster) WHERE owner_uid <> ''"},
		{"idx_newest", `resources (created_at DESC, "group", version, resource, cluster, namespace, name)`},
		{"idx_type_newest", `resources ("group", version, resource, created_at DESC, cluster, namespace, name)`},
		{"idx_resource_owners_owner_uid", "resource_owners (owner_uid)"},
	}
	orders, rest := orderIndexes(s, have, s.orders)
	for _, order := range orders {
		indexes = append(indexes, [2]string{order[0], "resources " + order[1]})
	}
	steps := indexSteps(have, "CREATE INDEX IF NOT EXISTS %s ON %s", indexes)
	if have.Indexes["idx_created_at"] { // has less than what idx_newest does
		rest = append(rest, "idx_created_at")
	}
	for _, name := range rest {
		steps = append(steps, Step{Statements: []string{"DROP INDEX IF EXISTS " + name}})
	}
	if missing := headSteps(have); len(missing) > 0 && have.adopted() { // Only the catalog is changed.
		steps = append(steps, Step{Optional: true, Locks: true, Summary: "add columns for metadata and for what tables show", Statements: missing})
	}
	if have.labeled() {
		return steps
	}
	const labels = "json_extract(%[1]s.object, '$.metadata.labels')"
	const insert = "INSERT OR IGNORE INTO resource_labels (name, value, id) SELECT l.key, l.value, NEW.id FROM json_each(NEW.object, '$.metadata.labels') AS l WHERE l.type = 'text';"
	return append(steps, Step{Optional: true, Filled: true, Summary: "keep a table of labels, by triggers", Statements: slices.Concat([]string{
		"CREATE TABLE IF NOT EXISTS resource_labels (name text NOT NULL, value text NOT NULL, id integer NOT NULL, PRIMARY KEY (name, value, id)) WITHOUT ROWID",
		"CREATE INDEX IF NOT EXISTS idx_resource_labels_id ON resource_labels (id)",
	}, have.forgetLabels(), []string{
		"CREATE TRIGGER IF NOT EXISTS resource_labels_insert AFTER INSERT ON resources BEGIN " + insert + " END",
		"CREATE TRIGGER IF NOT EXISTS resource_labels_update AFTER UPDATE OF object ON resources WHEN " +
			fmt.Sprintf(labels, "OLD") + " IS NOT " + fmt.Sprintf(labels, "NEW") + " BEGIN DELETE FROM resource_labels WHERE id = NEW.id; " + insert + " END",
		"CREATE TRIGGER IF NOT EXISTS resource_labels_delete AFTER DELETE ON resources BEGIN DELETE FROM resource_labels WHERE id = OLD.id; END",
	})})
}

// Fill implements Dialect.
func (sqlite) Fill(have Schema) *Filling {
	if have.hasLabels() {
		return nil
	}
	return &Filling{Rows: fillRows, Statement: "INSERT OR IGNORE INTO resource_labels (name, value, id) SELECT l.key, l.value, resources.id " +
		"FROM resources, json_each(resources.object, '$.metadata.labels') AS l WHERE resources.id > ? AND resources.id <= ? AND l.type = 'text'"}
}

// fillRows is how many rows one statement fills a table from.
const fillRows = 1000

// On implements Dialect.
func (s sqlite) On(have Schema) Dialect {
	s.labels, s.heads = have.hasLabels(), len(headSteps(have)) == 0
	return s
}

// Analyze implements Dialect.
func (sqlite) Analyze() string { return "" }

// LockedOnline needs no lock: each statement waits for the only write lock.
func (sqlite) LockedOnline(ctx context.Context, db *gorm.DB, fn func(*gorm.DB) error) error {
	return fn(db.WithContext(ctx))
}

// Schema implements Dialect.
func (mysql) Schema(ctx context.Context, db *gorm.DB) (Schema, error) {
	have, err := readSchema(ctx, db,
		"SELECT column_name AS name, data_type AS kind FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'resources'",
		"SELECT DISTINCT index_name FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name IN ('resources', 'resource_owners')",
		"SELECT trigger_name FROM information_schema.triggers WHERE event_object_schema = DATABASE() AND event_object_table = 'resources'")
	if err != nil {
		return have, err
	}
	var version string
	err = db.WithContext(ctx).Raw("SELECT VERSION()").Scan(&version).Error
	have.MariaDB = strings.Contains(version, "MariaDB")
	return have, err
}

// Online keeps labels in a table beside, by triggers, as SQLite does: MariaDB has no
// indexes over lists.
func (d mysql) Online(have Schema) []Step {
	indexes := [][2]string{
		{"idx_cluster_uid", "resources (cluster, uid)"},
		{"idx_owner_uid", "resources (owner_uid, cluster)"},
		{"idx_created_at", "resources (created_at)"},
		{"idx_resource_owners_owner_uid", "resource_owners (owner_uid)"},
	}
	steps := append(indexSteps(have, createIndex(have), indexes), cellsSteps(have, "mediumblob, ALGORITHM=INSTANT")...)
	steps = append(steps, d.orderSteps(have)...)
	if have.Indexes[hashUnique] && have.Indexes[oldUnique] { // v0.9 makes it when it starts
		steps = append(steps, Step{Statements: []string{dropOldUnique}})
	}
	for _, index := range [][2]string{
		{"idx_type_newest", "resources (`group`, version, resource, created_at DESC, cluster, namespace, name)"},
		{"idx_newest", "resources (created_at DESC, `group`, version, resource, cluster, namespace, name)"},
	} {
		if !have.old() && !have.Indexes[index[0]] {
			steps = append(steps, Step{Optional: true, Summary: "index the newest", Statements: []string{fmt.Sprintf(createIndex(have), index[0], index[1])}})
		}
	}
	if have.labeled() {
		return steps
	}
	insert := "INSERT IGNORE INTO resource_labels (id, name, value) SELECT NEW.id, n.name, v.value FROM " + fmt.Sprintf(mysqlLabels, "NEW.object") + "; "
	const labels = "JSON_EXTRACT(%[1]s.object, '$.metadata.labels')"
	return append(steps, Step{Optional: true, Filled: true, Summary: "keep a table of labels, by triggers", Statements: slices.Concat([]string{
		"CREATE TABLE IF NOT EXISTS resource_labels (id bigint unsigned NOT NULL, name varbinary(320) NOT NULL, value varbinary(255) NOT NULL, PRIMARY KEY (id, name), KEY idx_label (name, value, id))",
	}, have.forgetLabels(), []string{
		"DROP TRIGGER IF EXISTS resource_labels_insert", "DROP TRIGGER IF EXISTS resource_labels_update", "DROP TRIGGER IF EXISTS resource_labels_delete",
		"CREATE TRIGGER resource_labels_insert AFTER INSERT ON resources FOR EACH ROW BEGIN " + insert + "END",
		"CREATE TRIGGER resource_labels_update AFTER UPDATE ON resources FOR EACH ROW BEGIN IF NOT (" +
			fmt.Sprintf(labels, "OLD") + " <=> " + fmt.Sprintf(labels, "NEW") + ") THEN DELETE FROM resource_labels WHERE id = NEW.id; " + insert + "END IF; END",
		"CREATE TRIGGER resource_labels_delete AFTER DELETE ON resources FOR EACH ROW DELETE FROM resource_labels WHERE id = OLD.id",
	})})
}

// mysqlLabels are the names and the values of the labels of a document, in the same
// order. MariaDB misreads some names in a path.
const mysqlLabels = "JSON_TABLE(JSON_KEYS(%[1]s, '$.metadata.labels'), '$[*]' COLUMNS (i FOR ORDINALITY, name varchar(320) PATH '$')) AS n " +
	"JOIN JSON_TABLE(JSON_EXTRACT(%[1]s, '$.metadata.labels.*'), '$[*]' COLUMNS (i FOR ORDINALITY, value varchar(255) PATH '$')) AS v ON v.i = n.i " +
	"WHERE n.name IS NOT NULL AND v.value IS NOT NULL"

// Fill implements Dialect.
func (mysql) Fill(have Schema) *Filling {
	if have.hasLabels() {
		return nil
	}
	return &Filling{Rows: fillRows, Statement: "INSERT IGNORE INTO resource_labels (id, name, value) SELECT resources.id, n.name, v.value FROM resources JOIN " +
		fmt.Sprintf(mysqlLabels, "resources.object") + " AND resources.id > ? AND resources.id <= ?"}
}

// On implements Dialect.
func (d mysql) On(have Schema) Dialect {
	d.adopted, d.labels, d.mariadb, d.cells, d.orderColumns = have.old(), have.hasLabels(), have.MariaDB, have.hasCells(), orderColumnsOf(have)
	return d
}

// Analyze implements Dialect.
func (mysql) Analyze() string { return "" }

// LockedOnline implements Dialect.
func (d mysql) LockedOnline(ctx context.Context, db *gorm.DB, fn func(*gorm.DB) error) error {
	return d.Locked(ctx, db, fn)
}
