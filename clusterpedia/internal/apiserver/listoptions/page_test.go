package listoptions

import (
	"fmt"
	"math"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/query"
)

func TestPageCases(t *testing.T) {
	t.Parallel()
	const label = "labelSelector=search.clusterpedia.io/"
	number := func(n int64) *int64 { return &n }
	const token = "token" // any that is no number
	for q, want := range map[string]struct {
		items     int
		more      string
		remaining *int64
		err       string
	}{
		"limit=3&withContinue=true":            {items: 3, more: "3"},
		"limit=3&withContinue=true&continue=3": {items: 3, more: "6"},
		"limit=3&withContinue=true&continue=6": {},
		"limit=4&withContinue=true&continue=4": {items: 2},
		"limit=3":                              {items: 3, more: token},
		"limit=3&continue=0":                   {items: 3, more: "3"},
		"limit=3&continue=2":                   {items: 3, more: "5"},
		"limit=3&continue=3":                   {items: 3},
		"limit=6":                              {items: 6},
		"limit=3&withContinue=false":           {items: 3},
		"limit=3&withContinue=0&continue=1":    {items: 3},
		"withContinue=true":                    {items: 6},

		"limit=4&continue=4&withContinue=true&withRemainingCount=true": {items: 2, remaining: number(0)},
		"limit=4&continue=40&withRemainingCount=true":                  {remaining: number(0)},
		"limit=1&withRemainingCount=true":                              {items: 1, more: token, remaining: number(5)},
		"limit=1&withRemainingCount=false":                             {items: 1, more: token},

		"limit=-1":                               {items: 6},
		"limit=0":                                {items: 6},
		"limit=9223372036854775807&continue=1":   {items: 5},
		"limit=abc":                              {err: `strconv.ParseInt: parsing "abc": invalid syntax`},
		"limit=":                                 {err: `strconv.ParseInt: parsing "": invalid syntax`},
		"limit=9223372036854775808":              {err: `strconv.ParseInt: parsing "9223372036854775808": value out of range`},
		label + "limit=2":                        {items: 2, more: token},
		label + "limit=abc":                      {err: `Invalid Query Limit: strconv.ParseInt: parsing "abc": invalid syntax`},
		"limit=1&" + label + "limit=3":           {items: 1, more: token},
		"limit=0&" + label + "limit=3":           {items: 3, more: token},
		"limit=-1&" + label + "limit=3":          {items: 6},
		label + "limit in (4,5)":                 {items: 4, more: token},
		"continue=abc":                           {err: `invalid query: continue "abc": not a token of this server`},
		"continue=abc&" + label + "offset=1":     {err: `Invalid Query Offset(abc): strconv.ParseInt: parsing "abc": invalid syntax`},
		label + "offset=abc":                     {err: `Invalid Query Offset(abc): strconv.ParseInt: parsing "abc": invalid syntax`},
		"continue=5&" + label + "offset=1":       {items: 1},
		label + "offset=1":                       {items: 5},
		"limit=2&" + label + "offset=1":          {items: 2, more: "3"},
		label + "offset=99999999999999999999":    {err: `Invalid Query Offset(99999999999999999999): strconv.ParseInt: parsing "99999999999999999999": value out of range`},
		"limit=2&continue=-5":                    {items: 2, more: "2"},
		"limit=2&continue=99999999999999999999":  {},
		"limit=2&continue=-99999999999999999999": {items: 2, more: "2"},

		"limit=2&" + label + "with-continue":                         {items: 2, more: token},
		"limit=2&" + label + "with-continue=":                        {items: 2, more: "2"},
		"limit=2&" + label + "with-continue=banana":                  {items: 2, more: "2"},
		"limit=2&" + label + "with-continue=FALSE":                   {items: 2},
		"limit=2&withContinue":                                       {items: 2, more: "2"},
		"limit=2&withContinue=false&" + label + "with-continue=true": {items: 2},
		"limit=1&" + label + "with-remaining-count=true":             {items: 1, more: token, remaining: number(5)},

		"resourceVersion=5&resourceVersionMatch=Exact": {items: 6},
	} {
		t.Run(q, func(t *testing.T) {
			t.Parallel()
			options, err := list{query: q}.parse(t)
			if want.err != "" {
				require.EqualError(t, err, want.err)
				return
			}
			require.NoError(t, err)
			found, meta := answer(t, options)
			require.Len(t, found, want.items)
			require.Equal(t, want.remaining, meta.RemainingItemCount)
			if want.more != token {
				require.Equal(t, want.more, meta.Continue)
				return
			}
			require.False(t, options.DecimalContinue)
			require.Equal(t, options.Query.ContinueAfter(found[len(found)-1]), meta.Continue)
		})
	}
}

