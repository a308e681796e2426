package conformance

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpedia.io/testbed/stack"
)

// testColumns compares the columns of all kinds that the host cluster has, of most of which
// there is no object: they are those that kubectl prints, behind that of the cluster. The
// contract has others, those of earlier releases, for definitions of custom resources, and for
// custom resources whose definition has no columns.
func (m *mirrored) testColumns(t *testing.T) {
	const name = "columns"
	ctx := t.Context()
	read := func(address string, into any, a asking) int {
		t.Helper()
		r, err := m.ask(ctx, address, a)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(r.body, into), r)
		return r.status
	}
	var groups metav1.APIGroupList
	read(m.Host.URL()+"/apis", &groups, asking{})
	groups.Groups = append(groups.Groups, metav1.APIGroup{PreferredVersion: metav1.GroupVersionForDiscovery{GroupVersion: "v1"}})
	var selected []stack.SyncResource
	var lists []string
	for _, g := range groups.Groups {
		path := "/apis/" + g.PreferredVersion.GroupVersion
		if g.Name == "" {
			path = "/api/v1"
		}
		var known metav1.APIResourceList
		read(m.Host.URL()+path, &known, asking{})
		resources := stack.SyncResource{Group: g.Name}
		for _, r := range known.APIResources {
			if !slices.Contains(r.Verbs, "watch") || r.Name == "leases" { // which are never copied
				continue
			}
			resources.Resources = append(resources.Resources, r.Name)
			if r.Name != "customresourcedefinitions" && r.Name != "clustersyncresources" {
				lists = append(lists, path+"/"+r.Name)
			}
		}
		if len(resources.Resources) > 0 {
			selected = append(selected, resources)
		}
	}
	require.Greater(t, len(lists), 40)
	require.NoError(t, m.AddCluster(ctx, name, m.Host.Kubeconfig(), selected...))
	t.Cleanup(func() { require.NoError(t, m.RemoveCluster(context.WithoutCancel(ctx), name)) })
	require.NoError(t, m.WaitSynced(ctx, name, syncLimit, nil))
	require.NoError(t, m.until(ctx, func() error { return m.check(ctx, &Case{}, "C("+name+")"+lists[len(lists)-1]) })) // the apiserver follows
	a := asking{accept: "application/json" + asTable, query: "limit=1"}
	for _, path := range lists {
		var want, got metav1.Table
		require.Equal(t, http.StatusOK, read(m.Host.URL()+path, &want, a), path)
		require.Equal(t, http.StatusOK, read(m.URL()+expand("C("+name+")")+path, &got, a), path)
		require.NotEmpty(t, got.ColumnDefinitions, path)
		require.Equal(t, "Cluster", got.ColumnDefinitions[0].Name, path)
		if !slices.Equal(want.ColumnDefinitions, got.ColumnDefinitions[1:]) {
			t.Errorf("the columns of %s are\n%+v, not\n%+v", path, got.ColumnDefinitions[1:], want.ColumnDefinitions)
		}
	}
	t.Logf("the columns of %d resources are the same", len(lists))
}
