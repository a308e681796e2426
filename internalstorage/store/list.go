package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"

	"gorm.io/gorm"

	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/internalstorage/rows"
	"clusterpedia.io/internalstorage/sqlquery"
	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// A list is read in parts of at most this many rows and bytes, each in whole
// before its objects are yielded: no cursor is open while a slow client reads.
const (
	partRows  = 500
	partBytes = 4 << 20
)

// row is an object as it was read, with a column beyond it.
type row struct {
	object.Object
	extra []byte
}

// List implements storage.Storage.
func (s *Store) List(ctx context.Context, q *query.Query, yield func(*storage.Object) error) (storage.Page, error) {
	if err := q.Validate(); err != nil {
		return storage.Page{}, err
	}
	return s.list(ctx, q, "", func(r *row) error { return yield(&r.Object) })
}

// lister returns the lister of a query, with a column beyond the objects if extra is not
// empty. It must be freed.
func (s *Store) lister(q *query.Query, extra string) (*lister, error) {
	d := s.dialect()
	b := sqlquery.New(d, q)
	where, err := b.Where()
	if err != nil {
		return nil, err
	}
	raw, err := s.raw.Condition(d, q)
	if err != nil {
		return nil, err
	}
	l := &lister{store: s, query: q, builder: b, where: where, raw: raw, order: b.OrderBy(), left: q.Limit, offset: q.Offset, wanted: partRows, rows: s.lendRows()}
	l.scanner = rows.NewScanner(d, s.blocks.Memory(), wantedDocument(q), q.Events, extra)
	if q.Continue != "" {
		after, err := q.Position()
		if err == nil {
			l.after, err = b.After(after)
		}
		if err != nil {
			l.free()
			return nil, err
		}
	}
	return l, nil
}

// list lists objects, with a column beyond them if extra is not empty.
func (s *Store) list(ctx context.Context, q *query.Query, extra string, yield func(*row) error) (page storage.Page, err error) {
	l, err := s.lister(q, extra)
	if err != nil {
		return page, err
	}
	defer l.free()
	if page.Remaining, err = l.remaining(ctx); err != nil {
		return page, l.fail(ctx, "count", err)
	}
	var last *object.Object
	for {
		part, more, err := l.part(ctx)
		if err != nil {
			return page, l.fail(ctx, "list", err)
		}
		for i := range part {
			if err := yield(&part[i]); err != nil {
				return page, err
			}
		}
		if len(part) > 0 {
			last = &part[len(part)-1].Object
			if l.after, err = l.builder.After(last); err != nil {
				return page, err
			}
			l.offset = 0
		}
		if !more {
			break
		}
		if q.Limit > 0 && l.left == 0 {
			page.Continue = q.ContinueAfter(last)
			break
		}
	}
	return page, nil
}

// lister reads the parts of one list.
type lister struct {
	store        *Store
	query        *query.Query
	builder      *sqlquery.Builder
	where, after dialect.Expr
	// raw is the client's own condition.
	raw   dialect.Expr
	order string
	// rows holds the part that was read last.
	scanner *rows.Scanner
	rows    []row
	// wanted is how many rows the next part asks for.
	wanted int64
	// left is how many objects the page may still have, if it is limited.
	left, offset int64
}

func (l *lister) condition() dialect.Expr {
	var parts []string
	var args []any
	for _, e := range []dialect.Expr{l.where, l.after} {
		if e.SQL != "" {
			parts, args = append(parts, e.SQL), append(args, e.Args...)
		}
	}
	if l.raw.SQL != "" {
		parts, args = append(parts, "("+l.raw.SQL+")"), append(args, l.raw.Args...)
	}
	if len(parts) == 0 {
		return dialect.Expr{}
	}
	return dialect.Expr{SQL: " WHERE " + strings.Join(parts, " AND "), Args: args}
}

// lendRows returns room for the rows of a part.
func (s *Store) lendRows() []row {
	if lent, ok := s.rows.Get().(*[]row); ok {
		return *lent
	}
	return nil
}

// free takes back the memory of the list.
func (l *lister) free() {
	l.scanner.Free()
	all := l.rows[:cap(l.rows)]
	clear(all)
	l.rows = all[:0]
	lent := l.rows
	l.store.rows.Put(&lent)
}

