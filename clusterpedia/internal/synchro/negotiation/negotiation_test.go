package negotiation

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/membercluster"
	"clusterpedia.io/storage-api/storage"
)

// builtin are the kinds that this test's world is compiled with, the stored version
// first.
var builtin = map[schema.GroupKind][]string{
	{Kind: "Pod"}:                       {"v1"},
	{Kind: "ComponentStatus"}:           {"v1"},
	{Kind: "Node"}:                      {"v1"},
	{Group: "apps", Kind: "Deployment"}: {"v1", "v1beta2", "v1beta1"},
	{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}: {"v2", "v1", "v2beta1"},
	{Group: "policy", Kind: "PodDisruptionBudget"}:          {"v1", "v1beta1"},
	{Group: "coordination.k8s.io", Kind: "Lease"}:           {"v1"},
	{Group: "future.k8s.io", Kind: "Thing"}:                 {"v1"},
}

func kinds() Kinds {
	return Kinds{
		Versions: func(gk schema.GroupKind) []string { return builtin[gk] },
		StorageVersion: func(gk schema.GroupKind) (schema.GroupVersion, bool) {
			versions := builtin[gk]
			if len(versions) == 0 {
				return schema.GroupVersion{}, false
			}
			return schema.GroupVersion{Group: gk.Group, Version: versions[0]}, true
		},
	}
}

var all = []string{"get", "list", "watch"}

func group(name string, versions ...membercluster.Version) membercluster.Group {
	return membercluster.Group{Name: name, Versions: versions}
}

func version(name string, resources ...membercluster.Resource) membercluster.Version {
	return membercluster.Version{Version: name, Resources: resources}
}

func resource(name, kind string, verbs ...string) membercluster.Resource {
	if len(verbs) == 0 {
		verbs = all
	}
	return membercluster.Resource{Name: name, Singular: strings.ToLower(kind), Kind: kind, Namespaced: kind != "Node", Verbs: verbs}
}

func member() *membercluster.Served {
	widgets := resource("widgets", "Widget")
	hpas := resource("horizontalpodautoscalers", "HorizontalPodAutoscaler")
	return &membercluster.Served{
		Groups: []membercluster.Group{
			group("", version("v1", resource("pods", "Pod"), resource("nodes", "Node"), resource("componentstatuses", "ComponentStatus", "get", "list"))),
			group("apps", version("v1", resource("deployments", "Deployment"))),
			group("autoscaling", version("v1", hpas), version("v2", hpas)),
			group("policy", version("v1beta1", resource("poddisruptionbudgets", "PodDisruptionBudget"), resource("podsecuritypolicies", "PodSecurityPolicy"))),
			group("coordination.k8s.io", version("v1", resource("leases", "Lease"))),
			group("future.k8s.io", version("v7", resource("things", "Thing"))),
			group("example.io",
				version("v1", widgets, resource("gadgets", "Gadget")), version("v1beta2", widgets), version("v1beta1", widgets), version("v1alpha1", widgets)),
			group("metrics.k8s.io", version("v1beta1", resource("pods", "PodMetrics", "get", "list"))),
			group("other.io", version("v1", resource("others", "Other"))),
		},
		CustomGroups: map[string]bool{"example.io": true, "other.io": true},
	}
}

func entry(group string, resources string, versions ...string) v1alpha2.ClusterGroupResources {
	return v1alpha2.ClusterGroupResources{Group: group, Resources: strings.Fields(resources), Versions: versions}
}

func brief(resources []Resource) []string {
	var lines []string
	for _, r := range resources {
		line := fmt.Sprintf("%s/%s/%s", r.Group, r.Version, r.Resource)
		if r.Storage.Version != r.Version {
			line += " as " + r.Storage.Version
		}
		if r.Events {
			line += " with events"
		}
		lines = append(lines, line)
	}
	return lines
}

