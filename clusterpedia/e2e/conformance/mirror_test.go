package conformance

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/testbed/stack"
)

// mirror makes objects in the host cluster, and copies them.
func (d *deployment) mirror(ctx context.Context) error {
	definition := document{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": document{"name": "gadgets.negotiated.example.io"},
		"spec": document{
			"group": "negotiated.example.io", "scope": "Namespaced", "names": document{"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"},
			"versions": []any{document{
				"name": "v1", "served": true, "storage": true, "schema": document{"openAPIV3Schema": document{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
				"additionalPrinterColumns": oddColumns(),
			}},
		},
	}
	odd, err := url.PathUnescape(oddName)
	if err != nil {
		return err
	}
	gadgets := schema.GroupVersionResource{Group: "negotiated.example.io", Version: "v1", Resource: "gadgets"}
	pod := document{"metadata": document{"labels": document{"app": "web"}}, "spec": document{"containers": []any{document{"name": "web", "image": "web"}}}}
	objects := []struct {
		schema.GroupVersionResource
		namespace string
		object    document
	}{
		{schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}, "", definition},
		{namespaces.GroupVersionResource, "", document{"apiVersion": "v1", "kind": "Namespace", "metadata": document{"name": mirrorNamespace}}},
		{configMaps.GroupVersionResource, mirrorNamespace, document{"apiVersion": "v1", "kind": "ConfigMap", "metadata": document{"name": "long"}, "data": document{"text": strings.Repeat("a long <text> & \"more\" ", 6_000)}}},
		{configMaps.GroupVersionResource, mirrorNamespace, document{"apiVersion": "v1", "kind": "ConfigMap", "metadata": document{"name": "short", "annotations": document{"a": "b"}}, "data": document{"key": "日本 <&> \u2028"}}},
		{deployments.GroupVersionResource, mirrorNamespace, document{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": document{"name": "web"}, "spec": document{"selector": document{"matchLabels": document{"app": "web"}}, "template": pod}}},
		{schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}, mirrorNamespace, document{
			"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": document{"name": "web"}, "spec": document{
				"scaleTargetRef": document{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": int64(3),
				"metrics": []any{document{"type": "Resource", "resource": document{"name": "memory", "target": document{"type": "Utilization", "averageUtilization": int64(50)}}}},
			},
		}},
		{schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"}, "", document{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": document{"name": odd, "labels": document{"odd": "true"}}, "rules": []any{},
		}},
		{gadgets, mirrorNamespace, document{"apiVersion": "negotiated.example.io/v1", "kind": "Gadget", "metadata": document{"name": "one"}, "spec": document{
			"size": int64(3), "text": strings.Repeat("<x> ", 35_000), "word": "three", "float": 1.5, "on": true, "object": document{"a": document{"b": "c"}}, "none": nil,
			"list": []any{document{"name": "a", "ready": "yes"}, document{"name": "b"}, "c"}, "when": "yesterday", "since": "2020-01-02T03:04:05Z", "future": "2999-01-02T03:04:05Z", "huge": int64(9007199254740993),
		}}},
		{gadgets, mirrorNamespace, document{"apiVersion": "negotiated.example.io/v1", "kind": "Gadget", "metadata": document{"name": "two"}, "spec": "none"}},
	}
	for _, o := range objects {
		err := d.until(ctx, func() error { // a new resource is served with a delay
			_, err := d.dynamic.Resource(o.GroupVersionResource).Namespace(o.namespace).Create(ctx, &unstructured.Unstructured{Object: o.object}, metav1.CreateOptions{})
			return err
		})
		if err != nil {
			return fmt.Errorf("create %s: %w", o.GroupVersionResource, err)
		}
	}
	err = d.AddCluster(ctx, mirrorName, d.Host.Kubeconfig(),
		stack.SyncResource{Resources: []string{"configmaps"}}, stack.SyncResource{Group: "apps", Resources: []string{"deployments"}}, stack.SyncResource{Group: "autoscaling", Resources: []string{"horizontalpodautoscalers"}},
		stack.SyncResource{Group: "negotiated.example.io", Resources: []string{"gadgets"}}, stack.SyncResource{Group: "rbac.authorization.k8s.io", Resources: []string{"clusterroles"}},
		stack.SyncResource{Group: "apiextensions.k8s.io", Resources: []string{"customresourcedefinitions"}},
	)
	if err != nil {
		return err
	}
	return d.WaitSynced(ctx, mirrorName, syncLimit, nil)
}

// oddColumns are columns of a custom resource whose values are of other types than they say, or
// of none.
func oddColumns() []any {
	var columns []any
	for _, c := range []struct{ name, kind, path string }{
		{"Size", "integer", ".spec.size"},
		{"Huge", "integer", ".spec.huge"},
		{"Word", "integer", ".spec.word"},
		{"Whole", "integer", ".spec.float"},
		{"Float", "number", ".spec.float"},
		{"Truth", "boolean", ".spec.on"},
		{"Untruth", "boolean", ".spec.word"},
		{"Text", "string", ".spec.size"},
		{"Object", "string", ".spec.object"},
		{"None", "string", ".spec.none"},
		{"Gone", "string", ".spec.gone"},
		{"Deep", "string", ".spec.object.a.b.c"},
		{"List", "string", ".spec.list"},
		{"Names", "string", ".spec.list[*].name"},
		{"Second", "string", ".spec.list[1].name"},
		{"Tenth", "string", ".spec.list[10].name"},
		{"Last", "string", ".spec.list[-1:].name"},
		{"Filtered", "string", `.spec.list[?(@.ready=="yes")].name`},
		{"When", "date", ".spec.when"},
		{"Since", "date", ".spec.since"},
		{"Future", "date", ".spec.future"},
		{"Date", "date", ".spec.size"},
		{"Label", "string", `.metadata.annotations.a\.b/c`},
		{"Name", "string", ".metadata.name"},
		{"Age", "date", ".metadata.creationTimestamp"},
	} {
		columns = append(columns, document{"name": c.name, "type": c.kind, "jsonPath": c.path, "priority": int64(len(columns) % 3), "description": "The " + c.name})
	}
	return columns
}