// wantedDocument is what the query wants of the documents.
func wantedDocument(q *query.Query) rows.Document {
	switch q.Projection {
	case query.Metadata:
		return rows.OnlyMetadata
	case query.KeyOnly:
		return rows.NoDocument
	}
	return rows.WholeDocument
}

// reader returns the database to read from: for a client's own condition a transaction
// that can write nothing. The caller calls done.
func (l *lister) reader(ctx context.Context) (db *gorm.DB, done func() error, err error) {
	db = l.store.reader.WithContext(ctx)
	if l.raw.SQL == "" {
		return db, func() error { return nil }, nil
	}
	db = db.Begin(&sql.TxOptions{ReadOnly: true})
	return db, func() error { return db.Rollback().Error }, db.Error
}

// fail says what an error of the database means. What is wrong with a client's own
// condition is the client's to mend; the database's words are for the log.
func (l *lister) fail(ctx context.Context, doing string, err error) error {
	failed := l.store.fail(ctx, doing, err)
	if l.raw.SQL == "" || ctx.Err() != nil || storage.IsRetryable(failed) {
		return failed
	}
	l.store.log.Error("The database refuses a client's condition in SQL", "err", err)
	field := "whereSQLStatement"
	if len(l.query.Params[field]) == 0 {
		field = "whereSQL"
	}
	return &query.InvalidQueryError{Field: field, Value: l.query.Params[field][0], Reason: "the database refuses it, the server's log has the reason"}
}

// read reads rows: for a client's own condition in a transaction that can write nothing.
func (l *lister) read(ctx context.Context, text string, args []any, each func(dialect.Scan) (bool, error)) (err error) {
	if l.raw.SQL == "" {
		return l.store.dialect().Read(ctx, l.store.reader, text, args, each)
	}
	db, done, err := l.reader(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	return dialect.ReadRows(ctx, db, text, args, each)
}

// statement selects the next rows.
func (l *lister) statement(limit int64) dialect.Expr {
	where := l.condition()
	text := "SELECT " + strings.Join(l.scanner.Columns, ", ") + " FROM resources" + where.SQL + " ORDER BY " + l.order + " LIMIT " + strconv.FormatInt(limit, 10)
	if l.offset > 0 {
		text += " OFFSET " + strconv.FormatInt(l.offset, 10)
	}
	return dialect.Expr{SQL: text, Args: where.Args}
}

// part reads the next rows, valid until it is called again, and says whether there are
// more behind them.
func (l *lister) part(ctx context.Context) (part []row, more bool, err error) {
	wanted := l.wanted
	if l.query.Limit > 0 {
		wanted = min(wanted, l.left)
	}
	statement := l.statement(wanted + 1) // the one more tells whether there are more
	l.scanner.Free()
	l.rows = l.rows[:0]
	size := 0
	err = l.read(ctx, statement.SQL, statement.Args, func(scan dialect.Scan) (bool, error) {
		if n := int64(len(l.rows)); n == wanted || size >= partBytes {
			more = true
			if n < wanted { // large objects: the server was asked for too many
				l.wanted = max(n, 1)
			}
			return false, nil
		}
		l.rows = append(l.rows, row{})
		r := &l.rows[len(l.rows)-1]
		var err error
		r.extra, err = l.scanner.Scan(scan, &r.Object)
		size += len(r.JSON)
		return true, err
	})
	if l.query.Limit > 0 {
		l.left -= int64(len(l.rows))
	}
	return l.rows, more, err
}

// remaining counts the objects behind the page, if the query wants that.
func (l *lister) remaining(ctx context.Context) (*int64, error) {
	if l.query.Count != query.CountExact {
		return nil, nil
	}
	where := l.condition()
	var total int64
	db, done, err := l.reader(ctx)
	if err != nil {
		return nil, err
	}
	err = db.Raw("SELECT COUNT(*) FROM resources"+where.SQL, where.Args...).Scan(&total).Error
	if err = errors.Join(err, done()); err != nil {
		return nil, err
	}
	total = max(total-l.offset, 0)
	if l.query.Limit > 0 {
		total = max(total-l.query.Limit, 0)
	} else {
		total = 0
	}
	return &total, nil
}
