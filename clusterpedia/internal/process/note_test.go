package process

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// TestNote has leaders follow each other on one Lease.
func TestNote(t *testing.T) {
	t.Parallel()
	free := lease("", "1")
	free.UID = "one"
	client := fake.NewClientset(free)
	get := func() *coordinationv1.Lease {
		l, err := client.CoordinationV1().Leases("system").Get(t.Context(), "manager", metav1.GetOptions{})
		require.NoError(t, err)
		return l
	}
	lead := func(left string, notes ...string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		require.NoError(t, election().Run(ctx, client, func(_ context.Context, term Term) error {
			require.Equal(t, left, term.Left)
			for _, text := range notes {
				asked := make(chan struct{}, 100)
				term.Note(func() string { asked <- struct{}{}; return text })
				<-asked
				<-asked // so that the first was written
			}
			return nil
		}))
	}
	lead("")
	require.Empty(t, get().Annotations)
	lead("", "a", "b")
	require.Equal(t, map[string]string{noteAnnotation: "one:b"}, get().Annotations)
	lead("b")
	lead("b", strings.Repeat("x", MaxNote+1)) // it is not written
	lead("b", "")
	lead("", "c")
	// A copy of it in another cluster is none.
	copied := get()
	copied.UID = "two"
	require.NoError(t, client.Tracker().Update(coordinationv1.SchemeGroupVersion.WithResource("leases"), copied, "system"))
	lead("")
	require.Equal(t, "one:c", get().Annotations[noteAnnotation])
}
