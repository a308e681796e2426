package negotiation

import (
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/membercluster"
	"clusterpedia.io/storage-api/storage"
)

func TestNegotiateExclusions(t *testing.T) {
	t.Parallel()
	everything := []v1alpha2.ClusterGroupResources{entry("*", "*")}
	exclude := func(group string, resources ...string) v1alpha2.ExcludedGroupResources {
		return v1alpha2.ExcludedGroupResources{Group: group, Resources: resources}
	}
	for name, test := range map[string]struct {
		entries   []v1alpha2.ClusterGroupResources
		allCustom bool
		excluded  []v1alpha2.ExcludedGroupResources
		want      []string
	}{
		"plural and singular, any case": {
			entries: []v1alpha2.ClusterGroupResources{entry("", "*"), entry("apps", "deployments")}, excluded: []v1alpha2.ExcludedGroupResources{exclude("", "Pod", "NODES")},
			want: []string{"apps/v1/deployments"},
		},
		"named outright": {entries: []v1alpha2.ClusterGroupResources{entry("", "pods nodes")}, excluded: []v1alpha2.ExcludedGroupResources{exclude("", "pods")}, want: []string{"/v1/nodes"}},
		"another group":  {entries: []v1alpha2.ClusterGroupResources{entry("", "pods")}, excluded: []v1alpha2.ExcludedGroupResources{exclude("apps", "pods")}, want: []string{"/v1/pods"}},
		"groups": {
			entries: everything, excluded: []v1alpha2.ExcludedGroupResources{exclude("example.io", "*"), exclude("policy", "*"), exclude("coordination.k8s.io", "*"), exclude("other.io", "others")},
			want: []string{"/v1/nodes", "/v1/pods", "apps/v1/deployments", "autoscaling/v1/horizontalpodautoscalers as v2"},
		},
		"a name in all groups": {
			entries: []v1alpha2.ClusterGroupResources{entry("", "*"), entry("example.io", "*")}, excluded: []v1alpha2.ExcludedGroupResources{exclude("*", "pods", "widget")},
			want: []string{"/v1/nodes", "example.io/v1/gadgets"},
		},
		"everything":           {entries: everything, excluded: []v1alpha2.ExcludedGroupResources{exclude("*", "*")}},
		"all custom resources": {allCustom: true, excluded: []v1alpha2.ExcludedGroupResources{exclude("example.io", "widgets")}, want: []string{"example.io/v1/gadgets", "other.io/v1/others"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			selection := Selection{Resources: test.entries, AllCustomResources: test.allCustom, Exclusions: v1alpha2.SyncExclusions{ExcludedResources: test.excluded}}
			require.Equal(t, test.want, brief(Negotiate(selection, member(), kinds())))
		})
	}
}

func TestNegotiatePrunes(t *testing.T) {
	t.Parallel()
	prune := func(group, resource string, fields ...string) v1alpha2.PrunedGroupResources {
		return v1alpha2.PrunedGroupResources{Group: group, Resources: []string{resource}, Fields: fields}
	}
	got := Negotiate(Selection{
		Resources: []v1alpha2.ClusterGroupResources{entry("", "pods nodes"), entry("apps", "deployments"), entry("autoscaling", "*")},
		Exclusions: v1alpha2.SyncExclusions{
			ExcludedNamespaces: []string{"b", "a", "b"},
			PrunedFields:       []v1alpha2.PrunedGroupResources{prune("*", "*", "status"), prune("", "Pod", "spec.a", "data", "status"), prune("apps", "pods", "x")},
		},
	}, member(), kinds())
	for i, want := range []struct{ name, fields, namespaces string }{
		{"pods", "data\nspec.a\nstatus", "a,b"}, {"nodes", "status", ""}, {"deployments", "status", "a,b"}, {"horizontalpodautoscalers", "status", "a,b"},
	} {
		require.Equal(t, want.name, got[i].GroupVersionResource.Resource)
		require.Equal(t, want.fields, got[i].PrunedFields, want.name)
		if got[i].Namespaced {
			require.Equal(t, want.namespaces, got[i].ExcludedNamespaces, want.name)
			continue
		}
		require.Empty(t, got[i].ExcludedNamespaces, want.name)
	}
}

