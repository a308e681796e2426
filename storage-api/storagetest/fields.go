package storagetest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

// fieldsCases store one thing for each body and ask for fields of it.
type fieldsCases struct {
	bodies  map[string]string // by the name of the thing
	filters []filter
}

// path reads a path written as a.b[].c[0], with names in quotes where they are
// no plain words: a.'b.c'.
func path(text string) []query.PathElement {
	var elements []query.PathElement
	for text != "" {
		var e query.PathElement
		if strings.HasPrefix(text, "'") {
			e.Name, text, _ = strings.Cut(text[1:], "'")
		} else {
			end := strings.IndexAny(text+".", ".[")
			e.Name, text = text[:end], text[end:]
		}
		if strings.HasPrefix(text, "[") {
			var index string
			index, text, _ = strings.Cut(text[1:], "]")
			e.List, e.Index = true, query.AllElements
			if index != "" {
				e.Index, _ = strconv.Atoi(index)
			}
		}
		text = strings.TrimPrefix(text, ".")
		elements = append(elements, e)
	}
	return elements
}

func field(text string, op query.Operator, values ...string) query.Query {
	return query.Query{Fields: []query.FieldRequirement{{Path: path(text), Operator: op, Values: values}}}
}

// where joins the conditions of queries on fields.
func where(queries ...query.Query) query.Query {
	var q query.Query
	for _, other := range queries {
		q.Fields = append(q.Fields, other.Fields...)
	}
	return q
}

func filterFields(t *testing.T, s suite) {
	for name, cases := range map[string]fieldsCases{
		"values": fieldValues(), "comparisons": fieldComparisons(), "lists": fieldLists(), "paths": fieldPaths(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all []*object.Object
			for name, body := range cases.bodies {
				all = append(all, thing{name: name, body: body}.object())
			}
			s.filters(t, all, cases.filters)
		})
	}
}

