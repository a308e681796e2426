package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"gorm.io/gorm"

	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/internalstorage/packed"
	"clusterpedia.io/internalstorage/rows"
	"clusterpedia.io/internalstorage/sqlquery"
	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// A list is read in parts of at most this many rows and bytes, each in whole
// before its objects are yielded: no cursor is open while a slow client reads. The
// next part is read meanwhile.
const (
	partRows  = 250
	partBytes = 4 << 20
	// sortedRows are those of the first part where no index has the order: each part sorts
	// all that is behind it, so the others have as many as fit, mostRows at most.
	sortedRows = 500
	mostRows   = 5000
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
// empty; lean leaves out what listFiltered evaluates. It must be freed.
func (s *Store) lister(q *query.Query, extra string, lean bool) (*lister, error) {
	d := s.dialect()
	b := sqlquery.New(d, q)
	b.NoLists = lean
	where, err := b.Where()
	if err != nil {
		return nil, err
	}
	raw, err := s.raw.Condition(d, q)
	if err != nil {
		return nil, err
	}
	l := &lister{store: s, query: q, builder: b, where: where, raw: raw, order: b.OrderBy(), left: q.Limit, offset: q.Offset, wanted: sortedRows, most: mostRows}
	// A page of two such parts is read at once: a second query takes longer than is gained by
	// sending the first meanwhile.
	if alongIndex(q) {
		if q.Limit == 0 || q.Limit > 2*partRows {
			l.wanted = partRows
		}
		l.most = l.wanted
	}
	l.wanted = min(l.wanted, s.fitting(q))
	for i := range l.parts {
		l.parts[i].scanner = rows.NewScanner(d, s.packer, s.blocks.Memory(), wanted(q, extra))
	}
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

// listRows lists objects that the database finds, with a column beyond them if extra is not
// empty.
func (s *Store) listRows(ctx context.Context, q *query.Query, extra string, lean bool, yield func(*row) error) (page storage.Page, err error) {
	l, err := s.lister(q, extra, lean)
	if err != nil {
		return page, err
	}
	defer l.free()
	if page.Remaining, err = l.remaining(ctx); err != nil {
		return page, l.fail(ctx, "count", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	reading := l.read(ctx)
	defer func() { // the last part that was begun is waited for
		cancel()
		<-reading
	}()
	for {
		p := <-reading
		reading = nothing()
		if p.panicked != nil {
			panic(p.panicked) //nolint:forbidigo // where it would be without a goroutine: it is the caller's to bear
		}
		if p.err != nil {
			return page, l.fail(ctx, "list", p.err)
		}
		ended := !p.more || (q.Limit > 0 && l.left == 0)
		var last object.Object
		if len(p.rows) > 0 {
			last = p.rows[len(p.rows)-1].Object
			if l.after, err = l.builder.After(&last); err != nil {
				return page, err
			}
			l.offset = 0
		}
		if p.more && ended {
			page.Continue = q.ContinueAfter(&last)
		}
		if !ended {
			reading = l.read(ctx)
		}
		for i := range p.rows {
			if err := yield(&p.rows[i]); err != nil {
				return page, err
			}
		}
		if ended {
			return page, nil
		}
	}
}

// alongIndex says whether rows come in the order in which an index has them, so that it
// costs no more to read few of them at first.
func alongIndex(q *query.Query) bool {
	return len(q.Order) == 0 && len(q.Labels) == 0 && len(q.Fields) == 0 && len(q.NameContains) == 0 && q.Owner == nil && len(q.Params) == 0 && q.Offset == 0
}

// nothing is what is read when nothing is.
func nothing() <-chan *part {
	c := make(chan *part)
	close(c)
	return c
}

// part is what is read at once.
type part struct {
	scanner *rows.Scanner
	rows    []row
	// more says that there are rows behind.
	more bool
	err  error
	// panicked is what reading ended with, and where: it must not end the process.
	panicked error
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
	// parts are read in turns, the next one while the other is yielded.
	parts [2]part
	turn  int
	// wanted is how many rows a part asks for, most how many at most.
	wanted, most int64
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
	for i := range l.parts {
		p := &l.parts[i]
		p.scanner.Free()
		if cap(p.rows) == 0 {
			continue
		}
		lent := p.rows[:cap(p.rows)]
		clear(lent)
		lent = lent[:0]
		l.store.rows.Put(&lent)
	}
}

// wanted is what the query wants of objects, and a column beyond them.
func wanted(q *query.Query, extra string) rows.Wanted {
	w := rows.Wanted{Document: rows.WholeDocument, Events: q.Events, More: extra}
	switch q.Projection {
	case query.Full:
	case query.Metadata:
		w.Document = rows.OnlyMetadata
	case query.Cells:
		w.Document, w.CellColumns = rows.CellsOrDocument, q.Columns
	case query.KeyOnly:
		w.Document = rows.NoDocument
	}
	return w
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
	failed := l.store.failQuery(ctx, doing, err)
	if l.raw.SQL == "" || ctx.Err() != nil || storage.IsRetryable(failed) || errors.Is(err, packed.ErrDamaged) {
		return failed
	}
	l.store.log.Error("The database refuses a client's condition in SQL", "err", err)
	field := "whereSQLStatement"
	if len(l.query.Params[field]) == 0 {
		field = "whereSQL"
	}
	return &query.InvalidQueryError{Field: field, Value: l.query.Params[field][0], Reason: "the database refuses it, the server's log has the reason"}
}

// run reads rows: for a client's own condition in a transaction that can write nothing.
func (l *lister) run(ctx context.Context, text string, args []any, most int64, each func(dialect.Scan) (bool, error)) error {
	if l.raw.SQL == "" {
		return l.store.read(ctx, text, args, most, each)
	}
	return l.bounded(ctx, text, func(ctx context.Context, db *gorm.DB, text string) error {
		return dialect.ReadRows(ctx, db, text, args, each)
	})
}

// bounded runs a SELECT on the database to read from, for no longer than is allowed.
func (l *lister) bounded(ctx context.Context, text string, run func(ctx context.Context, db *gorm.DB, text string) error) error {
	d := l.store.dialect()
	return dialect.Within(ctx, d, func(ctx context.Context) (err error) {
		db, done, err := l.reader(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, done()) }()
		return d.Bounded(ctx, l.store.reader, text, func(text string) error { return run(ctx, db, text) })
	})
}

// statement selects the next rows.
func (l *lister) statement(limit int64) dialect.Expr {
	where, scanner := l.condition(), l.parts[0].scanner
	text := "SELECT " + strings.Join(scanner.Columns, ", ") + " FROM resources" + where.SQL + " ORDER BY " + l.order + " LIMIT " + strconv.FormatInt(limit, 10)
	if l.offset > 0 {
		text += " OFFSET " + strconv.FormatInt(l.offset, 10)
	}
	return dialect.Expr{SQL: text, Args: slices.Concat(scanner.Args, where.Args)}
}

// read begins to read the next part, which is valid until the one after the next is read.
func (l *lister) read(ctx context.Context) <-chan *part {
	wanted := l.wanted
	if l.query.Limit > 0 {
		wanted = min(wanted, l.left)
	}
	statement := l.statement(wanted + 1) // the one more tells whether there are more
	p := &l.parts[l.turn]
	l.turn = 1 - l.turn
	done := make(chan *part, 1)
	go func() {
		defer close(done)
		defer func() {
			if reason := recover(); reason != nil {
				p.panicked = fmt.Errorf("panic: %v\n%s", reason, debug.Stack())
			}
			done <- p
		}()
		l.fill(ctx, p, statement, wanted)
	}()
	return done
}

func (l *lister) fill(ctx context.Context, p *part, statement dialect.Expr, wanted int64) {
	p.scanner.Free()
	if p.rows = p.rows[:0]; cap(p.rows) == 0 {
		p.rows = l.store.lendRows()
	}
	p.more = false
	size := 0
	p.err = l.run(ctx, statement.SQL, statement.Args, wanted+1, func(scan dialect.Scan) (bool, error) {
		if n := int64(len(p.rows)); n == wanted || size >= partBytes {
			p.more = true
			if n < wanted { // large objects: the server was asked for too many
				l.wanted = max(n, 1)
			}
			return false, nil
		}
		p.rows = append(p.rows, row{})
		r := &p.rows[len(p.rows)-1]
		var err error
		r.extra, err = p.scanner.Scan(scan, &r.Object)
		if size += len(r.JSON); r.Cells != nil {
			size += len(r.Cells.Values)
		}
		return true, err
	})
	if n := int64(len(p.rows)); n == wanted && size > 0 {
		l.wanted = min(max(n, n*partBytes/int64(size)), l.most)
	}
	if l.query.Limit > 0 {
		l.left -= int64(len(p.rows))
	}
	if by, ok := sizedBy(l.query); ok && len(p.rows) > 0 {
		l.store.sizes.Store(by, size/len(p.rows))
	}
}

// sized is what it depends on how large objects are: those that have cells are small, and
// those without are as large as their documents.
type sized struct {
	query.Type
	query.Projection
}

// sizedBy returns what the size of a query's objects is known by, if they may be large.
func sizedBy(q *query.Query) (sized, bool) {
	if len(q.Types) != 1 || q.Projection != query.Full && q.Projection != query.Cells {
		return sized{}, false
	}
	return sized{q.Types[0], q.Projection}, true
}

// fitting is how many objects of a type fit a part, by the last that were read: what is asked
// for beyond is sent in vain.
func (s *Store) fitting(q *query.Query) int64 {
	by, ok := sizedBy(q)
	if !ok {
		return mostRows
	}
	size, _ := s.sizes.Load(by)
	bytes, _ := size.(int)
	return int64(max(partBytes/max(bytes, 1), 1))
}

// cheapCount is how many rows are counted for a client that did not ask for it.
const cheapCount = 10_000

// remaining counts the objects behind the page, if the query wants that. Unless it does
// at any cost, the answer is nil if there are many.
func (l *lister) remaining(ctx context.Context) (*int64, error) {
	switch {
	case l.query.Count == query.CountNone:
		return nil, nil
	case l.query.Limit <= 0: // the page has all of them
		return new(int64), nil
	}
	where := l.condition()
	text, most := "SELECT COUNT(*) FROM resources"+where.SQL, int64(0)
	if l.query.Count == query.CountCheap {
		most = cheapCount + l.query.Limit + l.offset
		text = "SELECT COUNT(*) FROM (SELECT 1 FROM resources" + where.SQL + " LIMIT " + strconv.FormatInt(most+1, 10) + ") AS counted"
	}
	var total int64
	err := l.bounded(ctx, text, func(_ context.Context, db *gorm.DB, text string) error {
		return db.Raw(text, where.Args...).Scan(&total).Error
	})
	if err != nil {
		return nil, err
	}
	if most > 0 && total > most {
		return nil, nil
	}
	total = max(total-l.offset-l.query.Limit, 0)
	return &total, nil
}
