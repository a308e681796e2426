package store

import (
	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/storage-api/query"
)

// ListStatement is what a list of the query begins with.
func (s *Store) ListStatement(q *query.Query) (dialect.Expr, error) {
	l, err := s.lister(q, "", false)
	if err != nil {
		return dialect.Expr{}, err
	}
	defer l.free()
	return l.statement(q.Limit + 1), nil
}
