package store_test

import (
	"cmp"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// planned is a query whose plan is kept.
type planned struct {
	name  string
	query query.Query
}

func plannedQueries() []planned {
	pods := []query.Type{{Version: "v1", Resource: "pods"}}
	label := func(key, value string) []query.LabelRequirement {
		return []query.LabelRequirement{{Key: key, Operator: query.In, Values: []string{value}}}
	}
	return []planned{
		{"the first page", query.Query{Types: pods}},
		{"a page behind another", query.Query{Types: pods, Continue: (&query.Query{Types: pods, Limit: 100}).ContinueAfter(planPod(2222))}},
		{"one cluster", query.Query{Types: pods, Clusters: []string{"cluster-1"}}},
		{"one namespace of a cluster", query.Query{Types: pods, Clusters: []string{"cluster-1"}, Namespaces: []string{"namespace-3"}}},
		{"one namespace of all clusters", query.Query{Types: pods, Namespaces: []string{"namespace-3"}}},
		{"a name in all clusters", query.Query{Types: pods, Names: []string{"pod-000777"}}},
		{"a part of the name", query.Query{Types: pods, NameContains: []string{"00077"}}},
		{"a label of few", query.Query{Types: pods, Labels: label("app", "app-77")}},
		{"one of two labels of few", query.Query{Types: pods, Labels: []query.LabelRequirement{{Key: "app", Operator: query.In, Values: []string{"app-77", "app-78"}}}}},
		{"a label of many", query.Query{Types: pods, Labels: label("tier", "web")}},
		{"a label of few, of any type", query.Query{Labels: label("app", "app-77")}},
		{"a field of few", query.Query{Types: pods, Fields: []query.FieldRequirement{{Path: []query.PathElement{{Name: "spec"}, {Name: "node"}}, Operator: query.In, Values: []string{"node-77"}}}}},
		{"owned by a UID", query.Query{Types: pods, Owner: &query.Owner{UID: "rs-77"}}},
		{"owned two generations up", query.Query{Types: pods, Owner: &query.Owner{UID: "deployment-7", Seniority: 1}}},
		{"owned by a name", query.Query{Types: pods, Clusters: []string{"cluster-1"}, Owner: &query.Owner{Name: "rs-77", Group: "apps", Resource: "replicasets"}}},
		{"the newest", query.Query{Types: pods, Order: []query.Order{{By: query.ByCreatedAt, Desc: true}}}},
		{"the newest, behind a page", query.Query{
			Types: pods, Order: []query.Order{{By: query.ByCreatedAt, Desc: true}},
			Continue: (&query.Query{Types: pods, Order: []query.Order{{By: query.ByCreatedAt, Desc: true}}, Limit: 100}).ContinueAfter(planPod(2222)),
		}},
		{"the newest of all types", query.Query{Order: []query.Order{{By: query.ByCreatedAt, Desc: true}}}},
		{"created in an hour", query.Query{Types: pods, Since: planTime(100), Before: planTime(140)}},
	}
}

func planTime(i int) time.Time { return time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC) }

const planObjects = 6000

// planPod is a pod among those that plans are made for: most of a plan follows from how
// many rows there are, and how many of them an index leaves.
func planPod(i int) *storage.Object {
	name := fmt.Sprintf("pod-%06d", i)
	tier := "web"
	if i%5 == 0 {
		tier = "db"
	}
	var deleted time.Time
	if i%10 == 0 {
		deleted = planTime(planObjects + i)
	}
	return &storage.Object{
		Key:  storage.Key{Cluster: fmt.Sprint("cluster-", i%4), Resource: storage.Resource{Version: "v1", Resource: "pods"}, Namespace: fmt.Sprint("namespace-", i%50), Name: name},
		Kind: "Pod", UID: "uid-" + name, ResourceVersion: fmt.Sprint(planObjects - i), CreatedAt: planTime(i), DeletedAt: deleted,
		Controller: fmt.Sprint("rs-", i%600), Owners: []string{fmt.Sprint("rs-", i%600)},
		JSON: fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"labels":{"app":"app-%d","tier":%q}},"spec":{"node":"node-%d","text":%q}}`,
			name, i%1200, tier, i%1000, strings.Repeat(fmt.Sprintf("%x", i*i), 200)),
	}
}

func planReplicaSet(i int) *storage.Object {
	name := fmt.Sprint("rs-", i)
	return &storage.Object{
		Key:  storage.Key{Cluster: fmt.Sprint("cluster-", i%4), Resource: storage.Resource{Group: "apps", Version: "v1", Resource: "replicasets"}, Namespace: fmt.Sprint("namespace-", i%50), Name: name},
		Kind: "ReplicaSet", UID: name, ResourceVersion: "1", CreatedAt: planTime(i),
		Controller: fmt.Sprint("deployment-", i%100), Owners: []string{fmt.Sprint("deployment-", i%100)},
		JSON: fmt.Appendf(nil, `{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":%q}}`, name),
	}
}