func TestNegotiate(t *testing.T) {
	t.Parallel()
	widgets := []string{"example.io/v1/widgets", "example.io/v1alpha1/widgets", "example.io/v1beta1/widgets", "example.io/v1beta2/widgets"}
	withEvents := func(e v1alpha2.ClusterGroupResources, names ...string) v1alpha2.ClusterGroupResources {
		e.EventsInvolvedResources = names
		return e
	}
	for name, test := range map[string]struct {
		entries   []v1alpha2.ClusterGroupResources
		allCustom bool
		noLeases  bool
		want      []string
	}{
		"nothing":                   {},
		"built-in":                  {entries: []v1alpha2.ClusterGroupResources{entry("apps", "deployments")}, want: []string{"apps/v1/deployments"}},
		"versions of built-in kind": {entries: []v1alpha2.ClusterGroupResources{entry("apps", "deployments", "v1beta1")}, want: []string{"apps/v1/deployments"}},
		"singular, any case":        {entries: []v1alpha2.ClusterGroupResources{entry("apps", "DEPLOYMENT Deployments deploy")}, want: []string{"apps/v1/deployments"}},
		"member prefers v1":         {entries: []v1alpha2.ClusterGroupResources{entry("autoscaling", "horizontalpodautoscalers")}, want: []string{"autoscaling/v1/horizontalpodautoscalers as v2"}},
		"member lacks the stored":   {entries: []v1alpha2.ClusterGroupResources{entry("policy", "poddisruptionbudgets")}, want: []string{"policy/v1beta1/poddisruptionbudgets as v1"}},
		"removed kind":              {entries: []v1alpha2.ClusterGroupResources{entry("policy", "podsecuritypolicies")}, want: []string{"policy/v1beta1/podsecuritypolicies"}},
		"member is too new":         {entries: []v1alpha2.ClusterGroupResources{entry("future.k8s.io", "things")}},
		"unknown":                   {entries: []v1alpha2.ClusterGroupResources{entry("nope.io", "things"), entry("apps", "nopes"), entry("", "pods")}, want: []string{"/v1/pods"}},
		"cannot be watched":         {entries: []v1alpha2.ClusterGroupResources{entry("metrics.k8s.io", "pods"), entry("", "componentstatuses")}},
		"custom, no versions":       {entries: []v1alpha2.ClusterGroupResources{entry("example.io", "widgets")}, want: []string{widgets[0], widgets[2], widgets[3]}},
		"custom, all versions":      {entries: []v1alpha2.ClusterGroupResources{entry("example.io", "widgets", "*")}, want: widgets},
		"custom, some versions":     {entries: []v1alpha2.ClusterGroupResources{entry("example.io", "widgets", "v1alpha1", "v9", "v1")}, want: widgets[:2]},
		"custom, no such version":   {entries: []v1alpha2.ClusterGroupResources{entry("example.io", "widgets", "v9")}},
		"wildcard in a group":       {entries: []v1alpha2.ClusterGroupResources{entry("", "nodes *")}, want: []string{"/v1/nodes", "/v1/pods"}},
		"wildcard in a custom group": {
			entries: []v1alpha2.ClusterGroupResources{entry("example.io", "*", "v1")}, want: []string{"example.io/v1/gadgets", "example.io/v1/widgets"},
		},
		"wildcard in an unknown group": {entries: []v1alpha2.ClusterGroupResources{entry("nope.io", "*")}},
		"first entry wins": {
			entries: []v1alpha2.ClusterGroupResources{withEvents(entry("", "pods"), "pods"), entry("apps", "deployments"), entry("", "nodes pods")},
			want:    []string{"/v1/pods with events", "/v1/nodes", "apps/v1/deployments"},
		},
		"events": {
			entries: []v1alpha2.ClusterGroupResources{withEvents(entry("", "*"), "*"), withEvents(entry("apps", "deployment"), "deployment"), withEvents(entry("policy", "*"), "other")},
			want: []string{
				"/v1/nodes with events", "/v1/pods with events", "apps/v1/deployments with events",
				"policy/v1beta1/poddisruptionbudgets as v1", "policy/v1beta1/podsecuritypolicies",
			},
		},
		"everything": {
			entries: []v1alpha2.ClusterGroupResources{entry("apps", "deployments"), withEvents(entry("*", "x"), "*")}, allCustom: true, noLeases: true,
			want: []string{
				"/v1/nodes with events", "/v1/pods with events", "apps/v1/deployments with events",
				"autoscaling/v1/horizontalpodautoscalers as v2 with events",
				"policy/v1beta1/poddisruptionbudgets as v1 with events", "policy/v1beta1/podsecuritypolicies with events",
				"example.io/v1/gadgets with events", widgets[0] + " with events", widgets[1] + " with events", widgets[2] + " with events", widgets[3] + " with events",
				"other.io/v1/others with events",
			},
		},
		"all custom resources": {
			entries: []v1alpha2.ClusterGroupResources{withEvents(entry("example.io", "widgets", "v1"), "widgets"), entry("", "pods")}, allCustom: true,
			want: []string{
				"/v1/pods", "example.io/v1/gadgets", widgets[0] + " with events", widgets[1] + " with events", widgets[2] + " with events", widgets[3] + " with events",
				"other.io/v1/others",
			},
		},
		"leases":    {entries: []v1alpha2.ClusterGroupResources{entry("coordination.k8s.io", "leases")}, want: []string{"coordination.k8s.io/v1/leases"}},
		"no leases": {entries: []v1alpha2.ClusterGroupResources{entry("coordination.k8s.io", "Lease *")}, noLeases: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			selection := Selection{Resources: test.entries, AllCustomResources: test.allCustom, IgnoreLeases: test.noLeases}
			require.Equal(t, test.want, brief(Negotiate(selection, member(), kinds())))
		})
	}
}

