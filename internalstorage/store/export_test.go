package store

import (
	"context"
	"database/sql"

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

// Wanted is how many rows a list of the query asks for at first.
func (s *Store) Wanted(q *query.Query) (int64, error) {
	l, err := s.lister(q, "", false)
	if err != nil {
		return 0, err
	}
	defer l.free()
	return l.wanted, nil
}

// Setting returns a setting of the connections that write.
func (s *Store) Setting(ctx context.Context, text string) (value string, err error) {
	return value, s.writer.WithContext(ctx).Raw(text).Scan(&value).Error
}

// Reader returns the pool of those who read, with its settings.
func (s *Store) Reader() (*sql.DB, error) { return s.reader.DB() }

// Pools returns the pools of those who read and of those who write.
func (s *Store) Pools() (reader, writer *sql.DB) {
	pools := s.pools()
	return pools[0], pools[len(pools)-1]
}
