// Package table prints objects as kubectl does, with the cluster as their first
// column. It serves the apiserver's answers to clients that ask for a Table.
package table

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration"
	apiservice "k8s.io/kube-aggregator/pkg/registry/apiservice/etcd"

	"clusterpedia.io/clusterpedia/internal/builtin"
	"clusterpedia.io/clusterpedia/internal/cells"
	"clusterpedia.io/storage-api/storage"
)

// Printer knows the columns of the compiled-in kinds. It may be used
// concurrently.
type Printer struct{ kinds *cells.Printer }

// NewPrinter returns a printer for the kinds of scheme.
func NewPrinter(scheme *builtin.Scheme) *Printer { return &Printer{kinds: cells.NewPrinter(scheme)} }

// Columns are the columns of one kind.
type Columns struct {
	// Definitions begin with the cluster.
	Definitions []metav1.TableColumnDefinition
	kind        *cells.Kind
	// convertor prints them in place of kind.
	convertor rest.TableConvertor
}

// Reader returns what reads a stored document as far as Row needs it; decode reads all of
// it.
func (c Columns) Reader(decode func(doc []byte) (runtime.Object, error)) func(doc []byte) (runtime.Object, error) {
	if c.kind == nil {
		return decode
	}
	return func(doc []byte) (runtime.Object, error) { return c.kind.Read(doc, decode) }
}

// Named reports whether the columns show no more of an object than its name and when it was
// created.
func (c Columns) Named() bool { return c.kind == nil && c.convertor == nil }

// Kept is what the kept cells of these columns are called; empty if there are none.
func (c Columns) Kept() string {
	if c.kind == nil {
		return ""
	}
	return c.kind.Columns
}

// AppendKept appends kept cells as a JSON array, and returns the conditions of their row,
// nil if it has none.
func (c Columns) AppendKept(dst []byte, cluster string, kept *storage.Cells) (row, conditions []byte, err error) {
	if c.kind == nil || kept.Columns != c.kind.Columns {
		return dst, nil, fmt.Errorf("the cells are those of columns %q, and %q were asked for", kept.Columns, c.Kept())
	}
	name, err := json.Marshal(cluster)
	if err != nil {
		return dst, nil, err
	}
	dst, conditions, err = c.kind.AppendCells(append(append(dst, '['), name...), kept.Values, time.Now())
	return append(dst, ']'), conditions, err
}

// Custom returns the columns of a custom resource, as its definition says.
func (p *Printer) Custom(defined []apiextensionsv1.CustomResourceColumnDefinition) (Columns, error) {
	k, err := p.kinds.Custom(defined)
	if err != nil {
		return Columns{}, err
	}
	return ofKind(k), nil
}

func ofKind(k *cells.Kind) Columns {
	return Columns{Definitions: slices.Insert(slices.Clone(k.Definitions), 0, clusterColumn), kind: k}
}

// convertedBy returns the columns of a convertor, as it prints an empty list.
func convertedBy(ctx context.Context, convertor rest.TableConvertor, empty runtime.Object) (Columns, error) {
	head, err := convertor.ConvertToTable(ctx, empty, nil)
	if err != nil {
		return Columns{}, err
	}
	return Columns{Definitions: append([]metav1.TableColumnDefinition{clusterColumn}, head.ColumnDefinitions...), convertor: convertor}, nil
}

var (
	clusterColumn = metav1.TableColumnDefinition{Name: "Cluster", Type: "string", Description: "The Cluster of resource"}
	nameColumn    = metav1.TableColumnDefinition{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]}
	createdColumn = metav1.TableColumnDefinition{Name: "Created At", Type: "date", Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"]}
)

// apiServices are compiled in, and printed by the kube-aggregator.
var apiServices = schema.GroupKind{Group: apiregistration.GroupName, Kind: "APIService"}

// Columns returns the columns of a kind: those of kubectl if it is compiled in and
// kubectl has any, else the name and the time of creation.
func (p *Printer) Columns(ctx context.Context, kind schema.GroupKind) Columns {
	if kind == apiServices {
		if columns, err := convertedBy(ctx, &apiservice.REST{}, &apiregistration.APIServiceList{}); err == nil {
			return columns
		}
	}
	if k := p.kinds.Kind(kind); k != nil {
		return ofKind(k)
	}
	return Columns{Definitions: []metav1.TableColumnDefinition{clusterColumn, nameColumn, createdColumn}}
}

// Row prints one object. A compiled-in kind must have its internal type.
func (c Columns) Row(ctx context.Context, cluster string, obj runtime.Object) (metav1.TableRow, error) {
	var row metav1.TableRow
	var err error
	switch {
	case c.kind != nil:
		row, err = c.kind.Row(obj)
	case c.convertor != nil:
		row, err = convertedRow(ctx, c.convertor, obj)
	default:
		return byName(cluster, obj)
	}
	if err != nil {
		return metav1.TableRow{}, err
	}
	row.Cells = slices.Insert(row.Cells, 0, any(cluster))
	row.Object.Object = obj
	return row, nil
}

func convertedRow(ctx context.Context, convertor rest.TableConvertor, obj runtime.Object) (metav1.TableRow, error) {
	body, err := convertor.ConvertToTable(ctx, obj, &metav1.TableOptions{NoHeaders: true})
	if err != nil {
		return metav1.TableRow{}, fmt.Errorf("print a %T: %w", obj, err)
	}
	if len(body.Rows) != 1 {
		return metav1.TableRow{}, fmt.Errorf("print a %T: %d rows", obj, len(body.Rows))
	}
	return body.Rows[0], nil
}

// byName prints an object of which nothing is known.
func byName(cluster string, obj runtime.Object) (metav1.TableRow, error) {
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return metav1.TableRow{}, fmt.Errorf("read the metadata of a %T: %w", obj, err)
	}
	return metav1.TableRow{
		Cells:  NamedCells(cluster, accessor.GetName(), accessor.GetCreationTimestamp().Time),
		Object: runtime.RawExtension{Object: obj},
	}, nil
}

// NamedCells is the row of an object of which no more is shown.
func NamedCells(cluster, name string, created time.Time) []any {
	return []any{cluster, name, created.UTC().Format(time.RFC3339)}
}
