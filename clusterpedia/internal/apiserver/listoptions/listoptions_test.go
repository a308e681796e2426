package listoptions

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1beta1 "clusterpedia.io/api/clusterpedia/v1beta1"
	"clusterpedia.io/storage-api/query"
)

// Every option of the API is in the table, or read by somebody else.
func TestTableIsComplete(t *testing.T) {
	t.Parallel()
	elsewhere := []string{
		"labelSelector", "fieldSelector", // readLabelSelector, readFieldSelector
		"groups", "resources", // CollectionTypes
		"whereSQL", "whereSQLStatement", "whereSQLParam", "whereSQLJSONParams", // storage layers
		// The stock handlers.
		"watch", "allowWatchBookmarks", "resourceVersion", "resourceVersionMatch", "timeoutSeconds",
		"sendInitialEvents", "shardSelector",
	}
	p := &parser{query: &query.Query{}}
	var inTable []string
	for _, o := range p.options() {
		if o.url != "" {
			require.NotContains(t, inTable, o.url)
			inTable = append(inTable, o.url)
		}
		require.Equal(t, o.label == "", o.take == takeNone, o.url)
	}
	var fields []string
	for _, kind := range []reflect.Type{reflect.TypeFor[metav1.ListOptions](), reflect.TypeFor[v1beta1.ListOptions]()} {
		for i := range kind.NumField() {
			if name, _, _ := strings.Cut(kind.Field(i).Tag.Get("json"), ","); name != "" {
				fields = append(fields, name)
			}
		}
	}
	for _, name := range fields {
		require.NotEqual(t, slices.Contains(inTable, name), slices.Contains(elsewhere, name), name)
	}
	for _, name := range inTable {
		require.Contains(t, fields, name)
	}
}

