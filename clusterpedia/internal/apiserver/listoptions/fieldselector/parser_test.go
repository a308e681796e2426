package fieldselector

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/query"
)

func field(name string) query.PathElement { return query.PathElement{Name: name} }

func list(name string, index int) query.PathElement {
	return query.PathElement{Name: name, List: true, Index: index}
}

func path(elements ...query.PathElement) []query.PathElement { return elements }

func fields(names ...string) []query.PathElement {
	var p []query.PathElement
	for _, name := range names {
		p = append(p, field(name))
	}
	return p
}

func TestParseOperators(t *testing.T) {
	t.Parallel()
	const (
		in     = query.In
		notIn  = query.NotIn
		exists = query.Exists
		absent = query.NotExists
		gt     = query.GreaterThan
		lt     = query.LessThan
	)
	for selector, want := range map[string]struct {
		operator query.Operator
		values   []string
	}{
		"a":                 {exists, nil},
		" a ":               {exists, nil},
		"!a":                {absent, nil},
		"!\ta":              {absent, nil},
		"a=b":               {in, []string{"b"}},
		"a==b":              {in, []string{"b"}},
		"a!=b":              {notIn, []string{"b"}},
		"a = b":             {in, []string{"b"}},
		"\r\n\ta\t==\nb ":   {in, []string{"b"}},
		"a=":                {in, []string{""}},
		"a==":               {in, []string{""}},
		"a!= ":              {notIn, []string{""}},
		"a in (b)":          {in, []string{"b"}},
		"a in(c,b)":         {in, []string{"b", "c"}},
		"a notin ( b , c )": {notIn, []string{"b", "c"}},
		"a in ()":           {in, []string{""}},
		"a in (b,)":         {in, []string{"", "b"}},
		"a in (,b)":         {in, []string{"", "b"}},
		"a in (b,,c)":       {in, []string{"", "b", "c"}},
		"a in (b,b,b)":      {in, []string{"b"}},
		"a>1":               {gt, []string{"1"}},
		"a < -9":            {lt, []string{"-9"}},
		// Keywords are such in the place of an operator alone.
		"a=in":            {in, []string{"in"}},
		"a in (in,notin)": {in, []string{"in", "notin"}},
		// Values are any words.
		"a=.'x'[0]/ü": {in, []string{".'x'[0]/ü"}},
	} {
		t.Run(selector, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(selector)
			require.NoError(t, err)
			require.Equal(t, []query.FieldRequirement{{Path: fields("a"), Operator: want.operator, Values: want.values}}, got)
		})
	}
}

func TestParsePaths(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]query.PathElement{
		"metadata.name":                   fields("metadata", "name"),
		".metadata.name":                  fields("metadata", "name"),
		"metadata.annotations['test.io']": fields("metadata", "annotations", "test.io"),
		`metadata.annotations["test.io"]`: fields("metadata", "annotations", "test.io"),
		"metadata.annotations.'test.io'":  fields("metadata", "annotations", "test.io"),
		`.metadata.annotations."a.b/c.d"`: fields("metadata", "annotations", "a.b/c.d"),
		"metadata.annotations['a.b/c'].x": fields("metadata", "annotations", "a.b/c", "x"),
		"metadata.labels['a']":            fields("metadata", "labels", "a"),
		"metadata.labels.'a'":             fields("metadata", "labels", "a"),
		"['a.b'].c":                       fields("a.b", "c"),
		".['a.b'].c":                      fields("a.b", "c"),
		"a['b']c":                         fields("a", "b", "c"),
		"a/b":                             fields("a/b"),
		"in":                              fields("in"),
		"spec.containers[].name":          path(field("spec"), list("containers", query.AllElements), field("name")),
		"spec.containers[0].name":         path(field("spec"), list("containers", 0), field("name")),
		"spec.containers[2147483647]":     path(field("spec"), list("containers", 2147483647)),
		"metadata.finalizers[]":           path(field("metadata"), list("finalizers", query.AllElements)),
		"a['b.c'][1].d[]":                 path(field("a"), list("b.c", 1), list("d", query.AllElements)),
		strings.Repeat("a.", 63) + "a":    fields(strings.Split(strings.Repeat("a.", 63)+"a", ".")...),
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(text)
			require.NoError(t, err)
			require.Equal(t, []query.FieldRequirement{{Path: want, Operator: query.Exists}}, got)
		})
	}
}

