package store

import (
	"context"
	"errors"

	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/internalstorage/rows"
	"clusterpedia.io/internalstorage/sqlquery"
	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// rememberLean has the database remember that it holds documents of mode lean: whoever
// reads must then not have it look for what is within lists.
func (s *Store) rememberLean(ctx context.Context) error {
	if !s.writesLean || s.lean.Load() {
		return nil
	}
	if err := rows.RememberLean(ctx, s.writer, s.dialect()); err != nil {
		return err
	}
	s.lean.Store(true)
	return nil
}

// hasLean reports whether the database may hold documents of mode lean.
func (s *Store) hasLean(ctx context.Context) (bool, error) {
	if s.lean.Load() {
		return true, nil
	}
	if _, ok := s.dialect().Batch(nil); !ok {
		return false, nil
	}
	found := false
	err := dialect.Within(ctx, s.dialect(), func(ctx context.Context) (err error) {
		found, err = rows.HasLean(ctx, s.reader)
		return err
	})
	if found {
		s.lean.Store(true)
	}
	return found, err
}

// list lists objects, with a column beyond them if extra is not empty.
func (s *Store) list(ctx context.Context, q *query.Query, extra string, yield func(*row) error) (storage.Page, error) {
	beyond := sqlquery.NeedLists(q)
	if len(beyond) > 0 {
		lean, err := s.hasLean(ctx)
		if err != nil {
			return storage.Page{}, s.failQuery(ctx, "list", err)
		}
		if lean {
			return s.listFiltered(ctx, q, beyond, yield)
		}
	}
	return s.listRows(ctx, q, extra, false, yield)
}

// errEnough ends a list whose page is full.
var errEnough = errors.New("the page is full")

// listFiltered lists objects of a database that may hold documents without their lists:
// the database finds what satisfies the other conditions, and those beyond are evaluated
// here, on the whole documents. Limit and offset count what is left.
func (s *Store) listFiltered(ctx context.Context, q *query.Query, beyond []query.FieldRequirement, yield func(*row) error) (page storage.Page, err error) {
	all := *q
	all.Limit, all.Offset, all.Count, all.Projection = 0, 0, query.CountNone, query.Full
	rest := query.Query{Fields: beyond}
	var found int64
	_, err = s.listRows(ctx, &all, "", true, func(r *row) error {
		if !query.Match(&rest, &r.Object, nil) {
			return nil
		}
		found++
		switch n := found - q.Offset; {
		case n <= 0:
			return nil
		case q.Limit > 0 && n > q.Limit:
			if q.Count != query.CountExact {
				return errEnough
			}
			return nil
		case n == q.Limit:
			page.Continue = q.ContinueAfter(&r.Object)
		}
		if err := project(&r.Object, q.Projection); err != nil {
			return err
		}
		return yield(r)
	})
	if err != nil && !errors.Is(err, errEnough) {
		return page, err
	}
	if behind := found - q.Offset - q.Limit; q.Limit == 0 || behind <= 0 {
		page.Continue = ""
	} else if q.Count == query.CountExact {
		page.Remaining = &behind
	}
	if q.Count == query.CountExact && page.Remaining == nil {
		page.Remaining = new(int64)
	}
	return page, nil
}

// project leaves of an object what is asked for.
func project(o *object.Object, p query.Projection) (err error) {
	switch p {
	case query.Metadata:
		o.JSON, err = rows.Metadata(o.JSON)
	case query.KeyOnly:
		o.JSON = nil
	case query.Full, query.Cells:
	}
	return err
}