// plannedOrders are lists in the orders that have an index only if it is asked for.
func plannedOrders() []planned {
	by := func(field query.OrderField, desc bool) query.Query {
		return query.Query{Types: []query.Type{{Version: "v1", Resource: "pods"}}, Order: []query.Order{{By: field, Desc: desc}}}
	}
	behind := func(q query.Query) query.Query {
		limited := q
		limited.Limit = 100
		q.Continue = limited.ContinueAfter(planPod(2222))
		return q
	}
	return []planned{
		{"by name", by(query.ByName, false)},
		{"by name, behind a page", behind(by(query.ByName, false))},
		{"by namespace", by(query.ByNamespace, false)},
		{"by kind", by(query.ByKind, false)},
		{"by UID", by(query.ByUID, false)},
		{"by owner", by(query.ByController, false)},
		{"the latest written", by(query.BySyncedAt, true)},
		{"the latest written, behind a page", behind(by(query.BySyncedAt, true))},
		{"those that are being deleted", by(query.ByDeletedAt, true)},
		{"those that are being deleted, behind a page", behind(by(query.ByDeletedAt, true))},
		{"by resource version", by(query.ByResourceVersion, false)},
		{"by resource version, behind a page", behind(by(query.ByResourceVersion, false))},
	}
}

// TestPlans keeps how databases find what is asked for: in the golden files no line says
// that all rows are read where an index should be.
func TestPlans(t *testing.T) {
	t.Parallel()
	databases := oldDatabases()
	for name, fresh := range map[string]func(testing.TB) map[string]any{
		"SQLite": sqlite, "PostgreSQL": postgres, "MariaDB": mysqlOn("TEST_MYSQL_DSN"),
		"SQLite, adopted":     func(t testing.TB) map[string]any { return adopted(t, databases["SQLite"](t)) },
		"PostgreSQL, adopted": func(t testing.TB) map[string]any { return adopted(t, databases["PostgreSQL"](t)) },
		"MariaDB, adopted":    func(t testing.TB) map[string]any { return adopted(t, databases["MariaDB"](t)) },
		"PostgreSQL that sorts bytewise, adopted": func(t testing.TB) map[string]any {
			return adopted(t, databases["PostgreSQL that sorts bytewise"](t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			goldenPlans(t, name, fresh(t), plannedQueries())
		})
	}
}

// allOrders are all columns that can have an index for an order.
func allOrders() []string {
	return []string{"deleted_at", "kind", "name", "namespace", "owner_uid", "resource_version", "synced_at", "uid"}
}

// TestPlansOfOrders keeps how databases find what comes first in an order, with the indexes
// that there can be for that.
func TestPlansOfOrders(t *testing.T) {
	t.Parallel()
	all := allOrders()
	for name, fresh := range map[string]func(testing.TB) map[string]any{
		"SQLite": sqlite, "PostgreSQL": postgres, "MariaDB": mysqlOn("TEST_MYSQL_DSN"), "MariaDB, widened": widened,
		"PostgreSQL, adopted": func(t testing.TB) map[string]any {
			old := oldDatabases()["PostgreSQL"](t)
			old.config["orderIndexes"] = all
			return adopted(t, old)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := fresh(t)
			config["orderIndexes"] = all
			goldenPlans(t, name+", orders", config, plannedOrders())

			// They go when nobody asks for them.
			delete(config, "orderIndexes")
			st := open(t, config)
			t.Cleanup(func() { require.NoError(t, st.Close(t.Context())) })
			require.NoError(t, st.(storage.Migrator).Migrate(t.Context(), nil))
			due, err := st.(storage.Migrator).Pending(t.Context())
			require.NoError(t, err)
			require.Empty(t, due)
		})
	}
}

// TestSeekCost has the planner of PostgreSQL think of disks as the servers' configuration says,
// if it says something.
func TestSeekCost(t *testing.T) {
	t.Parallel()
	for more, want := range map[string]string{"": "1.1", " random_page_cost=2": "2"} {
		config := postgres(t)
		config["dsn"] = config["dsn"].(string) + more
		st := open(t, config).(*store.Store)
		reader, err := st.Reader()
		require.NoError(t, err)
		var cost string
		require.NoError(t, reader.QueryRowContext(t.Context(), "SHOW random_page_cost").Scan(&cost))
		require.Equal(t, want, cost)
		require.NoError(t, st.Close(t.Context()))
	}
}

