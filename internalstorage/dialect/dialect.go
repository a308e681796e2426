// Package dialect is the one place that names a database. It knows how to connect
// to each, its schema, the expressions that answer a query, and what its errors
// mean. Everything above speaks to a Dialect.
package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"clusterpedia.io/internalstorage/config"
	"clusterpedia.io/storage-api/query"
)

// Expr is a piece of SQL with a ? for each of its arguments. All of a client's
// text is in the arguments.
type Expr struct {
	SQL  string
	Args []any
}

// Bind returns a text with its arguments.
func Bind(text string, args ...any) Expr { return Expr{SQL: text, Args: args} }

// Exprf puts expressions into a text that has a %s for each, and joins their
// arguments.
func Exprf(format string, parts ...Expr) Expr {
	texts := make([]any, len(parts))
	var args []any
	for i, p := range parts {
		texts[i] = p.SQL
		args = append(args, p.Args...)
	}
	return Expr{SQL: fmt.Sprintf(format, texts...), Args: args}
}

const (
	// idleLimit is how long a transaction may wait for its client's next statement.
	idleLimit = 10 * time.Second
	// idleConnectionLimit is how long a connection may, where that can't be told apart.
	idleConnectionLimit = time.Minute
)

// And returns the condition that all hold. Empty ones are left out.
func And(conditions []Expr) Expr { return join(conditions, " AND ") }

// Or returns the condition that any holds. Empty ones are left out.
func Or(conditions []Expr) Expr { return join(conditions, " OR ") }

// join joins conditions, each in parentheses. Empty ones are left out.
func join(conditions []Expr, by string) Expr {
	var out Expr
	var text strings.Builder
	n := 0
	for _, c := range conditions {
		if c.SQL == "" {
			continue
		}
		if n++; n > 1 {
			text.WriteString(by)
		}
		text.WriteString("(" + c.SQL + ")")
		out.Args = append(out.Args, c.Args...)
	}
	out.SQL = text.String()
	if n > 1 {
		out.SQL = "(" + out.SQL + ")"
	}
	return out
}

