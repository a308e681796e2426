package query_test

import (
	"slices"
	"testing"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

func TestCompare(t *testing.T) {
	t.Parallel()
	change := func(change func(*object.Object)) *object.Object {
		o := pod()
		change(o)
		return o
	}
	// Each changed object sorts behind pod() by the field.
	for by, behind := range map[query.OrderField]*object.Object{
		query.ByGroup:           change(func(o *object.Object) { o.Group = "a" }),
		query.ByVersion:         change(func(o *object.Object) { o.Version = "v1alpha1" }),
		query.ByResource:        change(func(o *object.Object) { o.Resource.Resource = "services" }),
		query.ByKind:            change(func(o *object.Object) { o.Kind = "pod"; o.Cluster = "a" }),
		query.ByCluster:         change(func(o *object.Object) { o.Cluster = "c10" }),
		query.ByNamespace:       change(func(o *object.Object) { o.Namespace = "é" }),
		query.ByName:            change(func(o *object.Object) { o.Name = "web-10" }),
		query.ByUID:             change(func(o *object.Object) { o.UID = "uid-2"; o.Cluster = "a" }),
		query.ByController:      change(func(o *object.Object) { o.Controller = "rs-2"; o.Cluster = "a" }),
		query.ByResourceVersion: change(func(o *object.Object) { o.ResourceVersion = "10"; o.Cluster = "a" }),
		query.ByCreatedAt:       change(func(o *object.Object) { o.CreatedAt = created.Add(1); o.Cluster = "a" }),
		query.ByDeletedAt:       change(func(o *object.Object) { o.DeletedAt = created; o.Cluster = "a" }),
		query.BySyncedAt:        change(func(o *object.Object) { o.SyncedAt = created; o.Cluster = "a" }),
	} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			ascending := &query.Query{Order: []query.Order{{By: by}}}
			descending := &query.Query{Order: []query.Order{{By: by, Desc: true}}}
			if query.Compare(ascending, pod(), behind) >= 0 || query.Compare(ascending, behind, pod()) <= 0 {
				t.Error("wrong ascending")
			}
			if query.Compare(descending, pod(), behind) <= 0 || query.Compare(descending, behind, pod()) >= 0 {
				t.Error("wrong descending")
			}
			if query.Compare(ascending, pod(), pod()) != 0 {
				t.Error("an object is not equal to itself")
			}
		})
	}
}

func TestCompareCoversAllFields(t *testing.T) {
	t.Parallel()
	if got := len(query.OrderFields()); got != 13 {
		t.Errorf("there are %d fields to sort by: add the new one to TestCompare", got)
	}
}

func TestDefaultOrder(t *testing.T) {
	t.Parallel()
	key := func(group, version, resource, cluster, namespace, name string) *object.Object {
		return &object.Object{Key: object.Key{
			Cluster: cluster, Resource: object.Resource{Group: group, Version: version, Resource: resource}, Namespace: namespace, Name: name,
		}}
	}
	want := []*object.Object{
		key("", "v1", "pods", "c1", "", "z"),
		key("", "v1", "pods", "c1", "default", "B"),
		key("", "v1", "pods", "c1", "default", "a"),
		key("", "v1", "pods", "c1", "default", "a-b"),
		key("", "v1", "pods", "c1", "default", "a.b"),
		key("", "v1", "pods", "c1", "default", "é"),
		key("", "v1", "pods", "c2", "a", "a"),
		key("", "v1", "secrets", "c1", "a", "a"),
		key("", "v2", "pods", "c1", "a", "a"),
		key("apps", "v1", "deployments", "c1", "a", "a"),
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, func(a, b *object.Object) int { return query.Compare(&query.Query{}, a, b) })
	if !slices.Equal(got, want) {
		t.Error("the default order is wrong")
	}
}

func TestVersionNumber(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"": 0, "0": 0, "7": 7, "007": 7, "-7": 0, "+7": 0, "a": 0, "7a": 0, " 7": 0, "1.5": 0, "٣": 0,
		"999999999999999999": 999999999999999999, "1000000000000000000": 0, "18446744073709551616": 0,
	} {
		if got := query.VersionNumber(text); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}

func TestPathString(t *testing.T) {
	t.Parallel()
	for want, path := range map[string][]query.PathElement{
		"":                                     nil,
		"kind":                                 words("kind"),
		"spec.nodeName":                        words("spec", "nodeName"),
		"metadata.annotations['example.io/a']": words("metadata", "annotations", "example.io/a"),
		"['a b'].c":                            words("a b", "c"),
		"spec.containers[].image":              {{Name: "spec"}, all("containers"), {Name: "image"}},
		"spec.containers[0].ports[12]":         {{Name: "spec"}, at("containers", 0), at("ports", 12)},
		"['a.b'][]":                            {all("a.b")},
	} {
		if got := query.PathString(path); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestSelects(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		selector query.Type
		of       object.Resource
		want     bool
	}{
		{query.Type{}, pods, true},
		{query.Type{}, deployments, false},
		{query.Type{Group: query.AnyGroup}, deployments, true},
		{query.Type{Group: "apps"}, deployments, true},
		{query.Type{Group: "apps", Version: "v2"}, deployments, false},
		{query.Type{Group: "apps", Resource: "deployments"}, deployments, true},
		{query.Type{Version: "v1", Resource: "pods"}, pods, true},
	} {
		if got := x.selector.Selects(x.of); got != x.want {
			t.Errorf("%+v selects %s: %t, want %t", x.selector, x.of, got, x.want)
		}
	}
}
