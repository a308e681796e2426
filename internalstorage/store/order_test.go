package store_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// TestMariaDBOrders runs the contract's suite with all indexes of orders: on the other
// databases these change no statement, on MariaDB rows are sorted by other columns.
func TestMariaDBOrders(t *testing.T) {
	t.Parallel()
	dsn(t, "TEST_MYSQL_DSN")
	run(t, func(t testing.TB) map[string]any {
		config := mysqlOn("TEST_MYSQL_DSN")(t)
		config["orderIndexes"] = allOrders()
		return config
	}, nil)
}

// oddVersions are resource versions that look like numbers, and some that are.
func oddVersions() []string {
	return []string{
		"1", "12", "007", "999999999999999999", "1000000000000000000", "", "0", "-1", "+1", " 1", "1 ", "12\n", "1.5", "0x1", "1e3", "a1", "1é", "漢", "١",
	}
}

// TestOrderColumns adds the generated columns by which MariaDB sorts to a table with rows,
// while others use it, and takes their indexes away again.
func TestOrderColumns(t *testing.T) {
	t.Parallel()
	old := oldDatabase{driver: "mysql", config: mysqlOn("TEST_MYSQL_DSN")(t), mark: question}
	old.dsn = old.config["dsn"].(string)
	without := open(t, old.config)
	t.Cleanup(func() { require.NoError(t, without.Close(t.Context())) })
	db, err := sql.Open(old.driver, old.dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	for i, version := range oddVersions() {
		old.insert(t, db, fmt.Sprintf("rs-%02d", i), version, replicaSet(fmt.Sprintf("rs-%02d", i), version, "red"))
	}
	ordered(t, without, len(oddVersions()))
	plain := shape(t, old)
	require.NotContains(t, strings.Join(plain, "\n"), "order_")

	old.config["orderIndexes"] = []string{"resource_version", "deleted_at"}
	due, err := unchanged(t, old).Pending(t.Context())
	require.NoError(t, err)
	var statements []string
	for _, m := range due {
		statements = append(statements, m.Statements...)
	}
	require.Equal(t, []string{
		"ALTER TABLE resources ADD COLUMN order_resource_version bigint GENERATED ALWAYS AS (CASE WHEN LENGTH(resource_version) BETWEEN 1 AND 18 " +
			"AND CONVERT(CAST(resource_version AS BINARY) USING latin1) NOT REGEXP _latin1'[^0-9]' THEN CAST(CONVERT(CAST(resource_version AS BINARY) USING latin1) AS SIGNED) ELSE 0 END) STORED, LOCK=NONE",
		"CREATE INDEX idx_order_resource_version ON resources (`group`, version, resource, order_resource_version, cluster, namespace, name) LOCK=NONE",
		"ALTER TABLE resources ADD COLUMN order_deleted_at datetime(3) GENERATED ALWAYS AS (COALESCE(deleted_at, TIMESTAMP'0001-01-01 00:00:00.002')) STORED, LOCK=NONE",
		"CREATE INDEX idx_order_deleted_at ON resources (`group`, version, resource, order_deleted_at DESC, cluster, namespace, name) LOCK=NONE",
	}, statements)
	// A server that would hold up writers refuses, and lists are sorted as before.
	require.NoError(t, unchanged(t, old).Migrate(t.Context(), nil))
	ordered(t, without, len(oddVersions()))
	if due, err = unchanged(t, old).Pending(t.Context()); len(due) > 0 {
		for _, statement := range statements {
			old.exec(t, db, strings.ReplaceAll(strings.TrimSuffix(statement, ", LOCK=NONE"), "`group`", "GROUP"))
		}
	}
	require.NoError(t, err)
	require.Empty(t, pending(t, old))
	with := open(t, old.config)
	t.Cleanup(func() { require.NoError(t, with.Close(t.Context())) })

	// A v0.9 does not know the columns. Another writer's transaction lets readers meet what an
	// index had of a row before: virtual columns lost rows then.
	old.exec(t, db, "CREATE TABLE other (a int)")
	other, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = other.ExecContext(t.Context(), "INSERT INTO other VALUES (1)")
	require.NoError(t, err)
	old.insert(t, db, "inserted", "5", replicaSet("inserted", "5", "red"))
	old.exec(t, db, "UPDATE resources SET deleted_at = synced_at, resource_version = '17' WHERE name = 'rs-12'")
	for _, st := range []storage.Storage{with, without} {
		ordered(t, st, len(oddVersions())+1)
	}
	require.NoError(t, other.Rollback())
	rows, err := db.QueryContext(t.Context(), "SELECT resource_version, order_resource_version, order_deleted_at = COALESCE(deleted_at, CAST('0001-01-01 00:00:00.002' AS DATETIME(3))) FROM resources")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var version string
		var number int64
		var same bool
		require.NoError(t, rows.Scan(&version, &number, &same))
		require.Equal(t, query.VersionNumber(version), number, "%q", version)
		require.True(t, same)
	}
	require.NoError(t, rows.Err())

	// Another server without the configuration drops the indexes. The columns stay, for those
	// who still sort by them.
	delete(old.config, "orderIndexes")
	require.Equal(t, []string{"add indexes"}, pending(t, old))
	require.NoError(t, unchanged(t, old).Migrate(t.Context(), nil))
	require.Empty(t, pending(t, old))
	for _, st := range []storage.Storage{with, without} {
		ordered(t, st, len(oddVersions())+1)
	}
	require.ElementsMatch(t, append(plain, "order_deleted_at datetime(3)", "order_resource_version bigint(20)"), shape(t, old))
}

// ordered reads all objects in pages, in each order and in both directions.
func ordered(t *testing.T, st storage.Storage, objects int) {
	t.Helper()
	orders := [][]query.Order{nil}
	for _, by := range []query.OrderField{query.ByResourceVersion, query.ByDeletedAt, query.BySyncedAt, query.ByCreatedAt, query.ByName, query.ByNamespace, query.ByCluster, query.ByUID} {
		orders = append(orders, []query.Order{{By: by}}, []query.Order{{By: by, Desc: true}})
	}
	for _, order := range orders {
		q := &query.Query{Types: []query.Type{{Group: "apps", Version: "v1", Resource: "replicasets"}}, Order: order, Limit: 3}
		var found []*storage.Object
		for {
			page, err := st.List(t.Context(), q, func(o *storage.Object) error {
				kept := *o
				kept.JSON = nil // the memory of which is the storage layer's
				found = append(found, &kept)
				return nil
			})
			require.NoError(t, err)
			if q.Continue = page.Continue; q.Continue == "" {
				break
			}
		}
		require.Len(t, found, objects, "%+v", q.Order)
		require.True(t, slices.IsSortedFunc(found, func(a, b *storage.Object) int { return query.Compare(q, a, b) }), "%+v", q.Order)
	}
}