// Dialect is one kind of database.
type Dialect interface {
	// Name is the database's name as the configuration has it.
	Name() string
	// Open connects for reading and for writing, which may be the same.
	Open(c *config.Config, options *gorm.Config) (reader, writer *gorm.DB, err error)

	// KeyType is the type of columns that hold names and UIDs.
	KeyType() string
	// Tables returns the statements that make the schema in an empty database.
	Tables() []string
	// Adopt returns the statements that add to an existing table of an older release
	// what it lacks. Interrupted behind any of them, the rest is what Adopt returns
	// then.
	Adopt(have Schema) []string
	// Schema reads what there is now.
	Schema(ctx context.Context, db *gorm.DB) (Schema, error)
	// Online returns the steps that add to it what makes queries fast. Those that are not
	// optional have one statement.
	Online(have Schema) []Step
	// Fill returns how the tables that Online adds are filled; nil if there is nothing to
	// be filled.
	Fill(have Schema) *Filling
	// LockedOnline is Locked for what needs no transaction around it.
	LockedOnline(ctx context.Context, db *gorm.DB, fn func(*gorm.DB) error) error
	// On returns the dialect for such a table: one of an older release may compare
	// otherwise than ours.
	On(have Schema) Dialect
	// Locked runs fn while no other process runs one on the same database.
	Locked(ctx context.Context, db *gorm.DB, fn func(*gorm.DB) error) error
	// Read calls each for every row of a query, outside of a transaction, until it returns
	// false. No more rows than most are expected.
	Read(ctx context.Context, db *gorm.DB, text string, args []any, most int64, each func(Scan) (bool, error)) error
	// Change runs a statement that changes the schema or fills a table, within Locked or
	// LockedOnline.
	Change(ctx context.Context, conn *gorm.DB, statement string, args ...any) error
	// Briefly runs fn, which changes a table, within LockedOnline. Where the table is used, fn
	// waits only for a moment at a time, so that nobody waits longer behind it.
	Briefly(ctx context.Context, conn *gorm.DB, fn func(*gorm.DB) error) error
	// Bounded calls run with a SELECT that the database ends when it takes longer than the
	// configuration allows, or when ctx ends. db is where another connection comes from.
	// Read does that by itself.
	Bounded(ctx context.Context, db *gorm.DB, text string, run func(text string) error) error
	// Limit is after how long Within ends a query; 0: never. Where the database does that by
	// itself, it is a little later: what stands between may lose the database's limit.
	Limit() time.Duration
	// ForUpdate is what a SELECT ends with to lock the rows that it reads.
	ForUpdate() string
	// EndIdle is a column of a SELECT that has the server end the transaction, and free
	// its locks, if its client sends nothing for a while: it may be a process that was
	// paused. Empty where connections are ended then anyway, or where that can't be.
	EndIdle() string

	// Column quotes a column.
	Column(name string) string
	// Ordered returns a column as an expression that compares bytewise.
	Ordered(column string) string
	// Equal returns the condition that a column, quoted and maybe qualified, has one of
	// the values, bytewise.
	Equal(column string, values []string) Expr
	// Same returns the condition that two columns, quoted and maybe qualified, are the
	// same, bytewise.
	Same(a, b string) string
	// Keys returns the condition that a row is under one of the keys, each of which has
	// the values of KeyColumns. Each is looked up in an index.
	Keys(keys [][]string) Expr
	// Contains returns a condition: the text is part of the column, bytewise.
	Contains(column, text string) Expr
	// Label returns the condition that metadata.labels has one of the values, by an index;
	// false if there is none.
	Label(key string, values []string) (Expr, bool)
	// Field returns a condition that holds wherever a part of the document, to which a path
	// without lists leads, has one of the texts, by an index; false if there is none.
	Field(path []query.PathElement, texts []string) (Expr, bool)
	// Created returns a condition that all rows satisfy, by which a list of one type that is
	// sorted by when objects were created finds the index that has them so; it may be empty.
	Created() Expr
	// Behind returns the condition that a row comes behind the values in the order of its
	// columns, such that an index in that order is used.
	Behind(columns []Sorted) Expr
	// Owned returns what a recursive statement goes on with behind its first rows: those
	// that are owned by rows of owned, whose alias is o, below level n.
	Owned(n int) string
	// OrderColumn returns the generated column that has what rows are sorted by for a column;
	// empty if there is none.
	OrderColumn(column string) string
	// Number returns the value of a text column of 1 to 18 digits; 0 for any other
	// text.
	Number(column string) string
	// Upsert returns how a statement that inserts rows goes on, so that it replaces
	// what stands under the same key. keep are columns that stay if the object is
	// still the same one, by uid.
	Upsert(columns, keep []string) string

	// Batch returns the statement that writes a batch, unless another writer's epoch is
	// recorded, and selects the epoch that is, if one is to be checked. Without a batch, it
	// only tells whether there is such a statement.
	Batch(b *Batch) (Expr, bool)

	// KeepsHead says that there is column head, of the version that column raw_rv has.
	KeepsHead() bool
	// KeepsCells says that there is column cells, beside head.
	KeepsCells() bool
	// CellsFit returns the condition that column cells begins with the version that the row has
	// now and with a mark, and that column head is of that version too.
	CellsFit(mark string) Expr

	// InsertIgnore returns a statement that inserts so many rows and leaves those
	// alone that are there.
	InsertIgnore(table string, columns []string, rows int) string

	// Time returns how a time is stored.
	Time(t time.Time) time.Time
	// FromTime reverses Time.
	FromTime(t time.Time) time.Time

	// NoTime is the zero time as an expression.
	NoTime() string

	// Analyze is the statement by which the database counts what it plans by; empty if it
	// counts at once.
	Analyze() string

	// SeparateRaw says that column object does not keep the bytes that it is given,
	// so that they are in the columns head and raw too.
	SeparateRaw() bool
	JSON
	// Classify says what an error of the driver means.
	Classify(err error) Class
}

// Sorted is an expression that rows are sorted by, and its value in one of them.
type Sorted struct {
	SQL   string
	Desc  bool
	Value any
}

// JSON are the expressions over documents.
type JSON interface {
	// At goes from a document or a part of it to the part that names lead to; NULL
	// if there is none.
	At(doc Expr, path []query.PathElement) (Expr, error)
	// Text returns a part as query.FieldRequirement compares it; NULL for null.
	Text(part Expr) Expr
	// AnyElement returns the condition that one element of a part, if it is a list,
	// satisfies condition, which gets the element.
	AnyElement(part Expr, alias string, condition func(element Expr) (Expr, error)) (Expr, error)
	// OneOf returns the condition that a text is one of the values, bytewise.
	OneOf(text Expr, values []string) Expr
	// Compare returns the condition that a text is a number of 1 to 18 digits, maybe
	// negative, that is greater or less than bound.
	Compare(text Expr, operator string, bound int64) Expr
}

// Class is what an error means for the caller.
type Class int

// The classes of errors.
const (
	// Permanent errors stay.
	Permanent Class = iota
	// Conflict errors vanish if the transaction is run again at once.
	Conflict
	// Transient errors may vanish later.
	Transient
	// TooLong errors are of queries that were ended for their time.
	TooLong
	// BadData says that the database can never store what it was given.
	BadData
)