func TestNamespaces(t *testing.T) {
	t.Parallel()
	const label = "labelSelector=search.clusterpedia.io/namespaces"
	for q, want := range map[string][]string{
		"": nil, "namespaces=": nil, "namespaces=a": {"a"}, "namespaces=a,b&names=x": {"a", "b"}, label + "%3Da": {"a"}, label + "%3Da&namespaces=b": {"b"},
		"namespaces=a&limit=x": nil, "namespaces=a&labelSelector=%3D": nil, "namespaces=%00": nil,
	} {
		values, err := url.ParseQuery(q)
		require.NoError(t, err)
		require.Equal(t, want, Namespaces(values), q)
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	const label = "labelSelector=search.clusterpedia.io/"
	for q, want := range map[string]struct {
		events     bool
		projection query.Projection
		count      query.Count
	}{
		"":                           {},
		"injectEvents=true":          {events: true},
		"injectEvents":               {events: true},
		"injectEvents=False":         {},
		label + "inject-events=true": {events: true},
		label + "inject-events=0":    {},
		label + "inject-events":      {},
		"injectEvents=false&" + label + "inject-events=true": {},
		"onlyMetadata=1":                      {projection: query.Metadata},
		"onlyMetadata=0":                      {},
		"onlyMetadata=true&injectEvents=true": {events: true, projection: query.Metadata},
		label + "only-metadata=true":          {},
		"withRemainingCount=yes":              {count: query.CountExact},
		"withRemainingCount=false":            {},
	} {
		t.Run(q, func(t *testing.T) {
			t.Parallel()
			options, err := list{query: q}.parse(t)
			require.NoError(t, err)
			require.Equal(t, want.events, options.Query.Events)
			require.Equal(t, want.projection, options.Query.Projection)
			require.Equal(t, want.count, options.Query.Count)
		})
	}
}

// The label to forward a request is no condition, whatever it says.
func TestForward(t *testing.T) {
	t.Parallel()
	for _, requirement := range []string{"search.clusterpedia.io/forward", "search.clusterpedia.io/forward=false", "!search.clusterpedia.io/forward"} {
		options, err := list{query: "labelSelector=app=web," + requirement}.parse(t)
		require.NoError(t, err)
		require.Equal(t, []query.LabelRequirement{{Key: "app", Operator: query.In, Values: []string{"web"}}}, options.Query.Labels)
		require.Empty(t, options.Warnings)
	}
}

func TestLabelRequirements(t *testing.T) {
	t.Parallel()
	options, err := list{query: "labelSelector=g<9,f>1,!e,d,c notin (y,x,y),b!=x,a==x,in in (z,y)"}.parse(t)
	require.NoError(t, err)
	require.Equal(t, []query.LabelRequirement{
		{Key: "a", Operator: query.In, Values: []string{"x"}},
		{Key: "b", Operator: query.NotIn, Values: []string{"x"}},
		{Key: "c", Operator: query.NotIn, Values: []string{"x", "y"}},
		{Key: "d", Operator: query.Exists},
		{Key: "e", Operator: query.NotExists},
		{Key: "f", Operator: query.GreaterThan, Values: []string{"1"}},
		{Key: "g", Operator: query.LessThan, Values: []string{"9"}},
		{Key: "in", Operator: query.In, Values: []string{"y", "z"}},
	}, options.Query.Labels)
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	const label = "labelSelector=search.clusterpedia.io/"
	for q, want := range map[string][]string{
		"names=web&limit=1&orderby=name&unknown=x&labelSelector=app!=x": nil,
		label + "names in (a,b)":                                nil,
		label + "clustres=x":                                    {`search label "search.clusterpedia.io/clustres" is unknown and was ignored`},
		label + "only-metadata=true":                            {`search label "search.clusterpedia.io/only-metadata" is unknown and was ignored`},
		"labelSelector=internalstorage.clusterpedia.io/fuzzy=x": {`search label "internalstorage.clusterpedia.io/fuzzy" is unknown and was ignored`},
		label + "names!=a":                                      {`search label "search.clusterpedia.io/names" ignores its operator: it selects its values, as with "in"`},
		label + "limit>3":                                       {`search label "search.clusterpedia.io/limit" ignores its operator: it selects its values, as with "in"`},
		label + "names":                                         {`search label "search.clusterpedia.io/names" has no value and was ignored`},
		label + "owner-uid in (a,b)":                            {`search label "search.clusterpedia.io/owner-uid" takes one value and was ignored: it has 2`},
		label + "limit in (2,1)":                                {`search label "search.clusterpedia.io/limit" takes one value: "1" was used`},
		label + "names=a,search.clusterpedia.io/names=b":        {`search label "search.clusterpedia.io/names" is given more than once, only the first counts`},
		"ownerSeniority=1":                                      {"ownerGR and ownerSeniority were ignored: they need ownerUID or ownerName"},
		"orderby=id":                                            {"objects have no id to sort by, the default order was used in its place"},
	} {
		t.Run(q, func(t *testing.T) {
			t.Parallel()
			options, err := list{query: q}.parse(t)
			require.NoError(t, err)
			require.Equal(t, want, options.Warnings)
		})
	}
}

func TestParams(t *testing.T) {
	t.Parallel()
	values := url.Values{"whereSQL": {"a", "b"}, "whereSQLParam": {"c"}, "names": {"web"}}
	options, err := Parse(Input{Values: values, Params: []string{"whereSQL", "whereSQLStatement"}})
	require.NoError(t, err)
	require.Equal(t, map[string][]string{"whereSQL": {"a", "b"}}, options.Query.Params)

	options, err = Parse(Input{Values: values})
	require.NoError(t, err)
	require.Nil(t, options.Query.Params)

	_, err = Parse(Input{Values: url.Values{"whereSQL": {"\x00"}}, Params: []string{"whereSQL"}})
	require.EqualError(t, err, `whereSQL: must be UTF-8 text without NUL, not "\x00"`)
}

func TestNothingAsked(t *testing.T) {
	t.Parallel()
	options, err := Parse(Input{})
	require.NoError(t, err)
	require.Equal(t, &Options{Query: &query.Query{}}, options)
}

func TestSize(t *testing.T) {
	t.Parallel()
	const many, most = "the search has 10001 names and values, it may have 10000", "labelSelector and fieldSelector have 257 requirements, a search may have 256"
	for q, want := range map[string]string{
		"names=" + strings.Repeat("a,", 9997) + "a":                                                    "",
		"names=" + strings.Repeat("a,", 9999) + "a":                                                    many,
		"clusters=" + strings.Repeat("a,", 9999) + "a":                                                 many,
		"namespaces=" + strings.Repeat("a,", 9999) + "a":                                               many,
		"labelSelector=a" + strings.Repeat(",a", 255):                                                  "",
		"labelSelector=a" + strings.Repeat(",a", 256):                                                  most,
		"fieldSelector=a" + strings.Repeat(",a", 256):                                                  most,
		"fieldSelector=a" + strings.Repeat(",a", 127) + "&labelSelector=a" + strings.Repeat(",a", 128): most,
	} {
		_, err := list{query: q}.parse(t)
		if want == "" {
			require.NoError(t, err)
		} else {
			require.EqualError(t, err, want)
		}
	}
}
