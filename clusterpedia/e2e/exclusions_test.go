package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// exclusions are the fields of a PediaCluster that leave something out.
type exclusions struct {
	ExcludedNamespaces []string         `json:"excludedNamespaces"`
	ExcludedResources  []map[string]any `json:"excludedResources"`
	PrunedFields       []map[string]any `json:"prunedFields"`
}

// exclude changes what is left out of member-1.
func (d *deployment) exclude(t *testing.T, e exclusions) {
	t.Helper()
	patch, err := json.Marshal(map[string]any{"spec": e})
	require.NoError(t, err)
	d.mustKubectl(t, "--context", "host", "patch", "pediacluster", "member-1", "--type", "merge", "-p", string(patch))
}

// compareWithout checks every object that is served of member-1 against the member,
// which has more.
func (d *deployment) compareWithout(ctx context.Context, gvr schema.GroupVersionResource, excluded func(namespace string) bool, prune func(o map[string]any)) error {
	want, err := expected(ctx, gvr)
	if err != nil {
		return err
	}
	got, err := d.list(ctx, gvr)
	if err != nil {
		return err
	}
	for key, w := range want {
		if strings.HasPrefix(key, "member-1/") {
			if excluded(w.GetNamespace()) {
				delete(want, key)
				continue
			}
			prune(w.Object)
		}
		g := got[key]
		if g == nil {
			return fmt.Errorf("%s: %s is missing", gvr.Resource, key)
		}
		g.SetAPIVersion(w.GetAPIVersion())
		g.SetKind(w.GetKind())
		if !reflect.DeepEqual(normal(w.Object), normal(g.Object)) {
			return fmt.Errorf("%s: %s is served as %v, want %v", gvr.Resource, key, g.Object, w.Object)
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%s: %d objects are served, want %d", gvr.Resource, len(got), len(want))
	}
	return nil
}

func nothing(string) bool  { return false }
func whole(map[string]any) {}

// TestExclusions leaves namespaces, resources and fields of a member out, and takes
// them in again.
func TestExclusions(t *testing.T) {
	s := sqlStorages()["SQLite"](t)
	d := deploy(t, "internal", s.config)
	d.startManager(t)
	d.startAPIServer(t)
	d.register(t)
	eventually(t, seconds, func() error { return d.compare(t.Context()) })
	before := s.snapshot(t)
	stored := func(gvr schema.GroupVersionResource) (keys []string) {
		for key := range s.snapshot(t) {
			if strings.HasPrefix(key, "member-1/"+gvr.Resource+"/") {
				keys = append(keys, key)
			}
		}
		return keys
	}

	secrets := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	t.Run("namespaces", func(t *testing.T) {
		d.exclude(t, exclusions{ExcludedNamespaces: []string{"kube-*", "default"}})
		gone := func(namespace string) bool { return strings.HasPrefix(namespace, "kube-") || namespace == "default" }
		for _, gvr := range selected() {
			eventually(t, seconds, func() error { return d.compareWithout(t.Context(), gvr, gone, whole) })
		}
		require.NotEmpty(t, stored(pods), "other namespaces are there")
		// Whatever happens there is not copied.
		client := shared.members[0].client.Resource(configMaps)
		for _, namespace := range []string{"default", "kube-system"} {
			o := configMap("left-out", "one")
			o.SetNamespace(namespace)
			_, err := client.Namespace(namespace).Create(t.Context(), o, metav1.CreateOptions{})
			require.NoError(t, err)
		}
		other := slices.DeleteFunc(namespaces(t), gone)[0]
		o := configMap("let-in", "one")
		o.SetNamespace(other)
		_, err := client.Namespace(other).Create(t.Context(), o, metav1.CreateOptions{})
		require.NoError(t, err)
		eventually(t, seconds, func() error { return d.compareWithout(t.Context(), configMaps, gone, whole) })
		for namespace, name := range map[string]string{"default": "left-out", "kube-system": "left-out", other: "let-in"} {
			require.NoError(t, client.Namespace(namespace).Delete(t.Context(), name, metav1.DeleteOptions{}))
		}
		d.exclude(t, exclusions{})
		eventually(t, seconds, func() error { return d.compare(t.Context()) })
	})

	t.Run("resources", func(t *testing.T) {
		d.exclude(t, exclusions{ExcludedResources: []map[string]any{{"group": "", "resources": []string{"Secret"}}, {"group": "apps", "resources": []string{"*"}}}})
		eventually(t, seconds, func() error {
			if left := append(stored(secrets), stored(deployments)...); len(left) > 0 {
				return fmt.Errorf("%d rows are left, %s one of them", len(left), left[0])
			}
			return nil
		})
		require.NotEmpty(t, stored(pods))
		eventually(t, seconds, func() error {
			_, err := d.kubectl(t.Context(), "--context", "host", "get", "--raw", "/apis/clusterpedia.io/v1beta1/resources/clusters/member-1/api/v1/secrets")
			if err == nil {
				return fmt.Errorf("still served")
			}
			return nil
		})
		d.exclude(t, exclusions{})
		eventually(t, seconds, func() error { return d.compare(t.Context()) })
	})

	prune := func(o map[string]any) {
		unstructured.RemoveNestedField(o, "data")
		unstructured.RemoveNestedField(o, "metadata", "labels")
	}
	t.Run("fields", func(t *testing.T) {
		d.exclude(t, exclusions{PrunedFields: []map[string]any{
			{"group": "", "resources": []string{"configmaps", "secret"}, "fields": []string{"data", "metadata.labels"}},
			{"group": "apps", "resources": []string{"*"}, "fields": []string{"spec.template.spec.containers[*].image"}},
		}})
		images := func(o map[string]any) {
			containers, _, err := unstructured.NestedSlice(o, "spec", "template", "spec", "containers")
			require.NoError(t, err)
			for _, c := range containers {
				container, ok := c.(map[string]any)
				require.True(t, ok)
				delete(container, "image")
			}
			require.NoError(t, unstructured.SetNestedSlice(o, containers, "spec", "template", "spec", "containers"))
		}
		eventually(t, seconds, func() error { return d.compareWithout(t.Context(), configMaps, nothing, prune) })
		eventually(t, seconds, func() error { return d.compareWithout(t.Context(), secrets, nothing, prune) })
		eventually(t, seconds, func() error { return d.compareWithout(t.Context(), deployments, nothing, images) })
		require.NoError(t, d.compareWithout(t.Context(), pods, nothing, whole))
		eventually(t, seconds, func() error {
			if out := d.mustKubectl(t, "--context", "host", "get", "pediacluster", "member-1", "-o", "jsonpath={.status.prunedFields}"); strings.Contains(out, "rewriting") || !strings.Contains(out, "containers.image") {
				return fmt.Errorf("the status says %s", out)
			}
			return nil
		})
	})

	t.Run("a manager that starts writes what was not written so", func(t *testing.T) {
		now := s.snapshot(t)
		require.NoError(t, d.manager.Kill())
		d.startManager(t)
		eventually(t, time.Minute, func() error { return d.compareWithout(t.Context(), configMaps, nothing, prune) })
		require.NoError(t, d.WaitSynced(t.Context(), "member-1", syncLimit, nil))
		require.Empty(t, now.changed(s.snapshot(t)))
		require.NoError(t, d.manager.Kill())
		d.exclude(t, exclusions{})
		d.startManager(t)
		eventually(t, time.Minute, func() error { return d.compare(t.Context()) })
		require.Len(t, before, len(s.snapshot(t)))
		eventually(t, seconds, func() error {
			if out := d.mustKubectl(t, "--context", "host", "get", "pediacluster", "member-1", "-o", "jsonpath={.status.prunedFields}"); out != "" {
				return fmt.Errorf("the status says %s", out)
			}
			return nil
		})
	})

	t.Run("refusals", func(t *testing.T) {
		d.exclude(t, exclusions{PrunedFields: []map[string]any{{"group": "", "resources": []string{"pods"}, "fields": []string{"metadata.uid"}}}})
		eventually(t, seconds, func() error {
			status, err := d.Status(t.Context(), "member-1")
			if err != nil {
				return err
			}
			for _, c := range status.Conditions {
				if c.Type == "Validated" && c.Reason == "InvalidSyncResources" && strings.Contains(c.Message, `spec.prunedFields[0].fields[0]: "metadata.uid" cannot be left out`) {
					return nil
				}
			}
			return fmt.Errorf("the conditions are %v", status.Conditions)
		})
		_, err := d.kubectl(t.Context(), "--context", "host", "patch", "pediacluster", "member-1", "--type", "merge", "-p", `{"spec":{"prunedFields":[{"group":"","resources":["pods"],"fields":[]}]}}`)
		require.ErrorContains(t, err, "spec.prunedFields[0].fields")
		_, err = d.kubectl(t.Context(), "--context", "host", "patch", "pediacluster", "member-1", "--type", "merge", "-p", `{"spec":{"excludedResources":[{"group":""}]}}`)
		require.ErrorContains(t, err, "spec.excludedResources[0].resources")
		d.exclude(t, exclusions{})
		eventually(t, seconds, func() error { return d.compare(t.Context()) })
	})
}

// namespaces returns those of member-1 that have pods.
func namespaces(t *testing.T) (names []string) {
	t.Helper()
	list, err := shared.members[0].client.Resource(pods).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, item := range list.Items {
		names = append(names, item.GetNamespace())
	}
	slices.Sort(names)
	return slices.Compact(names)
}
