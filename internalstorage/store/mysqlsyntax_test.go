package store_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// goMySQL is a database of go-mysql-server that has the tables and nothing more: it finds
// too little by some indexes, and its connections end where it meets triggers.
func goMySQL(t testing.TB) map[string]any {
	t.Helper()
	config := mysqlOn("TEST_GOMYSQL_DSN")(t)
	text, err := json.Marshal(config)
	require.NoError(t, err)
	st, err := store.Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: text, SkipMigrations: true})
	require.NoError(t, err)
	due, err := st.(storage.Migrator).Pending(t.Context())
	require.NoError(t, errors.Join(err, st.Close(t.Context())))
	db, err := sql.Open("mysql", config["dsn"].(string))
	require.NoError(t, err)
	for _, statement := range due[0].Statements {
		if !strings.HasPrefix(statement, "CREATE INDEX") {
			_, err := db.ExecContext(t.Context(), statement)
			require.NoError(t, err, statement)
		}
	}
	require.NoError(t, db.Close())
	config["autoMigrate"] = false
	return config
}

// TestMySQLSyntax runs the suite on go-mysql-server, which stands for MySQL 8: its
// parser differs from MariaDB's. What it parses and then evaluates wrongly is
// skipped, and TestMySQLParses sees that it is parsed.
func TestMySQLSyntax(t *testing.T) {
	t.Parallel()
	dsn(t, "TEST_GOMYSQL_DSN")
	const (
		transactions = "go-mysql-server does not isolate transactions"
		outer        = "go-mysql-server gives JSON_TABLE no column of an outer query"
		binary       = "go-mysql-server finds every binary text in every other one"
		scalars      = "go-mysql-server fails on a path that leads through no object"
		numbers      = "go-mysql-server rounds great numbers"
		names        = "go-mysql-server writes documents with some names that are not JSON"
		recursion    = "go-mysql-server ends a recursion over a union too early"
		slow         = "go-mysql-server takes most of a minute"
		bare         = "the tables are made without what go-mysql-server cannot have"
	)
	run(t, goMySQL, map[string]string{
		"Optional": bare, "Churn": transactions, "Concurrent": transactions, "Random": outer, "Text": outer,
		"Filter/names": binary, "Filter/owners": recursion, "Filter/fields/lists": outer,
		"Filter/fields/values/in,_greatest_number": numbers, "Events/the_documents_come_back": names,
		"Purge/many_objects": slow, "Versions/many": slow, "Context/canceled_while_yield_runs": slow,
		"Page/continue_in_many_orders/[{resource_version_true}],limit=1": slow, "Page/continue_in_many_orders/[{resource_version_true}],limit=3": slow,
		"Page/continue_in_many_orders/[{resource_version_false}],limit=1": slow, "Page/continue_in_many_orders/[{resource_version_false}],limit=3": slow,
		"Filter/fields/paths/nested": scalars, "Filter/fields/paths/through_a_text": scalars,
	})
}

// TestMySQLParses asks for whatever TestMySQLSyntax skips: the answer may be wrong,
// the statement must not.
func TestMySQLParses(t *testing.T) {
	t.Parallel()
	dsn(t, "TEST_GOMYSQL_DSN")
	config := goMySQL(t)
	st := open(t, config)
	t.Cleanup(func() { require.NoError(t, st.Close(t.Context())) })
	require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: "c"}, []storage.Change{{Put: &storage.Object{
		Key:  storage.Key{Cluster: "c", Resource: storage.Resource{Version: "v1", Resource: "pods"}, Name: "a"},
		Kind: "Pod", UID: "u", JSON: []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}`),
	}}}))
	in := func(operator query.Operator, path ...query.PathElement) *query.Query {
		values := []string{"1"}
		if operator == query.Exists || operator == query.NotExists {
			values = nil
		}
		return &query.Query{Fields: []query.FieldRequirement{{Path: path, Operator: operator, Values: values}}}
	}
	spec, every := query.PathElement{Name: "spec"}, query.PathElement{Name: "containers", List: true, Index: query.AllElements}
	second, odd := query.PathElement{Name: "containers", List: true, Index: 1}, query.PathElement{Name: `a"'b`}
	queries := []*query.Query{
		{NameContains: []string{"a", "%"}},
		{Owner: &query.Owner{UID: "u", Seniority: 2}, Limit: 1, Count: query.CountExact},
		{Owner: &query.Owner{Name: "a", Group: "apps", Resource: "deployments", Seniority: 1}, Namespaces: []string{"n"}, Clusters: []string{"c", "d"}},
	}
	for _, operator := range []query.Operator{query.In, query.NotIn, query.Exists, query.NotExists, query.GreaterThan, query.LessThan} {
		queries = append(
			queries,
			in(operator, spec, every, query.PathElement{Name: "image"}),
			in(operator, spec, every, query.PathElement{Name: "ports", List: true, Index: query.AllElements}, query.PathElement{Name: "port"}),
			in(operator, spec, second, odd), in(operator, odd, every), in(operator, spec, odd),
		)
	}
	for _, q := range queries {
		_, err := st.List(t.Context(), q, func(*storage.Object) error { return nil })
		var refused *mysql.MySQLError
		if errors.As(err, &refused) {
			require.NotContains(t, refused.Message, syntaxError, "%+v", q)
		} else {
			require.NoError(t, err, "%+v", q)
		}
	}

	// It makes generated columns, and its connections end where one is read.
	config["orderIndexes"] = allOrders()
	due, err := unchanged(t, oldDatabase{config: config}).Pending(t.Context())
	require.NoError(t, err)
	ours, err := sql.Open("mysql", config["dsn"].(string))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ours.Close()) })
	made := 0
	for _, m := range due {
		for _, statement := range m.Statements {
			if !strings.Contains(statement, "order_") {
				continue
			}
			_, err := ours.ExecContext(t.Context(), statement)
			require.NoError(t, err, statement)
			made++
		}
	}
	require.Equal(t, len(allOrders())+2, made)

	// What MariaDB does not understand either has to be refused as that.
	db, err := sql.Open("mysql", os.Getenv("TEST_GOMYSQL_DSN"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	for _, wrong := range []string{"SELECT FROM WHERE", "SELECT * FROM JSON_TABLE('[]', '$[*]' COLUMNS value JSON) AS e"} {
		_, err := db.ExecContext(t.Context(), wrong)
		require.ErrorContains(t, err, syntaxError)
	}
}

// syntaxError is what the parser says. The number of the error is that of many
// others.
const syntaxError = "syntax error at position"
