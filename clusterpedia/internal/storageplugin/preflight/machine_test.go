package preflight

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAMD64Level(t *testing.T) {
	t.Parallel()
	flags := "fpu"
	require.Equal(t, 1, amd64Level("flags\t\t: "+flags+"\n"))
	for level, features := range amd64Features {
		flags += " " + strings.Join(features, " ")
		require.Equal(t, level+2, amd64Level("processor\t: 0\nflags\t\t: "+flags+"\n"))
	}
	// A level needs those below it.
	require.Equal(t, 1, amd64Level("flags : "+strings.Join(amd64Features[1], " ")))
	require.Equal(t, 0, amd64Level("Features : fp asimd\n"))
}

func TestMapped(t *testing.T) {
	t.Parallel()
	const maps = "00400000-00401000 r-xp 00000000 fe:00 1 /bin/host\n" +
		"7f00-7f01 rw-p 00000000 00:00 0 \n" +
		"7f01-7f02 r-xp 00000000 fe:00 2 /lib/x86_64-linux-gnu/libc.so.6\n"
	require.Equal(t, "/lib/x86_64-linux-gnu/libc.so.6", mapped(maps, "libc.so.6"))
	require.Empty(t, mapped(maps, "libm.so.6"))
}
