// Package floor is the least that a server over a database can do: it copies the bytes
// that the driver gives it to the socket. What it is asked for, its client knows how to
// decode; what it cannot do (filters, order, other formats) it does not have.
package floor

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"gorm.io/gorm"

	"clusterpedia.io/bench/baseline/oldtable"
	"clusterpedia.io/storage-api/object"
)

// Tables returns the statements that make the table: keys, and documents as text.
func Tables(e oldtable.Engine) []string {
	name, document := "text", "text"
	switch e {
	case oldtable.PostgreSQL:
		document = "json"
	case oldtable.MariaDB:
		name, document = "varchar(200)", "longblob"
	case oldtable.SQLite:
	}
	return []string{
		fmt.Sprintf("CREATE TABLE documents (resource %[1]s NOT NULL, cluster %[1]s NOT NULL, namespace %[1]s NOT NULL, name %[1]s NOT NULL, object %[2]s NOT NULL)", name, document),
		"CREATE UNIQUE INDEX documents_key ON documents (resource, cluster, namespace, name)",
	}
}

// Compress is the statement that lets PostgreSQL compress documents faster. Servers
// that were built without LZ4 refuse it.
const Compress = "ALTER TABLE documents ALTER COLUMN object SET COMPRESSION lz4"

// Columns are those of the table.
func Columns() []string { return []string{"resource", "cluster", "namespace", "name", "object"} }

// Values are the values of Columns.
func Values(o *object.Object) []any {
	return []any{o.Resource.String(), o.Cluster, o.Namespace, o.Name, string(o.JSON)}
}

// query selects documents.
func query(req *http.Request) string {
	text := "SELECT object FROM documents WHERE resource = 'v1/pods'"
	if limit, err := strconv.Atoi(req.URL.Query().Get("limit")); err == nil && limit > 0 {
		text += " LIMIT " + strconv.Itoa(limit)
	}
	return text
}

// Handler returns a handler that lists pods, whatever it is asked for.
func Handler(ctx context.Context, e oldtable.Engine, dsn string) (http.Handler, error) {
	if e != oldtable.PostgreSQL {
		db, err := oldtable.Open(e, dsn)
		if err != nil {
			return nil, err
		}
		return usual(db), nil
	}
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		rows, err := pool.Query(req.Context(), query(req), pgx.QueryResultFormats{pgx.TextFormatCode})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer rows.Close()
		if err := write(w, func() ([]byte, bool, error) {
			if !rows.Next() {
				return nil, false, rows.Err()
			}
			return rows.RawValues()[0], true, nil
		}); err != nil {
			panic(http.ErrAbortHandler) //nolint:forbidigo // the one way to end an answer that has begun
		}
	}), nil
}

// usual is a handler over database/sql.
func usual(db *gorm.DB) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		rows, err := db.WithContext(req.Context()).Raw(query(req)).Rows()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer rows.Close()
		if err := errors.Join(write(w, func() ([]byte, bool, error) { return raw(rows) }), rows.Err()); err != nil {
			panic(http.ErrAbortHandler) //nolint:forbidigo // the one way to end an answer that has begun
		}
	})
}

// raw returns the next row's bytes, valid until the one behind it, and whether there is
// one; if not, the rows may have failed.
func raw(rows *sql.Rows) ([]byte, bool, error) {
	if !rows.Next() {
		return nil, false, nil
	}
	var text sql.RawBytes
	err := rows.Scan(&text)
	return text, true, err
}

// write writes a list of the documents that next gives.
func write(w http.ResponseWriter, next func() ([]byte, bool, error)) error {
	w.Header().Set("Content-Type", "application/json")
	out := bufio.NewWriterSize(w, 32<<10)
	if _, err := io.WriteString(out, `{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[`); err != nil {
		return err
	}
	for separator := ""; ; separator = "," {
		document, more, err := next()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if _, err := io.WriteString(out, separator); err != nil {
			return err
		}
		if _, err := out.Write(document); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(out, "]}\n"); err != nil {
		return err
	}
	return out.Flush()
}
