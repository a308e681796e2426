// Package table prints objects as kubectl does, with the cluster as their first
// column. It serves the apiserver's answers to clients that ask for a Table.
package table

import (
	"context"
	"fmt"
	"slices"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration"
	apiservice "k8s.io/kube-aggregator/pkg/registry/apiservice/etcd"
	"k8s.io/kubernetes/pkg/printers"
	printersinternal "k8s.io/kubernetes/pkg/printers/internalversion"

	"clusterpedia.io/clusterpedia/internal/builtin"
)

// Printer knows the columns of the compiled-in kinds. It may be used
// concurrently.
type Printer struct {
	scheme    *builtin.Scheme
	generator *printers.HumanReadableGenerator
}

// NewPrinter returns a printer for the kinds of scheme.
func NewPrinter(scheme *builtin.Scheme) *Printer {
	return &Printer{scheme: scheme, generator: printers.NewTableGenerator().With(printersinternal.AddHandlers)}
}

// Columns are the columns of one kind.
type Columns struct {
	// Definitions begin with the cluster.
	Definitions []metav1.TableColumnDefinition
	generator   *printers.HumanReadableGenerator
	custom      rest.TableConvertor
	pods        bool
}

// Reader returns what reads a stored document as far as Row needs it; decode reads all of
// it.
func (c Columns) Reader(decode func(doc []byte) (runtime.Object, error)) func(doc []byte) (runtime.Object, error) {
	if !c.pods {
		return decode
	}
	return func(doc []byte) (runtime.Object, error) {
		if pod, err := readPod(doc); err == nil {
			return pod, nil
		}
		return decode(doc)
	}
}

// Custom returns the columns of a custom resource, as its definition says. It is for one
// request at a time.
func Custom(ctx context.Context, defined []apiextensionsv1.CustomResourceColumnDefinition) (Columns, error) {
	custom, err := tableconvertor.New(defined)
	if err != nil {
		return Columns{}, err
	}
	return convertedBy(ctx, custom, &unstructured.UnstructuredList{})
}

// convertedBy returns the columns of a convertor, as it prints an empty list.
func convertedBy(ctx context.Context, convertor rest.TableConvertor, empty runtime.Object) (Columns, error) {
	head, err := convertor.ConvertToTable(ctx, empty, nil)
	if err != nil {
		return Columns{}, err
	}
	return Columns{Definitions: append([]metav1.TableColumnDefinition{clusterColumn}, head.ColumnDefinitions...), custom: convertor}, nil
}

var (
	clusterColumn = metav1.TableColumnDefinition{Name: "Cluster", Type: "string", Description: "The Cluster of resource"}
	nameColumn    = metav1.TableColumnDefinition{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]}
	createdColumn = metav1.TableColumnDefinition{Name: "Created At", Type: "date", Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"]}
)

// Two compiled-in kinds are not printed as the others: APIServices by the kube-aggregator, and
// the other one by nobody, though there are columns for it.
var (
	apiServices          = schema.GroupKind{Group: apiregistration.GroupName, Kind: "APIService"}
	csiStorageCapacities = schema.GroupKind{Group: "storage.k8s.io", Kind: "CSIStorageCapacity"}
)

// Columns returns the columns of a kind: those of kubectl if it is compiled in and
// kubectl has any, else the name and the time of creation.
func (p *Printer) Columns(ctx context.Context, kind schema.GroupKind) Columns {
	if kind == apiServices {
		if columns, err := convertedBy(ctx, &apiservice.REST{}, &apiregistration.APIServiceList{}); err == nil {
			return columns
		}
	}
	internal := schema.GroupVersion{Group: kind.Group, Version: runtime.APIVersionInternal}
	if list, err := p.scheme.Runtime().New(internal.WithKind(kind.Kind + "List")); err == nil && kind != csiStorageCapacities {
		if head, err := p.generator.GenerateTable(list, printers.GenerateOptions{Wide: true}); err == nil {
			return Columns{Definitions: slices.Insert(head.ColumnDefinitions, 0, clusterColumn), generator: p.generator, pods: kind == schema.GroupKind{Kind: "Pod"}}
		}
	}
	return Columns{Definitions: []metav1.TableColumnDefinition{clusterColumn, nameColumn, createdColumn}}
}

// Row prints one object. A compiled-in kind must have its internal type.
func (c Columns) Row(ctx context.Context, cluster string, obj runtime.Object) (metav1.TableRow, error) {
	var body *metav1.Table
	var err error
	switch {
	case c.generator != nil:
		body, err = c.generator.GenerateTable(obj, printers.GenerateOptions{Wide: true, NoHeaders: true})
	case c.custom != nil:
		body, err = c.custom.ConvertToTable(ctx, obj, &metav1.TableOptions{NoHeaders: true})
	default:
		return byName(cluster, obj)
	}
	if err != nil {
		return metav1.TableRow{}, fmt.Errorf("print a %T: %w", obj, err)
	}
	if len(body.Rows) != 1 {
		return metav1.TableRow{}, fmt.Errorf("print a %T: %d rows", obj, len(body.Rows))
	}
	row := body.Rows[0]
	row.Cells = slices.Insert(row.Cells, 0, any(cluster))
	row.Object.Object = obj
	return row, nil
}

// byName prints an object of which nothing is known.
func byName(cluster string, obj runtime.Object) (metav1.TableRow, error) {
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return metav1.TableRow{}, fmt.Errorf("read the metadata of a %T: %w", obj, err)
	}
	return metav1.TableRow{
		Cells:  []any{cluster, accessor.GetName(), accessor.GetCreationTimestamp().UTC().Format(time.RFC3339)},
		Object: runtime.RawExtension{Object: obj},
	}, nil
}
