package storageplugin

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseFileName(t *testing.T) {
	t.Parallel()
	valid := map[string]fileName{
		"internal.so":                           {name: "internal"},
		"memory.v2.so":                          {name: "memory.v2"},
		"my-storage.so":                         {name: "my-storage"},
		"a.so":                                  {name: "a"},
		"internal_v1.2.3.so":                    {name: "internal", version: "v1.2.3"},
		"internal_v1.2.3-rc.1+build.5.so":       {name: "internal", version: "v1.2.3-rc.1+build.5"},
		"internal_v0.9.0-46-gbece343b-dirty.so": {name: "internal", version: "v0.9.0-46-gbece343b-dirty"},
		"internal_v1.2.3_linux_arm64.so":        {name: "internal", version: "v1.2.3", arch: "arm64"},
		"internal_linux_amd64.so":               {name: "internal", arch: "amd64"},
	}
	for base, want := range valid {
		f, err := parseFileName(base)
		require.NoError(t, err, base)
		require.Equal(t, want, f, base)
		require.Equal(t, base, f.String())
	}
	for _, base := range []string{
		"", ".so", "internal", "internal.so.1", "my_storage.so", "internal_.so", "_v1.2.3.so", "internal_1.2.3.so", "internal_v1.2.so",
		"internal_v01.2.3.so", "internal_v1.2.3_.so", "internal_v1.2.3_linux.so", "internal_v1.2.3_darwin_amd64.so",
		"internal_linux_amd64_v1.2.3.so", "internal_v1.2.3_linux_amd64_x.so", "internal_v1.2.3_linux_AMD64.so", "-internal.so", "internal-.so",
		"in ternal.so", "internal\n.so", "dir/internal.so",
	} {
		_, err := parseFileName(base)
		require.ErrorContains(t, err, "is no name of a plugin: rename the file to name.so", base)
	}
}

func FuzzParseFileName(f *testing.F) {
	f.Add("internal.so")
	f.Add("internal_v1.2.3-rc.1+build.5_linux_amd64.so")
	f.Add("my_storage.so")
	f.Fuzz(func(t *testing.T, base string) {
		name, err := parseFileName(base)
		if err != nil {
			return
		}
		if name.String() != base {
			t.Errorf("%q is parsed as %+v", base, name)
		}
		if strings.ContainsAny(base, "/\x00") {
			t.Errorf("%q is taken for a file name", base)
		}
	})
}
