package storagetest

import (
	"testing"

	"clusterpedia.io/storage-api/query"
)

func filterLabels(t *testing.T, s suite) {
	type labels = map[string]string
	all := objects(
		thing{name: "none"},
		thing{name: "web", labels: labels{"app": "web", "tier": "front", "example.io/part-of": "shop"}},
		thing{name: "db", labels: labels{"app": "db", "tier": "back", "app.kubernetes.io/name": "postgres"}},
		thing{name: "empty", labels: labels{"app": ""}},
		thing{name: "upper", labels: labels{"App": "Web", "app": "WEB"}},
		thing{name: "numbers", labels: labels{"n": "10", "m": "-3", "app": "web2"}},
		thing{name: "nine", labels: labels{"n": "9"}},
		thing{name: "padded", labels: labels{"n": "0010"}},
		thing{name: "fraction", labels: labels{"n": "10.5"}},
		thing{name: "text", labels: labels{"n": "10a"}},
		thing{name: "long", labels: labels{"n": "1000000000000000000"}},
		thing{name: "odd", labels: labels{"a.b/c-d_e": "x_y.z-0", "a": "b"}},
		thing{name: "nested", labels: labels{"a.b": "c", "a": "c"}},
		// A member may hold what its API server would refuse today.
		thing{name: "quotes", labels: labels{`it's "x"\`: `it's "x"\`, "%": "%", "?": "?", "$": "$"}},
		thing{name: "spaced", labels: labels{"app": "web "}},
	)
	where := func(key string, op query.Operator, values ...string) query.Query {
		return query.Query{Labels: []query.LabelRequirement{{Key: key, Operator: op, Values: values}}}
	}
	both := func(a, b query.Query) query.Query {
		return query.Query{Labels: append(a.Labels, b.Labels...)}
	}
	s.filters(t, all, []filter{
		{"in, one value", where("app", query.In, "web"), "web"},
		{"in, several values", where("app", query.In, "db", "web", "none"), "db web"},
		{"in, many values", where("app", query.In, many("web")...), "web"},
		{"in, value of other case", where("app", query.In, "Web"), ""},
		{"in, key of other case", where("App", query.In, "Web"), "upper"},
		{"in, part of the value", where("app", query.In, "we"), ""},
		{"in, wildcard", where("app", query.In, "%", "web%", "w_b"), ""},
		{"in, the empty value", where("app", query.In, ""), "empty"},
		{"in, the empty value or another", where("app", query.In, "", "web"), "empty web"},
		{"in, blank behind", where("app", query.In, "web "), "spaced"},
		{"in, key with dots and a slash", where("example.io/part-of", query.In, "shop"), "web"},
		{"in, key with many dots", where("app.kubernetes.io/name", query.In, "postgres"), "db"},
		{"in, odd key", where("a.b/c-d_e", query.In, "x_y.z-0"), "odd"},
		{"in, a key is no path", where("a.b", query.In, "c"), "nested"},
		{"in, quotes and backslash", where(`it's "x"\`, query.In, `it's "x"\`), "quotes"},
		{"in, percent sign", where("%", query.In, "%"), "quotes"},
		{"in, question mark", where("?", query.In, "?"), "quotes"},
		{"in, dollar sign", where("$", query.In, "$"), "quotes"},
		{"in, unknown key", where("none", query.In, "web"), ""},
		{
			"notin holds for an absent label", where("tier", query.NotIn, "front"),
			"db empty fraction long nested nine none numbers odd padded quotes spaced text upper",
		},
		{
			"notin, several values", where("app", query.NotIn, "web", "db", "", "web2", "WEB"),
			"fraction long nested nine none odd padded quotes spaced text",
		},
		{"notin, value of other case", both(where("app", query.NotIn, "web"), where("app", query.Exists)), "db empty numbers spaced upper"},
		{"exists", where("app", query.Exists), "db empty numbers spaced upper web"},
		{"exists, key with dots and a slash", where("example.io/part-of", query.Exists), "web"},
		{"exists, quotes", where(`it's "x"\`, query.Exists), "quotes"},
		{"exists, part of a key", where("example.io", query.Exists), ""},
		{"notexists", where("app", query.NotExists), "fraction long nested nine none odd padded quotes text"},
		{"notexists, unknown key", both(where("x.io/y", query.NotExists), where("tier", query.Exists)), "db web"},
		{"greater", where("n", query.GreaterThan, "9"), "numbers padded"},
		{"greater, a text of digits would sort otherwise", where("n", query.GreaterThan, "8"), "nine numbers padded"},
		{"greater, equal", where("n", query.GreaterThan, "10"), ""},
		{"greater, negative", where("m", query.GreaterThan, "-4"), "numbers"},
		{"greater, the least number", where("n", query.GreaterThan, "-9223372036854775808"), "nine numbers padded"},
		{"greater, sign", where("n", query.GreaterThan, "+9"), "numbers padded"},
		{"less", where("n", query.LessThan, "10"), "nine"},
		{"less, the greatest number", where("n", query.LessThan, "9223372036854775807"), "nine numbers padded"},
		{"less, negative", where("m", query.LessThan, "-2"), "numbers"},
		{"less, texts", where("app", query.LessThan, "10"), ""},
		{"several keys", both(where("app", query.In, "web", "db"), where("tier", query.NotIn, "back")), "web"},
		{"one key twice", both(where("n", query.GreaterThan, "8"), where("n", query.LessThan, "10")), "nine"},
		{"contradiction", both(where("app", query.Exists), where("app", query.NotExists)), ""},
	})
}
