package sample

import (
	"context"
	"fmt"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
)

// Widgets is the sample's custom resource.
var Widgets = schema.GroupVersionResource{Group: "example.io", Version: "v1", Resource: "widgets"}

// definitionLimit bounds the wait for the API server to serve a new resource.
const definitionLimit = time.Minute

// defineWidgets makes the CRD and waits until it is served.
func (l *loader) defineWidgets(ctx context.Context, config *rest.Config) error {
	if l.Widgets == 0 {
		return nil
	}
	client, err := apiextensions.NewForConfig(config)
	if err != nil {
		return err
	}
	anything := true
	crd := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: Widgets.GroupResource().String()},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: Widgets.Group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "widgets", Singular: "widget", Kind: "Widget", ListKind: "WidgetList"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: Widgets.Version, Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: &anything,
				}},
				AdditionalPrinterColumns: []apiextensionsv1.CustomResourceColumnDefinition{{Name: "Size", Type: "integer", JSONPath: ".spec.size"}},
			}},
		},
	}
	_, err = client.ApiextensionsV1().CustomResourceDefinitions().Create(ctx, crd, metav1.CreateOptions{})
	if err := once("custom resource definition", err); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, definitionLimit, true, func(ctx context.Context) (bool, error) {
		_, err := l.dynamic.Resource(Widgets).List(ctx, metav1.ListOptions{Limit: 1})
		return err == nil, nil
	})
}

func (l *loader) widget(ctx context.Context, namespace string, i int) error {
	widget := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": Widgets.GroupVersion().String(), "kind": "Widget",
		"metadata": map[string]any{"name": fmt.Sprintf("widget-%d", i)},
		"spec":     map[string]any{"size": int64(i + 1), "on": i%2 == 0},
	}}
	_, err := l.dynamic.Resource(Widgets).Namespace(namespace).Create(ctx, widget, metav1.CreateOptions{})
	return once("widget", err)
}