func TestNegotiateFillsIn(t *testing.T) {
	t.Parallel()
	got := Negotiate(Selection{Resources: []v1alpha2.ClusterGroupResources{entry("", "nodes")}}, member(), kinds())
	require.Len(t, got, 1)
	require.Equal(t, "Node", got[0].Kind)
	require.False(t, got[0].Namespaced)
	require.Equal(t, "v1/nodes", got[0].Storage.String())
}

func TestWhyAbsent(t *testing.T) {
	t.Parallel()
	stored := func(group, name string) storage.Resource {
		return storage.Resource{Group: group, Version: "v1", Resource: name}
	}
	s := Selection{Resources: []v1alpha2.ClusterGroupResources{entry("apps", "deployments"), entry("gone.io", "*"), entry("half.io", "*")}}
	served := member()
	served.Groups = append(served.Groups, group("half.io", version("v1"), membercluster.Version{Version: "v2", Unknown: true}))
	require.Equal(t, Unselected, WhyAbsent(s, served, kinds(), stored("", "pods")))
	require.Equal(t, Unselected, WhyAbsent(s, served, kinds(), stored("apps", "deployments")))
	require.Equal(t, Gone, WhyAbsent(s, served, kinds(), stored("apps", "olds")))
	require.Equal(t, Gone, WhyAbsent(s, served, kinds(), stored("gone.io", "things")))
	require.Equal(t, Undecided, WhyAbsent(s, served, kinds(), stored("half.io", "things")))
	s.AllCustomResources = true
	require.Equal(t, Gone, WhyAbsent(s, served, kinds(), stored("former.io", "things")))
	served.CustomGroups = nil
	require.Equal(t, Undecided, WhyAbsent(s, served, kinds(), stored("former.io", "things")))
	require.False(t, s.AllResources())
	s.Resources = []v1alpha2.ClusterGroupResources{entry("*", "*")}
	require.True(t, s.AllResources())
}

// TestWhyAVersionIsAbsent has resources that the member serves, in this version or in others.
func TestWhyAVersionIsAbsent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		entry  v1alpha2.ClusterGroupResources
		all    bool
		stored storage.Resource
		want   Absence
	}{
		"not served":                       {entry: entry("example.io", "widget"), stored: storage.Resource{Group: "example.io", Version: "v2", Resource: "widgets"}, want: Gone},
		"not served, of all versions":      {entry: entry("example.io", "*", "*"), stored: storage.Resource{Group: "example.io", Version: "v2", Resource: "widgets"}, want: Gone},
		"not served, of all custom ones":   {all: true, stored: storage.Resource{Group: "example.io", Version: "v2", Resource: "widgets"}, want: Gone},
		"not served, of some versions":     {entry: entry("example.io", "widgets", "v1", "v2"), stored: storage.Resource{Group: "example.io", Version: "v2", Resource: "widgets"}, want: Gone},
		"not served, of other versions":    {entry: entry("example.io", "widgets", "v1"), stored: storage.Resource{Group: "example.io", Version: "v2", Resource: "widgets"}, want: Unselected},
		"not served, of another resource":  {entry: entry("example.io", "gadgets"), stored: storage.Resource{Group: "example.io", Version: "v2", Resource: "widgets"}, want: Unselected},
		"served behind the first three":    {entry: entry("example.io", "widgets"), stored: storage.Resource{Group: "example.io", Version: "v1alpha1", Resource: "widgets"}, want: Unselected},
		"stored in one that is not served": {entry: entry("policy", "podsecuritypolicies"), stored: storage.Resource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}, want: Unselected},
		"member is too new":                {entry: entry("future.k8s.io", "*"), stored: storage.Resource{Group: "future.k8s.io", Version: "v1", Resource: "things"}, want: Unselected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Selection{Resources: []v1alpha2.ClusterGroupResources{test.entry}, AllCustomResources: test.all}
			require.Equal(t, test.want, WhyAbsent(s, member(), kinds(), test.stored))
		})
	}
}
