package dialect

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"
	driver "gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"clusterpedia.io/internalstorage/config"
	"clusterpedia.io/storage-api/query"
)

// sqlite keeps everything in a file. Texts compare bytewise, and column object is
// the text that it was given.
type sqlite struct {
	// timeout bounds queries; 0: nothing does.
	timeout time.Duration
	// labels says that table resource_labels has those of all rows.
	labels bool
	// heads says that there is what headSteps makes.
	heads bool
	// orders are the columns that have an index for lists that are sorted by them.
	orders []string
}

func (sqlite) Name() string { return "sqlite" }

// walLimit bounds the wait for a file that another process makes ready.
const walLimit = 10 * time.Second

// Open opens one connection for writing, whose transactions take the file's only
// write lock as they begin, and several for reading.
func (sqlite) Open(c *config.Config, options *gorm.Config) (reader, writer *gorm.DB, err error) {
	if c.DSN == "" {
		return nil, nil, errors.New("sqlite: dsn is required")
	}
	file, text, _ := strings.Cut(c.DSN, "?")
	params, err := url.ParseQuery(text)
	if err != nil {
		return nil, nil, fmt.Errorf("sqlite: dsn: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", file, err)
		}
	}()
	for key, value := range map[string]string{
		"_journal_mode": "WAL", "_busy_timeout": "10000", "_synchronous": "NORMAL", "_txlock": "immediate",
	} {
		if !params.Has(key) {
			params.Set(key, value)
		}
	}
	// Of two servers that start on a new file at once, one makes it a WAL file; for that
	// SQLite does not let the other wait, whatever its busy timeout.
	for deadline := time.Now().Add(walLimit); ; <-time.After(walLimit / 1000) {
		writer, err = connect(driver.Open(file+"?"+params.Encode()), options, config.ConnPool{MaxOpenConns: 1})
		if e, ok := errors.AsType[sqlite3.Error](err); !ok || e.Code != sqlite3.ErrBusy || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		return nil, nil, err
	}
	if strings.Contains(file, ":memory:") || params.Get("mode") == "memory" {
		return writer, writer, nil
	}
	reading := c.ConnPool
	reading.MaxOpenConns = max(reading.MaxOpenConns-1, 1)
	params.Set("_query_only", "true")
	params.Del("_txlock")
	if reader, err = connect(driver.Open(file+"?"+params.Encode()), options, reading); err != nil {
		if pool, poolErr := writer.DB(); poolErr == nil {
			_ = pool.Close()
		}
		return nil, nil, err
	}
	return reader, writer, nil
}

func (sqlite) KeyType() string { return `text` }

// headTrigger has head and cells taken for out of date: whoever changes a document alone knows of
// neither, be it at the same version.
const headTrigger = "CREATE TRIGGER IF NOT EXISTS resources_head AFTER UPDATE OF object ON resources " +
	"WHEN NEW.object IS NOT OLD.object AND NEW.head IS OLD.head AND NEW.cells IS OLD.cells " +
	"BEGIN UPDATE resources SET raw_rv = NULL WHERE id = NEW.id; END"

// headSteps returns what makes the columns by which tables and lists of metadata need no
// documents, and their trigger.
func headSteps(have Schema) []string {
	statements := addColumns(have, [][2]string{{"raw_rv", "text"}, {"cells", "blob"}, {"head", "blob"}})
	if !have.Triggers["resources_head"] {
		statements = append(statements, headTrigger)
	}
	return statements
}

// Tables implements Dialect. SQLite reads a long row from its beginning to the last column that
// is wanted, page by page: all that lists need beside documents and Events stands before them.
// gorm, by which v0.9 looks at the table when it starts, takes tabs in it for quotes.
func (sqlite) Tables() []string {
	return []string{
		`CREATE TABLE resources (id integer PRIMARY KEY AUTOINCREMENT, ` +
			`"group" text NOT NULL, version text NOT NULL, resource text NOT NULL, kind text NOT NULL, ` +
			`cluster text NOT NULL, namespace text NOT NULL, name text NOT NULL, ` +
			`owner_uid text NOT NULL DEFAULT "", uid text NOT NULL, resource_version text NOT NULL, ` +
			`created_at datetime NOT NULL, synced_at datetime NOT NULL, deleted_at datetime, ` +
			`owners text, event_state text, raw_rv text, cells blob, head blob, ` +
			`object JSON NOT NULL, events JSON, event_resource_versions JSON)`,
		`CREATE UNIQUE INDEX uni_group_version_resource_cluster_namespace_name ON resources ("group", version, resource, cluster, namespace, name)`,
		`CREATE INDEX idx_group_version_resource_namespace_name ON resources ("group", version, resource, namespace, name)`,
		`CREATE INDEX idx_group_version_resource_name ON resources ("group", version, resource, name)`,
		`CREATE INDEX idx_cluster ON resources (cluster)`,
		headTrigger,
	}
}

func (sqlite) Adopt(have Schema) []string {
	return append(addColumns(have, [][2]string{{"owners", "text"}, {"event_state", "text"}}), headSteps(have)...)
}

// Locked needs no more than a transaction, which holds the only write lock.
func (sqlite) Locked(ctx context.Context, db *gorm.DB, fn func(*gorm.DB) error) error {
	return db.WithContext(ctx).Transaction(fn)
}

