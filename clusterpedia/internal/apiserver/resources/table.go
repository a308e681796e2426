package resources

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"

	"clusterpedia.io/api/clusterpedia/v1beta1"
	"clusterpedia.io/storage-api/storage"
)

// tableConvertor prints a listing, or one decoded object, as a Table.
type tableConvertor struct{ scope *scope }

// ConvertToTable implements rest.TableConvertor.
func (c tableConvertor) ConvertToTable(ctx context.Context, obj runtime.Object, options runtime.Object) (*metav1.Table, error) {
	out := &metav1.Table{}
	if o, ok := options.(*metav1.TableOptions); !ok || o == nil || !o.NoHeaders {
		out.ColumnDefinitions = c.scope.columns.Definitions
	}
	o, ok := options.(*metav1.TableOptions)
	whole := ok && o != nil && o.IncludeObject == metav1.IncludeObject
	if l, ok := obj.(*listing); ok {
		out.Rows = []metav1.TableRow{}
		err := l.Each(func(o *storage.Object) error {
			row := c.row(ctx, o, false)
			if !whole {
				// All rows are kept until the last one is there.
				if m, err := meta.Accessor(row.Object.Object); err == nil {
					row.Object.Object = meta.AsPartialObjectMetadata(m)
				}
			}
			out.Rows = append(out.Rows, row)
			return nil
		})
		out.ListMeta = l.metadata(l.Page, l.Count)
		return out, err
	}
	var row metav1.TableRow
	if d, ok := obj.(*document); ok {
		row = c.row(ctx, &storage.Object{Key: d.key, JSON: d.json}, false)
		obj = row.Object.Object
	}
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return nil, fmt.Errorf("read the metadata of a %T: %w", obj, err)
	}
	if row.Cells == nil { // of a watch
		if row, err = c.scope.columns.Row(ctx, accessor.GetAnnotations()[v1beta1.ShadowAnnotationClusterName], obj); err != nil {
			return nil, err
		}
	}
	out.Rows = []metav1.TableRow{row}
	out.ResourceVersion = accessor.GetResourceVersion() // where a watch can resume
	return out, nil
}

// row prints a stored object. One that cannot be read is shown by its name alone,
// and does not hide all others. If only the cells are wanted, no more may be read of the
// object than they need.
func (c tableConvertor) row(ctx context.Context, o *storage.Object, cells bool) metav1.TableRow {
	read := c.scope.decode
	if cells {
		read = c.scope.columns.Reader(read)
	}
	var obj runtime.Object
	err := errNoObject
	if isObject(o.JSON) {
		obj, err = read(o.JSON)
	}
	if err == nil {
		var row metav1.TableRow
		if row, err = c.scope.columns.Row(ctx, o.Cluster, obj); err == nil {
			return row
		}
	}
	klog.ErrorS(err, "A stored object cannot be printed", "object", o.Key.String())
	row := metav1.TableRow{Cells: make([]any, len(c.scope.columns.Definitions))}
	for i, column := range c.scope.columns.Definitions {
		switch {
		case i == 0:
			row.Cells[i] = o.Cluster
		case column.Format == "name":
			row.Cells[i] = o.Name
		}
	}
	partial := &metav1.PartialObjectMetadata{}
	if err := json.Unmarshal(o.JSON, partial); err != nil || partial.Name == "" {
		partial = KeyOnly(o)
	}
	row.Object.Object = partial
	return row
}

// KeyOnly returns what is known of an object that cannot be read.
func KeyOnly(o *storage.Object) *metav1.PartialObjectMetadata {
	partial := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: o.Name, Namespace: o.Namespace, Annotations: map[string]string{v1beta1.ShadowAnnotationClusterName: o.Cluster},
	}}
	partial.SetGroupVersionKind(schema.GroupVersionKind{Group: "meta.k8s.io", Version: "v1", Kind: "PartialObjectMetadata"})
	return partial
}
