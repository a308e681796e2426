package resources

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/api/meta"
	metainternalversionscheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/klog/v2"

	"clusterpedia.io/api/clusterpedia/v1beta1"
	"clusterpedia.io/clusterpedia/internal/apiserver/table"
	"clusterpedia.io/storage-api/query"
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

// shown is what a Table shows of objects, besides what it includes of them.
func (s *scope) shown(include metav1.IncludeObjectPolicy) (p query.Projection, columns string) {
	switch {
	case include == metav1.IncludeObject:
		return query.Full, ""
	case s.columns.Named():
		return query.Metadata, ""
	case s.columns.Kept() != "":
		return query.Cells, s.columns.Kept()
	}
	return query.Full, ""
}

// tableFormat prints rows with the metadata of their objects, or without; nil if whole
// objects are wanted.
func (s *scope) tableFormat(req *http.Request) *format {
	var options metav1.TableOptions
	if err := metainternalversionscheme.ParameterCodec.DecodeParameters(req.URL.Query(), metav1.SchemeGroupVersion, &options); err != nil {
		return nil
	}
	write := s.writePartial
	switch options.IncludeObject {
	case "", metav1.IncludeMetadata:
	case metav1.IncludeNone:
		write = func(w *bufio.Writer, _ *storage.Object) error {
			_, err := w.WriteString("null")
			return err
		}
	default:
		return nil
	}
	definitions, err := json.Marshal(s.columns.Definitions)
	if err != nil {
		return nil
	}
	f := &format{open: fmt.Appendf(nil, `{"kind":"Table","apiVersion":"meta.k8s.io/v1","columnDefinitions":%s,"rows":[`, definitions)}
	f.projection, f.columns = s.shown(options.IncludeObject)
	var cells []byte // of the row before
	f.item = func(ctx context.Context, w *bufio.Writer, o *storage.Object) (err error) {
		var conditions []byte
		if cells, conditions, err = s.appendCells(ctx, cells[:0], o); err != nil {
			return fmt.Errorf("%s: %w", o.Key, err)
		}
		w.WriteString(`{"cells":`)
		w.Write(cells)
		if conditions != nil {
			w.WriteString(`,"conditions":`)
			w.Write(conditions)
		}
		w.WriteString(`,"object":`)
		if write(w, o) != nil { // as row shows it
			partial, err := json.Marshal(KeyOnly(o))
			if err != nil {
				return fmt.Errorf("%s: %w", o.Key, err)
			}
			w.Write(partial)
		}
		return w.WriteByte('}')
	}
	return f
}

// appendCells appends what a row shows of an object as a JSON array, and returns the row's
// conditions, nil if it has none. What was kept when the object was written is taken before
// anything is read of the object.
func (s *scope) appendCells(ctx context.Context, dst []byte, o *storage.Object) (cells, conditions []byte, err error) {
	var row metav1.TableRow
	switch {
	case o.Cells != nil:
		cells, conditions, err = s.columns.AppendKept(dst, o.Cluster, o.Cells)
		if err == nil {
			return cells, conditions, nil
		}
		row = s.unprinted(o, fmt.Errorf("kept cells: %w", err))
	case s.columns.Named() && isObject(o.JSON):
		row.Cells = table.NamedCells(o.Cluster, o.Name, o.CreatedAt)
	default:
		row = tableConvertor{s}.row(ctx, o, true)
	}
	text, err := json.Marshal(row.Cells)
	if err != nil {
		return dst, nil, err
	}
	if len(row.Conditions) > 0 {
		conditions, err = json.Marshal(row.Conditions)
	}
	return append(dst, text...), conditions, err
}

// row prints a stored object. One that cannot be read is shown by its name alone,
// and does not hide all others. If only the cells are wanted, no more may be read of the
// object than they need.
func (c tableConvertor) row(ctx context.Context, o *storage.Object, cells bool) metav1.TableRow {
	if o.Cells != nil {
		return c.scope.keptRow(o)
	}
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
	row := c.scope.unprinted(o, err)
	row.Object.Object = partialOf(o)
	return row
}

// keptRow returns the row of an object whose cells were kept.
func (s *scope) keptRow(o *storage.Object) (row metav1.TableRow) {
	cells, conditions, err := s.columns.AppendKept(nil, o.Cluster, o.Cells)
	if err == nil {
		err = utiljson.Unmarshal(cells, &row.Cells) // integers stay what they are
	}
	if err == nil && conditions != nil {
		err = json.Unmarshal(conditions, &row.Conditions)
	}
	if err != nil {
		row = s.unprinted(o, fmt.Errorf("kept cells: %w", err))
	}
	row.Object.Object = partialOf(o)
	return row
}

// partialOf returns the metadata of an object, as far as it can be read.
func partialOf(o *storage.Object) *metav1.PartialObjectMetadata {
	partial := &metav1.PartialObjectMetadata{}
	if err := json.Unmarshal(o.JSON, partial); err != nil || partial.Name == "" {
		return KeyOnly(o)
	}
	return partial
}

// unprinted is the row of an object that cannot be printed.
func (s *scope) unprinted(o *storage.Object, err error) metav1.TableRow {
	klog.ErrorS(err, "A stored object cannot be printed", "object", o.Key.String())
	row := metav1.TableRow{Cells: make([]any, len(s.columns.Definitions))}
	for i, column := range s.columns.Definitions {
		switch {
		case i == 0:
			row.Cells[i] = o.Cluster
		case column.Format == "name":
			row.Cells[i] = o.Name
		}
	}
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
