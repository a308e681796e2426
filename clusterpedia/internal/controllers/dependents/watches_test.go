package dependents

import (
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
)

var fleets = schema.GroupVersionResource{Group: "example.io", Version: "v1", Resource: "fleets"}

func newWatches(t *testing.T) (*Watches, *metadatafake.FakeMetadataClient, *dynamicfake.FakeDynamicClient, chan schema.GroupVersionResource) {
	t.Helper()
	names := metadatafake.NewSimpleMetadataClient(metadatafake.NewTestScheme())
	objects := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{fleets: "FleetList"})
	progressed := make(chan schema.GroupVersionResource, 100)
	w := New(t.Context(), names, objects, Listener{
		Changed:    func(Object) {},
		Progressed: func(r schema.GroupVersionResource) { progressed <- r },
	})
	t.Cleanup(w.Close)
	return w, names, objects, progressed
}

func TestBind(t *testing.T) {
	t.Parallel()
	w, _, _, progressed := newWatches(t)
	secrets := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	require.Empty(t, w.Bind("one", fleets, secrets))
	require.Equal(t, "one", w.Bind("two", fleets))
	require.Empty(t, w.Bind("two", secrets), "a reference of another one may be a source")
	require.ElementsMatch(t, []string{"one", "two"}, w.PoliciesWith(secrets))
	policy, ok := w.PolicyOf(fleets)
	require.True(t, ok)
	require.Equal(t, "one", policy)
	<-progressed
	<-progressed
	require.Eventually(t, func() bool { return w.Ready(fleets, secrets) == nil }, 10e9, 10e6)

	require.True(t, w.Release("one"))
	require.False(t, w.Release("one"))
	require.ErrorContains(t, w.Ready(fleets), "fleets.example.io are being read")
	require.NoError(t, w.Ready(secrets), "another one needs it")
	require.Empty(t, w.Bind("two", fleets), "in place of what it needed before")
	require.Empty(t, w.PoliciesWith(secrets))
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	w, names, _, progressed := newWatches(t)
	denied := apierrors.NewForbidden(fleets.GroupResource(), "", nil)
	names.PrependReactor("list", "fleets", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, denied })
	require.Empty(t, w.Bind("one", fleets))
	require.Equal(t, fleets, <-progressed)
	err := w.Ready(fleets)
	require.True(t, apierrors.IsForbidden(err))
	require.ErrorContains(t, err, "fleets.example.io cannot be read: ")
	require.False(t, JustBegun(err))
}

// What has vanished with its version is not taken for an object that was deleted.
func TestGet(t *testing.T) {
	t.Parallel()
	w, _, objects, _ := newWatches(t)
	o := Object{fleets, "default", "a"}
	_, err := w.Get(t.Context(), o)
	require.ErrorIs(t, err, ErrNotFound)
	require.True(t, apierrors.IsNotFound(err))
	gone := apierrors.NewGenericServerResponse(404, "get", fleets.GroupResource(), "a", "404 page not found", 0, true)
	objects.PrependReactor("get", "fleets", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, gone })
	_, err = w.Get(t.Context(), o)
	require.NotErrorIs(t, err, ErrNotFound)
	require.True(t, apierrors.IsNotFound(err), "so that versions are negotiated again")
}

func TestNameOnly(t *testing.T) {
	t.Parallel()
	u := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "b", UID: "c", ResourceVersion: "d", Labels: map[string]string{"e": "f"}}}
	got, err := nameOnly(u)
	require.NoError(t, err)
	require.Equal(t, &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "b", UID: "c", ResourceVersion: "d"}}, got)
	require.Equal(t, "example.io/v1/fleets b/a", Object{fleets, "b", "a"}.String())
	require.Equal(t, "v1/nodes a", Object{schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, "", "a"}.String())
}
