package preflight

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/digest"
)

func TestFindContract(t *testing.T) {
	t.Parallel()
	const other = "clusterpedia.io/storage-api v2.0.0-rc.1 0123456789abcdef\n"
	own := digest.Version + "+" + digest.Source
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"nothing":            {},
		"alone":              {digest.Text, []string{own}},
		"between texts":      {"before" + digest.Text + "after", []string{own}},
		"twice":              {digest.Text + strings.Repeat("x", 3<<20) + digest.Text, []string{own}},
		"two":                {digest.Text + other, []string{own, "v2.0.0-rc.1+0123456789abcdef"}},
		"the source of it":   {`const Text = "clusterpedia.io/storage-api " + Version + " " + Source + "\n"`, nil},
		"a line of a go.sum": {"clusterpedia.io/storage-api v1.0.0 h1:0123456789abcdef=\n", nil},
		"cut off":            {strings.TrimSuffix(digest.Text, "\n"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := map[string]bool{}
			require.NoError(t, findContract(iotest.OneByteReader(strings.NewReader(tc.text)), found))
			require.Equal(t, tc.want, slices.Sorted(maps.Keys(found)))
		})
	}

	// Wherever it lies, also across the ends of chunks.
	for at := contractChunk - 1; at <= contractChunk+2*maxContractText; at++ {
		found := map[string]bool{}
		require.NoError(t, findContract(strings.NewReader(strings.Repeat("x", at)+digest.Text), found))
		require.Contains(t, found, own, at)
	}

	broken := errors.New("broken")
	require.ErrorIs(t, findContract(iotest.ErrReader(broken), map[string]bool{}), broken)
	require.LessOrEqual(t, len(other), maxContractText)
}

// TestContractTextOfAnother checks a file that is no longer what was read.
func TestContractTextOfAnother(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.so")
	im := &Image{Path: path}
	_, err := im.ContractText()
	require.ErrorContains(t, err, "a.so is not readable")
	require.NoError(t, os.WriteFile(path, []byte("text\n"), 0o644))
	_, err = im.ContractText()
	require.EqualError(t, err, path+" is a text file")
}