func fieldValues() fieldsCases {
	return fieldsCases{
		bodies: map[string]string{
			"none":   ``,
			"text":   `"spec":{"v":"web"}`,
			"upper":  `"spec":{"v":"Web"}`,
			"spaced": `"spec":{"v":"web "}`,
			"empty":  `"spec":{"v":""}`,
			"null":   `"spec":{"v":null}`,
			"yes":    `"spec":{"v":true}`,
			"no":     `"spec":{"v":false}`,
			"yestxt": `"spec":{"v":"true"}`,
			"three":  `"spec":{"v":3}`,
			"threet": `"spec":{"v":"3"}`,
			"minus":  `"spec":{"v":-3}`,
			"max":    `"spec":{"v":9223372036854775807}`,
			"object": `"spec":{"v":{}}`,
			"list":   `"spec":{"v":[]}`,
			"quotes": `"spec":{"v":"it's \"x\"\\"}`,
			"accent": `"spec":{"v":"\u00e9\ud83d\ude00"}`,
			"slash":  `"spec":{"v":"a\/b"}`,
			"nulltx": `"spec":{"v":"null"}`,
			"lines":  `"spec":{"v":"a\nb\tc"}`,
		},
		filters: []filter{
			{"in, text", field("spec.v", query.In, "web"), "text"},
			{"in, texts", field("spec.v", query.In, "Web", "none", "web"), "text upper"},
			{"in, many", field("spec.v", query.In, many("web")...), "text"},
			{"in, the empty text", field("spec.v", query.In, ""), "empty"},
			{"in, blank behind", field("spec.v", query.In, "web "), "spaced"},
			{"in, wildcards", field("spec.v", query.In, "w%", "w_b", "*"), ""},
			{"in, true", field("spec.v", query.In, "true"), "yes yestxt"},
			{"in, false", field("spec.v", query.In, "false"), "no"},
			{"in, 1 is not true", field("spec.v", query.In, "1"), ""},
			{"in, 0 is not false", field("spec.v", query.In, "0"), ""},
			{"in, number", field("spec.v", query.In, "3"), "three threet"},
			{"in, negative number", field("spec.v", query.In, "-3"), "minus"},
			{"in, greatest number", field("spec.v", query.In, "9223372036854775807"), "max"},
			{"in, quotes and backslash", field("spec.v", query.In, `it's "x"\`), "quotes"},
			{"in, escaped in the document", field("spec.v", query.In, "é😀"), "accent"},
			{"in, escaped slash", field("spec.v", query.In, "a/b"), "slash"},
			{"in, lines", field("spec.v", query.In, "a\nb\tc"), "lines"},
			{"in, null is a text only", field("spec.v", query.In, "null"), "nulltx"},
			{
				"notin holds for what is absent", field("spec.v", query.NotIn, "web"),
				"accent empty lines list max minus no none null nulltx object quotes slash spaced three threet upper yes yestxt",
			},
			{
				"notin, several", where(field("spec.v", query.NotIn, "web", "Web", "3", "true", "false", ""), field("spec.v", query.Exists)),
				"accent lines list max minus nulltx object quotes slash spaced",
			},
			{
				"exists", field("spec.v", query.Exists),
				"accent empty lines list max minus no nulltx object quotes slash spaced text three threet upper yes yestxt",
			},
			{"notexists: absent or null", field("spec.v", query.NotExists), "none null"},
			{"an object exists", where(field("spec", query.Exists), field("spec.v", query.NotExists)), "null"},
			{"of metadata", field("metadata.name", query.In, "none", "text"), "none text"},
			{"of the root", where(field("kind", query.In, "Pod"), field("metadata.name", query.In, "none")), "none"},
		},
	}
}

func fieldComparisons() fieldsCases {
	bodies := map[string]string{"none": ``}
	for name, value := range map[string]string{
		"n9": `9`, "n10": `10`, "n-7": `-7`, "n0": `0`, "half": `9.5`, "true": `true`, "null": `null`, "object": `{"a":50}`, "list": `[50]`,
		"t10": `"10"`, "t-7": `"-7"`, "zeros": `"0010"`, "t10.0": `"10.0"`, "plus": `"+10"`, "blank": `" 10"`, "behind": `"10 "`, "empty": `""`,
		"unit": `"10Mi"`, "hex": `"0x10"`, "minus": `"-"`, "double": `"--7"`, "wide": `"１０"`, "digits18": `"999999999999999999"`,
		"digits19": `"1000000000000000000"`, "max": `9223372036854775807`, "big": `100000000000000000000`,
	} {
		bodies[name] = `"spec":{"v":` + value + `}`
	}
	return fieldsCases{
		bodies: bodies,
		filters: []filter{
			{"greater", field("spec.v", query.GreaterThan, "9"), "digits18 n10 t10 zeros"},
			{"greater, equal", field("spec.v", query.GreaterThan, "10"), "digits18"},
			{"greater, negative", field("spec.v", query.GreaterThan, "-8"), "digits18 n-7 n0 n10 n9 t-7 t10 zeros"},
			{"greater, the greatest number", field("spec.v", query.GreaterThan, "9223372036854775807"), ""},
			{"greater, the least number", field("spec.v", query.GreaterThan, "-9223372036854775808"), "digits18 n-7 n0 n10 n9 t-7 t10 zeros"},
			{"less", field("spec.v", query.LessThan, "10"), "n-7 n0 n9 t-7"},
			{"less, equal", field("spec.v", query.LessThan, "-7"), ""},
			{"less, zero", field("spec.v", query.LessThan, "0"), "n-7 t-7"},
			{"less, the greatest number", field("spec.v", query.LessThan, "9223372036854775807"), "digits18 n-7 n0 n10 n9 t-7 t10 zeros"},
			{"between", where(field("spec.v", query.GreaterThan, "0"), field("spec.v", query.LessThan, "100")), "n10 n9 t10 zeros"},
			{"absent field", field("spec.none", query.LessThan, "10"), ""},
		},
	}
}

func fieldLists() fieldsCases {
	return fieldsCases{
		bodies: map[string]string{
			"none":    ``,
			"two":     `"spec":{"c":[{"name":"app","image":"web:1","ports":[{"p":80},{"p":443}]},{"name":"side","image":"log:2"}]}`,
			"one":     `"spec":{"c":[{"name":"app","image":"web:2","ports":[{"p":8080}]}]}`,
			"swapped": `"spec":{"c":[{"name":"side","image":"log:2"},{"name":"app","image":"web:1"}]}`,
			"empty":   `"spec":{"c":[]}`,
			"nulls":   `"spec":{"c":[null,{"name":null}]}`,
			"object":  `"spec":{"c":{"name":"app","0":{"name":"app"},"ports":{"p":80}}}`,
			"text":    `"spec":{"c":"app"}`,
			"texts":   `"spec":{"t":["a","b","true"]}`,
			"mixed":   `"spec":{"t":[1,true,null,"x",{"name":"y"},["z"]]}`,
			"nested":  `"spec":{"t":[["a"],["b"]]}`,
		},
		filters: []filter{
			{"any element is", field("spec.c[].name", query.In, "side"), "swapped two"},
			{"any element is one of", field("spec.c[].image", query.In, "web:1", "web:2"), "one swapped two"},
			{"no element is", field("spec.c[].name", query.NotIn, "side"), "empty mixed nested none nulls object one text texts"},
			{"any element has", field("spec.c[].name", query.Exists), "one swapped two"},
			{"no element has", field("spec.c[].name", query.NotExists), "empty mixed nested none nulls object text texts"},
			{"the first is", field("spec.c[0].name", query.In, "app"), "one two"},
			{"the second is", field("spec.c[1].name", query.In, "app"), "swapped"},
			{"the second is not", where(field("spec.c[1].name", query.NotIn, "app"), field("spec.c[]", query.Exists)), "nulls one two"},
			{"there is a first", field("spec.c[0]", query.Exists), "one swapped two"},
			{"there is a second", field("spec.c[1]", query.Exists), "nulls swapped two"},
			{"there is no second", where(field("spec.c[1]", query.NotExists), field("spec.c", query.Exists)), "empty object one text"},
			{"index far behind", field("spec.c[2147483647]", query.Exists), ""},
			{"any element", field("spec.c[]", query.Exists), "nulls one swapped two"},
			{"the list itself", field("spec.c", query.Exists), "empty nulls object one swapped text two"},
			{"list in list, in", field("spec.c[].ports[].p", query.In, "443"), "two"},
			{"list in list, first", field("spec.c[].ports[0].p", query.In, "443", "8080"), "one"},
			{"list in list, greater", field("spec.c[].ports[].p", query.GreaterThan, "443"), "one"},
			{"list in list, less", field("spec.c[].ports[].p", query.LessThan, "443"), "two"},
			{
				"list in list, greater and less by different elements",
				where(field("spec.c[].ports[].p", query.GreaterThan, "400"), field("spec.c[].ports[].p", query.LessThan, "100")), "two",
			},
			{
				"conditions may hold for different elements",
				where(field("spec.c[].name", query.In, "side"), field("spec.c[].image", query.In, "web:1")), "swapped two",
			},
			{"texts, in", field("spec.t[]", query.In, "b", "x"), "mixed texts"},
			{"texts, true", field("spec.t[]", query.In, "true"), "mixed texts"},
			{"texts, number", field("spec.t[]", query.In, "1"), "mixed"},
			{"texts, first", field("spec.t[0]", query.In, "a", "1"), "mixed texts"},
			{"texts, notin", where(field("spec.t[]", query.NotIn, "a"), field("spec.t", query.Exists)), "mixed nested"},
			{"null elements are absent", field("spec.t[2]", query.Exists), "texts"},
			{"fields of some elements", field("spec.t[].name", query.In, "y"), "mixed"},
			{"a path without brackets leads through no list", field("spec.c.name", query.In, "app"), "object"},
			{"a list without brackets is no element", field("spec.t", query.In, "a"), ""},
			{"a name is no index", field("spec.c.0.name", query.Exists), "object"},
			{"brackets lead to no member of an object", field("spec.c[0].name", query.In, "side"), "swapped"},
			{"brackets on a text", where(field("spec.c[0]", query.Exists), field("spec.c", query.In, "app")), ""},
		},
	}
}

func fieldPaths() fieldsCases {
	// Names that mean something in one of the path languages of databases.
	odd := []string{
		"a.b", "a/b", "example.io/x.y", `a"b`, `a\b`, "a b", "$", "$.a", "*", "**", "[0]", "a[0]", "{a}", "a,b", "?", "@", "#", "%", "_",
		"0", "-1", "last", "null", "true", "É", "😀", "a\nb", ":x", "--", "/*", ";", "`", "~1", "~",
	}
	c := fieldsCases{bodies: map[string]string{
		"none":   ``,
		"plain":  `"spec":{"a":{"b":"x","c":{"d":"deep"}},"ab":"x"}`,
		"upper":  `"Spec":{"a":{"b":"x"}},"spec":{"A":{"b":"x"}}`,
		"scalar": `"spec":{"a":"b"}`,
		"quoted": `"spec":{"it's":"x"}`,
	}}
	c.filters = []filter{
		{"nested", field("spec.a.c.d", query.In, "deep"), "plain"},
		{"other case", field("Spec.a.b", query.Exists), "upper"},
		{"other case within", field("spec.A.b", query.Exists), "upper"},
		{"through a text", field("spec.a.b", query.Exists), "plain"},
		{"single quote", query.Query{Fields: []query.FieldRequirement{
			{Path: []query.PathElement{{Name: "spec"}, {Name: "it's"}}, Operator: query.In, Values: []string{"x"}},
		}}, "quoted"},
	}
	for i, name := range odd {
		thing := fmt.Sprint("odd-", i)
		c.bodies[thing] = fmt.Sprintf(`"spec":{"odd":{%s:"value"}}`, quoted(name))
		at := []query.PathElement{{Name: "spec"}, {Name: "odd"}, {Name: name}}
		with := func(op query.Operator, values ...string) query.Query {
			return query.Query{Fields: []query.FieldRequirement{{Path: at, Operator: op, Values: values}}}
		}
		but := with(query.NotIn, "value")
		but.Names = []string{thing, "plain"}
		c.filters = append(c.filters,
			filter{fmt.Sprintf("in %q", name), with(query.In, "value"), thing},
			filter{fmt.Sprintf("exists %q", name), with(query.Exists), thing},
			filter{fmt.Sprintf("notin %q", name), but, "plain"})
	}
	return c
}
