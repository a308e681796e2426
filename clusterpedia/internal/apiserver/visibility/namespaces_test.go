package visibility

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/object"
)

// Where namespaces are not synced, those of objects are found without reading all of them.
func TestUsedNamespaces(t *testing.T) {
	t.Parallel()
	var objects []object.Object
	add := func(cluster, group, resource, namespace string, n int) {
		for i := range n {
			r := object.Resource{Group: group, Version: "v1", Resource: resource}
			objects = append(objects, object.Object{Key: object.Key{Cluster: cluster, Resource: r, Namespace: namespace, Name: fmt.Sprintf("%s-%05d", resource, i)}})
		}
	}
	add("one", "", "pods", "big", 10*namespacesPage)
	add("one", "", "pods", "small", 2)
	add("one", "", "secrets", "other", namespacesPage)
	add("one", "apps", "deployments", "other", 1)
	add("one", "apps", "deployments", "zoo", 1)
	add("one", "", "nodes", "", 3*namespacesPage)
	add("two", "", "pods", "foreign", 3)
	c := checker(t, &rules{})
	s := &shelf{objects: objects}
	c.Storage = s
	names, err := c.knownNamespaces(t.Context(), "one")
	require.NoError(t, err)
	require.Equal(t, []string{"big", "other", "small", "zoo"}, names)
	require.Less(t, s.read.Load(), int64(3*namespacesPage), "most of a namespace is skipped")
	lists := s.lists.Load()
	_, err = c.knownNamespaces(t.Context(), "one")
	require.NoError(t, err)
	require.Equal(t, lists, s.lists.Load(), "they are remembered")
	names, err = c.usedNamespaces(t.Context(), "nope")
	require.NoError(t, err)
	require.Empty(t, names)
}

// Callers who ask at once wait for one answer.
func TestNamespacesAtOnce(t *testing.T) {
	t.Parallel()
	c := checker(t, &rules{})
	s := &shelf{namespaces: []string{"a", "b"}, wait: make(chan struct{})}
	c.Storage = s
	var callers sync.WaitGroup
	answers := make(chan []string, 20)
	for range cap(answers) {
		callers.Go(func() {
			names, err := c.knownNamespaces(t.Context(), "one")
			if err == nil {
				answers <- names
			}
		})
	}
	require.Eventually(t, func() bool { return s.lists.Load() == 1 }, 10*time.Second, time.Millisecond)
	close(s.wait)
	callers.Wait()
	require.Len(t, answers, cap(answers))
	require.True(t, slices.Equal([]string{"a", "b"}, <-answers))
	require.EqualValues(t, 1, s.lists.Load())
}