// A client that follows continue sees every object once, whatever kind of continue
// it gets.
func TestPagesAreComplete(t *testing.T) {
	t.Parallel()
	for _, q := range []string{
		"limit=1", "limit=4", "limit=4&withContinue=true", "limit=2&orderby=created_at desc,kind",
		"limit=2&labelSelector=search.clusterpedia.io/with-continue=true",
	} {
		t.Run(q, func(t *testing.T) {
			t.Parallel()
			seen := map[string]int{}
			for next := ""; ; {
				options, err := list{query: q + "&continue=" + url.QueryEscape(next)}.parse(t)
				require.NoError(t, err)
				found, meta := answer(t, options)
				for _, o := range found {
					seen[o.String()]++
				}
				if next = meta.Continue; next == "" {
					break
				}
			}
			require.Len(t, seen, 6)
			for key, times := range seen {
				require.Equal(t, 1, times, key)
			}
		})
	}
}

func TestTokenOfAnotherQuery(t *testing.T) {
	t.Parallel()
	options, err := list{query: "limit=1"}.parse(t)
	require.NoError(t, err)
	_, meta := answer(t, options)
	require.NotEmpty(t, meta.Continue)

	_, err = list{query: "limit=1&names=web&continue=" + meta.Continue}.parse(t)
	require.ErrorContains(t, err, "the token belongs to another query, start again without it")

	// What does not change the objects may change between pages.
	options, err = list{query: "limit=3&onlyMetadata=1&injectEvents=1&withRemainingCount=1&withContinue=1&continue=" + meta.Continue}.parse(t)
	require.NoError(t, err)
	require.False(t, options.DecimalContinue)
	found, meta := answer(t, options)
	require.Len(t, found, 3)
	require.Equal(t, options.Query.ContinueAfter(found[2]), meta.Continue)
}

func TestNumbersCanBeAdded(t *testing.T) {
	t.Parallel()
	options, err := list{query: fmt.Sprintf("limit=%d&continue=%d", math.MaxInt64, math.MaxInt64)}.parse(t)
	require.NoError(t, err)
	require.Positive(t, options.Query.Limit+options.Query.Offset)
}

func TestListMetaWithoutCount(t *testing.T) {
	t.Parallel()
	three := int64(3)
	negative := int64(-34)
	no := false
	options := &Options{Query: &query.Query{}}
	require.Equal(t, &three, options.ListMeta(query.Page{Remaining: &three}, 1).RemainingItemCount)
	require.Zero(t, *options.ListMeta(query.Page{Remaining: &negative}, 1).RemainingItemCount)
	require.Nil(t, options.ListMeta(query.Page{}, 1).RemainingItemCount)
	options.WithRemainingCount = &no
	require.Nil(t, options.ListMeta(query.Page{Remaining: &three}, 1).RemainingItemCount)
	require.Empty(t, options.ListMeta(query.Page{Continue: "x"}, 1).Continue, "no limit was sent")
}

func TestCountByDefault(t *testing.T) {
	t.Parallel()

	for text, want := range map[string]query.Count{
		"": query.CountExact, "withRemainingCount=false": query.CountNone, "withRemainingCount=true": query.CountExact,
	} {
		values, err := url.ParseQuery(text)
		require.NoError(t, err)
		options, err := Parse(Input{Values: values, Count: query.CountExact})
		require.NoError(t, err)
		require.Equal(t, want, options.Query.Count, text)
	}
}
