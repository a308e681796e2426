package fieldselector

import (
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/query"
)

// Whatever is accepted is a valid query, whose paths read back as they are
// written.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", ",", "!a", "a=b", "a == b,c!=d", "a in (b,,c)", "a notin ()", "a>1,b<-1", ".metadata.annotations['a.b/c']=x",
		`spec.containers[].name="x"`, "a[0][1]", "['a'].\"b\"", "..", "a['x'", "in notin (in)", "a=\xff", "a\x00b", "[[]]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, selector string) {
		fields, err := Parse(selector)
		if err != nil {
			require.Empty(t, fields)
			return
		}
		require.NoError(t, (&query.Query{Fields: fields}).Validate())
		for i, r := range fields {
			again, err := Parse(query.PathString(r.Path))
			require.NoError(t, err)
			require.Equal(t, []query.FieldRequirement{{Path: r.Path, Operator: query.Exists}}, again)
			if i > 0 {
				require.LessOrEqual(t, query.PathString(fields[i-1].Path), query.PathString(r.Path))
			}
		}
	})
}