// For returns the dialect that the configuration asks for.
func For(c *config.Config) (Dialect, error) {
	switch c.Type {
	case "sqlite", "sqlite3":
		return sqlite{timeout: c.Timeout(), orders: c.OrderIndexes}, nil
	case "postgres":
		return postgres{recoverable: c.Postgres.RecoverableErrCodes, timeout: c.Timeout(), fieldIndex: c.Postgres.FieldIndex, orders: c.OrderIndexes}, nil
	case "mysql":
		zone, err := mysqlLocation(c)
		if err != nil {
			return nil, err
		}
		return mysql{recoverable: c.MySQL.RecoverableErrNumbers, timeout: c.Timeout(), loc: zone, orders: c.OrderIndexes}, nil
	}
	return nil, fmt.Errorf("not support storage type: %s", c.Type)
}

// KeyColumns are the columns of an object's key.
func KeyColumns() []string {
	return []string{"group", "version", "resource", "cluster", "namespace", "name"}
}

// connect opens a pool of connections within its bounds.
func connect(dialector gorm.Dialector, options *gorm.Config, bounds config.ConnPool) (*gorm.DB, error) {
	named, ok := dialector.(savePointer)
	if !ok {
		return nil, fmt.Errorf("%s has no save points", dialector.Name())
	}
	db, err := gorm.Open(quiet{named}, options)
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	setPool(pool, bounds.MaxOpenConns)
	pool.SetConnMaxLifetime(time.Duration(bounds.ConnMaxLifetime))
	return db, nil
}

// savePointer is what gorm asks of its drivers.
type savePointer interface {
	gorm.Dialector
	gorm.SavePointerDialectorInterface
}

// quiet leaves the values of statements out of logs. The option of gorm's logger does not where
// gorm reads the rows.
type quiet struct{ savePointer }

// Apply implements what gorm asks of a dialector that changes its configuration.
func (q quiet) Apply(c *gorm.Config) error {
	if d, ok := q.savePointer.(interface{ Apply(c *gorm.Config) error }); ok {
		return d.Apply(c)
	}
	return nil
}

// Explain implements gorm.Dialector.
func (quiet) Explain(text string, _ ...any) string { return text }

// setPool keeps all connections when they fall idle; Trim closes those that are too many.
func setPool(pool *sql.DB, most int) {
	pool.SetMaxOpenConns(most)
	pool.SetMaxIdleConns(most)
}

// Trim closes the connections of a pool that are idle, but for some.
func Trim(pool *sql.DB, keep int) {
	pool.SetMaxIdleConns(keep)
	pool.SetMaxIdleConns(pool.Stats().MaxOpenConnections)
}

// shares splits connections between a pool for reading and one for writing, which gets one at
// least. Before the first write the latter needs one to change the schema, which may take long,
// and one to look at it.
func shares(most int, writes bool) (reader, writer int) {
	reader = most - 2
	if writes {
		reader = most / 4
	}
	reader = max(reader, 1)
	return reader, max(most-reader, 1)
}

// Share moves connections from the pool for reading to that for writing, unless that has a
// single one: SQLite takes no more, and with so few there are none to be moved.
func Share(reader, writer *sql.DB) {
	have := writer.Stats().MaxOpenConnections
	if have == 1 {
		return
	}
	r, w := shares(reader.Stats().MaxOpenConnections+have, true)
	setPool(reader, r)
	setPool(writer, w)
}

// values binds texts as a list in parentheses, each as the placeholder says.
func values(placeholder string, texts []string) Expr {
	e := Expr{SQL: "(" + strings.TrimSuffix(strings.Repeat(placeholder+", ", len(texts)), ", ") + ")"}
	for _, t := range texts {
		e.Args = append(e.Args, t)
	}
	return e
}

// insert returns a statement that inserts so many rows.
func insert(table string, columns []string, rows int) string {
	return table + " (" + strings.Join(columns, ", ") + ") VALUES " + Tuples(len(columns), rows)
}

// equal is Dialect.Equal for columns that compare bytewise.
func equal(column string, texts []string) Expr {
	if len(texts) == 1 {
		return Bind(column+" = ?", texts[0])
	}
	return Exprf(column+" IN %s", values("?", texts))
}

// keysIn is Dialect.Keys by a list of tuples, which rows stands in front of.
func keysIn(d Dialect, rows string, keys [][]string) Expr {
	columns := KeyColumns()
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = d.Column(c)
	}
	var args []any
	for _, key := range keys {
		for _, value := range key {
			args = append(args, value)
		}
	}
	if len(keys) == 1 {
		return Bind(strings.Join(quoted, " = ? AND ")+" = ?", args...)
	}
	return Bind("("+strings.Join(quoted, ", ")+") IN ("+rows+Tuples(len(columns), len(keys))+")", args...)
}

// Tuples returns placeholders for so many rows of so many columns.
func Tuples(columns, n int) string {
	one := "(" + strings.TrimSuffix(strings.Repeat("?, ", columns), ", ") + ")"
	return strings.TrimSuffix(strings.Repeat(one+", ", n), ", ")
}
