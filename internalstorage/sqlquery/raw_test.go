package sqlquery

import (
	"database/sql"
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/config"
	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/storage-api/query"
)

func dialectOf(t testing.TB, name string) dialect.Dialect {
	t.Helper()
	d, err := dialect.For(&config.Config{Type: name})
	require.NoError(t, err)
	return d
}

func asJSON(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func TestRawCondition(t *testing.T) {
	t.Parallel()

	both, parameterized := Raw{Any: true, Parameterized: true}, Raw{Parameterized: true}
	type params = map[string][]string
	for name, tc := range map[string]struct {
		raw    Raw
		params params
		want   string
		args   []any
	}{
		"nothing is allowed":   {params: params{"whereSQL": {"a = 1"}, "whereSQLJSONParams": {"%"}}},
		"nothing is asked":     {raw: both},
		"a condition":          {raw: both, params: params{"whereSQL": {" namespace = 'kube-system' AND (id > 3) "}}, want: "namespace = 'kube-system' AND (id > 3)"},
		"the first one":        {raw: both, params: params{"whereSQL": {"a = 1", "b = 2"}}, want: "a = 1"},
		"not without its gate": {raw: parameterized, params: params{"whereSQL": {"a = 1"}}},
		"a statement wins":     {raw: both, params: params{"whereSQL": {"a = 1"}, "whereSQLStatement": {"b = 2"}}, want: "b = 2"},
		"a statement alone":    {raw: parameterized, params: params{"whereSQLStatement": {"b = 2"}}, want: "b = 2"},
		"values":               {raw: parameterized, params: params{"whereSQLStatement": {"b = ? OR c=?"}, "whereSQLParam": {"1", "x?"}}, want: "b =  ? OR c= ?", args: []any{"1", "x?"}},
		"JSON values win": {
			raw: parameterized, params: params{"whereSQLStatement": {"a IN ? AND b = ? AND c = ?"}, "whereSQLParam": {"y"}, "whereSQLJSONParams": {asJSON(`[["kube-system", 1], 2.5, null]`)}},
			want: "a IN  (?,?) AND b =  ? AND c =  ?", args: []any{"kube-system", int64(1), 2.5, nil},
		},
		"an empty list":      {raw: both, params: params{"whereSQLStatement": {"a IN ?"}, "whereSQLJSONParams": {asJSON(`[[]]`)}}, want: "a IN  (NULL)"},
		"names":              {raw: both, params: params{"whereSQLStatement": {"a = @one AND b IN @two"}, "whereSQLJSONParams": {asJSON(`[{"one": "x", "two": [true]}]`)}}, want: "a =  ? AND b IN  (?)", args: []any{"x", true}},
		"a column":           {raw: both, params: params{"whereSQLStatement": {"group"}, "whereSQLParam": {"apps"}}, want: `"group" =  ?`, args: []any{"apps"}},
		"a column of a list": {raw: both, params: params{"whereSQLStatement": {"name"}, "whereSQLJSONParams": {asJSON(`[["a"]]`)}}, want: "name IN  (?)", args: []any{"a"}},
		"the primary key":    {raw: both, params: params{"whereSQL": {"5"}}, want: "id = 5"},
		"quotes":             {raw: both, params: params{"whereSQL": {`a = 'it''s )' AND "b" = '--'`}}, want: `a = 'it''s )' AND "b" = '--'`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.raw.Condition(dialectOf(t, "sqlite"), &query.Query{Params: tc.params})
			require.NoError(t, err)
			require.Equal(t, Expr{SQL: tc.want, Args: tc.args}, got)
		})
	}
	got, err := both.Condition(dialectOf(t, "postgres"), &query.Query{Params: params{"whereSQLStatement": {"object->'metadata' @> ? AND object #>> '{a}' = labels[1]"}, "whereSQLParam": {"{}"}}})
	require.NoError(t, err)
	require.Equal(t, Expr{SQL: "object->'metadata' @>  ? AND object #>> '{a}' = labels[1]", Args: []any{"{}"}}, got)
}