func TestWhyAbsentWhenExcluded(t *testing.T) {
	t.Parallel()
	served := member()
	served.Groups = append(served.Groups, group("half.io", version("v1"), membercluster.Version{Version: "v2", Unknown: true}))
	s := Selection{
		Resources: []v1alpha2.ClusterGroupResources{entry("*", "*")},
		Exclusions: v1alpha2.SyncExclusions{ExcludedResources: []v1alpha2.ExcludedGroupResources{
			{Group: "half.io", Resources: []string{"things"}}, {Group: "", Resources: []string{"pod"}},
		}},
	}
	for resource, want := range map[storage.Resource]Absence{
		{Group: "half.io", Version: "v1", Resource: "things"}: Unselected,
		{Group: "half.io", Version: "v1", Resource: "others"}: Undecided,
		{Version: "v1", Resource: "pods"}:                     Unselected,
		{Group: "former.io", Version: "v1", Resource: "olds"}: Gone,
	} {
		require.Equal(t, want, WhyAbsent(s, served, kinds(), resource), resource.String())
	}
}

func TestUnserved(t *testing.T) {
	t.Parallel()
	served := member()
	served.Groups = append(served.Groups, group("half.io", version("v1"), membercluster.Version{Version: "v2", Unknown: true}))
	s := Selection{Resources: []v1alpha2.ClusterGroupResources{
		entry("", "Pod nodes nope componentstatuses *"), entry("gone.io", "* things"), entry("half.io", "unknown"), entry("apps", "deploy Deployments"), entry("apps", "deploy"),
	}}
	require.Equal(t, []string{"nope", "componentstatuses", "*.gone.io", "things.gone.io", "deploy.apps"}, Unserved(s, served))
	s.Resources = append(s.Resources, entry("*", "*"))
	require.Empty(t, Unserved(s, served))
}

func TestUnmatched(t *testing.T) {
	t.Parallel()
	excluded := func(group string, resources ...string) v1alpha2.ExcludedGroupResources {
		return v1alpha2.ExcludedGroupResources{Group: group, Resources: resources}
	}
	partly := member()
	for i := range partly.Groups {
		if partly.Groups[i].Name == "apps" {
			partly.Groups[i].Versions[0].Unknown = true
		}
	}
	for name, test := range map[string]struct {
		excluded []v1alpha2.ExcludedGroupResources
		pruned   []v1alpha2.PrunedGroupResources
		served   *membercluster.Served
		want     []string
	}{
		"all there": {excluded: []v1alpha2.ExcludedGroupResources{excluded("", "Pod", "NODES", "*"), excluded("apps", "deployments"), excluded("*", "widgets", "*")}},
		"unknown names": {
			excluded: []v1alpha2.ExcludedGroupResources{excluded("", "po"), excluded("*", "gizmos"), excluded("nope.io", "*", "things"), excluded("", "po")},
			want:     []string{"po", "gizmos.*", "*.nope.io", "things.nope.io"},
		},
		"pruned":   {pruned: []v1alpha2.PrunedGroupResources{{Group: "apps", Resources: []string{"deploy"}}}, want: []string{"deploy.apps"}},
		"not told": {excluded: []v1alpha2.ExcludedGroupResources{excluded("apps", "deploy"), excluded("*", "gizmos")}, served: partly},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.served == nil {
				test.served = member()
			}
			require.Equal(t, test.want, Unmatched(v1alpha2.SyncExclusions{ExcludedResources: test.excluded, PrunedFields: test.pruned}, test.served))
		})
	}
}