func TestParseSorts(t *testing.T) {
	t.Parallel()
	got, err := Parse("c=1, !b ,a.x>3,a.x<7,a[] in (z,y)")
	require.NoError(t, err)
	require.Equal(t, []query.FieldRequirement{
		{Path: fields("a", "x"), Operator: query.GreaterThan, Values: []string{"3"}},
		{Path: fields("a", "x"), Operator: query.LessThan, Values: []string{"7"}},
		{Path: path(list("a", query.AllElements)), Operator: query.In, Values: []string{"y", "z"}},
		{Path: fields("b"), Operator: query.NotExists},
		{Path: fields("c"), Operator: query.In, Values: []string{"1"}},
	}, got)

	for _, empty := range []string{"", " \t"} {
		got, err := Parse(empty)
		require.NoError(t, err)
		require.Empty(t, got)
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	const (
		requirement = "unable to parse requirement: "
		characters  = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character…"
	)
	for selector, want := range map[string]string{
		// The texts that clients know.
		"metadata.annotations[test.io]=v": requirement + "metadata.annotations[<index>] list index invalid. if test.io is a field, please use ['test.io'] or .'test.io'",
		",a=b":                            `found ",", expected: !, identifier, or ''end of string`,
		"a=b,":                            `found "", expected: identifier after ','`,
		"spec.x y=1":                      requirement + "found 'y', expected: in, notin, =, ==, !=, gt, lt",
		"!a=b":                            `found "=", expected: ',' or 'end of string'`,
		".":                               requirement + "empty field after '.'",
		"a['x'":                           requirement + "not found ']'",
		"metadata..name=x":                requirement + `metadata[]: Invalid value: "": name part must be non-empty; ` + characters,
		"metadata.labels['']":             requirement + "empty field ''",
		"spec.replicas<abc":               requirement + `spec.replicas: Invalid value: "abc": for 'Gt', 'Lt' operators, the value must be an integer`,
		"spec.replicas>":                  requirement + `spec.replicas: Invalid value: "": for 'Gt', 'Lt' operators, the value must be an integer`,
		"a>9223372036854775808":           requirement + `a: Invalid value: "9223372036854775808": for 'Gt', 'Lt' operators, the value must be an integer`,

		"=b":                           `found "=", expected: !, identifier, or ''end of string`,
		"a=b c":                        `found "c", expected: ',' or 'end of string'`,
		"a,,b":                         `found ",", expected: identifier after ','`,
		"!":                            requirement + "found '', expected: identifier",
		"!!a":                          requirement + "found '!', expected: identifier",
		"a===b":                        requirement + "found '=', expected: identifier",
		"a=(b)":                        requirement + "found '(', expected: identifier",
		"a>=1":                         requirement + "found '=', expected: identifier",
		"a(b)":                         requirement + "found '(', expected: in, notin, =, ==, !=, gt, lt",
		"a in":                         requirement + "found '', expected: '('",
		"a in b":                       requirement + "found 'b', expected: '('",
		"a in (b":                      requirement + "found '', expected: ',' or ')'",
		"a in (b c)":                   requirement + "found 'c', expected: ',' or ')'",
		"a in (=)":                     requirement + "found '=', expected: ',' or ')'",
		"a.":                           requirement + "empty field after '.'",
		"a[":                           requirement + "not found ']'",
		"a.'b":                         requirement + "not found the closing quote of .'b",
		"a['b]":                        requirement + "not found the closing quote of ['b]",
		`a['b"]`:                       requirement + `not found the closing quote of ['b"]`,
		"a[']":                         requirement + "not found the closing quote of [']",
		`a.""`:                         requirement + `empty field ""`,
		"[]":                           requirement + "not found a field before '[]'",
		"[0].a=b":                      requirement + "not found a field before '[0]'",
		"a[-1]":                        requirement + "a[<index>] list index invalid. if -1 is a field, please use ['-1'] or .'-1'",
		"a[+1]":                        requirement + "a[<index>] list index invalid. if +1 is a field, please use ['+1'] or .'+1'",
		"a[2147483648]":                requirement + "a[<index>] list index invalid. if 2147483648 is a field, please use ['2147483648'] or .'2147483648'",
		"a[][]":                        requirement + "a[][]: lists of lists are not supported",
		"a[0][1]":                      requirement + "a[0][1]: lists of lists are not supported",
		"a.['b']":                      requirement + `a[]: Invalid value: "": name part must be non-empty; ` + characters,
		"a.$b":                         requirement + `a[$b]: Invalid value: "$b": ` + characters,
		"a.b/c/d":                      requirement + `a[b/c/d]: Invalid value: "b/c/d": a valid label key must consist of…`,
		"metadata.name\"":              requirement + `metadata[name"]: Invalid value: "name\"": ` + characters,
		strings.Repeat("a.", 64) + "a": requirement + "a path has more than 64 fields",
	} {
		t.Run(selector, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(selector)
			require.Error(t, err)
			if prefix, found := strings.CutSuffix(want, "…"); found {
				// The library goes on with examples and the regular expression.
				require.Truef(t, strings.HasPrefix(err.Error(), prefix), "%v", err)
				return
			}
			require.EqualError(t, err, want)
		})
	}
}

// Databases bear few lists in lists.
func TestParseLists(t *testing.T) {
	t.Parallel()
	for _, list := range []string{"a[].", "a[1]."} {
		_, err := Parse(strings.Repeat(list, 4) + "a")
		require.NoError(t, err)
		_, err = Parse(strings.Repeat(list, 5) + "a")
		require.EqualError(t, err, "unable to parse requirement: a path has more than 4 lists")
	}
}