func (sqlite) Equal(column string, values []string) Expr { return equal(column, values) }

func (sqlite) Same(a, b string) string { return a + " = " + b }

func (s sqlite) Keys(keys [][]string) Expr { return keysIn(s, "VALUES ", keys) }

func (sqlite) ForUpdate() string { return "" }

func (sqlite) EndIdle() string { return "" }

func (sqlite) Column(name string) string {
	if name == "group" {
		return `"group"`
	}
	return name
}

func (sqlite) Ordered(column string) string { return column }

func (sqlite) Contains(column, text string) Expr {
	return Bind("instr("+column+", ?) > 0", text)
}

func (sqlite) Number(column string) string {
	return fmt.Sprintf("CASE WHEN length(%[1]s) BETWEEN 1 AND 18 AND %[1]s NOT GLOB '*[^0-9]*' THEN CAST(%[1]s AS INTEGER) ELSE 0 END", column)
}

func (s sqlite) Upsert(columns, keep []string) string {
	return onConflict(s, columns, keep)
}

// onConflict is the syntax that SQLite and PostgreSQL share.
func onConflict(d Dialect, columns, keep []string) string {
	var key, set []string
	for _, c := range KeyColumns() {
		key = append(key, d.Column(c))
	}
	for _, c := range keep {
		set = append(set, fmt.Sprintf("%[1]s = CASE WHEN resources.uid = excluded.uid THEN resources.%[1]s END", c))
	}
	for _, c := range columns {
		set = append(set, fmt.Sprintf("%[1]s = excluded.%[1]s", d.Column(c)))
	}
	return fmt.Sprintf("ON CONFLICT (%s) DO UPDATE SET %s", strings.Join(key, ", "), strings.Join(set, ", "))
}

func (sqlite) Time(t time.Time) time.Time     { return t.UTC() }
func (sqlite) FromTime(t time.Time) time.Time { return t.UTC() }
func (sqlite) InsertIgnore(table string, columns []string, rows int) string {
	return "INSERT INTO " + insert(table, columns, rows) + " ON CONFLICT DO NOTHING"
}

func (sqlite) NoTime() string { return "'0001-01-01 00:00:00+00:00'" }

func (sqlite) SeparateRaw() bool { return false }

// At uses paths of quoted names, which have no escapes: a name that would need one
// is looked up among all the fields of its object.
func (sqlite) At(doc Expr, path []query.PathElement) (Expr, error) {
	to := "$"
	step := func() {
		if to != "$" {
			doc, to = Exprf("(%s -> %s)", doc, Bind("?", to)), "$"
		}
	}
	for _, e := range path {
		if strings.ContainsAny(e.Name, `"\`) {
			step()
			doc = Exprf("(SELECT CASE f.type WHEN 'text' THEN json_quote(f.value) WHEN 'object' THEN f.value WHEN 'array' THEN f.value "+
				"WHEN 'integer' THEN json_quote(f.value) WHEN 'real' THEN json_quote(f.value) ELSE f.type END "+
				"FROM json_each(%s) AS f WHERE f.key = %s AND json_type(%s) = 'object')", doc, Bind("?", e.Name), doc)
		} else {
			to += `."` + e.Name + `"`
		}
		if e.List {
			to += "[" + strconv.Itoa(e.Index) + "]"
		}
	}
	step()
	return doc, nil
}

func (sqlite) Text(part Expr) Expr {
	return Exprf("CASE json_type(%s) WHEN 'null' THEN NULL WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST(%s ->> '$' AS TEXT) END", part, part)
}

func (sqlite) AnyElement(part Expr, alias string, condition func(Expr) (Expr, error)) (Expr, error) {
	element := Exprf("(%s -> ('$[' || "+alias+".key || ']'))", part)
	c, err := condition(element)
	return Exprf("EXISTS (SELECT 1 FROM json_each(%s) AS "+alias+" WHERE json_type(%s) = 'array' AND %s)", part, part, c), err
}

func (sqlite) OneOf(text Expr, texts []string) Expr {
	return Exprf("%s IN %s", text, values("?", texts))
}

func (sqlite) Compare(text Expr, operator string, bound int64) Expr {
	return Exprf("(CASE WHEN %s GLOB '-*' THEN length(%s) BETWEEN 2 AND 19 AND substr(%s, 2) NOT GLOB '*[^0-9]*' "+
		"ELSE length(%s) BETWEEN 1 AND 18 AND %s NOT GLOB '*[^0-9]*' END AND CAST(%s AS INTEGER) "+operator+" %s)",
		text, text, text, text, text, text, Bind("?", bound))
}

func (sqlite) Classify(err error) Class {
	if errors.Is(err, errTooLong) {
		return TooLong
	}
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return classifyCommon(err)
	}
	switch e.Code { //nolint:exhaustive // all others stay
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrIoErr, sqlite3.ErrFull, sqlite3.ErrCantOpen, sqlite3.ErrNomem, sqlite3.ErrReadonly, sqlite3.ErrProtocol:
		return Transient
	case sqlite3.ErrTooBig:
		return BadData
	}
	return Permanent
}
