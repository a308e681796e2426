package process

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNamespace cannot run beside others, since it changes the environment.
func TestNamespace(t *testing.T) {
	t.Setenv("CLUSTERPEDIA_NAMESPACE", "somewhere")
	require.Equal(t, "somewhere", Namespace())
	t.Setenv("CLUSTERPEDIA_NAMESPACE", "")
	require.NotEmpty(t, Namespace(), "that of the service account, or the default")
}