func TestRawConditionRefuses(t *testing.T) {
	t.Parallel()

	for text, want := range map[string]string{
		"1=1) OR (1=1":                  "a parenthesis is closed that was not opened",
		"((a = 1)":                      "1 parentheses are not closed",
		"a = 'x":                        "a quote is not closed",
		"a = 1; DROP TABLE resources":   `";" is not allowed`,
		"a = 1 -- comment":              "comments are not allowed",
		"a = 1 /* comment":              "comments are not allowed",
		`a = 'x\' OR 1=1) OR (name = '`: `"\\" is not allowed in quotes`,
		`a = \x`:                        `"\\" is not allowed`,
		"a = $$x$$":                     `"$" is not allowed`,
		"a = '?'":                       `"?" is not allowed in quotes`,
		"a = 'b@c'":                     `"@" is not allowed in quotes`,
		"[a'] = 1) OR 1 = 1 --'":        `"[" is not allowed`,
		"a = ?":                         "it has more placeholders than values: 0",
		"a = @name":                     "there is no value for @name",
		"a = 1\x00":                     `"\x00" is not allowed`,
		"`a` = 1 AND \"b = 'c":          "a quote is not closed",
		"a = 1) UNION SELECT 1 FROM (b": "a parenthesis is closed that was not opened",
	} {
		_, err := Raw{Any: true}.Condition(dialectOf(t, "sqlite"), &query.Query{Params: map[string][]string{"whereSQL": {text}}})
		var invalid *query.InvalidQueryError
		require.ErrorAs(t, err, &invalid, text)
		require.Equal(t, "whereSQL", invalid.Field, text)
		require.Contains(t, invalid.Reason, want, text)
	}
	_, err := Raw{Any: true}.Condition(dialectOf(t, "mysql"), &query.Query{Params: map[string][]string{"whereSQL": {"a = 1 # comment"}}})
	require.ErrorContains(t, err, `"#" is not allowed`)

	for params, want := range map[[3]string]string{
		{"", "x", ""}:                     "required when either whereSQLParam or whereSQLJSONParams was provided",
		{"a = 1", "x", ""}:                "it has fewer placeholders than values: 1 are left",
		{"a = ?", "", "%"}:                "failed to decode base64 string: illegal base64 data",
		{"a = ?", "", asJSON(`{"a": 1}`)}: "failed to unmarshal decoded base64 string to JSON array: json: cannot unmarshal object",
	} {
		q := &query.Query{Params: map[string][]string{"whereSQLStatement": {params[0]}, "whereSQLJSONParams": {params[2]}}}
		if params[1] != "" {
			q.Params["whereSQLParam"] = []string{params[1]}
		}
		_, err := Raw{Parameterized: true}.Condition(dialectOf(t, "sqlite"), q)
		require.ErrorContains(t, err, want)
	}
	_, err = Raw{Any: true}.Condition(dialectOf(t, "sqlite"), &query.Query{Visible: &query.Visibility{}, Params: map[string][]string{"whereSQL": {"1 = 1"}}})
	require.ErrorContains(t, err, "may list everything")
}

// FuzzRawCondition runs conditions where nothing can satisfy them: whatever is found has
// escaped from its parentheses.
func FuzzRawCondition(f *testing.F) {
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(f.TempDir(), "fuzz.db"))
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, db.Close()) })
	_, err = db.Exec("CREATE TABLE resources (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO resources VALUES (1, 'a')") //nolint:noctx // no test has begun
	require.NoError(f, err)
	for _, text := range []string{"1=1) OR (1=1", "name = 'a' --", "name = '' OR ''=''", "[name'] ) OR 1=1 --'", "`a` \"b\" 'c'", "1 /*", "x'41'", "name\n= ?", "(((", "5"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, slow := range []string{"randomblob", "zeroblob", "recursive", "printf", "format", "like", "glob", "replace", "hex"} {
			if strings.Contains(strings.ToLower(text), slow) {
				t.Skip()
			}
		}
		condition, err := Raw{Any: true}.Condition(dialectOf(t, "sqlite"), &query.Query{Params: map[string][]string{"whereSQL": {text}}})
		if err != nil || condition.SQL == "" {
			return
		}
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM resources WHERE 1 = 0 AND ("+condition.SQL+")", condition.Args...).Scan(&n); err == nil {
			require.Zero(t, n, text)
		}
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM resources").Scan(&n); err == nil {
			require.Equal(t, 1, n, text)
		}
	})
}