// goldenPlans compares the plans of queries with those that are kept.
func goldenPlans(t *testing.T, name string, config map[string]any, of []planned) {
	t.Helper()
	st := open(t, config).(*store.Store)
	t.Cleanup(func() { require.NoError(t, st.Close(t.Context())) })
	var objects []*storage.Object
	for i := range planObjects {
		objects = append(objects, planPod(i))
	}
	for i := range planObjects / 10 {
		objects = append(objects, planReplicaSet(i))
	}
	for i := range 4 {
		var changes []storage.Change
		cluster := fmt.Sprint("cluster-", i)
		for _, o := range objects {
			if o.Cluster == cluster {
				changes = append(changes, storage.Change{Put: o})
			}
		}
		require.NoError(t, st.Apply(t.Context(), storage.Writer{Cluster: cluster}, changes))
	}
	driver := map[any]string{"sqlite": "sqlite3", "postgres": "pgx", "mysql": "mysql"}[config["type"]]
	db, err := sql.Open(driver, config["dsn"].(string))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	for _, statement := range map[string][]string{
		"pgx": {"VACUUM ANALYZE resources", "VACUUM ANALYZE resource_owners"}, "sqlite3": {"ANALYZE"},
		"mysql": {"ANALYZE TABLE resources PERSISTENT FOR ALL", "ANALYZE TABLE resource_labels PERSISTENT FOR ALL"},
	}[driver] {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	reader := db
	if driver == "pgx" { // whose readers have settings of their own
		reader, err = st.Reader()
		require.NoError(t, err)
	}
	var plans strings.Builder
	for _, p := range of {
		if len(p.query.Order) > 0 && name == "MariaDB, adopted" {
			continue // it sorts, by whatever index; now this one, now that
		}
		p.query.Limit = 100
		statement, err := st.ListStatement(&p.query)
		require.NoError(t, err)
		lines := plan(t, reader, driver, statement.SQL, statement.Args)
		if p.name != "a field of few" { // has an index only if it is asked for
			require.NotRegexp(t, readsAll, lines, p.name)
		}
		fmt.Fprintf(&plans, "%s\n%s\n", p.name, lines)
	}
	file := strings.ReplaceAll(strings.ToLower(name), " that sorts bytewise", "") // finds all in the same way
	golden(t, filepath.Join("testdata", "plans", strings.ReplaceAll(file, ", ", "-")+".txt"), plans.String())
}

// readsAll is in plans that read all rows.
var readsAll = regexp.MustCompile(`(?m)(Seq Scan on resources|SCAN resources|resources by reading all.*)$`)

// adopted makes the tables of v0.9 with one row, and takes them over.
func adopted(t testing.TB, old oldDatabase) map[string]any {
	t.Helper()
	old.make(t)
	st := open(t, old.config)
	require.NoError(t, st.(storage.Migrator).Migrate(t.Context(), nil))
	require.NoError(t, st.Close(t.Context()))
	return old.config
}

// plan returns how the database would run a statement, without conditions and numbers.
func plan(t *testing.T, db *sql.DB, driver, text string, args []any) string {
	t.Helper()
	explain := map[string]string{"pgx": "EXPLAIN (COSTS OFF) ", "sqlite3": "EXPLAIN QUERY PLAN ", "mysql": "EXPLAIN "}[driver] + text
	if driver == "pgx" {
		n := 0
		explain = regexp.MustCompile(`\?`).ReplaceAllStringFunc(explain, func(string) string { n++; return fmt.Sprint("$", n) })
	}
	found, err := db.QueryContext(t.Context(), explain, args...)
	require.NoError(t, err, explain)
	defer found.Close()
	columns, err := found.Columns()
	require.NoError(t, err)
	var lines strings.Builder
	for found.Next() {
		values, targets := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		require.NoError(t, found.Scan(targets...))
		line := values[len(values)-1].String
		switch driver {
		case "pgx":
			if !strings.Contains(line, "->  ") { // a condition, or the limit
				continue
			}
		case "mysql": // id, select_type, table, type, possible_keys, key, key_len, ref, rows, Extra
			sorted := ""
			if strings.Contains(line, "filesort") {
				sorted = ", then sorts"
			}
			line = values[2].String + " by " + cmp.Or(values[5].String, "reading all") + sorted
		}
		fmt.Fprintf(&lines, "    %s\n", line)
	}
	require.NoError(t, found.Err())
	return lines.String()
}

// golden compares with a file, or rewrites it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}
